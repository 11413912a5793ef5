# SPDX-License-Identifier: MIT
"""What testssl.sh, which knows the faults of twenty years, has to say of the defaults."""
import json
import os
import shutil
import subprocess

import pytest

import certificates
from daemon import free_port

pytestmark = [pytest.mark.once, pytest.mark.plain]

OF_THE_TEST = {
    'cert_revocation',  # nobody publishes what of the tests' certificates is revoked
    # TLS 1.3 has tickets behind the handshake, and it may have hung up by then; see test_tls.py
    'sessionresumption_ticket',
}


def test_testssl(emberd, root, request):
    """Nothing worse than OK and INFO: protocols, ciphers, their order, and what has had a name."""
    if not request.config.getoption('--long'):
        pytest.skip('a minute of many handshakes, with --long')
    if not shutil.which('testssl'):
        pytest.skip('testssl.sh is not installed')
    authority, port = certificates.authority(), free_port()
    files = ''
    for kind in ('ec', 'rsa'):
        one = authority.issue(f'testssl-{kind}', ['localhost'], kind=kind)
        files += f'Certificate={one.path}\nKey={one.key_path}\n'
    emberd(settings=f'[Listener t]\nAddress=127.0.0.1:{port}\nTLS=yes\n'
                    f'[Site localhost]\nRoot={root}\n{files}', listen=False, wait=False,
           carried=False).wait_serving()
    out = os.path.join(os.path.dirname(root), 'testssl.json')
    done = subprocess.run(
        ['testssl', '--quiet', '--color', '0', '--warnings', 'off', '--nodns', 'none', '--add-ca',
         authority.path, '--protocols', '--std', '--fs', '--server-preference',
         '--server-defaults', '--vulnerable', '--jsonfile', out, f'https://localhost:{port}'],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=390, check=False)
    with open(out, encoding='utf-8') as file:
        found = json.load(file)
    said = {x['id'].split(' ')[0] for x in found}
    assert {'TLS1_2', 'TLS1_3', 'heartbleed', 'cipher_order'} <= said, done.stdout
    worse = [(x['id'], x['severity'], x['finding']) for x in found
             if x['severity'] not in ('OK', 'INFO') and x['id'].split(' ')[0] not in OF_THE_TEST]
    assert not worse
