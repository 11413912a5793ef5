# SPDX-License-Identifier: MIT
"""What the scenarios share: a folder, files to serve, and the daemon under test.

EMBERD            the program (default: build/emberd)
EMBERD_BACKEND    epoll, io_uring or auto
EMBERD_TRIGGER    edge, level, oneshot, or - for the default
EMBERD_CARRIER    plain, tls, h2 or h2c: see carrier.py
EMBERD_WORKERS    a number or auto
EMBERD_BUILD      the build folder, for what else was built there
"""
import ctypes
import os
import re
import shutil
import subprocess
import tempfile

import pytest

import carrier
import daemon as daemon_module
from client import Client
from daemon import BACKEND, ROOT, TRIGGER, WORKERS, Daemon, NotifySocket, Passed, free_port

CLONE_NEWNS = 0x00020000

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def pytest_addoption(parser):
    parser.addoption('--long', action='store_true', help='more rounds of what is random or rare')


@pytest.fixture(scope='session')
def rounds(request):
    """How often to repeat what may go wrong rarely."""
    return 20 if request.config.getoption('--long') else 3


@pytest.fixture(scope='session')
def program():
    """
    A copy of the program, with its modules, that any user may run: tests that run as root start it
    as nobody, who may not be able to reach the build folder.
    """
    built = os.environ.get('EMBERD') or os.path.join(TOP, 'build/emberd')
    folder = tempfile.mkdtemp(prefix='emberd-program-')
    os.chmod(folder, 0o755)
    copy = os.path.join(folder, 'emberd')
    shutil.copy2(built, copy)
    os.chmod(copy, 0o755)
    for name in ('tls', 'http2'):
        module = f'src/{name}/{name}.so'
        if os.path.exists(f'{os.path.dirname(built)}/{module}'):
            os.makedirs(f'{folder}/src/{name}')
            shutil.copy2(f'{os.path.dirname(built)}/{module}', f'{folder}/{module}')
    subprocess.run(['chmod', '-R', 'a+rX', folder], check=True)
    yield copy
    shutil.rmtree(folder)


@pytest.fixture
def folder():
    """A temporary folder that any user may enter and write to; pytest's are closed to others."""
    path = tempfile.mkdtemp(prefix='emberd-test-')
    os.chmod(path, 0o777)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def root(folder):
    """A folder to serve, with a few files."""
    path = os.path.join(folder, 'www')
    os.mkdir(path)
    os.mkdir(os.path.join(path, 'sub'))
    for name, content in [('index.html', b'<p>index</p>\n'), ('small.txt', b'small file\n'),
                          ('empty', b''), ('sub/index.html', b'sub index\n'),
                          ('big.bin', bytes(range(256)) * 4096),  # 1 MiB
                          ('medium.bin', b'0123456789abcdef' * 4096)]:  # 64 KiB
        with open(os.path.join(path, name), 'wb') as file:
            file.write(content)
    return path


class Starter:
    """Starts daemons for one test; see the fixture `emberd`."""

    def __init__(self, program, folder):
        self.program = program
        self.folder = folder
        self.daemons = []
        self.passed = []
        self.notifies = []

    def common(self, workers=None, backend=None):
        argv = [] if backend == '' else ['-b', backend or BACKEND]
        argv += [] if workers == '' else ['-w', str(workers or WORKERS)]
        if TRIGGER not in ('-', ''):
            argv += ['-o', f'Server.EpollTrigger={TRIGGER}']
        return argv

    def __call__(self, *arguments, root=None, settings=None, options=(), passed=None, notify=None,
                 listen=True, workers=None, backend=None, environment=None, log=False, limits=None,
                 wait=True, as_root=False, prefix=(), carried=True):
        """
        Start emberd and wait until it listens. `options` are values of -o; `settings` is the text
        of a settings file; without `log` the access log is off; `carried` says whether clients come
        by what carries this run, or as the test says. A backend or workers of '' are as the
        settings say.
        """
        argv = [*prefix, self.program, *self.common(workers, backend)]
        if not log:
            argv += ['-o', 'Server.AccessLog=off']
        for option in options:
            argv += ['-o', option]
        if settings is not None:
            argv += ['-c', self.write_settings(settings)]
        port = None
        if listen and not passed:
            port = free_port()
            arguments = ['-l', f'127.0.0.1:{port}', *arguments]
        has_folder = root or (arguments and arguments[-1].startswith('/'))
        sites = re.findall(r'^\[Site (\S+)\]', settings or '', re.M)
        sites = sites or ['localhost'] * bool(has_folder)
        if carried:
            arguments = self.carry(arguments, passed, sites)
        argv += arguments
        if root:
            argv.append(root)
        environment = dict(environment or {})
        if notify:
            environment['NOTIFY_SOCKET'] = notify.path
        one = Daemon(argv, self.folder, port, environment, passed, limits, as_root)
        one.server_name = sites[0] if carried and '.' in ''.join(sites[:1]) else None
        self.daemons.append(one)
        if passed and passed.sockets[0].family == daemon_module.socket.AF_INET:
            one.port = passed.sockets[0].getsockname()[1]
        if wait and port:
            one.wait_serving()
        return one

    def carry(self, arguments, passed, sites):
        """The arguments for this run's carrier: listeners that want TLS have sections."""
        listeners, found = list(passed.names if passed else ()), list(arguments)
        for number in range(len(arguments) - 1) if carrier.BY_TLS else ():
            if arguments[number] == '-l':
                found[number:number + 2] = [
                    '-o', f'Listener l{number}.Address={arguments[number + 1]}']
                listeners.append(f'l{number}')
        for option in carrier.options(dict.fromkeys(listeners), sites):
            found += ['-o', option]
        return found

    def run(self, *arguments, seconds=10, **keywords):
        """Run emberd to its end: (exit status, standard output, standard error)."""
        keywords.setdefault('listen', False)
        one = self(*arguments, wait=False, **keywords)
        try:
            one.wait(seconds)
        finally:
            one.kill()
        one.assert_clean()
        return one.process.returncode, one.stdout, one.stderr

    def plain(self, *arguments, **keywords):
        """As run(), but with nothing on the command line that the test did not put there."""
        one = Daemon([self.program, *arguments], self.folder, **keywords)
        self.daemons.append(one)
        try:
            one.wait(10)
        finally:
            one.kill()
        one.assert_clean()
        return one.process.returncode, one.stdout, one.stderr

    def write_settings(self, text, name='emberd.conf'):
        path = os.path.join(self.folder, name)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        os.chmod(path, 0o644)
        return path

    def new_passed(self):
        self.passed.append(Passed())
        return self.passed[-1]

    def new_notify(self):
        self.notifies.append(NotifySocket(tempfile.mkdtemp(dir=self.folder)))
        os.chmod(os.path.dirname(self.notifies[-1].path), 0o755)
        return self.notifies[-1]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    if outcome.get_result().when == 'call':
        item.call_failed = outcome.get_result().failed


@pytest.fixture
def emberd(request, program, folder):
    """
    Starts emberd with the backend, trigger and workers of this run. At the end of a test each one
    is stopped by TERM and must exit with 0 and without a word from a sanitizer.
    """
    starter = Starter(program, folder)
    yield starter
    try:
        for one in starter.daemons:
            if getattr(request.node, 'call_failed', True):
                print(f'--- standard error of {one.process.args}\n{one.stderr[-4000:]}')
                one.kill()
            else:
                one.stop()
    finally:
        for one in starter.daemons:
            one.kill()
        for one in [*starter.passed, *starter.notifies]:
            one.close()


@pytest.fixture
def emberctl(program, folder):
    """
    Runs emberctl as the user that emberd runs as, with the folder 'run' of the test's folder as its
    RUNTIME_DIRECTORY: (exit status, standard output, standard error).
    """
    copy = os.path.join(os.path.dirname(program), 'emberctl')
    if not os.path.exists(copy):
        built = os.environ.get('EMBERD') or os.path.join(TOP, 'build/emberd')
        shutil.copy2(os.path.join(os.path.dirname(built), 'emberctl'), copy)
        os.chmod(copy, 0o755)

    def run(*arguments):
        done = subprocess.run([copy, *arguments], capture_output=True, text=True, check=False,
                              timeout=70 * daemon_module.SLOWNESS, cwd='/',
                              env={**os.environ, 'RUNTIME_DIRECTORY': f'{folder}/run'},
                              **daemon_module.unprivileged())
        assert not daemon_module.TROUBLE.search(done.stderr), done.stderr
        return done.returncode, done.stdout, done.stderr
    return run


@pytest.fixture
def served(emberd, root):
    """The plainest run: `root` on a port of 127.0.0.1."""
    return emberd(root=root)


@pytest.fixture
def client(served):
    with Client(served.connect()) as one:
        yield one


@pytest.fixture
def deny(folder):
    """Gives a prefix for a command that forbids it one system call, by seccomp."""
    built = os.path.join(os.environ.get('EMBERD_BUILD') or os.path.join(TOP, 'build'),
                         'tests/tools/deny')
    copy = os.path.join(folder, 'deny')
    shutil.copy2(built, copy)
    os.chmod(copy, 0o755)
    return lambda call: [copy, call, '--']


@pytest.fixture(scope='session')
def own_mounts():
    """Mounts of this process and its children alone: nothing that a test mounts is seen outside."""
    if not ROOT:
        pytest.skip('not root')
    if not os.path.exists('/dev/fuse'):
        pytest.skip('no /dev/fuse')
    if ctypes.CDLL(None).unshare(CLONE_NEWNS) < 0 or subprocess.run(
            ['mount', '--make-rprivate', '/'], check=False, capture_output=True).returncode:
        pytest.skip('no mount namespace of our own')
