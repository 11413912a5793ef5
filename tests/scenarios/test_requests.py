# SPDX-License-Identifier: MIT
"""HTTP/1.1 on a connection: what clients send, however it is cut, and what they get."""
import re
import socket
import time

import pytest

from carrier import BY_HTTP2, BY_TLS
from client import Client
from daemon import SLOWNESS


def get(name):
    return f'GET /{name} HTTP/1.1\r\nHost: localhost\r\n\r\n'.encode()


GET = get('small.txt')
SMALL = b'small file\n'


@pytest.mark.http1
def test_one_byte_at_a_time(client):
    """A request may arrive in many pieces; the answer must not depend on where it is cut."""
    for _ in range(3):
        response = client.send_slowly(GET).response()
        assert (response.status, response.body) == (200, SMALL)


@pytest.mark.http1
def test_body_one_byte_at_a_time(client):
    """Chunk sizes, their ends and a body's last byte may each come alone."""
    post = (b'POST /small.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
            b'5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n')
    assert client.send_slowly(post).response().status == 405
    assert client.send_slowly(GET).response().body == SMALL


@pytest.mark.http1
def test_thousand_requests_in_one_write(client):
    """A pipelining client may send faster than it reads; every answer must come, and in order."""
    targets = ['small.txt', 'empty', 'absent', 'sub/', 'index.html']
    bodies = {'small.txt': SMALL, 'empty': b'', 'sub/': b'sub index\n',
              'index.html': b'<p>index</p>\n'}
    wanted = [targets[i * i % 5] for i in range(1000)]
    client.send(b''.join(get(x) for x in wanted))
    for target in wanted:
        response = client.response()
        assert response.status == (404 if target == 'absent' else 200)
        if target in bodies:
            assert response.body == bodies[target]


@pytest.mark.http1
def test_pipelined_files_of_all_sizes(client, root):
    """Answers from memory and by sendfile in turn: neither may overtake the other."""
    names = ['big.bin', 'small.txt', 'medium.bin', 'empty', 'big.bin', 'small.txt'] * 3
    client.send(b''.join(get(x) for x in names))
    for name in names:
        with open(f'{root}/{name}', 'rb') as file:
            assert client.response().body == file.read()


@pytest.mark.http1
def test_pipelined_in_odd_pieces(client):
    """Requests that lie across the ends of what one receive gives."""
    stream = GET * 200
    for at in range(0, len(stream), 1021):
        client.send(stream[at:at + 1021])
    for _ in range(200):
        assert client.response().body == SMALL


@pytest.mark.http1
def test_keep_alive_and_close(served):
    """HTTP/1.1 keeps a connection unless somebody says close; then it ends behind the answer."""
    with Client(served.connect()) as client:
        for _ in range(20):
            response = client.request('/small.txt')
            assert response.status == 200 and not response.closes
        response = client.request('/small.txt', fields='Connection: close')
        assert response.closes and response.body == SMALL
        assert client.is_closed()
    with Client(served.connect()) as client:
        response = client.request('/small.txt', fields='Connection: foo, CLOSE')
        assert response.closes and client.is_closed()


@pytest.mark.http1
def test_http_1_0(served):
    """An HTTP/1.0 client knows neither kept-alive connections, unless it asks, nor chunks."""
    with Client(served.connect()) as client:
        client.send(b'GET /small.txt HTTP/1.0\r\n\r\n')
        response = client.response()
        assert response.status == 200 and response.body == SMALL
        assert 'transfer-encoding' not in response.fields
        assert client.is_closed()
    with Client(served.connect()) as client:
        for _ in range(2):
            client.send(b'GET /small.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
            response = client.response()
            assert response.fields.get('connection', '').lower() == 'keep-alive'
            assert response.body == SMALL


@pytest.mark.http1
def test_peer_that_ends_its_side(served):
    """`printf … | nc`: a client may end its side behind the request and still want the answer."""
    with Client(served.connect()) as client:
        client.send(GET * 3)
        client.socket.shutdown(socket.SHUT_WR)
        for _ in range(3):
            assert client.response().body == SMALL
        assert client.is_closed()
    with Client(served.connect()) as client:
        client.send(GET[:20])
        client.socket.shutdown(socket.SHUT_WR)
        assert not client.rest().startswith(b'HTTP/1.1 200')


@pytest.mark.http1
def test_expect_continue(served):
    """curl sends no large body before 100 Continue or a final answer; one of both must come."""
    with Client(served.connect()) as client:
        client.send(b'PUT /small.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n'
                    b'Expect: 100-continue\r\n\r\n')
        response = client.response()
        if response.status == 100:
            response = client.send(b'hello').response()
        assert response.status == 405
        if not response.closes:  # then the body still belongs to the request
            client.send(b'hello' + GET)
            assert client.response().body == SMALL
    with Client(served.connect()) as client:
        response = client.request('/small.txt', 'GET', 'Expect: 200-maybe')
        assert response.status == 417


def test_head(client, root):
    """HEAD has GET's fields and no body, so that the next answer is found where it begins."""
    for target in ['/small.txt', '/big.bin', '/empty', '/', '/absent']:
        get = client.request(target)
        head = client.request(target, 'HEAD')
        assert head.status == get.status and head.body == b''
        for name in ('content-length', 'content-type', 'etag', 'last-modified'):
            assert head.fields.get(name) == get.fields.get(name), name


def test_options_and_other_methods(client):
    """What a file cannot do is said by 405 with Allow, what nobody knows by 501."""
    for target in ['*', '/small.txt']:
        response = client.request(target, 'OPTIONS')
        assert response.status in (200, 204)
        assert 'GET' in response.fields['allow'] and 'HEAD' in response.fields['allow']
    for method in ['POST', 'PUT', 'DELETE', 'PATCH']:
        response = client.request('/small.txt', method, 'Content-Length: 0')
        assert response.status == 405, method
        assert 'GET' in response.fields['allow']
    for method in ['BREW', 'get']:
        assert client.request('/small.txt', method).status == 501


@pytest.mark.http1
def test_absolute_form(client):
    """A proxy's form of a target must be understood by every server (RFC 9112, 3.2.2)."""
    client.send(b'GET http://localhost/small.txt HTTP/1.1\r\nHost: other\r\n\r\n')
    assert client.response().body == SMALL
    client.send(b'GET http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n')
    assert client.response().body == b'<p>index</p>\n'
    client.send(b'GET https://localhost/small.txt HTTP/1.1\r\nHost: localhost\r\n\r\n')
    # RFC 9110, 7.4: what was not secured is misdirected
    assert client.response().status == (200 if BY_TLS else 421)


def test_fields_of_an_answer(client):
    """What caches and browsers rely on."""
    before = int(time.time())
    response = client.request('/small.txt')
    date = time.strptime(response.fields['date'], '%a, %d %b %Y %H:%M:%S GMT')
    import calendar
    assert before - 2 <= calendar.timegm(date) <= time.time() + 1
    assert response.fields['content-type'].startswith('text/plain')
    assert response.fields['content-length'] == str(len(SMALL))
    assert 'last-modified' in response.fields
    assert client.request('/absent').fields['content-type'].startswith('text/')


def test_date_moves_on(client):
    """Date is made once a second, and must not stand still on a kept-alive connection."""
    first = client.request('/small.txt').fields['date']
    time.sleep(1.2)
    assert client.request('/small.txt').fields['date'] != first


LONG = b'a' * 20000
BAD = [
    # what, request, statuses that say so
    ('nonsense', b'\x16\x03\x01\x02\x00\x01\x00', [400]),
    ('no-version', b'GET /small.txt\r\n\r\n', [400, 505]),
    ('http-2', b'GET / HTTP/2.0\r\nHost: a\r\n\r\n', [505]),
    ('http-1-lowercase', b'GET / http/1.1\r\nHost: a\r\n\r\n', [400]),
    ('no-host', b'GET / HTTP/1.1\r\n\r\n', [400]),
    ('two-hosts', b'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', [400]),
    ('bad-host', b'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', [400]),
    ('two-spaces', b'GET  / HTTP/1.1\r\nHost: a\r\n\r\n', [400]),
    ('space-before-colon', b'GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n', [400]),
    ('no-colon', b'GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n', [400]),
    ('empty-name', b'GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n', [400]),
    ('obs-fold', b'GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n', [400]),
    ('bare-cr', b'GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n', [400]),
    ('bare-lf', b'GET / HTTP/1.1\nHost: a\n\n', [400]),
    ('nul', b'GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n', [400]),
    ('nul-in-target', b'GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n', [400]),
    ('target-without-slash', b'GET small.txt HTTP/1.1\r\nHost: a\r\n\r\n', [400]),
    ('asterisk-get', b'GET * HTTP/1.1\r\nHost: a\r\n\r\n', [400]),
    ('connect', b'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n', [400, 405, 501]),
    ('length-and-chunked', b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n'
                           b'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n', [400]),
    ('two-lengths', b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n'
                    b'Content-Length: 4\r\n\r\nabc', [400]),
    ('length-list', b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 4\r\n\r\nabc', [400]),
    ('length-sign', b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc', [400]),
    ('length-hex', b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc', [400]),
    ('length-empty', b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n', [400]),
    ('length-huge', b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n',
     [400, 413]),
    ('coding-unknown', b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n',
     [501]),
    ('coding-not-last', b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n',
     [400, 501]),
    ('chunked-twice', b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n',
     [400]),
    ('chunked-in-1.0', b'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', [400]),
    ('long-target', b'GET /' + LONG + b' HTTP/1.1\r\nHost: a\r\n\r\n', [414]),
    ('long-target-unended', b'GET /' + LONG, [414]),
    ('large-head', b'GET / HTTP/1.1\r\nHost: a\r\nA: ' + LONG + b'\r\n\r\n', [431]),
    ('many-fields', b'GET / HTTP/1.1\r\nHost: a\r\n' + b'A: b\r\n' * 200 + b'\r\n', [431]),
    ('too-large-body', b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n', [413]),
]


@pytest.mark.http1
@pytest.mark.parametrize('what, request_bytes, statuses', BAD, ids=[b[0] for b in BAD])
def test_bad_request(served, what, request_bytes, statuses):
    """
    What would let two servers disagree about where a request ends is refused, with an answer that
    says so, and the connection ends: nothing behind it is taken for a request.
    """
    with Client(served.connect()) as client:
        client.send(request_bytes + GET)
        response = client.response()
        assert response.status in statuses, what
        assert response.closes
        assert re.search(str(response.status).encode(), response.body), 'a body that says why'
        assert client.rest() == b''


BAD_CHUNKS = [b'g\r\n', b' 5\r\nhello\r\n', b'5 \nhello\r\n', b'-1\r\n', b'0x5\r\nhello\r\n',
              b'5\r\nhelloworld\r\n', b'5\r\nhello\n', b'\r\n', b'fffffffffffffffff\r\n',
              b'5;' + b'a' * 20000 + b'\r\n', b'5\nhello\n']


@pytest.mark.http1
@pytest.mark.parametrize('chunk', BAD_CHUNKS, ids=range(len(BAD_CHUNKS)))
def test_bad_chunk(served, chunk):
    """A chunk that cannot be read loses the framing: whatever was answered, the connection ends."""
    with Client(served.connect()) as client:
        client.send(b'POST /small.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
        client.send(chunk + b'0\r\n\r\n' + GET)
        answers = client.rest()
        assert SMALL not in answers
        assert re.match(rb'HTTP/1\.1 (400|405|413) ', answers)


def test_bodies_are_discarded(client):
    """A body nobody wants is read to its end, so that the next request is found behind it."""
    sizes = [1, 100, 4096, 65536, 1000000]
    for size in sizes:
        body = b'GET / HTTP/1.1\r\n' * (size // 16 + 1)
        body = body[:size]
        response = client.request('/small.txt', 'POST', f'Content-Length: {size}', body=body)
        assert response.status == 405 and not response.closes, size
        assert client.request('/small.txt').body == SMALL
    for size in sizes if not BY_HTTP2 else ():
        chunks = b'%x\r\n%s\r\n' % (size, b'x' * size)
        response = client.request('/small.txt', 'POST', 'Transfer-Encoding: chunked',
                                  body=chunks + b'0\r\n\r\n')
        assert response.status == 405 and not response.closes, size
        assert client.request('/small.txt').body == SMALL


@pytest.mark.http1
def test_chunked_body_past_the_limit(served):
    """A chunked body does not tell its length first; the limit holds all the same."""
    with Client(served.connect()) as client:
        client.send(b'POST /small.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
        chunk = b'10000\r\n' + b'x' * 65536 + b'\r\n'
        sent = 0
        try:
            for _ in range(64):
                client.send(chunk)
                sent += 65536
        except (BrokenPipeError, ConnectionResetError):
            pass
        answers = client.rest()
        assert not answers or re.match(rb'HTTP/1\.1 (405|413) ', answers)
        assert client.is_closed()


def test_limits_are_settings(emberd, root):
    """HeadBytesMax and BodyBytesMax hold as they are set."""
    one = emberd(root=root, options=['Server.HeadBytesMax=1K', 'Server.BodyBytesMax=10'])
    with Client(one.connect()) as client:
        assert client.request('/small.txt', fields='A: ' + 'x' * 2000).status == 431
    with Client(one.connect()) as client:
        assert client.request('/small.txt', 'POST', 'Content-Length: 11').status == 413
    with Client(one.connect()) as client:
        response = client.request('/small.txt', 'POST', 'Content-Length: 10', body=b'x' * 10)
        assert response.status == 405


@pytest.mark.http1
def test_head_timeout(emberd, root):
    """Who begins a request and does not end it, slowloris or a dead line, may not stay."""
    one = emberd(root=root, options=['Server.HeadTimeoutSec=1'])
    begun = time.monotonic()
    with Client(one.connect()) as silent, Client(one.connect()) as slow, \
            Client(one.connect()) as dripping:
        slow.send(GET[:30])
        dripping.send(GET[:10])
        for at in range(10, 40):
            time.sleep(0.05)
            try:
                dripping.send(GET[at:at + 1])
            except OSError:
                break
        assert silent.rest() == b''
        assert slow.rest().startswith(b'HTTP/1.1 408 ')
        assert dripping.rest().startswith(b'HTTP/1.1 408 ')
        assert time.monotonic() - begun < 4 * SLOWNESS


def test_keep_alive_timeout(emberd, root):
    """A kept-alive connection that says nothing goes after KeepAliveSec, one at work does not."""
    one = emberd(root=root, options=['Server.KeepAliveSec=1'])
    with Client(one.connect()) as busy, Client(one.connect()) as idle:
        assert idle.request('/small.txt').status == 200
        begun = time.monotonic()
        while time.monotonic() - begun < 1.8:
            assert busy.request('/small.txt').status == 200
            time.sleep(0.2)
        assert idle.is_closed(3)


def test_body_timeout(emberd, root):
    """A body that stops coming must not hold its connection for ever."""
    one = emberd(root=root, options=['Server.BodyTimeoutSec=1'])
    with Client(one.connect()) as client:
        begun = time.monotonic()
        client.ask('/small.txt', 'POST', 'Content-Length: 100', b'abc')
        client.response() if BY_HTTP2 else client.rest()
        assert time.monotonic() - begun < 5 * SLOWNESS


@pytest.mark.http1
def test_garbage(served, rounds):
    """Whatever comes from the network, the server goes on serving others."""
    import random
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print('seed', seed)
    for _ in range(rounds * 30):
        with Client(served.connect()) as client:
            data = bytearray(GET * chance.randrange(1, 4))
            for _ in range(chance.randrange(1, 8)):
                at = chance.randrange(len(data))
                data[at:at + chance.randrange(3)] = chance.randbytes(chance.randrange(4))
            try:
                client.send(bytes(data))
                client.socket.shutdown(socket.SHUT_WR)
                client.rest()
            except OSError:
                pass
    with Client(served.connect()) as client:
        assert client.request('/small.txt').body == SMALL
