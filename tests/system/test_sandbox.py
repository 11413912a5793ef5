# SPDX-License-Identifier: MIT
"""What the unit keeps emberd from, and what the drop-ins in the examples give back."""
import re

import pytest

UNIT = '/usr/lib/systemd/system/emberd.service'
EXAMPLES = '/usr/share/doc/emberd/examples'


def exposure(machine, unit=UNIT, offline=True):
    arguments = ['--offline=yes'] if offline else []
    said = machine.run('systemd-analyze', 'security', '--no-pager', *arguments, unit)
    return float(re.search(r'Overall exposure level for \S+: ([\d.]+)', said).group(1))


def use_example(emberd, name):
    emberd.drop_in(emberd.machine.run('cat', f'{EXAMPLES}/{name}'))


def test_exposure(machine):
    """As shipped, the score is at most 0.4."""
    score = exposure(machine)
    print(f'exposure on {machine.suite}: {score}')
    assert score <= 0.4


def test_exposure_of_instances(machine):
    machine.run('cp', '/usr/lib/systemd/system/emberd@.service', '/run/emberd-instance.service')
    assert exposure(machine, '/run/emberd-instance.service') <= 0.4


def test_exposure_with_upstreams(emberd):
    """With the drop-in for upstreams it is at most 1.3."""
    use_example(emberd, 'network-upstreams.conf')
    score = exposure(emberd.machine, 'emberd.service', offline=False)
    print(f'exposure with network upstreams: {score}')
    assert score <= 1.3
    assert emberd.get().status == 200


def test_openat2(emberd):
    """The lookups of files are the kernel's: no filter forbids openat2(2)."""
    said = emberd.machine.run('systemctl', 'show', '-p', 'RestrictSUIDSGID', 'emberd.service')
    assert 'RestrictSUIDSGID=no' in said


def test_content_below_home(emberd):
    """/home is hidden, and there with the drop-in."""
    emberd.machine.write('/home/www/index.html', '<html>home</html>\n')
    emberd.machine.run('chmod', '-R', 'a+rX', '/home/www')
    emberd.settings('[Site x]\nRoot=/home/www\n')
    assert emberd.get().status == 503
    assert 'content-below-home.conf' in emberd.log()
    emberd.sleep()
    use_example(emberd, 'content-below-home.conf')
    answer = emberd.get()
    assert answer.status == 200 and b'home' in answer.body


def test_log_files(emberd):
    """A log file cannot be written, and can with the drop-in."""
    emberd.settings('[Server]\nAccessLog=/var/log/emberd/access.log\n')
    assert emberd.get().status == 503
    emberd.sleep()
    use_example(emberd, 'log-files.conf')
    assert emberd.get().status == 200
    emberd.machine.run('systemctl', 'stop', 'emberd.socket')
    assert 'GET / HTTP/1.1' in emberd.machine.run('cat', '/var/log/emberd/access.log')


def test_memory(emberd, request):
    """How much it takes, freshly started with one worker (no limit yet)."""
    emberd.settings('[Server]\nWorkers=1\n')
    emberd.get()
    rollup = emberd.machine.run('cat', f'/proc/{emberd.pid()}/smaps_rollup')
    pss = int(re.search(r'^Pss:\s+(\d+)', rollup, re.M).group(1))
    print(f'PSS on {emberd.machine.suite}: {pss} KiB')
    assert pss > 0


@pytest.mark.parametrize('path', ['/etc/shadow', '/root', '/home', '/proc/1/environ'])
def test_hidden(emberd, path):
    """What is none of its business cannot be served, even when the settings say so."""
    emberd.settings(f'[Site x]\nRoot={path}\n')
    assert emberd.get().status in (403, 404, 503)
