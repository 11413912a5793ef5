# SPDX-License-Identifier: MIT
"""A machine in which emberd does what a taken-over emberd might, under units of any strictness.

The test build (share/emberd-test) stands in place of the package's program, so that the unit is the
shipped one, or the shipped one with less in it.
"""
import re
import socket

import pytest
from weighing import no_sandbox

SETTINGS = """[Server]
Workers={workers}
Backend={backend}
[Site x]
[Route x /]
Return=200 ok
[Route x /misbehave/]
Misbehave=yes
"""
SIBLING = 'emberd@8080'
OUTSIDE = '198.51.100.7'
UNIT = '/run/systemd/system/emberd.service'
RESOLVED = '/run/systemd/system/resolved-in-name-only.'
PREPARE = f"""
set -e
systemctl daemon-reload
cp -a /usr/sbin/emberd /usr/sbin/emberd.shipped
install -m 755 /share/emberd-test /usr/sbin/emberd
mkdir -p /home/somebody /var/lib/public-service /usr/lib/modules /srv/mounted
chmod 755 /home /home/somebody /root
for folder in /home/somebody /root /var/lib/public-service /tmp /usr/lib/modules; do
        echo secret >$folder/secret
        chmod 644 $folder/secret
done
mkdir -m 700 -p /var/lib/private-service
echo secret >/var/lib/private-service/secret
mkdir -m 777 -p /srv/open
systemctl start resolved-in-name-only.socket
ip address replace {OUTSIDE}/32 dev lo
"""
BEFORE_EACH = """
touch /etc/evil-victim /etc/emberd/victim.conf
rm -f /etc/emberd/victim-renamed.conf
mountpoint -q /srv/mounted || mount -t tmpfs none /srv/mounted
"""


class Outcome:
    def __init__(self, line):
        self.name, said, self.error, self.note = line.rstrip('\n').split('\t')
        self.done = said == 'done'

    def __str__(self):
        return 'done' if self.done else self.error


def shipped_unit(machine):
    return machine.run('cat', machine.show('emberd.service', 'FragmentPath'))


# The layers of the sandbox, told by their directives; each stands alone in a run of its own.
LAYERS = {
    'user': 'User=|Group=',
    'no capabilities': 'CapabilityBoundingSet=',
    'no new privileges': 'NoNewPrivileges=',
    'network namespace': 'PrivateNetwork=',
    'IP filter': 'IPAddressDeny=',
    'address families': 'RestrictAddressFamilies=',
    'read-only': 'ProtectSystem=|ReadOnlyPaths=',
    'hidden': 'ProtectHome=|InaccessiblePaths=|TemporaryFileSystem=|Bind|ProtectKernelModules=',
    'own /tmp': 'PrivateTmp=',
    'own /dev': 'PrivateDevices=',
    'user namespace': 'PrivateUsers=',
    'own /proc': 'ProtectProc=|ProcSubset=',
    'kernel tunables': 'ProtectKernelTunables=',
    'kernel log': 'ProtectKernelLogs=',
    'control groups': 'ProtectControlGroups=',
    'clock': 'ProtectClock=',
    'host name': 'ProtectHostname=',
    'no exec': '(No)?ExecPaths=',
    'no namespaces': 'RestrictNamespaces=',
    'no real time': 'RestrictRealtime=',
    'personality': 'LockPersonality=',
    'W^X': 'MemoryDenyWriteExecute=',
    'system calls': 'SystemCall',
}
# no part of the sandbox: the folder of the control socket
KEPT = 'RuntimeDirectory'
OPEN = 'Environment=EMBERD_NO_SANDBOX=1\n'
# a filter that takes nothing, for emberd to add its own to
SOME_FILTER = 'SystemCallFilter=~acct:EPERM\n'


def layered(unit, pattern, itself=False):
    """
    The unit with only those lines of its sandbox that match, and with or without what emberd takes
    from itself.
    """
    sandbox = unit[unit.index('\nUser=') + 1:]
    kept = [line for line in sandbox.splitlines() if re.match(f'{pattern}|{KEPT}', line)]
    return no_sandbox(unit) + '\n'.join(kept) + '\n' + ('' if itself else OPEN)


class Hostile:
    """Its end gives the machine back as it was."""

    def __init__(self, emberd):
        self.emberd, self.machine = emberd, emberd.machine
        self.machine.write(RESOLVED + 'socket', '[Socket]\nListenStream='
                           '/run/systemd/resolve/io.systemd.Resolve\n')
        self.machine.write(RESOLVED + 'service', '[Service]\nExecStart=/usr/bin/sleep 3600\n')
        self.machine.shell(PREPARE)
        self.unit = shipped_unit(self.machine)
        self.listeners = emberd.inside.call(self._listen)
        self._start_sibling()

    @staticmethod
    def _listen():
        """What waits under an abstract name for those who share the network."""
        made = []
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            s = socket.socket(socket.AF_UNIX, kind)
            s.bind('\0emberd-test')
            made.append(s)
        made[0].listen(100)
        return made

    def _start_sibling(self):
        self.machine.write('/etc/emberd/instances/8080.conf',
                           '[Site x]\n[Route x /]\nReturn=200 sibling\n')
        self.machine.run('systemctl', 'start', SIBLING + '.socket')
        assert self.emberd.get(port=8080).status == 200
        self.machine.write('/etc/emberd/sibling', f'{self.machine.main_pid(SIBLING)}\n')
        self.machine.write('/etc/emberd/sibling-key.pem', 'key\n')
        self.machine.shell('cd /etc/emberd && chown root:emberd sibling-key.pem && '
                           'chmod 640 sibling-key.pem')

    def end(self):
        for s in self.listeners:
            s.close()
        self.machine.run('systemctl', 'stop', SIBLING + '.socket', SIBLING + '.service')
        self.machine.shell(
            'systemctl stop resolved-in-name-only.socket resolved-in-name-only.service; '
            f'rm -rf /run/systemd/resolve {RESOLVED}* {UNIT}; '
            'rm -f /etc/emberd/sibling* /etc/emberd/victim* /etc/evil-victim /tmp/secret; '
            'umount /srv/mounted; chmod 700 /root; systemctl stop emberd.service; '
            'mv /usr/sbin/emberd.shipped /usr/sbin/emberd')

    def names(self):
        """All that can be tried."""
        self.start()
        return self.emberd.get('/misbehave/').body.decode().split()

    def start(self, unit=None, backend='auto', workers=1):
        """Under this unit instead of the shipped one."""
        self.emberd.settings(SETTINGS.format(backend=backend, workers=workers))
        self.machine.run('systemctl', 'stop', 'emberd.service')
        if unit:
            self.machine.write(UNIT, unit)
        else:
            self.machine.run('rm', '-f', UNIT)
        self.machine.run('systemctl', 'daemon-reload')
        self.machine.shell(BEFORE_EACH)
        assert self.emberd.get().body == b'ok'

    def attempt(self, name):
        other = self.emberd.connect() if name.startswith('turn-') else None
        try:
            answer = self.emberd.get('/misbehave/' + name)
        finally:
            if other:
                other.close()
        assert answer.status == 200
        return Outcome(answer.body.decode())

    def attempt_all(self, names, unit=None, backend='auto'):
        self.start(unit, backend)
        pid = self.emberd.pid()
        outcomes = {}
        for name in names:
            outcomes[name] = self.attempt(name)
        assert self.emberd.pid() == pid
        return outcomes


def stopped_by(hostile, names):
    """
    For each name the layers that stop it alone; and what a machine without any of them lets pass.
    A layer is tried as root and as the service's user, because some hold only one of them: it
    counts where it stops what without it was possible.
    """
    unit, found = hostile.unit, {name: [] for name in names}
    bases = {'Nothing': hostile.attempt_all(names, layered(unit, 'Nothing=')),
             LAYERS['user']: hostile.attempt_all(names, layered(unit, LAYERS['user']))}

    def count(layer, base, outcomes):
        for name, outcome in outcomes.items():
            if bases[base][name].done and not outcome.done and layer not in found[name]:
                found[name].append(layer)

    count('user', 'Nothing', bases[LAYERS['user']])
    for layer, pattern in LAYERS.items():
        for base in bases:
            if layer != 'user':
                count(layer, base, hostile.attempt_all(names, layered(unit, f'{pattern}|{base}')))
    families = LAYERS['address families']
    for base in bases:
        outcomes = hostile.attempt_all(
            names, layered(unit, f'{families}|{base}', itself=True) + SOME_FILTER)
        count('emberd itself', base, {
            name: outcome for name, outcome in outcomes.items()
            if 'address families' not in found[name] or outcome.done})
    return found, bases['Nothing']


@pytest.fixture
def hostile(emberd):
    h = Hostile(emberd)
    try:
        yield h
    finally:
        h.end()
