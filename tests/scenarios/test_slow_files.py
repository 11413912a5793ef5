# SPDX-License-Identifier: MIT
"""A disk that does not answer must not stop those who ask for something else."""
import contextlib
import os
import subprocess
import sys
import time

import pytest

from client import Client
from daemon import SLOWNESS, eventually

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture
def slow_root(own_mounts, root, folder):
    """`root` with a mount in it that hangs until the file `go` is made: (root, go)."""
    mount = os.path.join(root, 'mount')
    go = os.path.join(folder, 'go')
    os.mkdir(mount)
    served = subprocess.Popen([sys.executable, os.path.join(HERE, 'slowfs.py'), mount, go],
                              stderr=subprocess.PIPE, text=True)

    def mounted():
        if served.poll() is not None:
            pytest.skip(f'no FUSE here: {served.stderr.read()}')
        return os.path.ismount(mount)

    try:
        eventually(mounted, 5, 'the mount')
        yield root, go
    finally:
        with open(go, 'w', encoding='ascii'):
            pass
        subprocess.run(['umount', mount], check=False, capture_output=True)
        if os.path.ismount(mount):
            subprocess.run(['umount', '--lazy', mount], check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            served.wait(5)
        if served.poll() is None:
            served.kill()
            served.wait()


@pytest.mark.parametrize('name', ['slow-open', 'slow-read'])
def test_others_are_served(emberd, slow_root, name):
    """While an open or a read hangs, the same worker answers everybody else."""
    root, go = slow_root
    one = emberd(root=root, workers=1)
    with Client(one.connect()) as stuck, Client(one.connect()) as client:
        assert client.request('/small.txt').status == 200
        stuck.ask(f'/mount/{name}')
        time.sleep(0.2)
        for _ in range(30):
            begun = time.monotonic()
            assert client.request('/small.txt').body == b'small file\n'
            assert client.request('/medium.bin', 'HEAD').status == 200
            assert time.monotonic() - begun < 0.5 * SLOWNESS
        with open(go, 'w', encoding='ascii'):
            pass
        assert stuck.response().body == b'slow content\n' * 100


def test_client_that_leaves_meanwhile(emberd, slow_root):
    """A client that gives up while its file hangs frees its connection, and nothing breaks."""
    root, go = slow_root
    one = emberd(root=root, workers=1)
    with Client(one.connect()) as client:
        client.request('/small.txt')
        stuck = [Client(one.connect()) for _ in range(10)]
        for each in stuck:
            each.ask('/mount/slow-open')
        time.sleep(0.2)
        for each in stuck:
            each.close()
        assert client.request('/small.txt').status == 200
        with open(go, 'w', encoding='ascii'):
            pass
        eventually(lambda: client.request('/mount/slow-open').status == 200, 5)
        assert client.request('/small.txt').status == 200
