# SPDX-License-Identifier: MIT
"""emberd as a container's first process, without systemd: signals, orphans, what is missing."""
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import carrier
import certificates
from carrier import VERSION
from client import Client
from daemon import ROOT, SANITIZED, SLOWNESS, eventually, unprivileged

# what stands behind is the first process of a namespace of processes
AS_FIRST = ['unshare', '--fork', '--kill-child', '--pid', '--mount-proc']
IN_USER_NAMESPACE = ['unshare', '--user', '--map-root-user', '--fork', '--kill-child', '--pid',
                     '--mount-proc']
# a folder as the root that nobody can write, with no /proc, /dev or /etc in it; the path of the
# program, which stands before the options, is another one in there
READ_ONLY = ('mount --bind "$0" "$0" && mount -o remount,bind,ro,nosuid,nodev "$0" && '
             'shift && exec chroot "$0" /emberd "$@"')


def user_namespaces():
    return shutil.which('unshare') and not subprocess.run(
        [*IN_USER_NAMESPACE, 'true'], check=False, capture_output=True, **unprivileged()).returncode


@pytest.fixture(params=['root', 'user-namespace'])
def container(request, emberd):
    """Starts emberd as process 1 of a container; `then` is what becomes emberd in there."""
    if request.param == 'root' and not ROOT:
        pytest.skip('only root makes process namespaces without a user namespace')
    if request.param != 'root' and not user_namespaces():
        pytest.skip('no user namespaces here')

    def start(*arguments, then=(), keep_proc=True, **keywords):
        prefix = list(AS_FIRST if request.param == 'root' else IN_USER_NAMESPACE)
        if not keep_proc:
            prefix[-1] = '--mount'
        one = emberd(*arguments, prefix=[*prefix, *then], as_root=request.param == 'root',
                     **keywords)
        one.first = first_process(one.pid)
        one.signal = lambda number: os.kill(one.first, number)
        return one
    start.is_root = request.param == 'root'
    return start


def children(pid):
    """The processes that `pid` is the parent of."""
    found = []
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{name}/stat', encoding='ascii', errors='replace') as file:
                fields = file.read().rsplit(')', 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            found.append((int(name), fields[0]))
    return found


def first_process(pid):
    return children(pid)[0][0]


def status_of(pid, key):
    with open(f'/proc/{pid}/status', encoding='ascii', errors='replace') as file:
        return re.search(rf'^{key}:\s*(.*)$', file.read(), re.M).group(1).split()


@pytest.fixture
def huge(root):
    """More than sockets hold, so that a response is under way until somebody reads it."""
    with open(f'{root}/huge', 'wb') as file:
        file.truncate(48 << 20)
    return root


def test_term_drains(container, huge):
    """
    The kernel gives a first process none of the default actions of signals: what emberd does not
    handle itself would never end it, and the engine would kill it after ten seconds.
    """
    one = container(root=huge)
    assert status_of(one.first, 'NSpid')[-1] == '1'
    idle = Client(one.connect())
    assert idle.request('/small.txt').status == 200
    under_way = Client(one.connect())
    under_way.ask('/huge')
    under_way.until_begun()
    one.signal(signal.SIGTERM)
    assert idle.is_closed(5 * SLOWNESS)
    assert one.process.poll() is None
    assert len(under_way.response().body) == 48 << 20
    assert one.wait() == 0


def test_second_term_ends_at_once(container, huge):
    """An engine that is told twice to stop has no more patience."""
    one = container(root=huge)
    client = Client(one.connect())
    client.ask('/huge')
    client.until_begun()
    one.signal(signal.SIGTERM)
    time.sleep(0.3)
    assert one.process.poll() is None
    begun = time.monotonic()
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    assert time.monotonic() - begun < 1 * SLOWNESS
    client.close()


def test_settings_are_read_again(container, root):
    """HUP and USR1 mean the same as elsewhere."""
    text = f'[Site a]\nRoot={root}\n'
    one = container(settings=text)
    with Client(one.connect()) as client:
        assert client.request('/late/small.txt').status == 404
        with open(f'{os.path.dirname(root)}/emberd.conf', 'a', encoding='utf-8') as file:
            file.write('[Route a /late/]\nReturn=418\n')
        one.signal(signal.SIGUSR1)
        one.signal(signal.SIGHUP)
        eventually(lambda: client.request('/late/small.txt').status == 418, what='the new settings')


def test_orphans_are_reaped(container, root):
    """
    What `docker exec` starts, and what a shell started before it became emberd, ends up as a child
    of the first process. Zombies would fill the table of processes.
    """
    orphans = '(sleep 0.5 & sleep 0.5 &) ; sleep 1 & exec "$0" "$@"'
    one = container(root=root, then=['sh', '-c', orphans])
    eventually(lambda: not children(one.first), 10, 'no child, and no zombie')
    if container.is_root:  # one that enters later, and leaves its child behind
        subprocess.run(['nsenter', f'--target={one.first}', '--pid', '--mount', 'sh', '-c',
                        'setsid sleep 0.3 >&- 2>&- <&- &'], check=True)
        eventually(lambda: children(one.first), 2, 'an orphan')
        eventually(lambda: not children(one.first), 10, 'no child, and no zombie')
    with Client(one.connect()) as client:
        assert client.request('/small.txt').status == 200


def test_logs_to_the_standard_streams(container, root):
    """There is no journal: engines keep what is written to the two."""
    one = container(root=root, log=True)
    with Client(one.connect()) as client:
        assert client.request('/small.txt').status == 200
    one.signal(signal.SIGTERM)
    assert one.wait() == 0
    assert re.fullmatch(rf'127\.0\.0\.1 - - \[.*\] "GET /small.txt {re.escape(VERSION)}" 200 .*\n',
                        one.stdout)
    assert re.search(r'^emberd: listening on ', one.stderr, re.M)
    assert re.search(r'^emberd: told to stop', one.stderr, re.M)


@pytest.mark.skipif(not ROOT, reason='only root can change to another user')
def test_user_is_changed_to(emberd, root):
    """The first process of most containers is root's: User= is what gives that up."""
    one = emberd('-o', 'Server.User=nobody', root=root, prefix=AS_FIRST, as_root=True)
    one.first = first_process(one.pid)
    one.signal = lambda number: os.kill(one.first, number)
    assert set(status_of(one.first, 'Uid')) == {'65534'}
    assert int(status_of(one.first, 'CapEff')[0], 16) == 0
    assert 'running as root' not in one.stderr
    with Client(one.connect()) as client:
        assert client.request('/small.txt').status == 200


def libraries_of(program):
    """The files that the dynamic linker will ask for, by their paths."""
    said = subprocess.run(['ldd', program], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r'(/\S+) \(0x', said))


def copy_modules(emberd, folder, image):
    """
    Where a program looks that cannot tell where it lies itself, with what they are asked for; gives
    the files that they need.
    """
    os.mkdir(f'{folder}/lone')
    lone = shutil.copy(emberd.program, f'{folder}/lone/emberd')
    said = subprocess.run([lone, '--check', '-o', 'Site a.Root=/', '-o', 'Site a.Certificate=/a'],
                          capture_output=True, text=True, check=False).stderr
    into = image + os.path.dirname(re.search(r' (/\S+/tls\.so): ', said).group(1))
    os.makedirs(into)
    needed = set()
    for name in ('tls', 'http2'):
        module = f'{os.path.dirname(emberd.program)}/src/{name}/{name}.so'
        shutil.copy(module, into)
        needed |= libraries_of(module)
    shutil.copytree(certificates.folder(), image + certificates.folder())
    subprocess.run(['chmod', '-R', 'a+rX', image], check=True)  # keys too: who owns them there?
    return needed


@pytest.mark.skipif(SANITIZED, reason='sanitizers read /proc')
def test_read_only_root_without_proc(container, emberd, root, folder):
    """The smallest image: the program, its libraries, the files. Nothing else can be asked for."""
    image = f'{folder}/image'
    shutil.copytree(root, f'{image}/www')
    shutil.copy(emberd.program, f'{image}/emberd')
    needed = libraries_of(emberd.program)
    if carrier.CARRIER != 'plain':
        needed |= copy_modules(emberd, folder, image)
    for path in needed:
        os.makedirs(f'{image}{os.path.dirname(path)}', exist_ok=True)
        shutil.copy(path, f'{image}{path}')
    os.chmod(image, 0o755)
    one = container('/www', then=['sh', '-c', READ_ONLY, image], keep_proc=False)
    assert not os.path.exists(f'/proc/{one.first}/root/proc')
    with Client(one.connect()) as client:
        answer = client.request('/small.txt')
        assert answer.status == 200 and answer.body == b'small file\n'
        assert client.request('/big.bin').status == 200
        assert client.request('/missing').status == 404
    assert re.search(r'^emberd: serving with ', one.stderr, re.M)


@pytest.mark.parametrize('closed', ['1', '2', '012'])
def test_closed_standard_streams(emberd, root, closed):
    """
    A socket that got the number of a stream would get the log, too. What was closed is closed to
    the program; the answers are what they are anywhere.
    """
    redirect = ' '.join(f'{fd}>&-' for fd in closed)
    one = emberd(root=root, log=True, wait='2' not in closed,
                 prefix=['sh', '-c', f'exec "$0" "$@" {redirect}'])

    def answers():
        try:
            with Client(one.connect()) as client:
                return [client.request('/small.txt').body for _ in range(20)]
        except ConnectionRefusedError:
            return None
    assert eventually(answers) == [b'small file\n'] * 20
    for fd in closed:
        assert os.readlink(f'/proc/{one.pid}/fd/{fd}') == '/'
