# SPDX-License-Identifier: MIT
"""systemctl reload: over when the settings are in force, failed when they are faulty."""
import os
import re
import threading
import time

from client import Load
from waiting import wait_until

GONE = '[Site x]\n[Route x /]\nReturn=410 gone {number}\n'
CONTROL = '/run/emberd/control.sock'


def reload(emberd, unit='emberd'):
    begun = time.monotonic()
    done = emberd.machine.call('systemctl', 'reload', unit)
    return done.returncode, (time.monotonic() - begun) * 1000


def test_reload_waits(emberd):
    """Who asks after systemctl reload has ended is answered by the new settings; ten times."""
    assert emberd.get().status == 200
    pid, times = emberd.pid(), []
    for number in range(10):
        emberd.settings(GONE.format(number=number))
        status, ms = reload(emberd)
        times.append(ms)
        assert status == 0
        assert f'gone {number}'.encode() in emberd.get().body
        assert emberd.machine.show('emberd.service', 'SubState') == 'running'
    print(f'reload on {emberd.machine.suite}: {sorted(times)[5]:.0f} ms in the middle of 10')
    assert emberd.pid() == pid
    # one reload each: none by a signal beside that of the control socket
    assert emberd.log().count('settings reloaded') == 10


def test_faulty_reload(emberd):
    """It fails; exit status, journal and status say where; the settings before it are served."""
    m = emberd.machine
    assert emberd.get().status == 200
    pid = emberd.pid()
    emberd.settings('[Server]\n\nIdleExitSecs=1\nDrainSec=perhaps\n')
    status, ms = reload(emberd)
    assert status != 0
    assert ms < 5000  # and systemd does not wait for a READY=1 that does not come
    log = emberd.log()
    assert '50-test.conf:3:' in log and '50-test.conf:4:' in log
    assert 'status=78' in log
    assert '50-test.conf:3:' in emberd.status() and 'stay in force' in emberd.status()
    assert m.show('emberd.service', 'ActiveState') == 'active'
    assert m.show('emberd.service', 'SubState') == 'running'
    assert emberd.get().status == 200
    assert emberd.pid() == pid
    emberd.settings(GONE.format(number=1))
    assert reload(emberd)[0] == 0
    assert emberd.get().status == 410
    assert '50-test.conf' not in emberd.status()


def test_reload_heals(emberd):
    """A service that answers 503 serves when the mended settings were reloaded, not later."""
    emberd.settings('[Server]\nKeepAliveSeconds=3\n')
    assert emberd.get().status == 503
    pid = emberd.pid()
    assert reload(emberd)[0] != 0  # nothing was mended
    assert '50-test.conf:2:' in emberd.status()
    emberd.settings('[Server]\nKeepAliveSec=3\n')
    assert reload(emberd)[0] == 0
    assert emberd.get().status == 200
    assert emberd.pid() == pid


def test_signal_beside_systemctl(emberd):
    """Signals and reloads by systemctl at once: each is right, and the service ends up running."""
    m = emberd.machine
    emberd.get()
    ending = threading.Event()

    def send():
        while not ending.wait(0.02):
            m.run('kill', '-HUP', str(emberd.pid()))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for number in range(10):
            emberd.settings(GONE.format(number=number))
            assert reload(emberd)[0] == 0
            assert f'gone {number}'.encode() in emberd.get().body
    finally:
        ending.set()
        sender.join()
    assert wait_until(lambda: m.show('emberd.service', 'SubState') == 'running')
    assert m.show('emberd.service', 'Result') == 'success'


def test_emberctl(emberd):
    """By hand as root: status, reload, faults with their place, and a word when it sleeps."""
    m = emberd.machine
    assert emberd.pid() == 0
    for verb in ('status', 'reload'):
        asleep = m.call('emberctl', verb)
        assert asleep.returncode == 69 and 'not running' in asleep.stdout
    assert emberd.pid() == 0  # asking does not wake it
    emberd.get()
    status = m.run('emberctl', 'status')
    assert 'state: serving' in status and 'settings: /etc/emberd/emberd.conf' in status
    emberd.settings('[Server]\nIdleExitSecs=1\n')
    faulty = m.call('emberctl', 'reload')
    assert faulty.returncode == 78 and '50-test.conf:2:' in faulty.stdout
    assert 'fault: ' in m.run('emberctl', 'status')
    emberd.settings(GONE.format(number=1))
    m.run('emberctl', 'reload')
    assert emberd.get().status == 410
    assert re.search(r'reload, asked for by user 0,', emberd.log())


def test_who_may_ask(emberd):
    """Root and the user of emberd; nobody else gets as far as the socket."""
    m = emberd.machine
    emberd.get()
    assert m.run('stat', '-c', '%a %U %G', CONTROL).strip() == '660 emberd emberd'
    assert m.run('stat', '-c', '%a %U %G', '/run/emberd').strip() == '750 emberd emberd'
    as_nobody = m.call('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'emberctl',
                       'status')
    assert as_nobody.returncode == 77 and 'not permitted' in as_nobody.stdout
    m.run('setpriv', '--reuid=65534', '--regid=emberd', '--clear-groups', 'emberctl', 'status')


def test_socket_goes_with_emberd(emberd):
    """Nothing of it is left when emberd was stopped, or killed and then stopped."""
    m = emberd.machine
    emberd.get()
    m.run('kill', '-9', str(emberd.pid()))
    assert wait_until(lambda: emberd.pid() and m.call('emberctl', 'status').returncode == 0)
    m.run('systemctl', 'stop', 'emberd.socket', 'emberd.service')
    assert m.call('test', '-e', '/run/emberd').returncode == 1


def test_instances(emberd):
    """Each has a socket of its own, also where its name has colons in it."""
    m = emberd.machine
    units = [f'emberd@{name}' for name in ('8080', '127.0.0.1:8081')]
    for name in ('8080', '127.0.0.1:8081'):
        m.write(f'/etc/emberd/instances/{name}.conf', f'[Site x]\n[Route x /]\nReturn=200 {name}\n')
    try:
        m.run('systemctl', 'start', *(f'{unit}.socket' for unit in units))
        for unit in units:
            name = unit.split('@')[1]
            port = int(name.rsplit(':')[-1])
            assert name.encode() in emberd.get(port=port).body
            assert f'instances/{name}.conf' in m.run('emberctl', '--instance', name, 'status')
            m.write(f'/etc/emberd/instances/{name}.conf', GONE.format(number=2))
            assert reload(emberd, unit)[0] == 0
            assert emberd.get(port=port).status == 410
            m.write(f'/etc/emberd/instances/{name}.conf', 'nothing\n')
            assert reload(emberd, unit)[0] != 0
    finally:
        m.run('systemctl', 'stop', *(f'{unit}.{kind}' for unit in units
                                     for kind in ('socket', 'service')))


def test_reload_while_leaving(emberd):
    """emberd finishes a download; it says that the next start reads the settings."""
    m = emberd.machine
    m.shell('mkdir -p /srv/www && truncate -s 64M /srv/www/big')
    emberd.settings('[Site x]\nRoot=/srv/www\n')
    socket = emberd.connect()
    socket.sendall(b'GET /big HTTP/1.1\r\nHost: x\r\n\r\n')
    socket.recv(1000)
    m.run('kill', '-TERM', str(emberd.pid()))
    assert wait_until(lambda: 'state: leaving' in m.call('emberctl', 'status').stdout)
    refused = m.call('emberctl', 'reload')
    assert refused.returncode == 69 and 'next start reads the settings' in refused.stdout
    socket.close()


def test_reloads_under_load(emberd):
    """
    50 reloads under 24 kept-alive clients of a request every 10 ms: every request is answered, and
    none of them noticeably later. (With its lines of access the journal would suppress others: a
    fast machine writes more than 10000 in 30 s, journald.conf(5) RateLimitBurst=.)
    """
    emberd.settings('[Server]\nAccessLog=off\n')
    emberd.get()
    pid, begun = emberd.pid(), time.monotonic()
    with Load(emberd.machine, 24, pause=0.01, kept=True) as load:
        for number in range(50):
            emberd.settings(f'[Server]\nAccessLog=off\nKeepAliveSec={60 + number}\n')
            emberd.machine.run('systemctl', 'reload', 'emberd')
    print(f'{load.answered} answered on {emberd.machine.suite} in {time.monotonic() - begun:.0f} s,'
          f' {len(load.failures)} lost, slowest {load.slowest_ms:.0f} ms, load of the machine '
          f'{os.getloadavg()[0]:.1f}')
    assert not load.failures
    assert emberd.pid() == pid
    assert emberd.log().count('settings reloaded') == 50
    assert load.answered > 1000
