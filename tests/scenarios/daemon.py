# SPDX-License-Identifier: MIT
"""Starts the built emberd, watches its process, and ends it with the checks every test owes."""
import contextlib
import os
import pwd
import random
import re
import signal
import socket
import subprocess
import tempfile
import time

from carrier import carried

BACKEND = os.environ.get('EMBERD_BACKEND', 'epoll')
TRIGGER = os.environ.get('EMBERD_TRIGGER', '-')
WORKERS = os.environ.get('EMBERD_WORKERS', 'auto')
BUILD = os.environ.get('EMBERD_BUILD', '')
SANITIZED = 'san' in os.path.basename(BUILD)
SLOWNESS = 5 if SANITIZED or 'coverage' in BUILD else 1
ROOT = os.geteuid() == 0

# what no run may leave on standard error: sanitizers' reports, broken invariants, failed assertions
TROUBLE = re.compile(r'Sanitizer|runtime error:|[Ii]nvariant|Assertion|bug of emberd|double free')


def free_port():
    """A free port below those that the kernel gives to clients, so that none takes it meanwhile."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(('127.0.0.1', port))
                return port


def unprivileged():
    """How a test that runs as root starts what must not: Popen's arguments."""
    if not ROOT:
        return {}
    user = pwd.getpwnam('nobody')
    return {'user': user.pw_uid, 'group': user.pw_gid, 'extra_groups': []}


def eventually(condition, seconds=5, what='the condition'):
    """Wait until `condition()` holds and give what it gave."""
    end = time.monotonic() + seconds * SLOWNESS
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f'{what} did not come within {seconds * SLOWNESS} s'
        time.sleep(0.01)


class NotifySocket:
    """Stands where systemd's notification socket is; keeps the messages in order."""

    def __init__(self, folder):
        self.path = os.path.join(folder, 'notify')
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self.lines = []
        self.times = []

    def receive(self, seconds=0.0):
        self.socket.settimeout(max(seconds, 0.0001))
        with contextlib.suppress(TimeoutError, BlockingIOError):
            while True:
                for line in self.socket.recv(65536).decode().split('\n'):
                    if line:
                        self.lines.append(line)
                        self.times.append(time.monotonic())
                self.socket.settimeout(0.0001)
        return self.lines

    def wait(self, pattern, seconds=5, after=0):
        """The first line from number `after` on that matches."""
        def look():
            self.receive(0.02)
            return next((x for x in self.lines[after:] if re.match(pattern, x)), None)
        return eventually(look, seconds, f'{pattern} in {self.lines[after:]}')

    def close(self):
        self.socket.close()


class Passed:
    """Listening sockets for the daemon, as systemd passes them, in order."""

    def __init__(self):
        self.sockets = []
        self.names = []

    def tcp(self, name='http', family=socket.AF_INET, host='127.0.0.1', backlog=4096):
        one = socket.socket(family, socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = free_port()
        one.bind((host, port))
        one.listen(backlog)
        return self.add(one, name)

    def unix(self, path, name='http'):
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.bind(path)
        os.chmod(path, 0o777)
        one.listen(4096)
        return self.add(one, name)

    def add(self, one, name):
        self.sockets.append(one)
        self.names.append(name)
        return one.getsockname()

    def wrap(self, argv, environment, keep):
        """
        A shell puts the descriptors at 3 and up and sets LISTEN_PID to the process that becomes
        emberd. They are copied high up first, so that no move overwrites another.
        """
        import fcntl
        high = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 100) for s in self.sockets]
        keep += high
        moves = ' '.join(f'{3 + i}<&{fd}' for i, fd in enumerate(high))
        closes = ' '.join(f'{fd}<&-' for fd in high)
        environment['LISTEN_FDS'] = str(len(high))
        environment['LISTEN_FDNAMES'] = ':'.join(self.names)
        return ['/bin/bash', '-c', f'exec {moves} {closes}; export LISTEN_PID=$$; exec "$@"',
                'bash', *argv], high

    def close(self):
        for one in self.sockets:
            one.close()


class Daemon:
    """One running emberd. `port` is that of --listen; `stdout` and `stderr` are read from files."""

    def __init__(self, argv, folder, port=None, environment=None, passed=None, limits=None,
                 as_root=False):
        self.port = port
        self.server_name = None  # whom clients ask for by TLS; None: nobody
        self.folder = tempfile.mkdtemp(prefix='run-', dir=folder)
        self.stdout_path = os.path.join(self.folder, 'stdout')
        self.stderr_path = os.path.join(self.folder, 'stderr')
        self.stopped = False
        environment = {**os.environ, **(environment or {})}
        high = []
        keep = []
        if passed:
            argv, high = passed.wrap(argv, environment, keep)
        with open(self.stdout_path, 'wb') as out, open(self.stderr_path, 'wb') as err:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, cwd='/',
                pass_fds=keep, preexec_fn=limits, **({} if as_root else unprivileged()))
        for fd in high:
            os.close(fd)

    @property
    def pid(self):
        return self.process.pid

    @property
    def stdout(self):
        with open(self.stdout_path, encoding='utf-8', errors='replace') as file:
            return file.read()

    @property
    def stderr(self):
        with open(self.stderr_path, encoding='utf-8', errors='replace') as file:
            return file.read()

    def connect(self, seconds=10):
        """A socket, by TLS where the carrier of this run says so."""
        return carried(self.connect_in_clear(seconds), self.server_name)

    def connect_in_clear(self, seconds=10):
        return socket.create_connection(('127.0.0.1', self.port), seconds * SLOWNESS)

    def wait_serving(self, seconds=10):
        """Until the log says that the workers run."""
        def serves():
            assert self.process.poll() is None, \
                f'emberd ended with {self.process.returncode}: {self.stderr}'
            return 'serving with' in self.stderr
        eventually(serves, seconds, 'a serving emberd')
        return self

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=10):
        return self.process.wait(seconds * SLOWNESS)

    def assert_clean(self):
        text = self.stderr
        assert not TROUBLE.search(text), text

    def stop(self, expected=0):
        """TERM, and what every run owes: the exit status, and nothing from a sanitizer."""
        if self.stopped:
            return
        self.stopped = True
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            self.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f'emberd did not end within its time after TERM: {self.stderr}')
        self.assert_clean()
        assert self.process.returncode == expected, \
            f'exit status {self.process.returncode}, not {expected}: {self.stderr}'

    def kill(self):
        """For the end of a test that failed."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.stopped = True

    # what the kernel knows about the process

    def memory_bytes(self):
        """What is the process's alone: the private pages, from smaps_rollup."""
        with open(f'/proc/{self.pid}/smaps_rollup', encoding='ascii') as file:
            kib = re.findall(r'^Private_(?:Clean|Dirty):\s+(\d+) kB', file.read(), re.M)
        return sum(map(int, kib)) * 1024

    def open_files(self):
        return len(os.listdir(f'/proc/{self.pid}/fd'))

    def cpu_seconds(self):
        with open(f'/proc/{self.pid}/stat', encoding='ascii') as file:
            fields = file.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')
