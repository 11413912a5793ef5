# SPDX-License-Identifier: MIT
"""Ending, reloading, leaving when idle: what systemd and the administrator tell the process."""
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from carrier import BY_HTTP2, SCHEME, VERSION
from client import Client
from daemon import ROOT, SLOWNESS, eventually


def slow_download(one, path='/huge'):
    """A response under way that ends only when we read on."""
    client = Client(one.connect())
    client.ask(path)
    client.until_begun()
    return client


@pytest.fixture
def huge(root):
    """More than sockets hold, so that a response is under way until somebody reads it."""
    with open(f'{root}/huge', 'wb') as file:
        file.truncate(48 << 20)
    return root


def test_term_under_load(emberd, root):
    """
    TERM while 64 connections of wrk are busy: the responses under way are completed, READY comes
    before STOPPING, and the exit status is 0.
    """
    notify = emberd.new_notify()
    one = emberd(root=root, notify=notify)
    url = f'{SCHEME}://127.0.0.1:{one.port}/medium.bin'
    load = subprocess.Popen(['wrk', '-t2', '-c64', '-d4', url], stdout=subprocess.PIPE, text=True)
    watched = [Client(one.connect()) for _ in range(20)]
    time.sleep(1)
    for client in watched:
        client.ask('/big.bin')
    time.sleep(0.1)
    one.signal(signal.SIGTERM)
    for client in watched:
        assert len(client.response().body) == 1 << 20
        client.close()
    assert one.wait() == 0
    output = load.communicate(timeout=20)[0]
    assert int(re.search(r'(\d+) requests in', output).group(1)) > 0
    notify.receive(0.1)
    assert notify.lines.index('READY=1') < notify.lines.index('STOPPING=1')
    assert notify.lines.count('READY=1') == 1 and notify.lines.count('STOPPING=1') == 1


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_drain(emberd, huge, number):
    """A download under way is finished; an idle connection is closed; nobody new is let in."""
    one = emberd(root=huge)
    idle = Client(one.connect())
    assert idle.request('/small.txt').status == 200
    under_way = slow_download(one)
    one.signal(number)
    assert idle.is_closed(5 * SLOWNESS)
    eventually(lambda: refuses(one), 3, 'the listener to be closed')
    assert one.process.poll() is None
    assert len(under_way.response().body) == 48 << 20
    assert under_way.is_closed()
    assert one.wait() == 0


def refuses(one):
    try:
        one.connect(1).close()
    except OSError:
        return True
    return False


def test_drain_says_close(emberd, huge):
    """A request that comes on a connection at work during the drain is answered, and told to go."""
    one = emberd(root=huge)
    client = slow_download(one)
    client.ask('/small.txt')
    one.signal(signal.SIGTERM)
    time.sleep(0.1)
    client.response()
    try:
        last = client.response()
    except (EOFError, ConnectionResetError):
        last = None  # closed behind the download, which is as good
    assert last is None or (last.body == b'small file\n' and last.closes)
    assert one.wait() == 0


def test_drain_has_an_end(emberd, huge):
    """Who does not read on is waited for no longer than DrainSec."""
    one = emberd(root=huge, options=['Server.DrainSec=1'])
    client = slow_download(one)
    begun = time.monotonic()
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    assert 0.7 < time.monotonic() - begun < 3 * SLOWNESS
    client.close()


def test_drain_asks_systemd_for_time(emberd, huge):
    """With TimeoutStopSec= below DrainSec= systemd would kill it in the midst of a download."""
    notify = emberd.new_notify()
    one = emberd(root=huge, options=['Server.DrainSec=7'], notify=notify)
    notify.wait('READY=1')
    client = slow_download(one)
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    asked = [notify.times[i] for i, line in enumerate(notify.receive(0.1))
             if re.fullmatch('EXTEND_TIMEOUT_USEC=[0-9]{8}', line)]
    assert len(asked) == 2  # and not once for all, so that one who is stuck gets no more time
    client.close()


def test_second_term_ends_at_once(emberd, huge):
    """An administrator who asks twice means it."""
    one = emberd(root=huge, options=['Server.DrainSec=30'])
    client = slow_download(one)
    one.signal(signal.SIGTERM)
    time.sleep(0.3)
    assert one.process.poll() is None
    begun = time.monotonic()
    one.signal(signal.SIGTERM)
    one.wait()
    assert time.monotonic() - begun < 1 * SLOWNESS
    client.close()


def test_term_when_idle_is_quick(emberd, root):
    """Stopping an idle server takes no grace period."""
    one = emberd(root=root)
    clients = [Client(one.connect()) for _ in range(10)]
    for client in clients:
        client.request('/small.txt')
    begun = time.monotonic()
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    # by HTTP/2 a client is asked whether it has heard, and these do not answer
    assert time.monotonic() - begun < (2.5 if BY_HTTP2 else 1.5) * SLOWNESS
    for client in clients:
        client.close()


def test_sigpipe_is_ignored(served):
    """A client that goes away while it is answered must not end the process."""
    served.signal(signal.SIGPIPE)
    with Client(served.connect()) as client:
        assert client.request('/small.txt').status == 200


SETTINGS = '''[Site a]
Default=yes
Root={root}
'''


def test_reload(emberd, root):
    """HUP takes the new settings and loses no request; a reload says when it began and ended."""
    notify = emberd.new_notify()
    one = emberd(settings=SETTINGS.format(root=root), notify=notify)
    notify.wait('READY=1')
    stop = threading.Event()
    failures = []

    def ask():
        client = Client(one.connect())
        while not stop.is_set():
            try:
                response = client.request('/')
                if response.status != 200:
                    failures.append(response)
                if response.closes:
                    client.close()
                    client = Client(one.connect())
            except (OSError, EOFError) as error:
                failures.append(error)
                client.close()
                client = Client(one.connect())
        client.close()

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for turn in range(8):
        after = len(notify.lines)
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        emberd.write_settings(SETTINGS.format(root=f'{root}/sub' if turn % 2 == 0 else root))
        one.signal(signal.SIGHUP)
        notify.wait('RELOADING=1', after=after)
        stamp = notify.wait(r'MONOTONIC_USEC=\d+', after=after)
        assert now <= int(stamp.split('=')[1]) <= now + 5_000_000 * SLOWNESS
        notify.wait('READY=1', after=after)
        with Client(one.connect()) as client:
            wanted = b'sub index\n' if turn % 2 == 0 else b'<p>index</p>\n'
            assert client.request('/').body == wanted
    stop.set()
    for asker in askers:
        asker.join()
    assert not failures, failures[:5]


def test_reload_with_faults_changes_nothing(emberd, root):
    """A typing error in the settings does not take the server down, and is told where it is."""
    notify = emberd.new_notify()
    one = emberd(settings=SETTINGS.format(root=root), notify=notify)
    notify.wait('READY=1')
    path = emberd.write_settings('[Site a]\nRooot=/nowhere\nDefault=perhaps\n')
    after = len(notify.lines)
    one.signal(signal.SIGHUP)
    eventually(lambda: f'{path}:2:' in one.stderr and f'{path}:3:' in one.stderr, 5, 'both faults')
    notify.wait('READY=1', after=after)
    with Client(one.connect()) as client:
        assert client.request('/small.txt').body == b'small file\n'
    os.rename(path, path + '.away')
    one.signal(signal.SIGHUP)
    time.sleep(0.2)
    with Client(one.connect()) as client:
        assert client.request('/small.txt').body == b'small file\n'


def test_reload_keeps_the_old_settings_for_old_exchanges(emberd, huge):
    """A download that began before a reload ends with what it began with."""
    one = emberd(settings=SETTINGS.format(root=huge))
    client = slow_download(one)
    emberd.write_settings(SETTINGS.format(root=f'{huge}/sub'))
    one.signal(signal.SIGHUP)

    def reloaded():
        with Client(one.connect()) as other:
            return other.request('/').body == b'sub index\n'

    eventually(reloaded, 5, 'the reload')
    assert len(client.response().body) == 48 << 20
    client.close()


def test_status_and_watchdog(emberd, root):
    """systemd is told what goes on, at most once a second, and that every worker's loop turns."""
    notify = emberd.new_notify()
    one = emberd(root=root, notify=notify, environment={'WATCHDOG_USEC': '1000000'})
    notify.wait('READY=1')
    end = time.monotonic() + 4
    with Client(one.connect()) as client:
        while time.monotonic() < end:
            assert client.request('/small.txt').status == 200
            notify.receive(0.05)
    beats = [t for line, t in zip(notify.lines, notify.times) if line == 'WATCHDOG=1']
    assert len(beats) >= 4
    assert max(b - a for a, b in zip(beats, beats[1:])) < 1.0
    states = [t for line, t in zip(notify.lines, notify.times) if line.startswith('STATUS=')]
    assert states and len(states) <= 7
    text = ' '.join(line for line in notify.lines if line.startswith('STATUS='))
    assert 'epoll' in text or 'io_uring' in text


def test_watchdog_is_not_fed_when_stopped(emberd, root):
    """WATCHDOG_PID names another process: the beats are not for us to send."""
    notify = emberd.new_notify()
    emberd(root=root, notify=notify,
           environment={'WATCHDOG_USEC': '200000', 'WATCHDOG_PID': '1'})
    notify.wait('READY=1')
    notify.receive(1)
    assert 'WATCHDOG=1' not in notify.lines


def test_idle_exit(emberd, root):
    """Nobody asks for IdleExitSec: the process leaves with 0, and says so."""
    notify = emberd.new_notify()
    passed = emberd.new_passed()
    passed.tcp()
    one = emberd(root=root, passed=passed, notify=notify, options=['Server.IdleExitSec=1'])
    notify.wait('READY=1')
    with Client(one.connect()) as client:
        assert client.request('/small.txt').status == 200
        begun = time.monotonic()
        assert one.wait(5) == 0
        assert 0.5 < time.monotonic() - begun < 4 * SLOWNESS
    notify.receive(0.1)
    assert 'STOPPING=1' in notify.lines


def test_no_idle_exit_while_busy(emberd, huge):
    """A download is not idleness, however slow it is."""
    passed = emberd.new_passed()
    passed.tcp()
    one = emberd(root=huge, passed=passed, options=['Server.IdleExitSec=1'])
    client = slow_download(one)
    time.sleep(2.5)
    assert one.process.poll() is None
    assert len(client.response().body) == 48 << 20
    client.close()
    assert one.wait(8) == 0


def test_idle_exit_loses_no_connection(emberd, root, rounds):
    """
    A connection that comes in the moment of leaving is either served by the one that leaves or
    stays in the queue for the next one that systemd starts.
    """
    passed = emberd.new_passed()
    passed.tcp()
    arguments = {'root': root, 'passed': passed, 'options': ['Server.IdleExitSec=1']}
    one = emberd(**arguments)
    for turn in range(rounds * 3):
        with Client(one.connect()) as client:  # a fixed moment to count from
            assert client.request('/small.txt', fields='Connection: close').status == 200
        time.sleep(0.97 + 0.012 * (turn % 9))
        results = []

        def visit():
            try:
                with Client(one.connect()) as visitor:
                    results.append(visitor.request('/small.txt').status)
            except (OSError, EOFError) as error:
                results.append(error)

        visitors = [threading.Thread(target=visit) for _ in range(8)]
        for visitor in visitors:
            visitor.start()
            time.sleep(0.004)

        def pending():
            if len(results) == len(visitors):
                return True
            if one.process.poll() is not None:  # what systemd would do: the queue is not empty
                return restart()
            return False

        def restart():
            nonlocal one
            assert one.process.returncode == 0, one.stderr
            one.assert_clean()
            one = emberd(**arguments)
            return False

        eventually(pending, 10, 'all visitors to be served')
        for visitor in visitors:
            visitor.join()
        assert results == [200] * 8
        if one.process.poll() is not None:
            restart()


def log_lines(path):
    try:
        with open(path, encoding='utf-8') as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


COMBINED = (r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] '
            rf'"GET /small\.txt\?q=1 {re.escape(VERSION)}" 200 11 "http://r/" "agent"')


def test_access_log_to_a_file(emberd, root, folder):
    """One line a request, in the format that every tool reads; USR1 opens the file anew."""
    path = os.path.join(folder, 'access.log')
    one = emberd(root=root, log=True, options=[f'Server.AccessLog={path}'])
    with Client(one.connect()) as client:
        client.request('/small.txt?q=1', fields='Referer: http://r/\nUser-Agent: agent')
        client.request('/absent')
        eventually(lambda: len(log_lines(path)) == 2, 4, 'two lines')
        first, second = log_lines(path)
        assert re.match(COMBINED, first), first
        assert f'"GET /absent {VERSION}" 404 ' in second
        os.rename(path, path + '.1')
        client.request('/before')
        one.signal(signal.SIGUSR1)

        def is_in_the_new_file():
            client.request('/after')  # each worker changes over in its own time
            return '/after' in ' '.join(log_lines(path))

        eventually(is_in_the_new_file, 4, 'a line in the new file')
        assert '/before' in ' '.join(log_lines(path + '.1') + log_lines(path))


@pytest.mark.http1
def test_access_log_cannot_be_forged(emberd, root, folder):
    """What a client sends must not end a line, close a quote or reach a terminal raw."""
    path = os.path.join(folder, 'access.log')
    one = emberd(root=root, log=True, options=[f'Server.AccessLog={path}'])
    with Client(one.connect()) as client:
        client.send(b'GET /a"b\\c HTTP/1.1\r\nHost: a\r\nUser-Agent: x" 200 1 \x1b[31m\xff\r\n\r\n')
        client.rest() if client.response().closes else None
        eventually(lambda: log_lines(path), 4, 'a line')
    with open(path, 'rb') as file:
        raw = file.read()
    assert raw.count(b'\n') == 1
    assert b'\x1b' not in raw and b'\xff' not in raw
    assert b'/a"b' not in raw and b'x" 200' not in raw


def test_access_log_to_stdout_and_off(emberd, root):
    """By hand the log goes to standard output, as one expects of `emberd .`; off is off."""
    one = emberd(root=root, log=True)
    quiet = emberd(root=root, options=['Server.AccessLog=off'])
    for each in (one, quiet):
        with Client(each.connect()) as client:
            client.request('/small.txt')
    eventually(lambda: 'GET /small.txt' in one.stdout, 4, 'the line')
    assert quiet.stdout == ''


def test_access_log_to_the_journal(emberd, root, folder):
    """Under systemd each request is a plain line in the journal, with the priority of news."""
    if not ROOT or not shutil.which('unshare'):
        pytest.skip('only root has mounts of its own')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(os.path.join(folder, 'socket'))
        os.chmod(os.path.join(folder, 'socket'), 0o666)
        journal.settimeout(5)
        mounts = ('mount -t tmpfs none /run && mkdir -p /run/systemd/journal && '
                  f'mount --bind {folder} /run/systemd/journal && exec "$@"')
        one = emberd(root=root, options=['Server.AccessLog=journal', 'Server.User=nobody'],
                     log=True, as_root=True, prefix=['unshare', '-m', 'sh', '-c', mounts, 'sh'])
        with Client(one.connect()) as client:
            client.request('/small.txt?q=1')
        line = journal.recv(4096)
    assert b'\nPRIORITY=6\n' in b'\n' + line
    assert b'MESSAGE=127.0.0.1 - - [' in line
    assert f'"GET /small.txt?q=1 {VERSION}" 200 11'.encode() in line
    assert one.stdout == ''


def test_access_log_that_cannot_be_written(emberd, root):
    """A full disk is the log's trouble, not the clients'."""
    one = emberd(root=root, log=True, options=['Server.AccessLog=/dev/full'], wait=False)
    if one.process.poll() is None:
        one.wait_serving()
        with Client(one.connect()) as client:
            for _ in range(100):
                assert client.request('/small.txt').status == 200
        eventually(lambda: 'the access log, /dev/full, cannot be written' in one.stderr)
        with Client(one.connect()) as client:
            client.request('/small.txt')
        time.sleep(0.3)
        assert one.stderr.count('cannot be written') == 1  # once a minute is enough


@pytest.mark.plain
def test_log_survives_a_dead_reader(emberd, root):
    """Standard output may be a pipe whose reader has gone."""
    read, write = os.pipe()
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    from daemon import unprivileged
    process = subprocess.Popen([emberd.program, *emberd.common(), '-l', f'127.0.0.1:{port}', root],
                               stdout=write, stderr=subprocess.DEVNULL, **unprivileged())
    os.close(write)
    os.close(read)
    try:
        def answers():
            try:
                with Client(socket.create_connection(('127.0.0.1', port), 5)) as client:
                    return client.request('/small.txt').status == 200
            except OSError:
                return False

        for _ in range(5):
            eventually(answers, 5, 'an answer')
            time.sleep(0.05)
    finally:
        process.terminate()
        assert process.wait(10 * SLOWNESS) == 0
