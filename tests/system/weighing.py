# SPDX-License-Identifier: MIT
"""Units that differ from emberd.service in what is named, and the time each takes to answer first.

Each runs a program behind a socket of its own. They are started in rounds, in an order that differs
each time, so that what else the machine does meets all of them.

The processor time is that of the program's process, which was systemd's until it executed the
program: what sets up the sandbox is in it, what waits is not. It differs by little on a busy
machine, where the time on the clock differs by more than most directives cost.
"""
import random
import re
import time

from client import Inside

UNIT = '/usr/lib/systemd/system/emberd.service'
KINDS = {
    'of the mount namespace': r'Protect(System|Home|Proc|Kernel|Control|Clock)|ProcSubset|Private'
                              r'(Tmp|Devices|Mounts|IPC)|NoExecPaths',
    'of seccomp': r'SystemCall|Restrict(Name|Real|Address)|LockPers|MemoryDeny|ProtectHostname',
    'of the cgroup': r'IPAddress|DevicePolicy',
}
PORT = 9000


def sandbox_keys(text):
    """The directives from User= on, once each, in order."""
    keys = re.findall(r'^(\w+)=', text[text.index('\nUser='):], re.M)
    part_of_another = ('User', 'Group', 'RuntimeDirectoryMode')
    return [key for key in dict.fromkeys(keys) if key not in part_of_another]


def without(text, pattern):
    """The unit without the directives that match."""
    gone = re.compile(pattern)
    return ''.join(line for line in text.splitlines(keepends=True) if not gone.match(line))


def no_sandbox(text):
    """The unit up to User=, which begins the sandbox."""
    return text.split('\nUser=', 1)[0] + '\n'


def changed(text, changes):
    """KEY leaves it out, KEY=VALUE gives it another value, +KEY=VALUE is a line more."""
    for change in changes.split(','):
        if change.startswith('+'):
            text += f'{change[1:]}\n'
            continue
        key, _, value = change.partition('=')
        text = without(text, rf'{key}=')
        if value:
            text += f'{change}\n'
    return text


def variants(text):
    """(name, unit) of all units to compare with the one as it is."""
    head, tail = text.split('\nUser=', 1)
    yield 'no sandbox at all', no_sandbox(text)
    yield 'no sandbox, but the user', head + '\nUser=' + tail.split('\n', 1)[0] + '\n'
    for kind, pattern in KINDS.items():
        yield 'none ' + kind, without(text, pattern)
    for key in sandbox_keys(text):
        yield key, changed(text, key)


def bare_unit(text, program='/usr/sbin/bare'):
    """The same unit with another program, and a socket of its own."""
    text = re.sub(r'^(ExecReload|Requires|After|WatchdogSec)=.*\n', '', text, flags=re.M)
    return re.sub(r'^ExecStart=.*', f'ExecStart={program}', text, flags=re.M)


def exposure(machine, path):
    said = machine.run('systemd-analyze', 'security', '--no-pager', '--offline=yes', path)
    return float(re.search(r'exposure level for \S+: ([\d.]+)', said).group(1))


class Weighed:
    """
    A unit on the scales: `times` are milliseconds from before connect(2) to the first byte, `cpu`
    milliseconds of processor time.
    """

    def __init__(self, machine, index, name, text, program='/usr/sbin/bare'):
        self.machine, self.name, self.times, self.cpu = machine, name, [], []
        self.unit, self.port = f'weigh{index}', PORT + index
        machine.write(f'/etc/systemd/system/{self.unit}.service', bare_unit(text, program))
        machine.write(f'/etc/systemd/system/{self.unit}.socket', f'[Socket]\nListenStream='
                      f'{self.port}\nTriggerLimitIntervalSec=0\n')
        self.exposure = exposure(machine, f'/etc/systemd/system/{self.unit}.service')

    def start_once(self, inside):
        answer = inside.get(port=self.port)
        self.times.append(answer.first_byte_ms)
        threads = self.machine.shell('cat /proc/$(systemctl show --value -p MainPID '
                                     f'{self.unit}.service)/task/*/schedstat')
        self.cpu.append(sum(int(thread.split()[0]) for thread in threads.splitlines()) / 1e6)
        self.machine.run('systemctl', 'stop', f'{self.unit}.service')
        time.sleep(0.03)  # what stopping leaves to do is not the next one's


def measure(machine, chosen, rounds):
    inside = Inside(machine)
    for round_number in range(rounds + 1):
        order = list(chosen)
        random.Random(round_number).shuffle(order)
        for weighed in order:
            weighed.start_once(inside)
    inside.end()
    for weighed in chosen:
        # the first one reads the programs from the disk
        weighed.times.pop(0)
        weighed.cpu.pop(0)
