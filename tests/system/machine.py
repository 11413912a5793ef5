# SPDX-License-Identifier: MIT
"""A Debian with its own systemd, booted in systemd-nspawn.

The tree of a machine is only read: what it writes is in memory and gone with it. It has a network
of its own; a thread that has called Machine.enter_network() opens its sockets there.

Two traps. With --keep-unit, machines that are started from one cgroup share one below it, so each
gets its own first. And a program that is started by nsenter stays in the cgroup of this process:
what depends on cgroups must be started by a unit.
"""
import ctypes
import glob
import itertools
import os
import re
import signal
import subprocess
import time

BOOT_SECONDS = 60
STOP_SECONDS = 20
CAPABILITIES = 'CAP_BPF,CAP_PERFMON,CAP_SYS_RESOURCE,CAP_NET_ADMIN'
# what systemd-nspawn forbids although the sandbox of a unit is made with it, or could ask for it
SYSTEM_CALLS = ('bpf landlock_create_ruleset landlock_add_rule landlock_restrict_self '
                'memfd_secret perf_event_open @keyring')
ENVIRONMENT = ['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LANG=C.UTF-8',
               'TERM=dumb', 'SYSTEMD_PAGER=cat', 'SYSTEMD_COLORS=0']
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PREFIX = 'emberd-test-'

libc = ctypes.CDLL(None, use_errno=True)
numbers = itertools.count(1)  # a test may boot a machine beside another one


def cgroup_roots():
    """All hierarchies that systemd looks at: unified, hybrid, or systemd's own of version 1."""
    if os.path.exists('/sys/fs/cgroup/cgroup.controllers'):
        return ['/sys/fs/cgroup']
    return [f for f in ('/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd') if os.path.isdir(f)]


def remove_cgroups(name):
    for root in cgroup_roots():
        for folder, _, _ in os.walk(os.path.join(root, name), topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                pass  # still in use; the next run looks again


def remove_stale_cgroups():
    for root in cgroup_roots():
        for folder in glob.glob(os.path.join(root, PREFIX + '*')):
            name = os.path.basename(folder)
            if not os.path.exists(f'/proc/{name.rsplit("-", 1)[-1]}'):
                remove_cgroups(name)


class Machine:
    def __init__(self, suite, root, share, log):
        self.suite = suite
        self.name = f'{PREFIX}{suite}-{next(numbers)}-{os.getpid()}'
        self.root, self.share, self.log = root, share, log
        self.process, self.leader = None, None

    # starting and stopping

    def _before_exec(self):
        for root in cgroup_roots():
            with open(os.path.join(root, self.name, 'cgroup.procs'), 'w', encoding='ascii') as f:
                f.write('0')
        os.setsid()
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # no machine outlives its test

    def start(self):
        remove_stale_cgroups()
        for root in cgroup_roots():
            os.makedirs(os.path.join(root, self.name), exist_ok=True)
        command = ['systemd-nspawn', '-q', '-D', self.root, '-M', self.name, '--keep-unit',
                   '--register=no', '--private-network', '--boot', '--volatile=overlay',
                   '--console=pipe', '--kill-signal=SIGRTMIN+3', '--capability=' + CAPABILITIES,
                   '--system-call-filter=' + SYSTEM_CALLS, f'--bind-ro={self.share}:/share']
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=self._before_exec,
                env=dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY='1'))
        try:
            self._await_boot(time.monotonic() + BOOT_SECONDS)
        except BaseException:
            self.stop()
            raise

    def _await_boot(self, until):
        state = ''
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            self.leader = self.leader or self._find_leader()
            if self.leader:
                state = self.run('systemctl', 'is-system-running', '--wait', check=False).strip()
                if state == 'running':
                    return
                if state == 'degraded':
                    raise RuntimeError('booted degraded: ' + self.run('systemctl', '--failed'))
            time.sleep(0.05)
        with open(self.log, encoding='utf-8', errors='replace') as log:
            raise RuntimeError(f'{self.name} did not boot ({state}):\n' + log.read()[-4000:])

    def _find_leader(self):
        pid = self.process.pid
        try:
            with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as children:
                for child in children.read().split():
                    with open(f'/proc/{child}/comm', encoding='ascii') as comm:
                        if comm.read().strip() == 'systemd':
                            return int(child)
        except FileNotFoundError:
            pass
        return None

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                if self.leader:
                    os.kill(self.leader, signal.SIGKILL)
                self.process.kill()
                self.process.wait()
        remove_cgroups(self.name)

    # inside

    def run(self, *command, check=True, seconds=60, text=None):
        """What the command prints, both outputs; check: it must succeed."""
        done = self.call(*command, seconds=seconds, text=text)
        if check and done.returncode:
            raise AssertionError(f'{" ".join(command)}: exit {done.returncode}: {done.stdout}')
        return done.stdout

    def call(self, *command, seconds=60, text=None):
        return subprocess.run(
            ['nsenter', '-t', str(self.leader), '-m', '-u', '-i', '-n', '-p', '-C', '--',
             *ENVIRONMENT, *command],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds,
            input=text, stdin=subprocess.DEVNULL if text is None else None, check=False,
            start_new_session=True)  # "kill 0" in there is not for whoever tests

    def shell(self, script, **more):
        return self.run('bash', '-c', script, **more)

    def write(self, path, text):
        self.shell(f'mkdir -p "$(dirname {path})" && cat >{path}', text=text)

    def enter_network(self):
        """From now on the calling thread opens its sockets in the machine's network."""
        with open(f'/proc/{self.leader}/ns/net', 'rb') as net:
            if libc.setns(net.fileno(), CLONE_NEWNET) < 0:
                raise OSError(ctypes.get_errno(), 'setns')

    # packages

    def apt(self, *arguments, check=True):
        """What apt-get says; it has no network, what it installs is in /share."""
        return self.run('env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', '-y', '-o',
                        'Dpkg::Use-Pty=0', '--no-install-recommends', *arguments, check=check,
                        seconds=120)

    def install(self, package='/share/emberd.deb', *options):
        return self.apt('install', *options, package)

    # systemd

    def show(self, unit, name):
        return self.run('systemctl', 'show', '--value', '-p', name, unit).strip()

    def main_pid(self, unit='emberd.service'):
        return int(self.show(unit, 'MainPID'))

    def cursor(self):
        shown = self.run('journalctl', '--sync', check=False)
        shown = self.run('journalctl', '-n', '0', '--show-cursor')
        found = re.search(r'-- cursor: (.*)', shown)
        return found.group(1) if found else ''

    def journal(self, unit='emberd.service', cursor=''):
        after = ['--after-cursor', cursor] if cursor else []
        self.run('journalctl', '--sync', check=False)
        return self.run('journalctl', '-q', '-o', 'cat', '-u', unit, *after)

    def version(self):
        return int(re.search(r'systemd (\d+)', self.run('systemctl', '--version')).group(1))
