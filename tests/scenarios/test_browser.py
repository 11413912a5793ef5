# SPDX-License-Identifier: MIT
"""A browser, as people have them: a page with a hundred pictures over HTTP/2."""
import base64
import hashlib
import os
import re
import shutil
import struct
import subprocess
import zlib

import pytest
from cryptography.hazmat.primitives import serialization

import certificates
from daemon import free_port

pytestmark = [pytest.mark.once, pytest.mark.plain]

PICTURES = 100
# What the browser says of itself: pictures that it could decode, how many things there were beside
# the page, how many with it came by HTTP/2, and how many had a connection made beside the page's.
SCRIPT = '''addEventListener('load', () => {
        const things = performance.getEntriesByType('resource'),
              all = performance.getEntriesByType('navigation').concat(things),
              whole = [...document.images].filter(x => x.naturalWidth == 16);
        document.body.dataset.found = [whole.length, things.length,
                all.filter(x => x.nextHopProtocol == 'h2').length,
                things.filter(x => x.connectEnd > x.connectStart).length].join(' ');
});'''


def picture(number):
    """A PNG of 16 by 16 points in a colour of its own."""
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + \
            struct.pack('>I', zlib.crc32(kind + data))
    colour = bytes([number, 255 - number, number * 7 % 256])
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 16, 16, 8, 2, 0, 0, 0)) + \
        chunk(b'IDAT', zlib.compress((b'\0' + colour * 16) * 16)) + chunk(b'IEND', b'')


def public_key_hash(certificate):
    return base64.b64encode(hashlib.sha256(certificate.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).digest())


@pytest.mark.parametrize('backend', ['epoll', 'io_uring'])
def test_hundred_pictures(emberd, program, root, folder, request, backend):
    """Chromium gets each of them, all by HTTP/2 and over the page's connection."""
    if not request.config.getoption('--long'):
        pytest.skip('a browser of 400 MB, with --long')
    browser = shutil.which('chromium') or shutil.which('chromium-browser')
    if not browser:
        pytest.skip('chromium is not installed, for --long')
    if backend not in re.findall(r'^(\S+) +can run here', subprocess.run(
            [program, '--backends'], capture_output=True, text=True, check=True).stdout, re.M):
        pytest.skip(f'{backend} cannot run here, even with --long')
    for number in range(PICTURES):
        with open(f'{root}/{number}.png', 'wb') as file:
            file.write(picture(number))
    with open(f'{root}/index.html', 'w', encoding='ascii') as file:
        file.write(f'<!doctype html><title>pictures</title><script>{SCRIPT}</script><body>' +
                   ''.join(f'<img src="/{number}.png">' for number in range(PICTURES)))
    one, port = certificates.of_session(), free_port()
    daemon = emberd(options=[f'Listener t.Address=127.0.0.1:{port}', 'Listener t.TLS=yes',
                             f'Site localhost.Certificate={one.path}',
                             f'Site localhost.Key={one.key_path}'], root=root, backend=backend,
                    listen=False, carried=False, log=True).wait_serving()
    done = subprocess.run(
        [browser, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
         '--no-first-run', '--disable-background-networking', f'--user-data-dir={folder}/chromium',
         f'--ignore-certificate-errors-spki-list={public_key_hash(one).decode()}', '--dump-dom',
         f'https://127.0.0.1:{port}/'], capture_output=True, text=True, timeout=120, check=False,
        stdin=subprocess.DEVNULL, env={**os.environ, 'HOME': folder})
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found, (done.returncode, done.stdout[-500:], done.stderr[-2000:])
    assert found.group(1) == f'{PICTURES} {PICTURES} {PICTURES + 1} 0'
    assert len(re.findall(r'"GET /\d+\.png HTTP/2\.0" 200 ', daemon.stdout)) == PICTURES
