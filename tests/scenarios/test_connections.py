# SPDX-License-Identifier: MIT
"""Many connections, slow ones, and that one client never stands in another's way."""
import contextlib
import os
import resource
import socket
import threading
import time

import pytest

from carrier import BY_TLS
from client import Client
from daemon import SANITIZED, SLOWNESS, WORKERS, eventually

MANY = 10000
PER_CONNECTION = 1024  # bytes of memory, of the program alone


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def connect_many(port, count):
    """From several addresses, so that no other test's ports run out."""
    many = []
    for i in range(count):
        one = socket.socket()
        one.bind((f'127.0.0.{2 + i % 8}', 0))
        one.connect(('127.0.0.1', port))
        many.append(one)
    return many


def open_sockets(one):
    """How many; files are kept open for those who ask for them again."""
    count = 0
    for name in os.listdir(f'/proc/{one.pid}/fd'):
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(f'/proc/{one.pid}/fd/{name}').startswith('socket:')
    return count


def close_many(many):
    for one in many:
        # reset, so that no TIME_WAIT keeps the ports of the next run
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        one.close()


def test_silent_connections(emberd, root):
    """
    10,000 connections that send nothing cost at most 1 KiB each, others are served meanwhile, and
    they are closed after HeadTimeoutSec.
    """
    count = min(MANY, raise_file_limit() - 500)
    if count < MANY:
        pytest.skip(f'RLIMIT_NOFILE allows {count} connections')
    timeout = 6 if SLOWNESS == 1 else 15
    one = emberd(root=root, options=[f'Server.HeadTimeoutSec={timeout}'],
                 limits=raise_file_limit)
    with Client(one.connect()) as client:
        assert client.request('/small.txt').status == 200
    before = one.memory_bytes()
    files_before = one.open_files()
    begun = time.monotonic()
    many = connect_many(one.port, MANY)
    opened = time.monotonic() - begun
    print('opened in', opened)
    eventually(lambda: one.open_files() >= files_before + MANY - 1, 5, 'all to be accepted')
    cost = (one.memory_bytes() - before) / MANY
    print('bytes a connection', cost)
    with Client(one.connect()) as client:
        for _ in range(100):
            begun = time.monotonic()
            assert client.request('/small.txt').body == b'small file\n'
            assert time.monotonic() - begun < 0.5 * SLOWNESS
    eventually(lambda: one.open_files() < files_before + 50, opened + timeout + 5,
               'all to be closed')
    close_many(many)
    if not SANITIZED:
        assert cost <= PER_CONNECTION, f'{cost} bytes a connection'


def test_slow_reader(served, root):
    """Who reads slowly holds neither the server's memory nor anybody else."""
    slow = []
    for _ in range(50):
        one = Client(served.connect())
        for _ in range(20):
            one.ask('/big.bin')
        slow.append(one)
    before = served.memory_bytes()
    with Client(served.connect()) as client:
        for _ in range(50):
            begun = time.monotonic()
            assert client.request('/small.txt').status == 200
            assert time.monotonic() - begun < 0.5 * SLOWNESS
    assert served.memory_bytes() - before < 16 << 20
    for _ in range(20):
        assert len(slow[0].response().body) == 1 << 20
    for one in slow:
        one.close()


@pytest.mark.http1
def test_send_timeout(emberd, root):
    """Who takes nothing at all goes after SendTimeoutSec; who takes little by little stays."""
    one = emberd(root=root, options=['Server.SendTimeoutSec=1'])
    with open(f'{root}/long', 'wb') as file:
        file.truncate(64 << 20)
    files = one.open_files()
    dead = one.connect()
    dead.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    dead.sendall(b'GET /long HTTP/1.1\r\nHost: a\r\n\r\n')
    slow = one.connect()
    slow.sendall(b'GET /long HTTP/1.1\r\nHost: a\r\n\r\n')
    took = 0
    for _ in range(20):
        time.sleep(0.15)
        part = slow.recv(1 << 20)
        assert part, 'a slow reader was cut off'
        took += len(part)
    slow.settimeout(10 * SLOWNESS)
    while took < 64 << 20:
        part = slow.recv(1 << 20)
        assert part
        took += len(part)
    slow.close()
    eventually(lambda: one.open_files() <= files, 8, 'the dead reader to be closed')
    dead.close()


def test_connections_max(emberd, root):
    """Past ConnectionsMax the oldest idle connection makes room for the newest."""
    one = emberd(root=root, options=['Server.ConnectionsMax=8'], workers=1)
    clients = [Client(one.connect()) for _ in range(8)]
    for client in clients:
        assert client.request('/small.txt').status == 200
    with Client(one.connect()) as late:
        assert late.request('/small.txt').status == 200
        assert clients[0].is_closed(3)
        assert clients[7].request('/small.txt').status == 200
    for client in clients:
        client.close()


@pytest.mark.http1
def test_connections_max_of_busy(emberd, root):
    """
    Connections in the middle of a head are ended for nobody, so those past ConnectionsMax wait
    outside, until one of the others is between two requests.
    """
    one = emberd(root=root, options=['Server.ConnectionsMax=8', 'Server.HeadTimeoutSec=60'],
                 workers=1)
    before = one.open_files()
    busy = []
    for _ in range(8):
        busy.append(one.connect())
        busy[-1].sendall(b'GET /small.txt HTTP/1.1\r\n')
        eventually(lambda: one.open_files() == before + len(busy), what='it to be accepted')
    time.sleep(0.2 * SLOWNESS)
    busy += [one.connect() for _ in range(8)]
    with Client(one.connect()) as late:
        if BY_TLS:
            late.socket.greet()
        else:
            late.ask('/small.txt')
        time.sleep(0.5)
        assert one.open_files() <= before + 8
        for client in busy[8:]:
            client.close()
        busy[0].sendall(b'Host: a\r\n\r\n')
        if BY_TLS:
            late.ask('/small.txt')
        assert late.response().status == 200
    for client in busy:
        client.close()


def test_connections_come_and_go(served, rounds):
    """Each connection's descriptor and memory come back, also when clients break off anywhere."""
    with Client(served.connect()) as client:
        client.request('/small.txt')
    sockets = open_sockets(served)
    for _ in range(rounds):
        for part in [b'', b'G', b'GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n',
                     b'GET /small.txt HTTP/1.1\r\nHost: a\r\n\r\n' * 50,
                     b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc']:
            many = [served.connect() for _ in range(30)]
            for one in many:
                one.sendall(part)
            time.sleep(0.02)
            close_many(many)
    eventually(lambda: open_sockets(served) <= sockets, 5, 'all connections to be closed')


@pytest.mark.http1
def test_one_client_does_not_starve_another(served):
    """A client that pipelines without end gets its share of each turn, not all of it."""
    stop = threading.Event()
    batch = b'GET /small.txt HTTP/1.1\r\nHost: a\r\n\r\n' * 1000

    def flood():
        with Client(served.connect()) as client:
            client.socket.settimeout(20 * SLOWNESS)

            def drain():
                try:
                    while client.socket.recv(1 << 20):
                        pass
                except OSError:
                    pass

            reader = threading.Thread(target=drain)
            reader.start()
            try:
                while not stop.is_set():
                    client.send(batch)
            finally:
                client.socket.shutdown(socket.SHUT_RDWR)
                reader.join()

    flooders = [threading.Thread(target=flood) for _ in range(2)]
    for one in flooders:
        one.start()
    try:
        slowest = 0
        with Client(served.connect()) as client:
            for _ in range(50):
                begun = time.monotonic()
                assert client.request('/small.txt').status == 200
                slowest = max(slowest, time.monotonic() - begun)
        assert slowest < 1.0 * SLOWNESS
    finally:
        stop.set()
        for one in flooders:
            one.join()


def test_four_workers(emberd, root):
    """Connections spread over workers, and an isolated one is never stuck behind a busy worker."""
    one = emberd(root=root, workers=4)
    many = [Client(one.connect()) for _ in range(64)]
    for _ in range(5):
        for client in many:
            client.ask('/medium.bin')
        for client in many:
            assert len(client.response().body) == 65536
    for client in many:
        client.close()
    stop = threading.Event()

    def busy():
        with Client(one.connect()) as client:
            while not stop.is_set():
                for _ in range(64):
                    client.ask('/small.txt')
                for _ in range(64):
                    client.response()

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(100):
            begun = time.monotonic()
            with Client(one.connect()) as client:
                assert client.request('/small.txt', fields='Connection: close').status == 200
            assert time.monotonic() - begun < 0.5 * SLOWNESS
    finally:
        stop.set()
        thread.join()


def test_as_many_threads_as_workers(emberd, root):
    """--workers means what it says, and `auto` no more than there are processors."""
    one = emberd(root=root, workers=3)

    def threads():
        return len(os.listdir(f'/proc/{one.pid}/task'))

    base = threads()
    assert 3 <= base <= 3 + 1 + 8 + SANITIZED  # the main thread, a pool that is made when needed
    assert WORKERS


def test_idle_costs_no_processor(emberd, root):
    """A server that nobody asks sleeps: no turns for their own sake."""
    one = emberd(root=root)
    clients = [Client(one.connect()) for _ in range(20)]
    for client in clients:
        client.request('/small.txt')
    time.sleep(0.2)
    before = one.cpu_seconds()
    time.sleep(2)
    assert one.cpu_seconds() - before <= 0.03 * SLOWNESS
    for client in clients:
        client.close()


def test_out_of_descriptors(emberd, root):
    """At the limit of open files the server waits for room and neither spins nor dies."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    one = emberd(root=root, limits=few, workers=1, options=['Server.KeepAliveSec=60'])
    many = [socket.create_connection(('127.0.0.1', one.port), 10) for _ in range(100)]
    time.sleep(0.3)
    before = one.cpu_seconds()
    time.sleep(1)
    assert one.cpu_seconds() - before < 0.3 * SLOWNESS
    close_many(many)
    with Client(one.connect()) as client:
        assert client.request('/small.txt').status == 200
