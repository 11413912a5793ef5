# SPDX-License-Identifier: MIT
"""emberd --check beside the units of a real machine, and beside what systemd makes of them."""
import re

import pytest

CHECK = ['/usr/sbin/emberd', '--check']


def check(machine, *arguments):
    """(exit status, what it said)"""
    done = machine.call(*CHECK, *arguments)
    return done.returncode, done.stdout


@pytest.fixture
def units(emberd):
    """Enables and disables, and puts all of it back."""
    m = emberd.machine
    yield m
    m.shell('systemctl disable -q emberd-tls.socket; '
            "systemctl disable -q 'emberd@8080.socket' emberd-api.socket 2>/dev/null; "
            'rm -rf /etc/systemd/system/emberd*.socket.d /etc/systemd/system/emberd-api.socket; '
            'systemctl unmask -q emberd-tls.socket; systemctl enable -q emberd.socket; '
            'systemctl daemon-reload; true')


def test_as_installed(emberd):
    """What the package sets up is at one with itself."""
    assert check(emberd.machine) == (0, '')


def test_tls_socket_without_certificate(emberd, units):
    """Port 443 would be closed to everybody; one of the two cures ends the complaint."""
    units.run('systemctl', 'enable', 'emberd-tls.socket')
    code, said = check(units)
    assert code == 0
    found = re.match(r'(/\S+/emberd-tls\.socket):(\d+): warning: .*no Site has a Certif', said)
    assert found, said
    line = units.run('sed', '-n', f'{found.group(2)}p', found.group(1))
    assert line.startswith('ListenStream=443')
    command = re.findall(r"'(systemctl disable [^']*)'", said)[0]
    units.run(*command.replace(' --now', '').split())
    assert check(units) == (0, '')


def test_listener_without_socket(emberd, units):
    """What it says to run ends the complaint."""
    emberd.settings('[Server]\n[Listener https]\nTLS=no\nAddress=443\n')
    code, said = check(units)
    assert code == 78
    assert said.startswith('/etc/emberd/emberd.conf.d/50-test.conf:2: [Listener https]'), said
    command = re.findall(r"'(systemctl enable [^']*)'", said)[0]
    assert command == 'systemctl enable --now emberd-tls.socket'
    units.run(*command.replace(' --now', '').split())
    assert check(units) == (0, '')
    units.run('systemctl', 'disable', 'emberd-tls.socket')
    units.run('systemctl', 'mask', 'emberd-tls.socket')
    code, said = check(units)
    assert code == 78 and 'systemctl edit --force --full emberd-https.socket' in said


def test_new_unit_works(emberd, units):
    """The unit that it prints is one that systemd takes and emberd serves on."""
    emberd.settings('[Listener api]\nAddress=8090\n')
    code, said = check(units)
    assert code == 78 and 'emberd-api.socket' in said
    text = ''.join(line[4:] for line in said.splitlines(True) if line.startswith('    '))
    socket, service = text.split('# emberd.service\n')
    units.write('/etc/systemd/system/emberd-api.socket', socket)
    units.write('/run/systemd/system/emberd.service.d/override.conf', service)
    units.run('systemctl', 'daemon-reload')
    units.run('systemctl', 'enable', '--now', 'emberd-api.socket')
    try:
        assert check(units) == (0, '')
        assert emberd.get(port=8090).status == 200
        assert emberd.get().status == 200
        assert '(api)' in emberd.log()
        pid = emberd.pid()
        units.run('systemctl', 'restart', 'emberd-api.socket')
        assert emberd.get(port=8090).status == 200
        assert emberd.pid() not in (0, pid)
        units.run('systemctl', 'stop', 'emberd-api.socket')
        assert emberd.pid() == 0
    finally:
        units.run('systemctl', 'disable', '--now', 'emberd-api.socket')


def test_address_of_a_drop_in(emberd, units):
    """A socket that was moved by a drop-in; and a drop-in that moves it to where Address= is."""
    units.run('systemctl', 'enable', 'emberd-tls.socket')
    emberd.settings('[Listener https]\nTLS=no\nAddress=[::]:8443\n')
    code, said = check(units)
    assert code == 0 and 'Address=[::]:8443 of [Listener https] has no effect' in said
    text = ''.join(line[4:] for line in said.splitlines(True) if line.startswith('    '))
    units.write('/etc/systemd/system/emberd-tls.socket.d/override.conf', text)
    assert check(units) == (0, '')
    units.run('systemctl', 'daemon-reload')
    assert '[::]:8443' in units.show('emberd-tls.socket', 'Listen')


def test_units_as_systemd_reads_them(emberd, units):
    """Drop-ins of every kind, in every folder: each address that systemd knows is known."""
    units.run('systemctl', 'enable', 'emberd-tls.socket')
    for path, text in [
            ('/etc/systemd/system/emberd-tls.socket.d/10.conf',
             'ListenStream=\nListenStream=127.0.0.1:4431\nListenStream=%t/%N-x\n'),
            ('/run/systemd/system/emberd-tls.socket.d/10.conf', 'ListenStream=9991\n'),
            ('/run/systemd/system/emberd-tls.socket.d/20.conf', 'ListenStream=[::1]:4432\n'),
            ('/etc/systemd/system/emberd-.socket.d/15.conf', 'ListenStream=\\\n  4433\n'),
            ('/etc/systemd/system/emberd-tls.socket.d/30.conf', '#ListenStream=9992\n')]:
        units.write(path, '[Socket]\n' + text)
    units.run('systemctl', 'daemon-reload')
    known = re.findall(r'(\S+) \(Stream\)', units.show('emberd-tls.socket', 'Listen'))
    assert len(known) == 4, known
    for address in known:
        address = f'unix:{address}' if address.startswith('/') else address
        emberd.settings(f'[Server]\nListen={address}\n[Listener https]\nTLS=no\n')
        assert check(units) == (0, ''), address
    for address in ['443', '9991', '9992', '127.0.0.1:4432']:
        emberd.settings(f'[Server]\nListen={address}\n[Listener https]\nTLS=no\n')
        code, said = check(units)
        assert code == 0 and f'warning: Listen={address} has no effect' in said


def test_instance(emberd, units):
    """The settings of an instance belong to its socket."""
    units.run('systemctl', 'enable', 'emberd@8080.socket')
    path = '/etc/emberd/instances/8080.conf'
    units.write(path, '[Listener http]\nAddress=8080\n')
    assert check(units, '-c', path) == (0, '')
    units.write(path, '[Server]\nListen=8081\n')
    code, said = check(units, '-c', path)
    assert code == 0 and "put in by 'systemctl edit emberd@8080.socket'" in said
    units.write(path, '[Listener web]\nAddress=8080\n')
    code, said = check(units, '-c', path)
    assert code == 78 and 'emberd@8080.socket listens on 8080' in said


def test_escaped_instance(emberd, units):
    """One whose name is an address that had to be escaped."""
    name = r'\x5b::1\x5d:8090'
    path = f'/etc/emberd/instances/{name}.conf'
    units.run('systemctl', 'enable', f'emberd@{name}.socket')
    try:
        units.write(f"'{path}'", '[Listener http]\nAddress=[::1]:8090\n')
        assert check(units, '-c', path) == (0, '')
        units.write(f"'{path}'", '[Server]\nListen=8099\n')
        code, said = check(units, '-c', path)
        assert code == 0 and f"put in by 'systemctl edit emberd@{name}.socket'" in said
    finally:
        units.run('systemctl', 'disable', '-q', f'emberd@{name}.socket')


def test_nothing_enabled(emberd, units):
    """Who starts emberd in another way has no sockets to be told about."""
    units.run('systemctl', 'disable', 'emberd.socket')
    emberd.settings('[Listener https]\nTLS=no\nAddress=443\n')
    assert check(units) == (0, '')


def test_in_the_sandbox(emberd, units):
    """Inside the unit's own sandbox it sees the same."""
    emberd.drop_in('[Service]\nType=oneshot\nExecStart=\nExecReload=\n'
                   'ExecStart=/usr/sbin/emberd --check\nRestart=no\nWatchdogSec=0\n')
    units.run('systemctl', 'start', 'emberd.service')
    emberd.settings('[Listener https]\nTLS=no\nAddress=443\n')
    assert units.call('systemctl', 'start', 'emberd.service').returncode != 0
    assert units.show('emberd.service', 'ExecMainStatus') == '78'
    assert '50-test.conf:1: [Listener https] has no socket: emberd-tls.socket is not enabled' \
        in emberd.log()


def test_user_and_log(emberd, units):
    """A folder that systemd will make for the log is as good as there."""
    emberd.settings('[Server]\nUser=no-such-user\nAccessLog=/var/log/emberd/access.log\n')
    code, said = check(units)
    assert code == 78
    assert '50-test.conf:2: User=no-such-user is no user' in said
    assert '50-test.conf:3: AccessLog=/var/log/emberd/access.log is in a folder' in said
    emberd.settings('[Server]\nUser=emberd\nAccessLog=/var/log/emberd/access.log\n')
    emberd.drop_in(units.run('cat', '/usr/share/doc/emberd/examples/log-files.conf'))
    assert check(units) == (0, '')
    assert units.call('test', '-e', '/var/log/emberd/access.log').returncode == 1
