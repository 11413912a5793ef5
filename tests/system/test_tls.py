# SPDX-License-Identifier: MIT
"""TLS with the package as shipped: keys that root alone may read, handed over by systemd."""
import re
import ssl
import subprocess

import pytest

NAME = 'example.org'
LIVE = f'/etc/letsencrypt/live/{NAME}'
EXAMPLE = '/usr/share/doc/emberd/examples/tls-credentials.conf'
SETTINGS = f"""[Site {NAME}]
Root=/usr/share/emberd/www
Certificate=credential:{NAME}.pem
Key=credential:{NAME}.key
"""


def new_certificate():
    """(certificate, key), in PEM"""
    made = subprocess.run(
        ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
         '-noenc', '-days', '60', '-subj', f'/CN={NAME}', '-addext',
         f'subjectAltName=DNS:{NAME}', '-keyout', '-'], check=True, capture_output=True, text=True)
    key, found, certificate = made.stdout.partition('-----BEGIN CERTIFICATE-----')
    return found + certificate, key


class Live:
    """Where certbot puts what it was given, for root's eyes only."""

    def __init__(self, emberd):
        self.emberd, self.machine = emberd, emberd.machine

    def renew(self):
        certificate, key = new_certificate()
        self.machine.write(f'{LIVE}/fullchain.pem', certificate)
        self.machine.write(f'{LIVE}/privkey.pem', key)
        self.machine.shell(f'chmod 0700 {LIVE} && chmod 0600 {LIVE}/*')
        return ssl.create_default_context(cadata=certificate)

    def get(self, context):
        return self.emberd.get(port=443, wrap=lambda plain: context.wrap_socket(
            plain, server_hostname=NAME))


@pytest.fixture
def live(emberd):
    one = Live(emberd)
    emberd.settings(SETTINGS)
    emberd.machine.shell(f'mkdir -p /run/systemd/system/emberd.service.d && '
                         f'cp {EXAMPLE} /run/systemd/system/emberd.service.d/')
    emberd.machine.run('systemctl', 'daemon-reload')
    emberd.machine.run('systemctl', 'start', 'emberd-tls.socket')
    yield one
    emberd.machine.shell(f'systemctl stop emberd-tls.socket; rm -rf {LIVE}')


def test_credentials(emberd, live):
    """The example as it is: asleep until somebody comes by TLS, and after a renewal a restart."""
    first = live.renew()
    answer = live.get(first)
    assert answer.status == 200 and b'<html' in answer.body.lower()
    assert 'warning' not in emberd.log()
    assert emberd.machine.call('runuser', '-u', 'emberd', '--', 'test', '-r',
                               f'{LIVE}/privkey.pem').returncode != 0
    second = live.renew()
    pid = emberd.pid()
    emberd.machine.run('systemctl', 'try-restart', 'emberd.service')
    assert live.get(second).status == 200
    assert emberd.pid() != pid
    with pytest.raises(ssl.SSLError):
        live.get(first)


def test_check_of_credentials(emberd, live):
    """Root, who is handed nothing, can check all the rest."""
    done = emberd.machine.call('emberd', '--check')
    assert done.returncode == 0
    assert re.search(r'50-test\.conf:3: warning: Certificate=credential:\S+ is checked when',
                     done.stdout)


def test_credential_that_is_missing(emberd, live):
    """systemd refuses to start the service, says why, and starts it once the file is there."""
    assert emberd.machine.call('systemctl', 'start', 'emberd.service').returncode != 0
    assert 'CREDENTIALS' in emberd.log()
    context = live.renew()
    emberd.sleep()
    emberd.machine.run('systemctl', 'start', 'emberd-tls.socket')
    assert live.get(context).status == 200
