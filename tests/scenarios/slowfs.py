# SPDX-License-Identifier: MIT
"""
A file system whose `slow` file answers only while a file named `go` exists beside the mount.

    slowfs.py MOUNT GO      mounts in its own mount namespace's view and serves until it is ended
"""
import errno
import os
import stat
import sys
import time

from fusepy import FUSE, FuseOSError, Operations

CONTENT = b'slow content\n' * 100


class Slow(Operations):
    def __init__(self, go):
        self.go = go

    def wait(self):
        end = time.monotonic() + 20  # never longer, whatever becomes of the test
        while not os.path.exists(self.go) and time.monotonic() < end:
            time.sleep(0.02)

    def getattr(self, path, fh=None):
        if path == '/':
            return {'st_mode': stat.S_IFDIR | 0o755, 'st_nlink': 2}
        if path == '/slow-open':
            self.wait()
        elif path not in ('/slow-read', '/quick'):
            raise FuseOSError(errno.ENOENT)
        return {'st_mode': stat.S_IFREG | 0o644, 'st_nlink': 1, 'st_size': len(CONTENT),
                'st_mtime': 1000000000}

    def readdir(self, path, fh):
        return ['.', '..', 'slow-open', 'slow-read', 'quick']

    def read(self, path, size, offset, fh):
        if path == '/slow-read':
            self.wait()
        return CONTENT[offset:offset + size]


if __name__ == '__main__':
    FUSE(Slow(sys.argv[2]), sys.argv[1], foreground=True, allow_other=True, nothreads=False,
         attr_timeout=0, entry_timeout=0)
