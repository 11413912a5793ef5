# SPDX-License-Identifier: MIT
"""systemd's own score of the units, beside what the distribution's other web servers have."""
import os
import re

PEERS = ['nginx', 'lighttpd', 'caddy']


def exposure(machine, *arguments):
    said = machine.run('systemd-analyze', 'security', '--no-pager', *arguments)
    return float(re.search(r'Overall exposure level for \S+: ([\d.]+)', said).group(1))


def test_exposure_beside_others(machine):
    """As installed and enabled the score is at most 0.4, and lower than that of each other one."""
    ours = exposure(machine, 'emberd.service')
    scores = {}
    for name in PEERS:
        with open(os.path.join(f'{machine.root}.peers', f'{name}.service'), encoding='utf-8') as f:
            machine.write(f'/tmp/peers/{name}.service', f.read())
        scores[name] = exposure(machine, '--offline=yes', f'/tmp/peers/{name}.service')
    machine.run('rm', '-r', '/tmp/peers')
    others = ', '.join(f'{name} {score}' for name, score in scores.items())
    print(f'exposure on {machine.suite}: emberd {ours}; {others}')
    assert ours <= 0.4
    assert all(ours < score for score in scores.values())
