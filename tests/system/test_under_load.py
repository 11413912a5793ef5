# SPDX-License-Identifier: MIT
"""Nobody who asks while emberd is restarted or killed is turned away. Reloads: test_reload.py."""
import re
import time

from client import Load
from waiting import wait_until

INSTANCES = 200


def test_restarts(emberd):
    """10 restarts under clients that connect anew for each request: none fails."""
    emberd.get()
    with Load(emberd.machine, 4) as load:
        for _ in range(10):
            emberd.machine.run('systemctl', 'restart', 'emberd')
            before = load.answered
            assert wait_until(lambda: load.answered > before + 8)
    print(f'{load.answered} answered, failed: {load.failures}; slowest {load.slowest_ms:.0f} ms')
    assert not load.failures


def test_killed(emberd):
    """20 deaths in a row: systemd starts it again each time, and the port stays open."""
    m, killed, pid = emberd.machine, 0, 0
    emberd.get()
    with Load(m, 4) as load:
        for _ in range(20):
            dead = pid
            assert wait_until(lambda: emberd.pid() not in (0, dead))
            pid = emberd.pid()
            m.run('kill', '-9', str(pid))
            killed += 1
            # the next one serves before it is killed too
            before = load.answered
            assert wait_until(lambda: load.answered > before + 8)
    print(f'{load.answered} answered, {len(load.failures)} cut off by {killed} deaths, slowest '
          f'{load.slowest_ms:.0f} ms')
    # only those that were under way when it died
    assert len(load.failures) <= 4 * killed
    assert set(load.failures) <= {'ConnectionResetError'}
    assert m.show('emberd.socket', 'Result') == 'success'
    assert m.show('emberd.socket', 'ActiveState') == 'active'
    assert emberd.get().status == 200
    assert load.slowest_ms < 3000


def pid1_kib(machine):
    rollup = machine.run('cat', '/proc/1/smaps_rollup')
    return int(re.search(r'^Pss:\s+(\d+)', rollup, re.M).group(1))


def test_silent_sites(emberd):
    """200 sites of which nobody asks anything cost some memory of systemd's, and no process."""
    m = emberd.machine
    ports = range(10001, 10001 + INSTANCES)
    m.shell('mkdir -p /etc/emberd/instances; for p in $(seq 10001 10200); do printf '
            '"[Server]\\nIdleExitSec=1\\n[Site x]\\n[Route x /]\\nReturn=200 site $p\\n" '
            '>/etc/emberd/instances/$p.conf; done')
    before = pid1_kib(m)
    begun = time.monotonic()
    try:
        m.run('systemctl', 'start', *(f'emberd@{port}.socket' for port in ports))
        print(f'{INSTANCES} sockets in {time.monotonic() - begun:.1f} s, '
              f'{(pid1_kib(m) - before) / INSTANCES:.1f} KiB of systemd a site')
        assert m.call('pgrep', '-x', 'emberd').returncode == 1
        for port in ports[::10]:
            assert f'site {port}'.encode() in emberd.get(port=port).body
        assert wait_until(lambda: m.call('pgrep', '-x', 'emberd').returncode == 1, 15)
    finally:
        m.run('systemctl', 'stop', *(f'emberd@{port}.{kind}' for port in ports
                                     for kind in ('socket', 'service')))
