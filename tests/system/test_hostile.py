# SPDX-License-Identifier: MIT
"""What the sandbox is worth: emberd does what a taken-over emberd might, and it is stopped.

Three things are shown of each try. Under the unit as shipped it is denied. With no sandbox at all,
as root, it is done: so it is no wonder of the test that it was denied. And, with --long, which
layer of the sandbox stops it when that layer stands alone.
"""
import time

import pytest
from hostile import SIBLING, hostile, layered, stopped_by  # noqa: F401
from hostile_table import (NOT_IN_A_CONTAINER, NOT_IN_THE_TABLE, NOT_STOPPED, STOPPED_BY)
from waiting import wait_until

# -ENODEV: on epoll there is no ring
NEVER_THERE = {'ENODEV'}


def known():
    return set(STOPPED_BY) | NOT_IN_A_CONTAINER | set(NOT_STOPPED)


def test_table_is_whole(hostile):
    """What the program can try is what the table judges, and it is 40 things at least."""
    assert set(hostile.names()) == known() | NOT_IN_THE_TABLE
    assert len(STOPPED_BY) >= 40


@pytest.mark.parametrize('backend', ['io_uring', 'epoll'])
def test_as_shipped(hostile, backend):
    """Under the shipped unit all are denied, but those that are named with a reason."""
    outcomes = hostile.attempt_all(sorted(known()), backend=backend)
    for name in sorted(known()):
        by = STOPPED_BY.get(name) or NOT_STOPPED.get(name, 'not to be had in a container')
        print(f'{name:28}{outcomes[name]!s:14}{by}')
    done = {name for name, outcome in outcomes.items() if outcome.done}
    assert done <= set(NOT_STOPPED)
    if backend == 'io_uring':
        assert not any(outcome.error in NEVER_THERE for outcome in outcomes.values())


def test_without_sandbox(hostile):
    """Where nothing is in force, they are done: else that they are denied would show nothing."""
    outcomes = hostile.attempt_all(sorted(known()), layered(hostile.unit, 'Nothing='))
    for name, outcome in outcomes.items():
        possible = name not in NOT_IN_A_CONTAINER and STOPPED_BY.get(name) != 'ring'
        assert outcome.done == possible, (name, str(outcome))


def test_ring_without_restrictions(hostile):
    """What the worker's ring refuses, another ring would do: it is the restrictions."""
    names = [name for name, by in STOPPED_BY.items() if by == 'ring']
    assert len(names) >= 10
    others = [name.replace('own-', 'new-') for name in names if name != 'own-ring-unrestrict']
    outcomes = hostile.attempt_all(names + others, layered(hostile.unit, 'Nothing='))
    for name in names:
        assert outcomes[name].error == 'EACCES', name
    for name in others:
        assert outcomes[name].done, name


def test_layers(hostile, request):
    """Each layer alone: the table says what stops what, and all that does."""
    if not request.config.getoption('--long'):
        pytest.skip('takes two minutes: --long')
    names = sorted(name for name, by in STOPPED_BY.items() if by != 'ring')
    found, _ = stopped_by(hostile, names)
    wrong = {name: ', '.join(found[name]) for name in names
             if set(found[name]) != set(STOPPED_BY[name].split(', '))}
    assert not wrong


def test_shut_port_heals(hostile):
    """A socket that was shut by who holds it is opened again when it is restarted."""
    hostile.start()
    assert hostile.attempt('shut-port').done
    with pytest.raises(ConnectionRefusedError):
        hostile.emberd.get()
    hostile.machine.run('systemctl', 'restart', 'emberd.socket')
    assert hostile.emberd.get().status == 200


def test_stop_that_is_outlasted(hostile):
    """Who was taken over can put its stop off for ever; that is known, and SIGKILL ends it."""
    emberd, machine = hostile.emberd, hostile.machine
    emberd.drop_in('[Service]\nTimeoutStopSec=1s\n')
    hostile.start()
    assert hostile.attempt('outlast-stop').done
    machine.run('systemctl', 'stop', '--no-block', 'emberd.socket', 'emberd.service')
    time.sleep(4)
    assert machine.show('emberd.service', 'ActiveState') == 'deactivating'
    machine.run('systemctl', 'kill', '--signal=KILL', 'emberd.service')
    assert wait_until(lambda: emberd.pid() == 0)
    emberd.sleep()


def test_instance_with_a_user_of_its_own(hostile):
    """With the drop-in of the examples no other instance reads its key or asks it anything."""
    machine = hostile.machine
    hostile.start()
    for name in ('read-sibling-key', 'ask-sibling'):
        assert hostile.attempt(name).done
    example = machine.run('cat', '/usr/share/doc/emberd/examples/instance-user.conf')
    machine.run('useradd', '--system', '--user-group', '--no-create-home', 'emberd-8080')
    try:
        hostile.emberd.drop_in(example, SIBLING + '.service')
        machine.run('chown', 'root:emberd-8080', '/etc/emberd/sibling-key.pem')
        machine.run('systemctl', 'restart', SIBLING)
        assert hostile.emberd.get(port=8080).body == b'sibling'
        assert machine.show(SIBLING, 'User') == 'emberd-8080'
        for name in ('read-sibling-key', 'ask-sibling'):
            assert hostile.attempt(name).error == 'EACCES'
        machine.run('systemctl', 'reload', SIBLING)
        machine.run('setpriv', '--reuid=emberd-8080', '--regid=emberd-8080', '--clear-groups',
                    'cat', '/etc/emberd/sibling-key.pem')
    finally:
        machine.run('systemctl', 'stop', SIBLING + '.socket', SIBLING + '.service')
        machine.run('userdel', 'emberd-8080')


def test_release_cannot_misbehave(hostile):
    """Nothing of it is in the package: neither the setting nor a name of what can be tried."""
    found = hostile.machine.call('grep', '-ciE', 'misbehav|hostile|read-shadow|NO_SANDBOX',
                                 '/usr/sbin/emberd.shipped', '/usr/sbin/emberd').stdout
    shipped, test_build = (int(line.rsplit(':', 1)[1]) for line in found.splitlines())
    assert shipped == 0 and test_build > 0
