# SPDX-License-Identifier: MIT
"""When memory is scarce, what is only kept for the sake of speed goes; no request does."""
import os
import time

import pytest

from client import Client
from daemon import SANITIZED, eventually

HUGE = 48 << 20  # more than sockets hold: under way until somebody reads it
KEPT = 40


class Pressure:
    """Stands where the kernel's file is."""

    def __init__(self, folder):
        self.path = os.path.join(folder, 'pressure')
        os.mkfifo(self.path)
        os.chmod(self.path, 0o666)
        self.fd = os.open(self.path, os.O_RDWR)
        self.environment = {'MEMORY_PRESSURE_WATCH': self.path}

    def __call__(self):
        os.write(self.fd, b'x')

    def close(self):
        os.close(self.fd)


@pytest.fixture
def pressure(folder):
    one = Pressure(folder)
    yield one
    one.close()


@pytest.fixture
def kept(root):
    """Files that are cached as open descriptors once they were asked for."""
    for i in range(KEPT):
        with open(f'{root}/kept-{i}', 'wb') as file:
            file.write(bytes([i]) * 100000)
    with open(f'{root}/huge', 'wb') as file:
        file.truncate(HUGE)
    time.sleep(2.2)  # changed a moment ago they are not kept
    return root


def open_files(one, root):
    """The files below the root that emberd holds open."""
    found = []
    for fd in os.listdir(f'/proc/{one.pid}/fd'):
        try:
            path = os.readlink(f'/proc/{one.pid}/fd/{fd}')
        except FileNotFoundError:
            continue
        if path.startswith(f'{root}/'):
            found.append(os.path.basename(path))
    return found


def ask_for_all(client):
    for i in range(KEPT):
        assert client.request(f'/kept-{i}').body == bytes([i]) * 100000


def test_caches_are_dropped(emberd, kept, pressure):
    """The descriptors of cached files are closed, and opened again for who asks."""
    one = emberd(root=kept, environment=pressure.environment)
    with Client(one.connect()) as client:
        ask_for_all(client)
        assert len(open_files(one, kept)) >= KEPT // 2
        pressure()
        eventually(lambda: not open_files(one, kept), 5, 'closed files')
        eventually(lambda: 'memory is scarce' in one.stderr)
        ask_for_all(client)  # on the same connection
        assert open_files(one, kept)


def test_requests_under_way_go_on(emberd, kept, pressure):
    """What somebody is being sent stays until he has all of it."""
    one = emberd(root=kept, environment=pressure.environment)
    with Client(one.connect()) as slow, Client(one.connect()) as client:
        slow.ask('/huge')
        slow.until_begun()
        ask_for_all(client)
        pressure()
        eventually(lambda: open_files(one, kept) == ['huge'], 5, 'only the one in use')
        response = slow.response()
        assert len(response.body) == HUGE
        eventually(lambda: not open_files(one, kept), 5, 'closed files')
        assert slow.request('/small.txt').status == 200


def test_not_more_than_once_a_second(emberd, kept, pressure):
    """Whoever holds the other end cannot keep emberd busy, and is not logged again and again."""
    one = emberd(root=kept, environment=pressure.environment)
    with Client(one.connect()) as client:
        pressure()
        eventually(lambda: 'memory is scarce' in one.stderr)
        before = one.cpu_seconds()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            pressure()
            time.sleep(0.001)
        used = one.cpu_seconds() - before
        assert used < (2 if SANITIZED else 0.3)
        ask_for_all(client)
        pressure()  # taken up once the second of the last one is over
        eventually(lambda: not open_files(one, kept), 5, 'closed files')
        assert client.request('/small.txt').status == 200
    assert one.stderr.count('memory is scarce') == 1


@pytest.mark.once
@pytest.mark.parametrize('path', ['/dev/null', ''])
def test_turned_off(emberd, root, path):
    """/dev/null is systemd's word for "no"."""
    one = emberd(root=root, environment={'MEMORY_PRESSURE_WATCH': path})
    with Client(one.connect()) as client:
        assert client.request('/small.txt').status == 200
    assert 'pressure' not in one.stderr


@pytest.mark.once
def test_cannot_be_watched(emberd, root, folder):
    """Serving does not depend on it."""
    one = emberd(root=root, environment={'MEMORY_PRESSURE_WATCH': f'{folder}/nothing'})
    with Client(one.connect()) as client:
        assert client.request('/small.txt').status == 200
    assert 'memory pressure is not watched: No such file' in one.stderr
