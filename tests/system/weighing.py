# SPDX-License-Identifier: MIT
"""Units that differ from emberd.service in what is named, and the time each takes to answer first.

Each runs a program behind a socket of its own. They are started in rounds, in an order that differs
each time, so that what else the machine does meets all of them.
"""
import random
import re
import time

from client import Inside

UNIT = '/usr/lib/systemd/system/emberd.service'
KINDS = {
    'of the mount namespace': r'Protect(System|Home|Proc|Kernel|Control|Clock)|ProcSubset|Private'
                              r'(Tmp|Devices|Mounts|IPC)|(No)?ExecPaths',
    'of seccomp': r'SystemCall|Restrict(Name|Real|Address)|LockPers|MemoryDeny|ProtectHostname',
    'of the cgroup': r'IPAddress|DevicePolicy',
}
PORT = 9000


def sandbox_keys(text):
    """The directives from User= on, once each, in order."""
    keys = re.findall(r'^(\w+)=', text[text.index('\nUser='):], re.M)
    return [key for key in dict.fromkeys(keys) if key not in ('User', 'Group', 'ExecPaths')]


def without(text, pattern):
    """The unit without the directives that match; ExecPaths= goes with NoExecPaths=."""
    gone = re.compile(pattern)
    return ''.join(line for line in text.splitlines(keepends=True) if not gone.match(line))


def no_sandbox(text):
    """The unit up to User=, which begins the sandbox."""
    return text.split('\nUser=', 1)[0] + '\n'


def changed(text, changes):
    for change in changes.split(','):
        key, _, value = change.partition('=')
        text = without(text, rf'{key}=' if key != 'NoExecPaths' else '(No)?ExecPaths=')
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
    text = re.sub(r'^ExecStart=.*', f'ExecStart={program}', text, flags=re.M)
    return text.replace('ExecPaths=/usr/sbin/emberd', f'ExecPaths={program}')


def exposure(machine, path):
    said = machine.run('systemd-analyze', 'security', '--no-pager', '--offline=yes', path)
    return float(re.search(r'exposure level for \S+: ([\d.]+)', said).group(1))


class Weighed:
    """A unit on the scales: `times` are milliseconds from before connect(2) to the first byte."""

    def __init__(self, machine, index, name, text, program='/usr/sbin/bare'):
        self.machine, self.name, self.times = machine, name, []
        self.unit, self.port = f'weigh{index}', PORT + index
        machine.write(f'/etc/systemd/system/{self.unit}.service', bare_unit(text, program))
        machine.write(f'/etc/systemd/system/{self.unit}.socket', f'[Socket]\nListenStream='
                      f'{self.port}\nTriggerLimitIntervalSec=0\n')
        self.exposure = exposure(machine, f'/etc/systemd/system/{self.unit}.service')

    def start_once(self, inside):
        answer = inside.get(port=self.port)
        self.times.append(answer.first_byte_ms)
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
        weighed.times.pop(0)  # the first one reads the programs from the disk
