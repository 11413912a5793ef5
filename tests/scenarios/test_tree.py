# SPDX-License-Identifier: MIT
"""A real tree, every file of it, byte for byte."""
import hashlib
import os
import subprocess
import urllib.parse

import pytest

from carrier import CARRIER, SCHEME, curl_options

DOC = '/usr/share/doc'


def regular_files(top):
    """Regular files that any user may read, not links: (path, target)."""
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path) \
                    and os.stat(path).st_mode & 0o004:
                yield path, urllib.parse.quote(os.path.relpath(path, top))


def digest(path):
    with open(path, 'rb') as file:
        return hashlib.blake2b(file.read()).digest()


def test_usr_share_doc(emberd, folder):
    """
    The tree that every machine has: thousands of files of all sizes and odd names, fetched by curl
    over 32 kept-alive connections and compared by checksum.
    """
    if CARRIER == 'h2c':
        pytest.skip('curl before 8.0 cannot use such a connection twice')
    one = emberd(root=DOC)
    files = list(regular_files(DOC))
    assert len(files) > 100
    got = os.path.join(folder, 'got')
    os.mkdir(got)
    config = os.path.join(folder, 'curl')
    with open(config, 'w', encoding='utf-8') as file:
        for number, (_, target) in enumerate(files):
            file.write(f'url = "{SCHEME}://127.0.0.1:{one.port}/{target}"\n'
                       f'output = "{got}/{number}"\n')
    done = subprocess.run(['curl', *curl_options(), '-sS', '--fail', '--path-as-is', '--globoff',
                           '--parallel', '--parallel-max', '32', '--config', config],
                          capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for number, (path, target) in enumerate(files):
        fetched = f'{got}/{number}'
        if os.path.getsize(path) == 0 and not os.path.exists(fetched):
            continue  # curl makes no file for an empty body
        assert digest(fetched) == digest(path), target
