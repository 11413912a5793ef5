# SPDX-License-Identifier: MIT
"""The control socket of the real daemon, asked by emberctl and by those who mean harm."""
import concurrent.futures
import os
import re
import signal
import socket
import stat
import threading
import time

import pytest

from carrier import BY_TLS
from client import Client
from daemon import ROOT, eventually, unprivileged

SETTINGS = '''[Site a]
[Route a /]
Return=200 {number}
'''
# requests under way while it leaves
SLOW = '''[Server]
DrainSec=20
[Site a]
Root={root}
'''

once = pytest.mark.once


@pytest.fixture
def run_folder(folder):
    """What systemd would make: a folder that only the daemon may use."""
    path = os.path.join(folder, 'run')
    os.mkdir(path, 0o750)
    if ROOT:
        os.chown(path, unprivileged()['user'], unprivileged()['group'])
    return path


@pytest.fixture
def control(emberd, run_folder):
    """Starts emberd with a control socket, once it is there."""
    def start(settings=SETTINGS.format(number=0), **more):
        one = emberd(settings=settings, environment={'RUNTIME_DIRECTORY': run_folder}, **more)
        eventually(lambda: listens(run_folder), 5, 'the control socket')
        return one
    return start


def listens(run_folder):
    """Its file is there a moment before it can be connected to."""
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(f'{run_folder}/control.sock') == 0


def say(run_folder, line, seconds=30):
    """All of the answer to a request, as bytes."""
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(f'{run_folder}/control.sock')
        one.settimeout(seconds)
        one.sendall(line)
        answer = b''
        while piece := one.recv(65536):
            answer += piece
    return answer


def body(one):
    with Client(one.connect()) as client:
        return client.request('/').body


def test_reload_is_in_force_everywhere(emberctl, emberd, control):
    """When emberctl returns, every worker answers by the new settings, on old connections too."""
    one = control()
    clients = [Client(one.connect()) for _ in range(16)]
    for client in clients:
        assert client.request('/').body == b'0'
    for number in range(1, 11):
        emberd.write_settings(SETTINGS.format(number=number))
        assert emberctl('reload') == (0, '', '')
        for client in clients:
            assert client.request('/').body == b'%d' % number
    for client in clients:
        client.close()
    assert re.search(r'reload, asked for by user \d+, process \d+', one.stderr)


def test_faulty_reload(emberctl, emberd, control):
    """Every fault is told, with 78; what was served before is served on; the mended ones count."""
    notify = emberd.new_notify()
    one = control(notify=notify)
    notify.wait('READY=1')
    path = emberd.write_settings('[Site a]\nRooot=/nowhere\nDefault=perhaps\n')
    after = len(notify.lines)
    status, out, err = emberctl('reload')
    assert status == 78 and out == ''
    assert f'{path}:2: ' in err and f'{path}:3: ' in err and 'stay as they were' in err
    assert f'{path}:2: ' in one.stderr
    # before emberctl has returned: systemctl may ask at once
    lines = notify.receive()[after:]
    assert [x for x in lines if x in ('RELOADING=1', 'READY=1')] == ['RELOADING=1', 'READY=1']
    assert any(x.startswith(f'STATUS=Faulty settings: {path}:2:') for x in lines)
    assert body(one) == b'0'
    status, out, _ = emberctl('status')
    assert status == 0 and 'state: serving\n' in out and out.count('\nfault: ') == 3
    os.unlink(path)
    status, _, err = emberctl('reload')
    assert status == 78 and path in err
    emberd.write_settings(SETTINGS.format(number=5))
    assert emberctl('reload') == (0, '', '')
    assert 'fault' not in emberctl('status')[1]
    assert body(one) == b'5'


def test_status(emberctl, control):
    """What it does, in lines of a name and a value."""
    one = control(workers=2)
    with Client(one.connect()) as client:
        client.request('/')
        status, out, err = emberctl('status')
    assert (status, err) == (0, '')
    values = dict(line.split(': ', 1) for line in out.splitlines())
    names = ['state', 'backend', 'workers', 'connections', 'requests', 'settings']
    assert list(values) == names + ['certificate'] * BY_TLS
    assert values['state'] == 'serving'
    assert values['workers'] == '2' and values['connections'] == '1'
    assert values['requests'] == '1'
    assert values['settings'].endswith('emberd.conf')


def test_heals(emberctl, emberd, control):
    """Started with faulty settings it answers 503; a reload that succeeds is a site that serves."""
    passed = emberd.new_passed()
    passed.tcp()
    one = control('[Site a]\nRoott=/nowhere\n', passed=passed)
    one.port = passed.sockets[0].getsockname()[1]
    status, out, err = emberctl('status')
    assert (status, err) == (0, '')
    assert 'state: answering 503' in out and 'emberd.conf:2: ' in out
    status, _, err = emberctl('reload')
    assert status == 78 and 'answering 503' in err
    emberd.write_settings(SETTINGS.format(number=3))
    assert emberctl('reload') == (0, '', '')
    with Client(one.connect()) as client:
        response = client.request('/')
        assert (response.status, response.body) == (200, b'3')
    assert 'state: serving' in emberctl('status')[1]


def test_many_at_once(emberctl, emberd, control):
    """
    Reloads by 6 clients at once, with signals in between: each is answered by what was read after
    it asked. Each writes a number first; whoever's reload is over must be served a number not
    smaller than its own.
    """
    one = control()
    lock, failures, number = threading.Lock(), [], [0]
    ending = time.monotonic() + 3

    def ask():
        while time.monotonic() < ending and not failures:
            with lock:
                number[0] += 1
                mine = number[0]
                path = emberd.write_settings(SETTINGS.format(number=mine), f'next-{mine}')
                os.rename(path, os.path.join(os.path.dirname(path), 'emberd.conf'))
            status, _, err = emberctl('reload')
            served = int(body(one))
            if status != 0 or served < mine:
                failures.append((status, err, mine, served))

    askers = [threading.Thread(target=ask) for _ in range(6)]
    for asker in askers:
        asker.start()
    while any(asker.is_alive() for asker in askers):
        one.signal(signal.SIGHUP)
        time.sleep(0.01)
    for asker in askers:
        asker.join()
    assert not failures
    assert number[0] > 6


@once
def test_crowd_of_honest_clients(emberctl, control):
    """However many ask at once, nobody is thrown out for those who came behind."""
    control()
    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        outcomes = list(pool.map(lambda _: emberctl('status'), range(300)))
    assert not [x for x in outcomes if x[0] != 0]


def test_no_request_is_lost(emberctl, emberd, control):
    """20 reloads, some faulty, under kept-alive clients: each request is answered."""
    one = control()
    ending, failures, answered = threading.Event(), [], [0]

    def ask():
        with Client(one.connect()) as client:
            while not ending.wait(0.005):
                try:
                    response = client.request('/')
                    answered[0] += 1
                    if response.status != 200 or response.closes:
                        failures.append(response)
                except (OSError, EOFError) as error:
                    failures.append(error)
                    return

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for number in range(20):
        faulty = number % 4 == 3
        emberd.write_settings('faulty\n' if faulty else SETTINGS.format(number=number))
        assert emberctl('reload')[0] == (78 if faulty else 0)
    ending.set()
    for asker in askers:
        asker.join()
    assert not failures
    assert answered[0] > 20


@once
def test_hostile_clients(emberctl, emberd, control, run_folder):
    """Half a line, a huge one, noise, a hundred that say nothing, those who go: it all goes on."""
    one = control()
    before = one.open_files()
    path = f'{run_folder}/control.sock'
    assert say(run_folder, b'reload now\n').startswith(b'64\n')
    assert say(run_folder, b'\n').startswith(b'64\n')
    assert say(run_folder, b'GET / HTTP/1.1\r\n\r\n').startswith(b'64\n')
    assert say(run_folder, b'status\0\n').startswith(b'64\n')
    assert b'known are: reload status' in say(run_folder, b'stop\n')
    assert say(run_folder, b'x' * 5000).startswith(b'64\n')
    silent = []
    for _ in range(100):
        silent.append(socket.socket(socket.AF_UNIX))
        silent[-1].connect(path)  # waits while the queue is full; with a timeout it would not
        silent[-1].send(b'relo')
    begun = time.monotonic()
    assert emberctl('reload')[0] == 0
    assert time.monotonic() - begun < 5  # nobody's ten seconds were waited for
    for each in silent:
        each.close()
    for turn in range(200):  # gone at once, or behind their request
        with socket.socket(socket.AF_UNIX) as gone:
            gone.connect(path)
            if turn % 2:
                gone.send(b'reload\n')
    emberd.write_settings(SETTINGS.format(number=7))
    assert emberctl('reload')[0] == 0
    assert body(one) == b'7'
    eventually(lambda: one.open_files() <= before + 2, 15, 'their descriptors')


def test_while_leaving(emberctl, control, root):
    """A reload is refused with what happens instead; the status says that it leaves."""
    with open(os.path.join(root, 'huge'), 'wb') as file:
        file.truncate(48 << 20)
    one = control(SLOW.format(root=root))
    client = Client(one.connect())
    client.ask('/huge')
    client.until_begun()
    one.signal(signal.SIGTERM)
    eventually(lambda: 'state: leaving' in emberctl('status')[1], 5, 'leaving')
    status, _, err = emberctl('reload')
    assert status == 69 and 'next start reads the settings' in err
    client.close()
    assert one.wait() == 0


@once
def test_the_socket_itself(emberctl, emberd, control, run_folder):
    """Its mode, and that it goes with emberd; a killed one's is replaced; a living one's stays."""
    path = f'{run_folder}/control.sock'
    one = control()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    # a second emberd in the same folder serves, without one
    two = emberd(settings=SETTINGS.format(number=2),
                 environment={'RUNTIME_DIRECTORY': run_folder})
    eventually(lambda: 'another emberd listens there' in two.stderr, 5, 'the error')
    two.stop()
    assert emberctl('status')[0] == 0
    one.kill()
    assert os.path.exists(path)
    status, _, err = emberctl('status')
    assert status == 69 and 'is not running' in err
    one = control()
    assert emberctl('status')[0] == 0
    one.stop()
    assert not os.path.exists(path)
    status, _, err = emberctl('reload')
    assert status == 69 and 'next visitor' in err


@once
def test_no_folder_for_it(emberd, folder):
    """Without RUNTIME_DIRECTORY nothing is said; where it cannot be made, serving goes on."""
    one = emberd(settings=SETTINGS.format(number=1))
    assert 'control' not in one.stderr
    one.stop()
    for value in (f'{folder}/absent', '/' + 'x' * 200, '/proc'):
        one = emberd(settings=SETTINGS.format(number=1),
                     environment={'RUNTIME_DIRECTORY': value})
        eventually(lambda: 'no control socket' in one.stderr, 5, 'the warning')
        assert body(one) == b'1'
        one.stop()


@once
def test_stuck(emberctl, control):
    """emberctl waits for an emberd that is stopped, and is answered when it goes on."""
    one = control()
    one.signal(signal.SIGSTOP)
    done = []
    waiting = threading.Thread(target=lambda: done.append(emberctl('reload')))
    waiting.start()
    time.sleep(0.5)
    assert not done
    one.signal(signal.SIGCONT)
    waiting.join(10)
    assert done and done[0][0] == 0


@once
def test_usage(emberctl):
    """Mistakes are told before anybody is asked."""
    for arguments, words in [((), 'say what to do'), (('relaod',), "'relaod' is not known"),
                             (('reload', 'x'), "'x' is one"), (('-q',), "unknown option '-q'")]:
        status, out, err = emberctl(*arguments)
        assert status == 64 and out == ''
        assert words in err and err.startswith('emberctl: ') and err.count('\n') == 1
    assert 'Usage: emberctl' in emberctl('--help')[1]
    assert re.match(r'emberctl \d', emberctl('-V')[1])
    status, _, err = emberctl('--instance', 'no-such', 'status')
    assert status == 69 and '/run/emberd@no/such/control.sock' in err
    status, _, err = emberctl('--socket', '/proc/1/no', 'status')
    assert status in (69, 77)
