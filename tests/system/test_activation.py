# SPDX-License-Identifier: MIT
"""Started by its first visitor, leaving when idle, started again whatever happened to it."""
import re
import time

import pytest
from client import Load
from waiting import wait_until

NO_RING = """[Service]
SystemCallFilter=~io_uring_setup io_uring_enter io_uring_register
"""
HTTPS_IN_CLEAR = '[Listener https]\nTLS=no\n'
# an address as systemd-escape(1) writes it, and how curl gets there
ESCAPED = [
    (r'\x5b::1\x5d:8090', '[::1]:8090', ['-g', 'http://[::1]:8090/']),
    (r'-run-my\x2dsite.sock', '/run/my-site.sock',
     ['--unix-socket', '/run/my-site.sock', 'http://x/']),
]


def test_machine_is_whole(machine):
    """What systemd says about the units, while nothing was changed, is nothing."""
    new_keys = ['PollLimit'] if machine.version() < 255 else []
    said = machine.run('systemd-analyze', 'verify', '--man=no', *(
        f'/usr/lib/systemd/system/{unit}' for unit in (
            'emberd.socket', 'emberd-tls.socket', 'emberd.service', 'emberd@80.socket',
            'emberd@80.service')), check=False)
    lines = [line for line in said.splitlines()
             if 'emberd' in line and not any(key in line for key in new_keys)]
    assert not lines


def test_preset_enables_http_only(machine):
    """The first visitor on port 80 is what the package is for; port 443 waits for certificates."""
    assert machine.run('systemctl', 'is-enabled', 'emberd.socket').strip() == 'enabled'
    assert 'disabled' in machine.call('systemctl', 'is-enabled', 'emberd-tls.socket').stdout


def test_asleep_no_process(emberd):
    """Nobody has asked: the socket listens and there is no process."""
    m = emberd.machine
    assert m.show('emberd.socket', 'SubState') == 'listening'
    assert m.show('emberd.service', 'ActiveState') == 'inactive'
    assert emberd.pid() == 0
    assert m.call('pgrep', '-x', 'emberd').returncode == 1
    assert ':80 ' in m.run('ss', '-Hltn')


def test_first_visitor(emberd):
    """The first request is answered with the welcome page, by curl as by anybody."""
    page = emberd.machine.run('curl', '-sS', '--max-time', '10', 'http://127.0.0.1/')
    assert 'emberd' in page and '</html>' in page
    m = emberd.machine
    assert m.show('emberd.service', 'SubState') == 'running'
    # Type=notify: it is active only because emberd said READY=1
    assert m.show('emberd.service', 'Type') == 'notify'
    assert m.run('ps', '-o', 'user=', '-p', str(emberd.pid())).strip() == 'emberd'
    answer = emberd.get(host='::1')
    assert answer.status == 200


def test_io_uring_in_the_sandbox(emberd):
    """The unit as shipped leaves emberd its ring."""
    assert emberd.get().status == 200
    assert 'io_uring' in emberd.status() and 'not with io_uring' not in emberd.status()
    time.sleep(1.5)  # the status says how many requests there were
    emberd.get()
    assert 'io_uring' in emberd.status()


def test_no_io_uring(emberd):
    """Where it is forbidden, emberd serves with epoll and goes on saying why."""
    emberd.drop_in(NO_RING)
    assert emberd.get().status == 200
    assert 'io_uring_setup' in emberd.status()
    time.sleep(1.5)
    emberd.get()
    assert wait_until(lambda: ' requests' in emberd.status())
    assert 'epoll' in emberd.status() and 'io_uring_setup' in emberd.status()
    assert 'not with io_uring: io_uring_setup' in emberd.log()


def test_idle_exit(emberd):
    """Idle for a second it leaves, and the next request starts it again; five times."""
    emberd.settings('[Server]\nIdleExitSec=1\n')
    for _ in range(5):
        assert emberd.get().status == 200
        assert wait_until(lambda: emberd.pid() == 0, 5)
        assert emberd.machine.show('emberd.service', 'Result') == 'success'
        assert emberd.machine.show('emberd.socket', 'SubState') == 'listening'


def test_idle_exit_loses_nothing(emberd):
    """Requests that come just as it leaves are answered."""
    emberd.settings('[Server]\nIdleExitSec=1\n')
    with Load(emberd.machine, 1, pause=1.0) as load:
        time.sleep(20)
    left = emberd.log().count('idle for')
    print(f'{load.answered} answered, {left} times left, slowest {load.slowest_ms:.0f} ms')
    assert not load.failures
    assert load.answered >= 10 and left >= 3


def test_cannot_start(emberd):
    """Something that always fails to start is tried without haste, and heals by itself."""
    m = emberd.machine
    emberd.drop_in('[Service]\nExecStart=\nExecStart=/usr/sbin/emberd --no-such-option\n')
    socket = emberd.connect()
    time.sleep(4)
    socket.close()
    starts = emberd.log().count('no-such-option')
    print(f'{starts} lines in 4 s; service {m.show("emberd.service", "SubState")}, socket '
          f'{m.show("emberd.socket", "SubState")}')
    assert m.show('emberd.socket', 'ActiveState') == 'active'
    emberd.reset()
    assert emberd.get().status == 200
    assert starts <= 60


def test_faulty_while_asleep(emberd):
    """Faulty settings: the visitor is told 503, the administrator what and where; then it heals."""
    emberd.settings('[Server]\nKeepAliveSeconds=3\n')
    answer = emberd.get()
    assert answer.status == 503
    assert '50-test.conf:2:' in emberd.status()
    log = emberd.log()
    assert '50-test.conf:2:' in log and 'KeepAliveSec' in log
    assert emberd.machine.show('emberd.socket', 'ActiveState') == 'active'
    emberd.settings('[Server]\nKeepAliveSec=3\n')
    assert wait_until(lambda: emberd.pid() == 0, 8), 'leaves after a few idle seconds'
    assert emberd.get().status == 200


def test_faulty_heals_although_visited(emberd):
    """Who asks again and again is answered again soon after the settings are mended."""
    emberd.settings('[Server]\nKeepAliveSeconds=3\n')
    assert emberd.get().status == 503
    emberd.settings('[Server]\nKeepAliveSec=3\n')
    with Load(emberd.machine, 2, pause=0.2) as load:
        assert wait_until(lambda: load.answered > 20 and load.latest == 200, 15)
    assert set(load.failures) == {'503'}  # told so, and never cut off


def test_stop_drains(emberd):
    """systemctl stop waits for the answer that is under way."""
    m = emberd.machine
    size = 64 << 20
    m.shell(f'mkdir -p /srv/www && truncate -s {size} /srv/www/big')
    emberd.settings('[Site x]\nRoot=/srv/www\n')
    socket = emberd.connect()
    socket.sendall(b'GET /big HTTP/1.1\r\nHost: x\r\n\r\n')
    got = len(socket.recv(1000))
    m.run('systemctl', 'stop', '--no-block', 'emberd.socket', 'emberd.service')
    assert wait_until(lambda: m.show('emberd.service', 'SubState') == 'stop-sigterm', 5)
    while piece := socket.recv(1 << 20):
        got += len(piece)
    socket.close()
    assert got > size
    assert wait_until(lambda: m.show('emberd.service', 'ActiveState') == 'inactive', 5)
    assert m.show('emberd.service', 'Result') == 'success'
    with pytest.raises(ConnectionRefusedError):
        emberd.get()


def test_stopping_the_socket_stops_all(emberd):
    """Who stops the socket does not want to be served on by the process that is left."""
    emberd.get()
    emberd.machine.run('systemctl', 'stop', 'emberd.socket')
    assert emberd.pid() == 0


def test_both_sockets(emberd):
    """HTTPS has a socket of its own for the same service; opened beside it, both are served."""
    m = emberd.machine
    emberd.settings(HTTPS_IN_CLEAR)
    m.run('systemctl', 'start', 'emberd-tls.socket')
    assert emberd.get(port=443).status == 200
    assert emberd.get(port=80).status == 200
    assert m.show('emberd.service', 'NRestarts') == '0'
    log = emberd.log()
    assert '(http)' in log and '(https)' in log


@pytest.fixture
def tls(emberd):
    """Port 443 is open, in clear; whatever is done to the sockets, they are as shipped again."""
    emberd.settings(HTTPS_IN_CLEAR)
    m = emberd.machine
    m.run('systemctl', 'start', 'emberd-tls.socket')
    yield emberd
    m.shell('systemctl stop other.service 2>/dev/null; systemctl unmask -q emberd.socket; '
            'systemctl stop emberd.socket emberd-tls.socket emberd.service; '
            'systemctl enable -q emberd.socket; systemctl reset-failed')


def active(m, *units):
    return [m.show(unit, 'ActiveState') for unit in units or ('emberd.socket', 'emberd-tls.socket')]


def test_https_where_port_80_is_taken(tls):
    """One port that cannot be had does not close the other; and is taken when it is free."""
    m = tls.machine
    m.run('systemctl', 'stop', 'emberd.socket')
    m.run('systemd-run', '-q', '--unit=other', 'systemd-socket-activate', '-l', '80', '/share/bare')
    assert wait_until(lambda: ':80 ' in m.run('ss', '-Hltn'))
    assert m.call('systemctl', 'start', 'emberd.socket').returncode != 0
    assert active(m) == ['failed', 'active']
    for _ in range(3):
        assert tls.get(port=443).status == 200
        m.run('systemctl', 'stop', 'emberd.service')
    assert tls.get().body == b'ok\n'
    assert active(m) == ['failed', 'active']
    assert tls.log().count('Dependency failed') == 0
    m.run('systemctl', 'stop', 'other.service')
    assert tls.get(port=443).status == 200
    assert active(m) == ['active', 'active']
    assert tls.get().status == 200


def test_https_where_http_is_masked(tls):
    """Who wants no port 80 at all masks its socket."""
    m = tls.machine
    m.shell('systemctl stop emberd.socket; systemctl disable -q emberd.socket; '
            'systemctl mask -q emberd.socket')
    assert tls.get(port=443).status == 200
    assert active(m, 'emberd-tls.socket', 'emberd.service') == ['active', 'active']
    with pytest.raises(ConnectionRefusedError):
        tls.get()


@pytest.mark.parametrize('unit', ['emberd.socket', 'emberd-tls.socket'])
def test_restart_of_a_socket(tls, unit):
    """It succeeds while emberd runs and is visited, and both are served after it."""
    m = tls.machine
    for _ in range(6):
        assert tls.get().status == 200 and tls.get(port=443).status == 200
        pid = tls.pid()
        m.run('systemctl', 'restart', unit)
        assert active(m) == ['active', 'active']
        assert tls.get().status == 200 and tls.get(port=443).status == 200
        assert tls.pid() not in (0, pid)


@pytest.mark.parametrize('unit', ['emberd.socket', 'emberd-tls.socket'])
def test_stopping_one_socket(tls, unit):
    """The service stops with either; who comes by the other one starts it."""
    m = tls.machine
    assert tls.get().status == 200 and tls.get(port=443).status == 200
    m.run('systemctl', 'stop', unit)
    assert tls.pid() == 0
    assert tls.get(port=443 if unit == 'emberd.socket' else 80).status == 200


def test_starting_the_service(emberd):
    """It opens its socket."""
    m = emberd.machine
    m.run('systemctl', 'stop', 'emberd.socket')
    m.run('systemctl', 'start', 'emberd.service')
    assert active(m) == ['active', 'inactive']
    assert emberd.get().status == 200


@pytest.mark.parametrize('name, address, curl', ESCAPED)
def test_escaped_instance(emberd, name, address, curl):
    """An address that is no name of a unit: served, reloaded, asked, restarted, stopped."""
    m, unit = emberd.machine, f'emberd@{name}'
    assert m.run('systemd-escape', address).strip() == name
    conf = f"'/etc/emberd/instances/{name}.conf'"
    ask = ['curl', '-sS', '--max-time', '10', *curl]
    m.write(conf, '[Site x]\n[Route x /]\nReturn=200 one\n')
    try:
        m.run('systemctl', 'start', f'{unit}.socket')
        assert 'one' in m.run(*ask)
        m.write(conf, '[Site x]\n[Route x /]\nReturn=200 two\n')
        m.run('systemctl', 'reload', f'{unit}.service')
        assert 'two' in m.run(*ask)
        for instance in (name, address):
            assert 'state: serving' in m.run('emberctl', '--instance', instance, 'status')
        m.run('systemctl', 'restart', f'{unit}.socket')
        assert 'two' in m.run(*ask)
        m.run('systemctl', 'stop', f'{unit}.socket')
        assert m.main_pid(f'{unit}.service') == 0
        m.run('systemctl', 'start', f'{unit}.service')
        assert 'two' in m.run(*ask)
    finally:
        print(m.journal(f'{unit}.service'))
        m.run('systemctl', 'stop', f'{unit}.socket', f'{unit}.service')


def command_of(m, unit):
    """What ExecStart= is, as systemd has taken it."""
    return re.search(r'argv\[\]=(.*?) ;', m.show(unit, 'ExecStart')).group(1).split()


def test_instances_leave(emberd):
    """They do not read emberd.conf: the unit has what it says, and their own settings go before."""
    m, path = emberd.machine, '/etc/emberd/instances/8080.conf'

    def idle_exit(unit):
        printed = m.run(*command_of(m, unit), '--print-config')
        return re.search(r'(?m)^IdleExitSec=(.*)$', printed).group(1)

    m.write(path, '[Site x]\n[Route x /]\nReturn=200 eight\n')
    assert idle_exit('emberd@8080.service') == idle_exit('emberd.service')
    assert idle_exit('emberd.service') in ('300', '5min')
    m.write(path, '[Server]\nIdleExitSec=1\n[Site x]\n[Route x /]\nReturn=200 eight\n')
    try:
        m.run('systemctl', 'start', 'emberd@8080.socket')
        assert b'eight' in emberd.get(port=8080).body
        assert wait_until(lambda: m.main_pid('emberd@8080.service') == 0, 5)
    finally:
        m.run('systemctl', 'stop', 'emberd@8080.socket', 'emberd@8080.service')


def test_instance(emberd):
    """A site with a socket and settings of its own: emberd@8080.socket, instances/8080.conf."""
    m = emberd.machine
    m.write('/etc/emberd/instances/8080.conf', '[Site x]\n[Route x /]\nReturn=200 eight\n')
    try:
        m.run('systemctl', 'start', 'emberd@8080.socket', 'emberd@127.0.0.1:8081.socket')
        assert m.main_pid('emberd@8080.service') == 0
        assert b'eight' in emberd.get(port=8080).body
        # its settings do not exist: the visitor is told so as with faulty ones
        assert emberd.get(port=8081).status == 503
        assert emberd.pid() == 0
    finally:
        m.run('systemctl', 'stop', 'emberd@8080.socket', 'emberd@127.0.0.1:8081.socket',
              'emberd@8080.service', 'emberd@127.0.0.1:8081.service')
