# SPDX-License-Identifier: MIT
"""--check with the machine's unit files, which a mount namespace gives it."""
import os
import shutil
import subprocess

import pytest

from daemon import ROOT

pytestmark = [pytest.mark.once,
              pytest.mark.skipif(not ROOT, reason='only root has mounts of its own')]


class Machine:
    """Unit files as a machine could have them; and --check of settings there."""

    def __init__(self, emberd, folder):
        self.emberd, self.folder = emberd, os.path.join(folder, 'machine')
        for name in ('etc/system/sockets.target.wants', 'usr/system', 'run'):
            os.makedirs(f'{self.folder}/{name}')
        self.settings = f'{folder}/emberd.conf'
        self.unit('emberd.service', f'[Service]\nExecStart=/usr/sbin/emberd -c {self.settings}\n')
        self.unit('emberd.socket', '[Socket]\nListenStream=80\nFileDescriptorName=http\n')
        self.unit('emberd-tls.socket', '[Socket]\nListenStream=443\nFileDescriptorName=https\n'
                                       'Service=emberd.service\n')

    def unit(self, name, text):
        with open(f'{self.folder}/usr/system/{name}', 'w', encoding='utf-8') as file:
            file.write(text)

    def enable(self, *names):
        for name in names:
            os.symlink(f'/usr/lib/systemd/system/{name}',
                       f'{self.folder}/etc/system/sockets.target.wants/{name}')

    def boot(self):
        os.makedirs(f'{self.folder}/run/systemd/system')

    def check(self, text, *arguments):
        """(exit status, what it said)"""
        mounts = ''.join(f'mkdir -p {to} && mount --bind {self.folder}/{what} {to} && '
                         for what, to in (('etc', '/etc/systemd'), ('usr', '/usr/lib/systemd'),
                                          ('run', '/run')))
        code, out, err = self.emberd.run(
            '--check', *arguments, settings=text, as_root=True, log=True,
            prefix=['unshare', '-m', 'sh', '-c', mounts + 'exec "$@"', 'sh'])
        assert not out
        return code, err


@pytest.fixture
def machine(emberd, folder):
    return Machine(emberd, folder)


def test_nothing_enabled(machine):
    """Where no socket unit is enabled, emberd opens its own sockets: nothing is missing."""
    assert machine.check('[Listener https]\nTLS=no\nAddress=443\n[Server]\nListen=80\n') == (0, '')


def test_as_shipped(machine):
    machine.enable('emberd.socket')
    machine.boot()
    assert machine.check('[Server]\nIdleExitSec=300\n') == (0, '')


def test_listener_without_a_socket(machine):
    """The listener would not exist: exit status 78, its place, and how to mend it."""
    machine.enable('emberd.socket')
    machine.boot()
    code, said = machine.check('[Server]\n\n[Listener https]\nTLS=no\nAddress=[::]:443\n')
    assert code == 78
    assert said.startswith(f'{machine.settings}:3: [Listener https] has no socket: '
                           'emberd-tls.socket is not enabled')
    code, said = machine.check('[Listener api]\nAddress=8081\n')
    assert code == 78 and 'systemctl edit --force --full emberd-api.socket' in said
    assert '    ListenStream=8081\n    FileDescriptorName=api\n' in said


def test_without_systemd(machine):
    """A container whose image has the package, but not systemd: Address= will be opened there."""
    machine.enable('emberd.socket')
    code, said = machine.check('[Listener api]\nAddress=8081\n')
    assert code == 0 and ':1: warning: [Listener api] has no socket' in said


def test_socket_without_a_listener(machine):
    """It is served in any case: a remark, with the unit's place."""
    machine.enable('emberd.socket', 'emberd-tls.socket')
    machine.boot()
    code, said = machine.check('')
    assert code == 0
    assert said.startswith('/usr/lib/systemd/system/emberd-tls.socket:2: warning: ')
    assert 'no Site has a Certificate=' in said
    code, said = machine.check('[Listener https]\nAddress=443\n')
    assert code == 0
    assert said.startswith(f'{machine.settings}:1: warning: [Listener https] is for TLS, and no ')
    assert machine.check('[Listener https]\nTLS=no\nAddress=443\n') == (0, '')


def test_started_by_hand(machine):
    """With --listen no socket is passed, so none is asked for."""
    machine.enable('emberd.socket')
    machine.boot()
    assert machine.check('[Listener https]\nTLS=no\nAddress=443\n', '-l', '8080') == (0, '')


def test_other_settings(machine, emberd):
    """Settings that no enabled service reads have no sockets to be compared with."""
    machine.enable('emberd.socket')
    machine.boot()
    machine.unit('emberd.service', '[Service]\nExecStart=/usr/sbin/emberd -c /srv/other.conf\n')
    assert machine.check('[Listener https]\nTLS=no\nAddress=443\n') == (0, '')


def test_user_and_log(machine, folder):
    code, said = machine.check(f'[Server]\nUser=no-such-user\nAccessLog={folder}/no/log\n')
    assert code == 78
    assert f'{machine.settings}:2: User=no-such-user is no user' in said
    assert f'{machine.settings}:3: AccessLog={folder}/no/log is in a folder that does not' in said
    assert machine.check(f'[Server]\nUser=nobody\nAccessLog={folder}/log\n') == (0, '')
    assert not os.path.exists(f'{folder}/log')


@pytest.mark.parametrize('module, line, text', [
    ('tls', 3, '[Site localhost]\nRoot={0}\nCertificate={0}/absent.pem\n'),
    ('http2', 2, '[Server]\nHTTP2=yes\n')])
def test_module_that_is_missing(program, folder, module, line, text):
    """The line that asks for it."""
    alone, settings = shutil.copy2(program, f'{folder}/emberd'), f'{folder}/settings'
    with open(settings, 'w', encoding='ascii') as file:
        file.write(text.format(folder))
    found = subprocess.run([alone, '--check', '-c', settings], capture_output=True, text=True,
                           check=False)
    assert found.returncode == 78
    assert found.stderr.startswith(f'{settings}:{line}: the module {module} is not here: /')
