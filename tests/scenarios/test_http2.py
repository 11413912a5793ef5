# SPDX-License-Identifier: MIT
"""
HTTP/2 itself, from outside: what the scenarios that any protocol carries cannot show. Each test
runs on a plain socket (by prior knowledge) and over TLS (by ALPN), whatever carries the run.
"""
import contextlib
import re
import shutil
import signal
import socket
import subprocess
import time

import h2.errors
import h2.events
import hpack
import pytest

import carrier
import certificates
from client import Http1Client
from daemon import SLOWNESS, eventually, free_port
from http2_client import Http2Client

pytestmark = pytest.mark.plain  # it brings its carriers along

CALM = h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, \
    CONTINUATION = range(10)
PRIORITY_UPDATE = 16
END_STREAM, ACK, END_HEADERS = 1, 1, 4


class Site:
    """One emberd that speaks HTTP/2, and how to come by it."""

    def __init__(self, emberd, root, by_tls):
        self.emberd, self.root, self.by_tls = emberd, root, by_tls
        self.daemon = None

    def start(self, *options, **keywords):
        port = free_port()
        given = [f'Listener main.Address=127.0.0.1:{port}', *options]
        if self.by_tls:
            one = certificates.of_session()
            given += ['Listener main.TLS=yes', f'Site localhost.Certificate={one.path}',
                      f'Site localhost.Key={one.key_path}']
        else:
            given += ['Server.HTTP2=yes']
        self.daemon = self.emberd(root=self.root, options=given, listen=False, carried=False,
                                  **keywords)
        self.daemon.port = port
        return self.daemon.wait_serving()

    @property
    def address(self):
        return f'http{"s" if self.by_tls else ""}://127.0.0.1:{self.daemon.port}'

    def connect(self, protocol='h2'):
        connected = self.daemon.connect_in_clear()
        if not self.by_tls:
            return connected
        return carrier.TlsSocket(connected, carrier.client_context(alpn=[protocol])).handshake()

    def client(self):
        return Http2Client(self.connect())

    def raw(self, begun=True):
        return Raw(self.connect(), begun)

    def curl(self, *arguments):
        how = ['--http2', '-k'] if self.by_tls else ['--http2-prior-knowledge']
        return subprocess.run(['curl', '-sS', '--max-time', '30', *how, *arguments],
                              capture_output=True, check=True).stdout


@pytest.fixture(params=['h2c', 'h2'])
def site(request, emberd, root):
    return Site(emberd, root, request.param == 'h2')


class Raw:
    """Frames as a test wants them."""

    def __init__(self, connected, begun):
        self.socket = connected
        self.buffer = b''
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        if begun:
            self.send(PREFACE + self.frame(SETTINGS) + self.frame(SETTINGS, ACK))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    @staticmethod
    def frame(kind, flags=0, stream=0, data=b''):
        head = len(data).to_bytes(3, 'big') + bytes([kind, flags]) + stream.to_bytes(4, 'big')
        return head + data

    def request(self, stream, path='/small.txt', method='GET', flags=END_STREAM | END_HEADERS,
                more=()):
        fields = [(':method', method), (':scheme', 'http'), (':path', path),
                  (':authority', 'localhost'), *more]
        return self.frame(HEADERS, flags, stream, self.encoder.encode(fields))

    def send(self, data):
        self.socket.sendall(data)
        return self

    def take(self, size):
        while len(self.buffer) < size:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def next(self):
        """(type, flags, stream, payload)"""
        head = self.take(9)
        return head[3], head[4], int.from_bytes(head[5:9], 'big'), \
            self.take(int.from_bytes(head[:3], 'big'))

    def until(self, kind, stream=None, flags=0):
        """The next frame of this type (and stream, and flags), the others dropped."""
        while True:
            found = self.next()
            if found[0] == kind and stream in (None, found[2]) and found[1] & flags == flags:
                return found

    def goaway_code(self, seconds=10):
        """Why the connection is ended; None: it was, without a word."""
        self.socket.settimeout(seconds * SLOWNESS)
        try:
            return int.from_bytes(self.until(GOAWAY)[3][4:8], 'big')
        except (EOFError, ConnectionError):
            return None


def test_curl(site, root, folder):
    site.start()
    with open(f'{folder}/100000', 'wb') as file:
        file.write(b'x' * 100000)
    assert site.curl('-w', '%{http_version} %{http_code}', f'{site.address}/small.txt') == \
        b'small file\n2 200'
    with open(f'{root}/big.bin', 'rb') as file:
        assert site.curl(f'{site.address}/big.bin') == file.read()
    assert b'405' in site.curl('--data-binary', f'@{folder}/100000', '-o', '/dev/null', '-w',
                               '%{http_code}', f'{site.address}/small.txt')
    head = site.curl('-I', f'{site.address}/big.bin')
    assert b'content-length: 1048576' in head
    assert b'206' in site.curl('-r', '5-9', '-o', '/dev/null', '-w', '%{http_code}',
                               f'{site.address}/big.bin')


def test_hundred_files_side_by_side(site, root):
    """As a page with a hundred pictures: each whole, over one connection."""
    site.start()
    for number in range(100):
        with open(f'{root}/{number}.bin', 'wb') as file:
            file.write(bytes([number]) * (100 + 977 * number))
    with site.client() as client:
        for number in range(100):
            client.ask(f'/{number}.bin', fields='priority: u=3, i' if number % 2 else '')
        for number in range(100):
            assert client.response().body == bytes([number]) * (100 + 977 * number)


@pytest.mark.skipif(not shutil.which('nghttp'), reason='no nghttp here')
@pytest.mark.parametrize('options', [
    [], ['-m', '20'], ['-w', '10', '-W', '10', '-m', '20'], ['-w', '30', '-W', '30'],
    ['-p', '16'], ['--no-dep'], ['-b', '100'], ['-H', 'priority: u=1, i'], ['-c', '0'],
    ['-H', 'x-a: ' + 'a' * 4000], ['--max-concurrent-streams=1'], ['--no-push']], ids=' '.join)
def test_nghttp(site, options):
    """nghttp2's own client, with what it can do to frames."""
    site.start()
    found = subprocess.run(
        ['nghttp', '-nvy', '-t', '20', *options, f'{site.address}/big.bin',
         f'{site.address}/small.txt'], capture_output=True, text=True, check=True).stdout
    expected = 2 * (20 if '-m' in options else 1)
    assert len(re.findall(r':status: 200', found)) == expected, found[-3000:]
    assert len(re.findall(r'END_STREAM', found)) >= 2 * expected


@pytest.mark.skipif(not shutil.which('nghttp'), reason='no nghttp here')
@pytest.mark.parametrize('options', [[], ['--trailer', 'x-sum: 1'], ['--expect-continue'],
                                     ['-b', '30']], ids=' '.join)
def test_nghttp_with_a_body(site, folder, options):
    """A body that nobody wants does not keep the answer away."""
    site.start()
    with open(f'{folder}/body', 'wb') as file:
        file.write(b'x' * 50000)
    found = subprocess.run(
        ['nghttp', '-nvy', '-t', '20', '-d', f'{folder}/body', *options,
         f'{site.address}/small.txt'], capture_output=True, text=True, check=False).stdout
    assert ':status: 405' in found, found[-3000:]


@pytest.mark.skipif(not shutil.which('h2load'), reason='no h2load here')
@pytest.mark.parametrize('options', [['/small.txt'], ['-w', '12', '-W', '14', '/medium.bin'],
                                     ['-m', '1', '/big.bin'], ['/absent']], ids=' '.join)
def test_h2load(site, options):
    site.start()
    found = subprocess.run(
        ['h2load', '-n', '2000' if 'big' not in options[-1] else '100', '-c', '8', '-m', '100',
         *options[:-1], site.address + options[-1]], capture_output=True, text=True,
        check=True).stdout
    done = re.search(r'(\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, '
                     r'(\d+) errored', found)
    expected = done.group(1)
    assert done.group(2) == expected and done.group(5) == '0', found
    assert done.group(3) == ('0' if 'absent' in options[-1] else expected), found


def test_urgent_answers_overtake(site):
    """What is urgent has not to wait for what is being sent: little lies in the kernel."""
    site.start()
    with site.raw() as raw:
        raw.send(raw.frame(SETTINGS, data=b'\0\4' + (1 << 30).to_bytes(4, 'big')) +
                 raw.frame(WINDOW_UPDATE, data=(1 << 30).to_bytes(4, 'big')))
        bulk = range(1, 17, 2)
        raw.send(b''.join(raw.request(x, '/big.bin', more=[('priority', 'u=6')]) for x in bulk))
        raw.until(DATA)
        time.sleep(0.3)  # the kernel has what it takes
        raw.send(raw.request(99, more=[('priority', 'u=0')]))
        before = 0
        while True:
            kind, _, stream, data = raw.next()
            if kind == DATA and stream == 99:
                assert data == b'small file\n'
                break
            before += len(data)
        assert before < 7 << 20, 'the urgent one came last'


def test_incremental_answers_interleave(site):
    site.start()
    for priority, least, most in (('u=3, i', 20, 10000), ('u=3', 1, 3)):
        with site.raw() as raw:
            raw.send(raw.frame(SETTINGS, data=b'\0\4' + (1 << 30).to_bytes(4, 'big')) +
                     raw.frame(WINDOW_UPDATE, data=(1 << 30).to_bytes(4, 'big')))
            raw.send(b''.join(raw.request(x, '/big.bin', more=[('priority', priority)])
                              for x in (1, 3)))
            order, ended = [], 0
            while ended < 2:
                kind, flags, stream, _ = raw.next()
                if kind == DATA:
                    order.append(stream)
                    ended += flags & END_STREAM
            changes = sum(a != b for a, b in zip(order, order[1:]))
            assert least <= changes <= most, (priority, changes)


def test_body_too_large(site):
    """Announced, it is refused at once; else when it is; and others go on."""
    site.start('Server.BodyBytesMax=10K')
    with site.raw() as raw:
        raw.send(raw.request(1, method='POST', flags=END_HEADERS,
                             more=[('content-length', '10241')]))
        assert (':status', '413') in raw.decoder.decode(raw.until(HEADERS)[3])
        assert raw.until(RST_STREAM, 1)[3] == bytes(4)
        raw.send(raw.request(3))
        assert raw.until(DATA, 3)[3] == b'small file\n'


def test_log_says_the_version(site):
    one = site.start(log=True)
    with site.client() as client:
        assert client.request('/small.txt').status == 200
    eventually(lambda: '"GET /small.txt HTTP/2.0" 200 11 ' in one.stdout, what='the line')


def test_http1_beside_it(site):
    """The same port goes on to speak HTTP/1.1 with who does not know better."""
    site.start()
    with Http1Client(site.connect('http/1.1')) as client:
        assert client.request('/small.txt').body == b'small file\n'
    if not site.by_tls:
        with Http1Client(site.connect()) as client:  # begins as the preface does
            client.send(b'PRI * HTTP/2.0\r\n\r\nSO')
            assert client.response().status in (400, 405, 505)
    with site.raw(begun=False) as raw:
        data = PREFACE + raw.frame(SETTINGS) + raw.request(1)
        for number in range(len(data)):
            raw.send(data[number:number + 1])
        assert raw.until(DATA)[3] == b'small file\n'


def test_http2_can_be_off(site):
    if site.by_tls:
        site.start('Server.HTTP2=no')
        connected = site.daemon.connect_in_clear()
        with contextlib.closing(carrier.TlsSocket(
                connected, carrier.client_context(alpn=['h2', 'http/1.1'])).handshake()) as tls:
            assert tls.tls.selected_alpn_protocol() == 'http/1.1'
        return
    site.start('Server.HTTP2=yes')
    port = free_port()
    plain = site.emberd('-l', f'127.0.0.1:{port}', root=site.root, listen=False, carried=False)
    plain.port = port
    plain.wait_serving()
    with Http1Client(plain.connect_in_clear()) as client:
        client.send(PREFACE)
        assert client.response().status in (400, 505)


# ---- deadlines ----

def test_keep_alive_ends_with_goaway(site):
    site.start('Server.KeepAliveSec=1')
    with site.raw() as raw:
        raw.send(raw.request(1))
        raw.until(DATA, 1, END_STREAM)
        before = time.monotonic()
        goaway = raw.until(GOAWAY)
        assert time.monotonic() - before > 0.8
        assert goaway[3] == b'\0\0\0\1' + bytes(4)


@pytest.mark.parametrize('head', ['none', 'frame', 'block'])
def test_head_timeout(site, head):
    """Whoever comes and asks nothing, or not to the end, has HeadTimeoutSec; PINGs ask nothing."""
    site.start('Server.HeadTimeoutSec=1')
    with site.raw() as raw:
        if head == 'frame':
            raw.send(raw.request(1)[:20])
        elif head == 'block':
            raw.send(raw.request(1, flags=END_STREAM))
        end = time.monotonic() + 6 * SLOWNESS
        with contextlib.suppress(ConnectionError, EOFError):
            while time.monotonic() < end:
                if head == 'none':
                    raw.send(raw.frame(PING, data=b'12345678'))
                raw.socket.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    if raw.next()[0] == GOAWAY:
                        break
        assert time.monotonic() < end, 'still there'


def test_window_that_never_opens(site):
    """SendTimeoutSec bounds it for a stream, while others go on."""
    site.start('Server.SendTimeoutSec=2')
    with site.raw() as raw:
        raw.send(raw.frame(SETTINGS, data=b'\0\4' + (1000).to_bytes(4, 'big')))
        raw.send(raw.request(1, '/big.bin') + raw.request(3, '/big.bin'))
        end = time.monotonic() + 10 * SLOWNESS
        while True:
            assert time.monotonic() < end
            raw.send(raw.frame(WINDOW_UPDATE, 0, 3, (100).to_bytes(4, 'big')))
            raw.socket.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                kind, _, stream, data = raw.next()
                while kind != RST_STREAM:
                    kind, _, stream, data = raw.next()
                break
        assert stream == 1 and int.from_bytes(data, 'big') == h2.errors.ErrorCodes.CANCEL


# ---- leaving ----

def test_drain_loses_no_request(site):
    """TERM while requests come: each is answered that the client sent before it could know."""
    site.start('Server.DrainSec=10')
    client = site.client()
    for _ in range(50):
        client.ask('/small.txt')
    assert client.response().status == 200
    site.daemon.signal(signal.SIGTERM)
    asked = len(client.asked)
    while client.goaway is None and asked < 5000:
        client.ask('/small.txt')  # it does not know yet
        asked += 1
        assert client.response().status == 200
    assert client.goaway.last_stream_id == 0x7fffffff
    while client.asked:
        assert client.response().status == 200
    assert client.is_closed()
    assert client.goaway.last_stream_id < 0x7fffffff
    assert site.daemon.wait() == 0
    client.close()


def test_drain_while_a_file_is_sent(site):
    site.start('Server.DrainSec=20')
    with site.client() as client:
        client.ask('/big.bin')
        client.more()
        site.daemon.signal(signal.SIGTERM)
        time.sleep(0.2)
        assert len(client.response().body) == 1 << 20
    assert site.daemon.wait() == 0


def test_drain_of_who_does_not_answer(site):
    """A client that says nothing to GOAWAY is waited for a second, not DrainSec."""
    site.start('Server.DrainSec=30')
    with site.raw() as raw:
        raw.send(raw.request(1))
        raw.until(DATA, 1, END_STREAM)
        before = time.monotonic()
        site.daemon.signal(signal.SIGTERM)
        assert site.daemon.wait(8) == 0
        assert time.monotonic() - before < 5 * SLOWNESS


# ---- floods; what others notice of them is measured by tests/bench/floods ----

BOMB_HEAD = b'\x82\x86\x84\x01\x09localhost'
BOMB_FIELD = b'\x40\x06x-bomb\x7f\xb9\x16' + b'a' * 3000  # in HPACK's table, it is b'\xbe'

def flood_of(raw, kind):
    """Endless, in pieces; what is sent in one go."""
    stream = 1
    while True:
        piece = b''
        for _ in range(100):
            stream += 2
            if kind == 'rapid reset':
                piece += raw.request(stream) + raw.frame(RST_STREAM, 0, stream, b'\0\0\0\x08')
            elif kind == 'made reset':
                piece += raw.request(stream) + 2 * raw.frame(WINDOW_UPDATE, 0, stream,
                                                             b'\x7f\xff\xff\xff')
            elif kind == 'ping':
                piece += raw.frame(PING, data=b'12345678')
            elif kind == 'settings':
                piece += raw.frame(SETTINGS)
            elif kind == 'window update':
                piece += raw.frame(WINDOW_UPDATE, data=b'\0\0\0\1')
            elif kind == 'priority':
                piece += raw.frame(PRIORITY, 0, stream, b'\0\0\0\0\1')
            elif kind == 'malformed':
                piece += raw.request(stream, more=[('connection', 'close')])
            elif kind == 'hpack bomb':
                piece += raw.frame(HEADERS, END_STREAM | END_HEADERS, stream, BOMB_HEAD +
                                   (BOMB_FIELD if stream == 3 else b'\xbe' * 16000))
        yield piece


@pytest.mark.parametrize('kind', ['rapid reset', 'made reset', 'ping', 'settings', 'window update',
                                  'priority', 'malformed', 'hpack bomb'])
def test_floods(site, kind):
    """The offender is told to calm down, and hung up on; others are served as before."""
    site.start()
    before = site.daemon.memory_bytes()
    with site.raw() as raw, site.client() as other:
        assert other.request('/small.txt').status == 200
        with contextlib.suppress(OSError):
            for number, piece in enumerate(flood_of(raw, kind)):
                raw.send(piece)
                assert number < 10000, 'it was not stopped'
        assert raw.goaway_code() in (CALM, None)
        assert other.request('/small.txt').status == 200
    assert site.daemon.memory_bytes() < before + (32 << 20) * SLOWNESS


def test_continuation_flood(site):
    site.start()
    with site.raw() as raw:
        with contextlib.suppress(OSError):
            raw.send(raw.request(1, flags=END_STREAM))
            for number in range(10000):
                raw.send(raw.frame(CONTINUATION, 0, 1, b'\x82' * 16000))
                assert number < 9999
        assert raw.goaway_code() in (CALM, None)
    with site.client() as other:
        assert other.request('/small.txt').status == 200


def test_who_never_reads(site):
    """What waits for such a client is bounded, and so is the time."""
    site.start('Server.SendTimeoutSec=2')
    before = site.daemon.memory_bytes()
    with site.raw() as raw:
        raw.send(raw.frame(SETTINGS, data=b'\0\4' + (1 << 30).to_bytes(4, 'big')) +
                 raw.frame(WINDOW_UPDATE, data=(1 << 30).to_bytes(4, 'big')))
        raw.send(b''.join(raw.request(x, '/big.bin') for x in range(1, 200, 2)))
        raw.socket.settimeout(0.5)
        deadline = time.monotonic() + 15 * SLOWNESS
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    raw.send(raw.frame(PING, data=b'12345678'))
                time.sleep(0.1)
        assert time.monotonic() < deadline, 'still there'
    assert site.daemon.memory_bytes() < before + (32 << 20) * SLOWNESS


def test_idle_connections_go_first(site):
    """
    Past ConnectionsMax an idle connection of HTTP/2 makes room, as one of HTTP/1 does, and is told
    so: what it sends from here on is not lost without its knowledge.
    """
    site.start('Server.ConnectionsMax=8', workers=1)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(site.raw())
        first.send(first.request(1))
        first.until(DATA, 1, END_STREAM)
        for _ in range(20):
            client = stack.enter_context(site.client())
            assert client.request('/small.txt').status == 200
        goaway = first.until(GOAWAY)
        assert goaway[3] == b'\0\0\0\1' + bytes(4)
        assert first.socket.recv(1) == b''


def test_version_says_so(program):
    found = subprocess.run([program, '--version'], capture_output=True, text=True, check=True)
    assert re.search(r'^modules:.* http2', found.stdout, re.M)
