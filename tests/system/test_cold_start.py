# SPDX-License-Identifier: MIT
"""How long the first visitor waits, beside programs that do nothing else.

The figures are printed, and a target that was missed is a warning: how fast this machine is just
now says little about emberd, so no time fails a test.
"""
import statistics
import warnings

import pytest
from weighing import UNIT, Weighed, measure, no_sandbox

STARTS = 100
ABOVE_MS = 5   # a minimal program in the same unit
TIMES = 3      # of one in a unit without any directive


@pytest.mark.alone
def test_first_byte(machine):
    """emberd is at most 5 ms above a minimal program in its unit, at most 3 times one in none."""
    text = machine.run('cat', UNIT)
    machine.run('cp', '/share/bare', '/usr/sbin/bare')
    chosen = [
        Weighed(machine, 0, 'emberd', text, '/usr/sbin/emberd'),
        Weighed(machine, 1, 'a minimal program in the same unit', text),
        Weighed(machine, 2, 'a minimal program without a sandbox', no_sandbox(text)),
    ]
    machine.run('systemctl', 'daemon-reload')
    machine.run('systemctl', 'start', *(w.unit + '.socket' for w in chosen))
    try:
        measure(machine, chosen, STARTS)
    finally:
        machine.run('systemctl', 'stop', *(w.unit + '.socket' for w in chosen))
    assert all(len(w.times) == STARTS for w in chosen)
    median = [statistics.median(w.times) for w in chosen]
    for weighed, value in zip(chosen, median):
        print(f'{weighed.name} on {machine.suite}: {value:.1f} ms, least {min(weighed.times):.1f}')
    said = (f'{machine.suite}: {median[0] - median[1]:.1f} ms above {chosen[1].name}, '
            f'{median[0] / median[2]:.2f} times {chosen[2].name}')
    print(said)
    if median[0] - median[1] > ABOVE_MS or median[0] > TIMES * median[2]:
        warnings.warn(f'cold start is above its target on {said}')
