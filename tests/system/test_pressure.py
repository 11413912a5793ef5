# SPDX-License-Identifier: MIT
"""Memory pressure is watched where systemd offers it."""


def watched(emberd):
    """The file that systemd names, and whether emberd holds it open."""
    m, pid = emberd.machine, emberd.pid()
    environment = m.run('cat', f'/proc/{pid}/environ').split('\0')
    path = next((e.split('=', 1)[1] for e in environment
                 if e.startswith('MEMORY_PRESSURE_WATCH=')), None)
    held = m.run('bash', '-c', f'readlink /proc/{pid}/fd/*')
    return path, 'memory.pressure' in held


def test_watched(emberd):
    """systemd 254 and later; before, there is nothing to watch, and nothing is said of it."""
    assert emberd.get().status == 200
    path, held = watched(emberd)
    if emberd.machine.version() >= 254:
        assert path and path.endswith('/memory.pressure')
        assert held
    else:
        assert not path and not held
    assert 'memory pressure' not in emberd.log()


def test_turned_off(emberd):
    emberd.drop_in('[Service]\nMemoryPressureWatch=off\n')
    assert emberd.get().status == 200
    assert not watched(emberd)[1]
    assert 'memory pressure' not in emberd.log()
