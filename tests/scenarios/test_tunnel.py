# SPDX-License-Identifier: MIT
"""
Tunnels: an upgrade of HTTP/1.1 (RFC 9110, 7.8), an extended CONNECT of HTTP/2 (RFC 8441). One
handler of test builds, Echo=yes, serves both; in other builds there is none to take them.
"""
import signal
import socket
import threading
import time

import pytest

import carrier
from client import Client
from daemon import SLOWNESS, eventually

MIB = 1 << 20

SETTINGS = '''
[Server]
BodyTimeoutSec=1
KeepAliveSec=1
HeadTimeoutSec=5
BodyBytesMax=1K
DrainSec=2
[Site localhost]
Default=yes
Root={root}
[Route localhost /echo/]
Echo=yes
'''


@pytest.fixture
def site(emberd, root, program):
    with open(program, 'rb') as file:
        if b'in test builds alone' not in file.read():
            pytest.skip('not a test build')
    return emberd(settings=SETTINGS.format(root=root))


class Http1Tunnel:
    def __init__(self, site, target, fields='Connection: Upgrade\nUpgrade: websocket', version=1):
        self.client = Client(site.connect())
        self.socket = self.client.socket
        self.client.ask(target, fields=fields) if version else self.client.send(
            f'GET {target} HTTP/1.0\r\n{fields}\r\n\r\n'.replace('\n', '\r\n').encode())
        self.answer = self.client.response()
        self.status = 200 if self.answer.status == 101 else self.answer.status
        self.buffer, self.client.buffer = self.client.buffer, b''

    def send(self, data):
        self.socket.sendall(data)

    def end(self):
        self.socket.shutdown(socket.SHUT_WR)

    def receive(self):
        """Some bytes; b'' at the end of emberd's direction."""
        data, self.buffer = self.buffer or self.socket.recv(65536), b''
        return data

    def abort(self):
        raw = getattr(self.socket, 'raw', self.socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        raw.close()

    def was_broken(self):
        with pytest.raises(ConnectionResetError):
            while self.receive():
                pass

    def close(self):
        self.socket.close()


class Http2Tunnel:
    def __init__(self, site, target):
        self.client = Client(site.connect())
        self.h2 = self.client.h2
        self.client.flush()
        while not self.client.settings_seen:
            self.client.more()
        self.offered = self.h2.remote_settings.enable_connect_protocol
        self.stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(self.stream, [
            (b':method', b'CONNECT'), (b':protocol', b'websocket'), (b':path', target.encode()),
            (b':scheme', carrier.SCHEME.encode()), (b':authority', b'localhost')])
        while self.stream not in self.client.responses:
            self.client.more()
        self.answer = self.client.responses[self.stream]
        self.status = self.answer.status

    def send(self, data):
        self.client.send_body(self.stream, data, False)

    def end(self):
        self.h2.end_stream(self.stream)
        self.client.flush()

    def receive(self):
        while not self.answer.parts:
            if self.answer.ended:
                return b''
            if self.stream in self.client.resets:
                raise ConnectionResetError('the stream was reset')
            self.client.more()
        return self.answer.parts.pop(0)

    def abort(self):
        self.h2.reset_stream(self.stream, 8)
        self.client.flush()

    def was_broken(self):
        with pytest.raises((ConnectionResetError, EOFError)):
            while self.receive():
                pass

    def close(self):
        self.client.close()


Tunnel = Http2Tunnel if carrier.BY_HTTP2 else Http1Tunnel


def take(tunnel, size):
    got = bytearray()
    while len(got) < size:
        part = tunnel.receive()
        assert part, f'it ended after {len(got)} of {size} bytes'
        got += part
    return got


def test_bytes_go_both_ways(site):
    tunnel = Tunnel(site, '/echo/')
    assert tunnel.status == 200 and tunnel.answer.fields['x-echo'] == 'yes'
    if not carrier.BY_HTTP2:
        assert tunnel.answer.fields['upgrade'] == 'websocket'
        assert tunnel.answer.fields['connection'] == 'upgrade'
    for said in (b'hello', b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n', b'\0' * 5000):
        tunnel.send(said)
        assert take(tunnel, len(said)) == said
    tunnel.end()
    assert tunnel.receive() == b''
    tunnel.close()


def test_much_both_ways(site):
    """Far more than any limit for bodies; who sends reads what comes back when it must."""
    tunnel = Tunnel(site, '/echo/')
    for _ in range(16):
        tunnel.send(bytes(MIB // 16))
        assert take(tunnel, MIB // 16) == bytes(MIB // 16)
    if carrier.BY_HTTP2:  # its windows keep both sides apart
        tunnel.send(bytes(MIB))
        assert take(tunnel, MIB) == bytes(MIB)
    tunnel.end()
    assert tunnel.receive() == b''
    tunnel.close()


@pytest.mark.plain
def test_a_slow_reader_is_not_read_from(site):
    """What the client does not take is not taken from it either, beyond what the kernels hold."""
    tunnel = Http1Tunnel(site, '/echo/')
    before = site.memory_bytes()
    sender = threading.Thread(target=tunnel.send, args=(bytes(32 * MIB),))
    sender.start()
    sender.join(0.5 * SLOWNESS)
    assert sender.is_alive()
    with open(f'/proc/{site.pid}/maps', 'rb') as maps:
        if b'libasan' not in maps.read():  # which keeps what was freed
            assert site.memory_bytes() < before + MIB
    assert take(tunnel, 32 * MIB) == bytes(32 * MIB)
    sender.join()
    tunnel.end()
    assert tunnel.receive() == b''
    tunnel.close()


def test_the_server_ends_first(site):
    """Half-close: emberd has ended its direction, the client's goes on until it ends that."""
    tunnel = Tunnel(site, '/echo/ends')
    assert take(tunnel, 4) == b'bye\n'
    assert tunnel.receive() == b''
    for _ in range(3):
        tunnel.send(bytes(10000))
        time.sleep(0.05)
    tunnel.end()
    tunnel.close()
    assert Client(site.connect()).request('/small.txt').status == 200


def test_either_side_may_break_it(site):
    tunnel = Tunnel(site, '/echo/breaks')
    tunnel.send(b'x')
    tunnel.was_broken()
    tunnel.close()
    tunnel = Tunnel(site, '/echo/')
    tunnel.send(b'x')
    assert take(tunnel, 1) == b'x'
    files = site.open_files()
    tunnel.abort()
    if not carrier.BY_HTTP2:
        eventually(lambda: site.open_files() < files, what='the end of the connection')
    tunnel.close()


def test_silence_is_no_fault(site):
    """Longer than BodyTimeoutSec and KeepAliveSec, from either end, and with one end shut."""
    tunnel, shut = Tunnel(site, '/echo/'), Tunnel(site, '/echo/ends')
    assert take(shut, 4) == b'bye\n'
    time.sleep(2.5)
    tunnel.send(b'still here')
    assert take(tunnel, 10) == b'still here'
    shut.send(b'x')
    for one in (tunnel, shut):
        one.end()
        assert one.receive() == b''
        one.close()


def test_a_drain_waits_and_then_does_not(site):
    tunnel = Tunnel(site, '/echo/')
    tunnel.send(b'one')
    assert take(tunnel, 3) == b'one'
    began = time.monotonic()
    site.signal(signal.SIGTERM)
    time.sleep(0.5)
    tunnel.send(b'two')
    assert take(tunnel, 3) == b'two'
    tunnel.was_broken()
    assert 1 < time.monotonic() - began < 2 + 3 * SLOWNESS
    assert site.wait() == 0
    tunnel.close()


def test_refusals(site):
    tunnel = Tunnel(site, '/echo/refuses')
    assert tunnel.status == 403
    tunnel.close()
    tunnel = Tunnel(site, '/small.txt')  # files are no tunnels
    assert tunnel.status == (501 if carrier.BY_HTTP2 else 200)
    tunnel.close()
    with Client(site.connect()) as client:  # no wish, no tunnel
        assert client.request('/echo/').status == 400


@pytest.mark.http1
@pytest.mark.parametrize('fields, version', [
    ('Connection: Upgrade\nUpgrade: websocket', 0),
    ('Upgrade: websocket', 1),
    ('Connection: Upgrade\nUpgrade: websocket\nContent-Length: 3\n\nabc', 1)])
def test_what_is_no_upgrade(site, fields, version):
    """HTTP/1.0, no Connection, a body: as if the field was not there (RFC 9110, 7.8)."""
    tunnel = Http1Tunnel(site, '/echo/', fields, version)
    assert tunnel.status == 400 and 'upgrade' not in tunnel.answer.fields
    tunnel.close()


if carrier.BY_HTTP2:
    def test_offered(site, emberd, root):
        """SETTINGS_ENABLE_CONNECT_PROTOCOL is said where a route takes it, and only there."""
        tunnel = Http2Tunnel(site, '/echo/')
        assert tunnel.offered == 1
        tunnel.close()
        with Client(emberd(root=root).connect()) as client:
            assert client.request('/small.txt').status == 200
            assert not client.h2.remote_settings.enable_connect_protocol
