# SPDX-License-Identifier: MIT
"""The package on machines that never had it: what apt does to the system, and to visitors."""
import re
import statistics
import warnings

import pytest
from client import Inside, Load
from waiting import wait_until

PAGE = ['curl', '-sS', '--fail', '--max-time', '20', 'http://127.0.0.1/']
CLIENTS = 8

# What may be there, or be changed, when all of the package is gone; everything else is a fault.
LEFT_BY_PURGE = {
    # the records of dpkg and apt
    r'/var/lib/dpkg(/(status|status-old|diversions|lock|lock-frontend|triggers/.*|info|updates))?':
        'which packages there are',
    r'/var/lib/apt(/extended_states|/lists(/lock|/auxfiles)?)?': 'which packages were asked for',
    r'/var/cache/apt(/(pkgcache|srcpkgcache)\.bin|/archives(/lock|/partial)?)?': 'what apt knows',
    r'/var/log/(apt(/.*)?|dpkg\.log|alternatives\.log)': 'its log',
    r'/var/cache/(ldconfig(/aux-cache)?|debconf(/.*)?)': 'caches that dpkg makes others renew',
    # users are never taken away: files of theirs might be anywhere
    r'/etc/(passwd|group|shadow|gshadow)-?': 'the user',
    r'/etc/\.pwd\.lock': 'the user',
    # the machine's own life goes on
    r'/var/log/(journal(/.*)?|wtmp|lastlog|btmp|README)': 'logs',
    r'/var/lib/systemd/(timers(/.*)?|random-seed)': 'the timers of the system',
}


def listing(machine):
    """Every path but the kernel's and those of this moment: type, mode, owner, target, sum."""
    text = machine.shell(
        r"find / \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o "
        r"-path /var/tmp -o -path /share \) -prune -o -printf '%p\t%M %u:%g %l\n'; "
        r"find /etc -type f -printf '%p\t' -execdir sha256sum -b {} \;")
    found = {}
    for line in text.splitlines():
        path, _, rest = line.partition('\t')
        found[path] = found.get(path, '') + rest
    return found


def assert_same(before, after, allowed, when):
    """All is as it was, but for what is allowed."""
    pattern = re.compile('|'.join(allowed))
    faults = [f'{path}: {before.get(path, "was not there")}, {after.get(path, "is gone")}'
              for path in sorted(before.keys() | after.keys())
              if before.get(path) != after.get(path) and not pattern.fullmatch(path)]
    assert not faults, when + ':\n' + '\n'.join(faults)


def state(machine):
    return machine.run('dpkg-query', '-W', '-f', '${db:Status-Abbrev}${Version}', 'emberd').strip()


def no_process(machine):
    return machine.call('pgrep', '-x', 'emberd').returncode == 1


def sleeps(machine):
    """The socket is enabled and listens, and nothing runs."""
    return (machine.run('systemctl', 'is-enabled', 'emberd.socket').strip() == 'enabled' and
            machine.show('emberd.socket', 'SubState') == 'listening' and no_process(machine))


def test_fresh_install(fresh):
    """After the installation the port is open, nothing runs, and the first visitor is answered."""
    said = fresh.install()
    assert state(fresh) == 'ii 0.1.0-1'
    assert sleeps(fresh)
    assert ':80 ' in fresh.run('ss', '-Hltn')
    assert 'disabled' in fresh.call('systemctl', 'is-enabled', 'emberd-tls.socket').stdout
    assert '</html>' in fresh.run(*PAGE)
    assert fresh.show('emberd.service', 'SubState') == 'running'
    # nothing that an administrator would have to read
    assert not re.search(r'(?i)warn|fail|error|emberd:', said)
    assert fresh.run('systemctl', '--failed', '-q', '--no-legend').strip() == ''


def cold_start_ms(machine, inside):
    """How long the first visitor waits: the median of some starts."""
    times = []
    for _ in range(8):
        machine.run('systemctl', 'stop', 'emberd.service')
        times.append(inside.get().first_byte_ms)
    return statistics.median(times)


@pytest.mark.alone
def test_upgrade_under_load(fresh, next_package):
    """While apt installs the next version nobody fails, or waits longer than 1.5 cold starts."""
    fresh.install()
    inside = Inside(fresh)
    cold = cold_start_ms(fresh, inside)
    with Load(fresh, CLIENTS) as load:
        assert wait_until(lambda: load.answered > 100)
        pid = fresh.main_pid()
        fresh.install(next_package)
        after = load.answered
        assert wait_until(lambda: load.answered > after + 100)
    assert state(fresh) == 'ii 0.1.0-2'
    assert fresh.main_pid() not in (0, pid), 'what serves is the next version'
    said = (f'upgrade on {fresh.suite}: {load.answered} answered, {len(load.failures)} failed, '
            f'slowest {load.slowest_ms:.0f} ms; a cold start takes {cold:.0f} ms')
    print(said)
    inside.end()
    assert not load.failures
    if load.slowest_ms > 1.5 * cold:  # other work of the machine may be in the way
        warnings.warn(f'somebody waited longer than one and a half cold starts; {said}')


MINE = {
    '/etc/emberd/emberd.conf.d/10-mine.conf': '[Site x]\n[Route x /]\nReturn=200 mine\n',
    '/etc/emberd/instances/8082.conf': '[Site x]\n[Route x /]\nReturn=200 instance\n',
    '/etc/systemd/system/emberd.socket.d/port.conf': '[Socket]\nListenStream=8081\n',
}


def settings_hold(machine, inside):
    """What the administrator wrote is there, and in force."""
    assert machine.run('tail', '-n', '1', '/etc/emberd/emberd.conf') == '# mine\n'
    for path, text in MINE.items():
        assert machine.run('cat', path) == text
    assert b'mine' in inside.get(port=80).body
    assert b'mine' in inside.get(port=8081).body
    assert b'instance' in inside.get(port=8082).body


def test_life(fresh, next_package):
    """Settings survive upgrade, downgrade and removal; purge leaves what conventions allow."""
    before, inside = listing(fresh), Inside(fresh)
    fresh.install()
    fresh.apt('purge', 'emberd')
    assert_same(before, listing(fresh), LEFT_BY_PURGE, 'purged at once')

    fresh.install()
    as_installed = listing(fresh)
    fresh.shell('echo "# mine" >>/etc/emberd/emberd.conf')
    for path, text in MINE.items():
        fresh.write(path, text)
    fresh.run('systemctl', 'daemon-reload')
    fresh.run('systemctl', 'restart', 'emberd.socket')
    fresh.run('systemctl', 'enable', '-q', '--now', 'emberd@8082.socket')
    settings_hold(fresh, inside)
    fresh.install(next_package)
    assert state(fresh) == 'ii 0.1.0-2'
    settings_hold(fresh, inside)
    fresh.install('/share/emberd.deb', '--allow-downgrades')
    assert state(fresh) == 'ii 0.1.0-1'
    settings_hold(fresh, inside)

    fresh.apt('remove', 'emberd')
    assert state(fresh).startswith('rc ')
    assert no_process(fresh) and ':80' not in fresh.run('ss', '-Hltn')
    removed = listing(fresh)
    for path in [*MINE, '/etc/emberd/emberd.conf']:
        assert path in removed
    kept = {**LEFT_BY_PURGE, r'/etc/emberd(/.*)?': 'settings',
            r'/var/lib/dpkg/info/emberd\.(list|postrm)': 'what purge will want',
            r'/etc/systemd/system/(emberd\.socket\.d|sockets\.target\.wants)(/.*)?': 'settings',
            r'/var/lib/systemd/deb-systemd-helper-(enabled|masked)(/.*)?': 'what was enabled'}
    assert_same(before, removed, kept, 'removed')

    fresh.install()
    settings_hold(fresh, inside)
    fresh.apt('purge', 'emberd')
    assert no_process(fresh) and ':80' not in fresh.run('ss', '-Hltn')
    # a drop-in for a unit is the administrator's, and systemd's conventions keep it
    drop_in = {r'/etc/systemd/system/emberd\.socket\.d(/port\.conf)?': 'a drop-in'}
    assert_same(before, listing(fresh), {**LEFT_BY_PURGE, **drop_in}, 'purged')

    fresh.run('rm', '-r', '/etc/systemd/system/emberd.socket.d')
    fresh.install()
    assert_same(as_installed, listing(fresh), LEFT_BY_PURGE, 'installed again')
    assert sleeps(fresh)
    inside.end()


def test_port_is_taken(fresh):
    """Another server has port 80: the installation is whole, and says what is to be done."""
    inside = Inside(fresh)
    fresh.run('systemd-run', '-q', '--unit=other', 'systemd-socket-activate', '-l', '80',
              '/share/bare')
    assert wait_until(lambda: ':80 ' in fresh.run('ss', '-Hltn'))
    said = fresh.install()
    assert state(fresh) == 'ii 0.1.0-1'
    assert fresh.run('dpkg', '--audit') == ''
    assert fresh.show('emberd.socket', 'ActiveState') == 'failed'
    print(said)
    for word in ('port 80', 'ss -ltnp', 'systemctl edit emberd.socket', 'ListenStream=8080',
                 'systemctl start emberd.socket'):
        assert word in said
    assert inside.get().body == b'ok\n', 'the other one serves on'

    port = '/etc/systemd/system/emberd.socket.d/override.conf'  # as "systemctl edit" writes it
    fresh.write(port, '[Socket]\nListenStream=\nListenStream=8080\n')
    fresh.run('systemctl', 'daemon-reload')
    fresh.run('systemctl', 'start', 'emberd.socket')
    assert inside.get(port=8080).status == 200

    fresh.run('systemctl', 'stop', 'emberd.socket')
    fresh.run('rm', port)
    fresh.run('systemctl', 'daemon-reload')
    fresh.run('systemctl', 'stop', 'other')
    fresh.run('systemctl', 'start', 'emberd.socket')
    assert '</html>' in fresh.run(*PAGE)
    inside.end()


FAULTY = '/etc/emberd/emberd.conf.d/10-mine.conf'


def test_upgrade_with_faulty_settings(fresh, next_package):
    """What runs goes on as it is, apt says where the fault is, and the package is whole."""
    inside = Inside(fresh)
    fresh.install()
    fresh.write('/etc/emberd/instances/8082.conf', '[Site x]\n[Route x /]\nReturn=200 instance\n')
    fresh.run('systemctl', 'start', 'emberd@8082.socket')
    assert inside.get().status == 200 and inside.get(port=8082).status == 200
    pid, instance = fresh.main_pid(), fresh.main_pid('emberd@8082.service')
    fresh.write(FAULTY, '[Server]\nKeepAliveSeconds=3\n')
    said = fresh.install(next_package)
    print(said)
    assert state(fresh) == 'ii 0.1.0-2'
    assert f'{FAULTY}:2:' in said and 'KeepAliveSec' in said
    assert "systemctl restart 'emberd.service'" in said
    assert inside.get().status == 200 and fresh.main_pid() == pid
    # the settings of this one are good
    assert inside.get(port=8082).status == 200
    assert fresh.main_pid('emberd@8082.service') not in (0, instance)

    fresh.run('systemctl', 'stop', 'emberd.service')
    said = fresh.install('/share/emberd.deb', '--allow-downgrades')
    assert state(fresh) == 'ii 0.1.0-1'
    assert f'{FAULTY}:2:' in said and 'systemctl restart' not in said
    assert inside.get().status == 503
    fresh.write(FAULTY, '[Server]\nKeepAliveSec=3\n')
    fresh.run('systemctl', 'restart', 'emberd.service')
    assert inside.get().status == 200
    inside.end()


def test_upgrade_while_reloading(fresh, next_package):
    """A reload under way is no reason to go on with the program of the old package."""
    inside = Inside(fresh)
    fresh.install()
    assert inside.get().status == 200
    pid = fresh.main_pid()
    fresh.shell(f'kill -STOP {pid}; systemctl reload --no-block emberd')
    assert wait_until(lambda: fresh.show('emberd.service', 'ActiveState') == 'reloading')
    fresh.shell(f'systemd-run -q --on-active=8 kill -CONT {pid}')
    print(fresh.install(next_package))
    assert fresh.main_pid() not in (0, pid)
    assert inside.get().status == 200
    assert 'deleted' not in fresh.run('readlink', f'/proc/{fresh.main_pid()}/exe')
    inside.end()


# As a taken-over emberd could: it ignores SIGTERM and asks systemd for more time, without an end.
STAYS = """use Socket;
$SIG{TERM} = sub {};
sub say_so {
        socket(my $s, AF_UNIX, SOCK_DGRAM, 0);
        send($s, $_[0], 0, pack_sockaddr_un($ENV{NOTIFY_SOCKET}));
}
say_so("READY=1");
while (1) {
        say_so("EXTEND_TIMEOUT_USEC=5000000\\nWATCHDOG=1");
        select(undef, undef, undef, 0.5);
}
"""
STAYS_UNIT = """[Service]
ExecStart=
ExecStart=/usr/bin/perl /run/stays.pl
TimeoutStopSec=1s
"""


def test_service_that_never_stops(fresh, next_package):
    """apt waits for it as long as it says, and not for ever; an upgrade says what ends it."""
    fresh.install()
    fresh.write('/run/stays.pl', STAYS)
    fresh.write('/run/systemd/system/emberd.service.d/stays.conf', STAYS_UNIT)
    # two minutes pass more quickly here
    fresh.write('/run/quick/timeout', '#!/bin/sh\ntest "$1" = 120 || exit 99\nshift\n'
                                      'exec /usr/bin/timeout 6 "$@"\n')
    fresh.run('chmod', '755', '/run/quick/timeout')
    fresh.run('systemctl', 'daemon-reload')
    fresh.run('systemctl', 'start', 'emberd.service')
    pid = fresh.main_pid()

    def apt(*arguments):
        return fresh.apt('-o', 'DPkg::Path=/run/quick:/usr/sbin:/usr/bin:/sbin:/bin', *arguments)

    said = apt('install', next_package)
    print(said)
    assert state(fresh) == 'ii 0.1.0-2'
    assert "systemctl kill --signal=KILL 'emberd.service'" in said
    assert fresh.main_pid() == pid
    fresh.run('systemctl', 'kill', '--signal=KILL', 'emberd.service')
    assert wait_until(lambda: fresh.main_pid() not in (0, pid))

    said = apt('remove', 'emberd')
    print(said)
    assert state(fresh).startswith('rc ')
    assert 'killed' in said
    assert fresh.call('pgrep', '-f', 'stays.pl').returncode == 1
