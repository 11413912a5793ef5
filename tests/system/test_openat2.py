# SPDX-License-Identifier: MIT
"""Where a drop-in forbids openat2(2), emberd serves, and nothing outside of a root is served."""
import threading
import time

import pytest

# What forbids it, and how. An error that is the filter's own for what is not allowed must not be
# named again: systemd 252 (EPERM) and 257 (ENOSYS) do not start the service then.
DROP_INS = {
    'RestrictSUIDSGID': 'RestrictSUIDSGID=yes',
    'ENOSYS': 'SystemCallFilter=~openat2\nSystemCallErrorNumber=ENOSYS',
    'EPERM': 'SystemCallFilter=~openat2\nSystemCallErrorNumber=EPERM',
    'EACCES': 'SystemCallFilter=~openat2:EACCES',
    'allowed': '',
}
RACE_SECONDS = 2
TREE = r"""
set -e
rm -rf /srv/site /srv/outside
mkdir -p /srv/site/a/b/c /srv/site/real /srv/outside
for place in . a a/b a/b/c real; do echo inside >/srv/site/$place/ok; done
for place in /srv /srv/outside; do echo OUTSIDE >$place/ok; done
cd /srv/site
ln -s ../outside swapped
ln -s ../ok out
ln -s /srv/ok absolute
ln -s .. parent
ln -s / slash
ln -s a/b/c/../../ok up-twice
ln -s a/b/../ok up-once
ln -s a/../../ok up-and-out
ln -s ../site/ok out-and-in
ln -s /proc/self/root root
ln -s /proc/self/cwd cwd
ln -s /proc/self/fd fd
ln -s loop loop
ln -s real inside
"""
REFUSED = [
    '/out', '/absolute', '/parent/ok', '/parent/outside/ok', '/slash/srv/ok', '/swapped/ok',
    '/up-and-out', '/out-and-in', '/root/srv/ok', '/cwd/srv/ok', '/fd/0', '/loop', '/../ok',
    '/a/../../ok', '/%2e%2e/ok', '/..%2fok', '/a/%2e%2e/%2e%2e/ok', '/a/b/c/../../../../ok',
    '/slash/etc/passwd', '/proc/self/environ', '//../ok', '/a/..%2f..%2fok',
]
SERVED = ['/ok', '/a/ok', '/a/b/c/ok', '/up-once', '/up-twice', '/inside/ok', '/a/../ok',
          '/real/./ok']
# 316 is renameat2, 2 its RENAME_EXCHANGE; each round ends as it began
RENAMING = r"""
my $until = time + shift;
while (time < $until) {
        for my $turn (0, 1) {
                rename($turn ? '/srv/outside/b' : '/srv/site/a/b',
                       $turn ? '/srv/site/a/b' : '/srv/outside/b') or die "rename: $!";
                for (['real', 'swapped'], ['ok', 'out']) {
                        my ($one, $other) = map { "/srv/site/$_" } @$_;
                        syscall(316, -100, $one, -100, $other, 2) == 0 or die "exchange: $!";
                }
        }
        $rounds++;
}
print "$rounds rounds\n";
"""
RACED = ['/ok', '/out', '/real/ok', '/swapped/ok', '/a/b/ok', '/a/b/c/ok', '/up-once', '/up-twice',
         '/inside/ok', '/real/../ok']
OPENAT2 = r"""
my ($path, $how) = ('/etc/passwd', pack('QQQ', 0, 0, 0));
exit(syscall(437, -100, $path, $how, 24) < 0 ? 1 : 0);
"""


def is_forbidden(machine, drop_in):
    """Whether it really is, with this systemd and kernel."""
    options = [word for line in drop_in.splitlines() for word in ('-p', line)]
    machine.write('/run/openat2.pl', OPENAT2)  # systemd would look for variables in an argument
    status = machine.call('systemd-run', '-q', '--wait', '--pipe', *options,
                          'perl', '/run/openat2.pl').returncode
    assert status in (0, 1)
    return status == 1


def use(emberd, drop_in, backend):
    emberd.machine.shell(TREE)
    assert is_forbidden(emberd.machine, drop_in) == bool(drop_in)
    emberd.drop_in(f'[Service]\n{drop_in}\n')
    emberd.settings(f'[Server]\nBackend={backend}\n[Site x]\nRoot=/srv/site\n')


@pytest.mark.parametrize('backend', ['io_uring', 'epoll'])
@pytest.mark.parametrize('drop_in', DROP_INS)
def test_nothing_leaves(emberd, drop_in, backend):
    """The same is served and the same refused, whoever does the lookup."""
    use(emberd, DROP_INS[drop_in], backend)
    for path in SERVED:
        answer = emberd.get(path)
        assert (answer.status, answer.body) == (200, b'inside\n'), path
    for path in REFUSED:
        answer = emberd.get(path)
        assert answer.status in (400, 403, 404), path
        assert b'OUTSIDE' not in answer.body and b'root:' not in answer.body, path


@pytest.mark.parametrize('drop_in', ['ENOSYS', 'allowed'])
def test_nothing_leaves_while_renamed(emberd, drop_in):
    """Folders are moved out and exchanged with links that lead out, while requests run."""
    use(emberd, DROP_INS[drop_in], 'auto')
    assert emberd.get('/ok').status == 200
    said = []
    renaming = threading.Thread(target=lambda: said.append(
        emberd.machine.call('perl', '-e', RENAMING, str(RACE_SECONDS))))
    renaming.start()
    served, refused, until = 0, 0, time.monotonic() + RACE_SECONDS
    while time.monotonic() < until:
        for path in RACED:
            answer = emberd.get(path)
            assert b'OUTSIDE' not in answer.body, path
            if answer.status == 200:
                assert answer.body == b'inside\n', path
                served += 1
            else:
                # 503: the tree changes too fast for the kernel to be sure
                assert answer.status in (403, 404, 503), (path, answer.status)
                refused += 1
    renaming.join()
    print(f'{said[0].stdout.strip()}; {served} served, {refused} refused')
    assert said[0].returncode == 0
    assert served > 20 and refused > 20
    assert emberd.get('/ok').body == b'inside\n'
