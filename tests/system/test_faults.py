# SPDX-License-Identifier: MIT
"""A stall and a crash never become an outage."""
import threading
import time

import pytest
from client import Inside, Load
from hostile import hostile  # noqa: F401
from waiting import wait_until

WATCHDOG_SEC = 1
CRASHES = 16
BACKENDS = ['io_uring', 'epoll']


def ask_and_forget(inside, path):
    """A request whose answer never comes; its end is noted."""
    ended = []

    def ask():
        try:
            inside.get(path)
            ended.append('answered')
        except OSError as error:
            ended.append(type(error).__name__)

    threading.Thread(target=ask, daemon=True).start()
    return ended


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('how', ['stall', 'spin'])
def test_stall(hostile, backend, how):  # noqa: F811
    """
    A worker that stands still, asleep or busy, is noticed by the watchdog within its time, and
    systemd starts emberd anew. Meanwhile the other worker serves.
    """
    emberd, m = hostile.emberd, hostile.machine
    emberd.drop_in(f'[Service]\nWatchdogSec={WATCHDOG_SEC}s\n')
    hostile.start(backend=backend, workers=2)
    pid, other = emberd.pid(), Inside(m)
    with Load(m, 4) as load:
        assert wait_until(lambda: load.answered > 20)
        begun = time.monotonic()
        ended = ask_and_forget(other, '/misbehave/' + how)
        time.sleep(WATCHDOG_SEC / 4)
        before, meanwhile = load.answered, 0
        while emberd.pid() == pid and time.monotonic() < begun + 10 * WATCHDOG_SEC:
            meanwhile = load.answered - before
            time.sleep(0.02)
        assert wait_until(lambda: emberd.pid() not in (0, pid), 5)
        noticed = time.monotonic() - begun
        after = load.answered
        assert wait_until(lambda: load.answered > after + 20)
    print(f'{how} on {backend}: {meanwhile} answered meanwhile, restarted after {noticed:.1f} s, '
          f'{len(load.failures)} cut off, slowest {load.slowest_ms:.0f} ms')
    other.end()
    assert wait_until(lambda: ended == ['ConnectionResetError'])
    assert 'Watchdog timeout' in emberd.log()
    assert meanwhile > 20
    assert noticed < 3 * WATCHDOG_SEC + 2
    # those that the stalled worker had; then those that the other one had when the process was
    # killed
    assert len(load.failures) <= 8 and set(load.failures) <= {'ConnectionResetError'}
    assert m.show('emberd.service', 'NRestarts') == '1'


@pytest.mark.parametrize('backend', BACKENDS)
def test_watchdog_is_content(emberd, backend):
    """While nobody asks, the watchdog hears of workers that sleep as they should."""
    emberd.drop_in(f'[Service]\nWatchdogSec={WATCHDOG_SEC}s\n')
    emberd.settings(f'[Server]\nBackend={backend}\nWorkers=2\n')
    emberd.get()
    pid = emberd.pid()
    time.sleep(4 * WATCHDOG_SEC)
    assert emberd.pid() == pid
    assert emberd.machine.show('emberd.service', 'NRestarts') == '0'


def test_crashes(hostile):  # noqa: F811
    """
    A request that crashes emberd, once a second: all others are served, but those whose connection
    was in the process that died. No connection is refused, no limit of starts is met, and the last
    start takes no longer than the first.
    """
    emberd, m = hostile.emberd, hostile.machine
    hostile.start(workers=2)
    delays = []
    with Load(m, 4) as load, Load(m, 4, pause=0.05, kept=True) as kept:
        for number in range(CRASHES):
            begun, before, kept_before = time.monotonic(), load.answered, kept.answered
            with pytest.raises(OSError):
                emberd.get('/misbehave/crash')
            died = time.monotonic()
            assert emberd.get().body == b'ok'
            delays.append((time.monotonic() - died) * 1000)
            # served in between, before the next one
            assert wait_until(lambda before=before: load.answered > before + 8), number
            assert wait_until(lambda before=kept_before: kept.answered > before + 4), number
            time.sleep(max(0, begun + 1 - time.monotonic()))
    restarts = int(m.show('emberd.service', 'NRestarts'))
    print(f'{load.answered} + {kept.answered} answered, {len(load.failures)} + '
          f'{len(kept.failures)} cut off by {CRASHES} crashes; answered again after ms: '
          f'{" ".join(f"{d:.0f}" for d in delays)}')
    assert set(load.failures + kept.failures) <= {'ConnectionResetError', 'BrokenPipeError'}
    assert len(load.failures) <= 4 * CRASHES and len(kept.failures) <= 4 * CRASHES
    assert restarts == CRASHES
    assert m.show('emberd.socket', 'ActiveState') == 'active'
    assert m.show('emberd.socket', 'Result') == 'success'
    third = CRASHES // 3
    assert sorted(delays[-third:])[third // 2] < 2 * sorted(delays[:third])[third // 2] + 100
    assert max(delays) < 3000
