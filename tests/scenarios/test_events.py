# SPDX-License-Identifier: MIT
"""What an administrator must act on goes to the journal with the identifier of its explanation."""
import os
import signal
import socket

import pytest

from client import Client
from daemon import ROOT

pytestmark = [pytest.mark.once,
              pytest.mark.skipif(not ROOT, reason='only root has mounts of its own')]

SETTINGS_FAULTY = '38ee82b1b1ca4af0b06c1e252b1cb400'
RELOAD_FAULTY = '39506dbf47244271b1871a0b41ad3258'
ACCESS_LOG = '751d0b725ce041e999da8ebfbdbfb797'


class Journal:
    """Stands where systemd's journal is: its socket, and standard error that leads to it."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, 'journal')
        os.mkdir(self.folder)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f'{self.folder}/socket')
        os.chmod(f'{self.folder}/socket', 0o666)
        os.chmod(self.folder, 0o755)
        self.socket.settimeout(10)

    def prefix(self, has_socket=True):
        mount = (f'mkdir -p /run/systemd/journal && mount --bind {self.folder} '
                 '/run/systemd/journal && ') if has_socket else ''
        return ['unshare', '-m', 'sh', '-c',
                f'mount -t tmpfs none /run && {mount}'
                'export JOURNAL_STREAM=$(stat -Lc %d:%i /dev/stderr) && exec "$@"', 'sh']

    def receive(self):
        """The fields of the next message."""
        return dict(line.split('=', 1) for line in self.socket.recv(65536).decode().splitlines())

    def close(self):
        self.socket.close()


@pytest.fixture
def journal(folder):
    one = Journal(folder)
    yield one
    one.close()


def test_faulty_at_start(emberd, root, journal):
    passed = emberd.new_passed()
    passed.tcp()
    one = emberd(settings='[Server]\nWorkerz=3\n', passed=passed, as_root=True,
                 prefix=journal.prefix(), options=['Server.User=nobody'])
    fields = journal.receive()
    assert fields['MESSAGE_ID'] == SETTINGS_FAULTY
    assert fields['CONFIG_FILE'].endswith('/emberd.conf') and fields['CONFIG_LINE'] == '2'
    assert fields['MESSAGE'].startswith(fields['CONFIG_FILE'] + ':2: unknown key')
    assert fields['PRIORITY'] == '3' and fields['SYSLOG_IDENTIFIER'] == 'emberd'
    with Client(one.connect()) as client:
        assert client.request('/').status == 503
    assert 'Workerz' not in one.stderr  # once is enough
    assert '<3>answering 503' in one.stderr


def test_faulty_at_reload(emberd, root, journal):
    one = emberd(settings=f'[Site a]\nRoot={root}\n', as_root=True, prefix=journal.prefix(),
                 options=['Server.User=nobody'])
    emberd.write_settings('[Sight a]\n')
    one.signal(signal.SIGHUP)
    fields = journal.receive()
    assert fields['MESSAGE_ID'] == RELOAD_FAULTY and fields['CONFIG_LINE'] == '1'
    with Client(one.connect()) as client:
        assert client.request('/small.txt').status == 200


def test_access_log_cannot_be_written(emberd, root, journal):
    one = emberd(root=root, as_root=True, prefix=journal.prefix(), log=True,
                 options=['Server.User=nobody', 'Server.AccessLog=/dev/full'])
    with Client(one.connect()) as client:
        client.request('/small.txt')
        fields = journal.receive()
        assert fields['MESSAGE_ID'] == ACCESS_LOG
        assert '/dev/full' in fields['MESSAGE'] and 'No space left' in fields['MESSAGE']
        assert 'CONFIG_FILE' not in fields


def test_no_socket_of_the_journal(emberd, root, journal):
    """What cannot be sent with its fields is written without them."""
    one = emberd(settings='[Server]\nWorkerz=3\n', as_root=True, wait=False,
                 prefix=journal.prefix(has_socket=False))
    assert one.wait() == 78
    one.stopped = True
    assert '<3>' in one.stderr and 'Workerz' in one.stderr
