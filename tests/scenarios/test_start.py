# SPDX-License-Identifier: MIT
"""Starting: the command line, sockets, settings, and one clear line where something is wrong."""
import os
import pwd
import re
import resource
import socket
import time

import pytest

from carrier import BY_TLS
from client import Client
from daemon import BACKEND, ROOT, SANITIZED, eventually, free_port

ABSENT = '/nonexistent/emberd.conf'
once = pytest.mark.once


def assert_says(result, status, *words):
    """One line that names the cause and the cure, nothing on standard output."""
    code, out, err = result
    assert code == status, (code, out, err)
    assert out == ''
    for word in words:
        assert re.search(word, err), f'{word!r} is not in {err!r}'
    return err


def only_line(err):
    """The faults: what is not merely said along the way."""
    lines = err.splitlines()
    assert len(lines) == 1, err
    return lines[0]


# ---- what is wrong is said in one line ----

@once
def test_port_in_use(emberd, root):
    """The commonest failure of all: 71, and which address."""
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = emberd.plain('-l', f'127.0.0.1:{port}', root)
        only_line(assert_says(result, 71, str(port), 'in use'))


@once
def test_default_address(emberd, root):
    """`emberd DIRECTORY` is at 127.0.0.1:8080, or says that somebody else is."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(('127.0.0.1', 8080))
            taken.listen()
        except OSError:
            pass  # somebody else is
        assert_says(emberd.plain(root), 71, '127.0.0.1:8080', 'in use', '-l')


@once
def test_no_site(emberd):
    """An address alone serves nothing, and the line must not blame what nobody wrote."""
    only_line(assert_says(emberd.plain('-l', f'127.0.0.1:{free_port()}'), 78,
                          'nothing to serve', 'DIRECTORY'))


@once
def test_unknown_key(emberd, root):
    """A typing error gets its place and the nearest known name."""
    path = emberd.write_settings(f'[Site a]\nRoot={root}\nIndxe=a.html\n')
    only_line(assert_says(emberd.plain('-c', path), 78, f'{path}:3:', 'Indxe', 'Index'))


@once
def test_unknown_section(emberd, root):
    """The same for a section."""
    path = emberd.write_settings(f'[Sight a]\nRoot={root}\n')
    assert_says(emberd.plain('-c', path), 78, f'{path}:1:', 'Sight', 'Site')


@once
def test_every_fault_at_once(emberd, root):
    """Who mends one fault and starts again should not meet the next one; nor start at all."""
    path = emberd.write_settings('[Server]\nWorkers=many\nIdleExitSec=soon\nBogus=1\n'
                                 f'[Site a]\nRoot={root}\n')
    err = assert_says(emberd.plain('-c', path), 78)
    assert [re.search(rf'{re.escape(path)}:{n}:', err) for n in (2, 3, 4)].count(None) == 0
    assert f'{path}:6' not in err


@once
def test_unknown_option_setting(emberd, root):
    """-o is checked as a settings file is."""
    assert_says(emberd.plain('-o', 'Server.Worker=2', root), 78, 'Worker', 'Workers')


@once
def test_wrong_usage(emberd, root):
    """64 and a hint; never a start with half of what was asked for."""
    for arguments in [['--bogus'], ['-o', 'nonsense', root], ['-c'], [root, root],
                      ['--log-level', 'loud', root]]:
        assert_says(emberd.plain(*arguments), 64, '--help')


@once
def test_absent_settings_file(emberd):
    """A file that was named must exist."""
    assert_says(emberd.plain('-c', ABSENT), 78, ABSENT, 'No such file')


@once
def test_nothing_to_serve(emberd):
    """No folder, no settings, no socket: one line that says how to begin."""
    default = re.search(r'default (\S+/emberd\.conf)', emberd.plain('--help')[1]).group(1)
    if os.path.exists(default):
        pytest.skip(f'{default} exists here')
    only_line(assert_says(emberd.plain(), 78, r'emberd \.', 'emberd.conf'))


@once
def test_root_that_is_a_file(emberd, root):
    """`emberd index.html` is a natural mistake."""
    port = free_port()
    err = assert_says(emberd.plain('-l', f'127.0.0.1:{port}', f'{root}/small.txt'), 78,
                      'small.txt', '[Nn]ot a (directory|folder)')
    assert len([x for x in err.splitlines() if 'listening' not in x]) == 1


@once
def test_root_that_is_absent(emberd, root):
    """A root that is not there: at once, not as 404 for everything."""
    port = free_port()
    assert_says(emberd.plain('-l', f'127.0.0.1:{port}', f'{root}/absent'), 78, 'absent',
                'No such file')


@once
def test_unreadable_root(emberd, root):
    """Nor 403 for everything, where the server may not enter the root."""
    os.chmod(f'{root}/sub', 0)
    port = free_port()
    assert_says(emberd.plain('-l', f'127.0.0.1:{port}', f'{root}/sub'), 78, '/sub',
                'Permission denied')
    os.chmod(f'{root}/sub', 0o755)


@once
def test_sockets_and_listen(emberd, root):
    """Both at once is a contradiction: 64."""
    passed = emberd.new_passed()
    passed.tcp()
    assert_says(emberd.plain('-l', '127.0.0.1:1', root, passed=passed), 64, '--listen', 'passed')


@once
def test_bad_addresses(emberd, root):
    """What is no address is a wrong setting; one that this machine does not have is refused."""
    for address in ['nonsense', '127.0.0.1:99999', '[::1', 'unix:', '127.0.0.1:']:
        code, _, err = emberd.plain('-l', address, root)
        assert code in (64, 78), (address, err)
        assert address in err or 'ddress' in err
    assert_says(emberd.plain('-l', '192.0.2.1:18080', root), 71, '192.0.2.1')


@once
def test_privileged_port(emberd, root):
    """An ordinary user and port 80: the line says what is missing."""
    with open('/proc/sys/net/ipv4/ip_unprivileged_port_start', encoding='ascii') as file:
        if int(file.read()) <= 80:
            pytest.skip('every user may bind port 80 here')
    assert_says(emberd.plain('-l', '127.0.0.1:80', root), 71, ':80', 'Permission denied')


# ---- what only prints ----

@once
def test_help_and_version(emberd):
    """--help names every option; --version what was built in."""
    code, out, err = emberd.plain('--help')
    assert (code, err) == (0, '')
    for option in ['--config', '--listen', '--backend', '--workers', '--option', '--log-level',
                   '--check', '--print-config', '--backends', '--help', '--version']:
        assert option in out
    code, out, _ = emberd.plain('-V')
    assert code == 0 and out.startswith('emberd 0.') and 'epoll' in out


@once
def test_check(emberd, root):
    """--check prints every fault as FILE:LINE: what, and starts nothing."""
    good = emberd.write_settings(f'[Site a]\nRoot={root}\n', 'good.conf')
    bad = emberd.write_settings('[Server]\nWorkers=-1\nX=y\n', 'bad.conf')
    code, out, err = emberd.plain('--check', '-c', good)
    assert code == 0, err
    code, out, err = emberd.plain('--check', '-c', bad)
    assert code == 78
    assert f'{bad}:2:' in out + err and f'{bad}:3:' in out + err


@once
def test_check_looks_at_drop_ins(emberd, root):
    """FILE.d/*.conf are read in order of name, and later ones win."""
    path = emberd.write_settings(f'[Site a]\nRoot={root}\n[Server]\nWorkers=1\n')
    os.mkdir(path + '.d')
    emberd.write_settings('[Server]\nWorkers=2\n', 'emberd.conf.d/10-a.conf')
    emberd.write_settings('[Server]\nWorkers=3\n', 'emberd.conf.d/20-b.conf')
    emberd.write_settings('[Server]\nWorkers=9\n', 'emberd.conf.d/30-c.conf.bak')
    code, out, _ = emberd.plain('--print-config', '-c', path)
    assert code == 0 and re.search(r'^Workers=3$', out, re.M)
    emberd.write_settings('[Server]\nWorkerz=3\n', 'emberd.conf.d/40-d.conf')
    code, out, err = emberd.plain('--check', '-c', path)
    assert code == 78 and '40-d.conf:2:' in out + err


@once
def test_print_config_reads_back(emberd, root):
    """What --print-config prints is a settings file that gives the same settings."""
    path = emberd.write_settings(
        '[Server]\nIdleExitSec=5min\nHeadBytesMax=8K\nAccessLog=off\n'
        f'[Site example.org]\nAliases=a.example *.b.example\nRoot={root}\nDefault=yes\n'
        '[Route example.org /old/]\nRedirect=301 /new/\n')
    code, first, _ = emberd.plain('--print-config', '-c', path)
    assert code == 0
    again = emberd.write_settings(first, 'again.conf')
    code, second, err = emberd.plain('--print-config', '-c', again)
    assert code == 0, err
    assert first == second
    assert 'example.org' in first and 'Redirect=301 /new/' in first


@once
def test_backends(emberd):
    """--backends says of each backend whether it can run here, and if not why."""
    code, out, _ = emberd.plain('--backends')
    assert code == 0
    assert re.search(r'^epoll\b', out, re.M) and 'io_uring' in out


# ---- io_uring forbidden ----

def forbidden_memlock():
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))


@once
@pytest.mark.parametrize('call', ['io_uring_setup', 'io_uring_enter'])
def test_io_uring_forbidden_by_a_filter(emberd, root, deny, call):
    """Containers forbid io_uring: `auto` serves with epoll and says why; asking for it ends 71."""
    one = emberd(root=root, backend='auto', prefix=deny(call))
    with Client(one.connect()) as client:
        assert client.request('/small.txt').body == b'small file\n'
    assert re.search(rf'epoll.*{call}', one.stderr), one.stderr
    code, _, err = emberd.run(root=root, backend='io_uring', prefix=deny(call))
    assert code == 71 and call in err and 'io_uring' in err
    code, _, err = emberd.run('--check', root=root, backend='io_uring', prefix=deny(call))
    assert code == 78 and 'command line: Backend=io_uring cannot be had: ' in err and call in err
    code, out, _ = emberd.run('--backends', prefix=deny(call))
    assert code == 0
    assert re.search(rf'^io_uring.*{call}', out, re.M), out


@once
def test_io_uring_without_locked_memory(emberd, root):
    """
    RLIMIT_MEMLOCK 0, as an unprivileged user: since 5.12 the kernel counts rings by cgroup and may
    allow them all the same; then io_uring must serve. Else it is refused with the reason.
    """
    code, out, _ = emberd.plain('--backends', limits=forbidden_memlock)
    assert code == 0
    one = emberd(root=root, backend='auto', limits=forbidden_memlock)
    with Client(one.connect()) as client:
        assert client.request('/small.txt').body == b'small file\n'
    code, _, err = emberd.plain('-b', 'io_uring', '-l', 'nonsense', root,
                                limits=forbidden_memlock)
    assert code in (64, 71, 78)
    if re.search(r'^io_uring\W+(can run|yes|available|ready)', out, re.M):
        return
    assert 'epoll' in one.stderr
    port = free_port()
    code, _, err = emberd.plain('-b', 'io_uring', '-l', f'127.0.0.1:{port}', root,
                                limits=forbidden_memlock)
    assert code == 71 and ('MEMLOCK' in err or 'memory' in err), err


def test_says_what_it_serves_with(served):
    """The log names the backend, so that nobody has to guess which one a figure belongs to."""
    assert re.search(rf'\b{BACKEND}\b', served.stderr)


# ---- sockets ----

def test_passed_sockets(emberd, root, folder):
    """systemd passes TCP, IPv6 and unix sockets together; all are served, and not one is lost."""
    passed = emberd.new_passed()
    port4 = passed.tcp('http')[1]
    try:
        port6 = passed.tcp('six', socket.AF_INET6, '::1')[1]
    except OSError:
        port6 = None
    passed.unix(f'{folder}/socket', 'local')
    notify = emberd.new_notify()
    emberd(root=root, passed=passed, notify=notify)
    notify.wait('READY=1')
    addresses = [(socket.AF_INET, ('127.0.0.1', port4)), (socket.AF_UNIX, f'{folder}/socket')]
    addresses += [(socket.AF_INET6, ('::1', port6))] if port6 else []
    for family, address in addresses:
        with socket.socket(family) as connected:
            connected.settimeout(10)
            connected.connect(address)
            assert Client(connected).request('/small.txt').body == b'small file\n'


def test_connection_before_the_start(emberd, root):
    """What waits in the queue of a passed socket, long before emberd runs, is served."""
    passed = emberd.new_passed()
    address = passed.tcp()
    early = [Client(socket.create_connection(address, 10)) for _ in range(20)]
    for client in early:
        if BY_TLS:
            client.socket.greet()
        else:
            client.ask('/small.txt')
    emberd(root=root, passed=passed)
    for client in early:
        if BY_TLS:
            client.ask('/small.txt')
        assert client.response().body == b'small file\n'
        client.close()


@once
def test_passed_to_another_process(emberd, root):
    """LISTEN_PID of somebody else: the descriptors are not ours (sd_listen_fds(3))."""
    one = emberd(root=root, environment={'LISTEN_PID': '1', 'LISTEN_FDS': '1'})
    with Client(one.connect()) as client:
        assert client.request('/small.txt').status == 200


@once
def test_passed_what_is_no_listener(emberd, root, folder):
    """A FIFO or a datagram socket in the unit is a mistake that must not end the rest."""
    passed = emberd.new_passed()
    passed.tcp()
    odd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    odd.bind(('127.0.0.1', 0))
    passed.add(odd, 'odd')
    one = emberd(root=root, passed=passed)
    with Client(one.connect()) as client:
        assert client.request('/small.txt').status == 200
    assert 'passed' in one.stderr


@once
def test_listener_sections_by_name(emberd, root):
    """[Listener NAME] is the socket of that name; its Address counts only where none was passed."""
    passed = emberd.new_passed()
    passed.tcp('web')
    text = f'[Listener web]\nAddress=127.0.0.1:1\n[Site a]\nRoot={root}\n'
    one = emberd(settings=text, passed=passed)
    with Client(one.connect()) as client:
        assert client.request('/small.txt').status == 200
    port = free_port()
    one = emberd(settings=text.replace(':1\n', f':{port}\n'), listen=False)
    one.port = port
    with Client(one.wait_serving().connect()) as client:
        assert client.request('/small.txt').status == 200


def test_unix_and_ipv6_listeners(emberd, root, folder):
    """--listen takes each form of address, several times."""
    port = free_port()
    arguments = ['-l', f'unix:{folder}/own', '-l', f'[::1]:{port}']
    one = emberd(*arguments, root=root)
    with socket.socket(socket.AF_UNIX) as connected:
        connected.connect(f'{folder}/own')
        connected.settimeout(10)
        assert Client(connected).request('/small.txt').status == 200
    with socket.create_connection(('::1', port), 10) as connected:
        assert Client(connected).request('/small.txt').status == 200
    one.stop()
    again = emberd(*arguments, root=root)  # what was left of the socket's file is no hindrance
    again.stop()


def test_vsock_listener(emberd, root):
    """A virtual machine's host talks to it by vsock."""
    try:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as probe:
            probe.bind((1, socket.VMADDR_PORT_ANY))
            probe.listen()
            port = probe.getsockname()[1]
            with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as other:
                other.settimeout(2)
                other.connect((1, port))
    except OSError as error:
        pytest.skip(f'no vsock loopback: {error}')
    emberd('-l', f'vsock:{port}', root=root)
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as connected:
        connected.settimeout(10)
        connected.connect((1, port))
        assert Client(connected).request('/small.txt').status == 200


# ---- faulty settings under systemd ----

@pytest.mark.plain
def test_faulty_settings_with_passed_sockets(emberd, root):
    """
    Dying would only make systemd start it again and again: it answers 503, says why, and takes the
    settings once they are mended and reloaded.
    """
    import signal
    passed = emberd.new_passed()
    passed.tcp()
    notify = emberd.new_notify()
    one = emberd(settings='[Site a]\nRoott=/nowhere\n', passed=passed, notify=notify)
    notify.wait('READY=1')
    with Client(one.connect()) as client:
        response = client.request('/')
        assert response.status == 503
    assert re.search('[Ff]aulty settings.*emberd.conf:2', notify.wait('STATUS=.*aulty'))
    assert 'emberd.conf:2:' in one.stderr
    emberd.write_settings(f'[Site a]\nRoot={root}\n')
    one.signal(signal.SIGHUP)

    def healed():
        with Client(one.connect()) as client:
            return client.request('/small.txt').body == b'small file\n'

    eventually(healed, 5, 'the mended settings')


@once
def test_backend_that_cannot_be_had(emberd, root, deny):
    """
    Ending would let the visitor wait while systemd starts it again and again: it answers 503 with
    what there is, says why, and takes the settings once they are mended.
    """
    import signal
    passed = emberd.new_passed()
    passed.tcp()
    notify = emberd.new_notify()
    faulty = f'[Server]\nBackend=io_uring\n[Site a]\nRoot={root}\n'
    one = emberd(settings=faulty, passed=passed, notify=notify, backend='',
                 prefix=deny('io_uring_setup'))
    notify.wait('READY=1')
    with Client(one.connect()) as client:
        assert client.request('/').status == 503
    assert re.search('Faulty settings: .*emberd.conf:2: Backend=io_uring cannot be had: .*io_uring_'
                     'setup', notify.wait('STATUS=.*aulty'))
    assert 'emberd.conf:2: Backend=io_uring' in one.stderr
    one.signal(signal.SIGHUP)
    eventually(lambda: 'answering 503 to everything goes on' in one.stderr, 5, 'the refusal')
    emberd.write_settings(faulty.replace('io_uring', 'auto'))
    one.signal(signal.SIGHUP)

    def healed():
        with Client(one.connect()) as client:
            return client.request('/small.txt').body == b'small file\n'

    eventually(healed, 5, 'the mended settings')


@once
def test_reload_to_a_backend_that_cannot_be_had(emberd, root, deny):
    """Not the next start is to find it out: the settings before it stay."""
    import signal
    text = f'[Server]\nBackend=auto\n[Site a]\nRoot={root}\n'
    one = emberd(settings=text, backend='', prefix=deny('io_uring_setup'))
    emberd.write_settings(text.replace('auto', 'io_uring').replace(root, '/nonexistent'))
    one.signal(signal.SIGHUP)
    eventually(lambda: 'emberd.conf:2: Backend=io_uring cannot be' in one.stderr, 5, 'the fault')
    with Client(one.connect()) as client:
        assert client.request('/small.txt').body == b'small file\n'


@once
@pytest.mark.skipif(SANITIZED, reason='sanitizers take more than the limit')
def test_workers_that_cannot_be_had(emberd, root):
    """The same for Workers=, where there is no room for so many threads."""
    passed = emberd.new_passed()
    passed.tcp()

    def few_threads():
        resource.setrlimit(resource.RLIMIT_STACK, (1 << 30, 1 << 30))  # of each thread
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))

    one = emberd(settings=f'[Server]\nWorkers=64\n[Site a]\nRoot={root}\n', passed=passed,
                 workers='', limits=few_threads)
    one.wait_serving()  # before that, those that could start may have answered already
    with Client(one.connect()) as client:
        assert client.request('/').status == 503
    assert 'emberd.conf:2: Workers=64 cannot be had' in one.stderr


@once
def test_faulty_settings_leave_when_idle(emberd):
    """Until they are mended nobody needs the process: it goes after a few seconds."""
    passed = emberd.new_passed()
    passed.tcp()
    one = emberd(settings='[Site a]\nRoott=/nowhere\n', passed=passed)
    with Client(one.connect()) as client:
        assert client.request('/', fields='Connection: close').status == 503
    assert one.wait(30) == 0


@once
def test_faulty_settings_leave_although_visited(emberd):
    """
    The settings are read at the start, so somebody who asks every second must not keep the old
    process, and with it the fault, for ever: it leaves after ten seconds, and starts anew.
    """
    passed = emberd.new_passed()
    passed.tcp()
    begun = time.monotonic()
    one = emberd(settings='[Site a]\nRoott=/nowhere\n', passed=passed)
    while time.monotonic() < begun + 9:
        with Client(one.connect()) as client:
            assert client.request('/', fields='Connection: close').status == 503
        time.sleep(0.5)
    assert one.wait(2.5) == 0  # three idle seconds are not over yet
    assert 'read again' in one.stderr


@once
def test_log_that_cannot_be_opened_with_passed_sockets(emberd, root):
    """The log's name is a setting like another: it must not end the service again and again."""
    passed = emberd.new_passed()
    passed.tcp()
    one = emberd(root=root, options=['Server.AccessLog=/nonexistent/log'], log=True, passed=passed)
    with Client(one.connect()) as client:
        assert client.request('/').status == 503
    assert 'AccessLog=/nonexistent/log' in one.stderr
    assert_says(emberd.run(root=root, options=['Server.AccessLog=/nonexistent/log'], log=True), 78,
                'AccessLog=/nonexistent/log')


# ---- privileges ----

@once
def test_user(emberd, root):
    """Started as root by hand it drops to User=: all ids, all groups, and does not come back."""
    if not ROOT:
        pytest.skip('not root')
    user = pwd.getpwnam('nobody')
    one = emberd(root=root, options=['Server.User=nobody'], as_root=True, workers=2)
    with Client(one.connect()) as client:
        assert client.request('/small.txt').status == 200
    for task in os.listdir(f'/proc/{one.pid}/task'):
        with open(f'/proc/{one.pid}/task/{task}/status', encoding='ascii') as file:
            status = file.read()
        assert re.search(rf'^Uid:(\t{user.pw_uid}){{4}}$', status, re.M), status
        assert re.search(rf'^Gid:(\t{user.pw_gid}){{4}}$', status, re.M)
        assert re.search(r'^Groups:\s*(%d)?\s*$' % user.pw_gid, status, re.M)
        assert re.search(r'^CapEff:\t0+$', status, re.M)


@once
def test_user_owns_the_log(emberd, root, folder):
    """The user must be able to open the log again, at a reload or when it was rotated."""
    if not ROOT:
        pytest.skip('not root')
    path = os.path.join(folder, 'access.log')
    emberd(root=root, options=['Server.User=nobody', f'Server.AccessLog={path}'], log=True,
           as_root=True)
    assert os.stat(path).st_uid == pwd.getpwnam('nobody').pw_uid


@once
def test_user_that_does_not_exist(emberd, root):
    """A user that does not exist must not mean root."""
    if not ROOT:
        pytest.skip('not root')
    port = free_port()
    result = emberd.plain('-l', f'127.0.0.1:{port}', '-o', 'Server.User=no-such-user', root,
                          as_root=True)
    assert result[0] == 78 and 'no-such-user' in result[2]


@once
def test_no_descriptor_leaks_in(emberd, root):
    """
    Descriptors that a careless parent left open are not emberd's; it must neither serve nor use
    them, and its own are all close-on-exec.
    """
    one = emberd(root=root)
    for fd in os.listdir(f'/proc/{one.pid}/fd'):
        if int(fd) < 3:
            continue
        with open(f'/proc/{one.pid}/fdinfo/{fd}', encoding='ascii') as file:
            flags = int(re.search(r'^flags:\s+(\d+)', file.read(), re.M).group(1), 8)
        assert flags & os.O_CLOEXEC, os.readlink(f'/proc/{one.pid}/fd/{fd}')
