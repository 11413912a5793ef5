# SPDX-License-Identifier: MIT
"""
A client that does no more than a test asks: raw bytes out, whole responses in. `Client` is the one
of the run's carrier.
"""
import re
import socket
import time

from carrier import BY_HTTP2, carried


class Response:
    def __init__(self, head, body):
        self.head = head
        self.body = body
        lines = head.split(b'\r\n')
        match = re.fullmatch(rb'HTTP/1\.1 (\d{3}) ([ -~]*)', lines[0])
        assert match, f'not a status line: {lines[0]!r}'
        self.status = int(match.group(1))
        self.fields = {}
        for line in lines[1:]:
            match = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([^\r\n\0]*)", line)
            assert match, f'not a field line: {line!r}'
            name = match.group(1).decode().lower()
            assert name not in self.fields, f'{name} twice in {head!r}'
            self.fields[name] = match.group(2).decode('latin-1')

    def __repr__(self):
        return f'<{self.head!r} and {len(self.body)} bytes>'

    @property
    def closes(self):
        return self.fields.get('connection', '').lower() == 'close'


class Connection:
    """What clients of all protocols have: a socket, by TLS where the run's carrier says so."""

    def __init__(self, connected):
        self.socket = carried(connected)
        self.socket.settimeout(connected.gettimeout() or 10)
        if connected.family in (socket.AF_INET, socket.AF_INET6):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def close(self):
        self.socket.close()

    def request(self, target='/', method='GET', fields='', body=b'', host='localhost'):
        """`fields` are lines without their ends, one a line."""
        self.ask(target, method, fields, body, host)
        return self.response(method)


class Http1Client(Connection):
    def __init__(self, connected):
        super().__init__(connected)
        self.buffer = b''

    def send(self, data):
        self.socket.sendall(data)
        return self

    def send_slowly(self, data, seconds=0.0):
        """One byte at a time, each in a packet of its own."""
        for i in range(len(data)):
            self.socket.sendall(data[i:i + 1])
            if seconds:
                time.sleep(seconds)
        return self

    def more(self):
        data = self.socket.recv(262144)
        if not data:
            raise EOFError(f'the connection ended after {self.buffer[:200]!r}')
        self.buffer += data

    def until_begun(self):
        """The response has begun to come."""
        while b'\r\n\r\n' not in self.buffer:
            self.more()

    def take(self, size):
        parts, have = [self.buffer[:size]], min(size, len(self.buffer))
        self.buffer = self.buffer[have:]
        while have < size:
            data = self.socket.recv(min(size - have, 1 << 20))
            if not data:
                raise EOFError(f'the connection ended {size - have} bytes early')
            parts.append(data)
            have += len(data)
        return b''.join(parts)

    def response(self, to='GET'):
        """The next response; `to` is the request's method, which decides whether a body follows."""
        self.until_begun()
        head, self.buffer = self.buffer.split(b'\r\n\r\n', 1)
        response = Response(head, b'')
        if to == 'HEAD' or response.status in (204, 304) or response.status < 200:
            return response
        if 'transfer-encoding' in response.fields:
            response.body = self.chunks()
        elif 'content-length' in response.fields:
            response.body = self.take(int(response.fields['content-length']))
        else:
            response.body = self.rest()
        return response

    def chunks(self):
        body = b''
        while True:
            while b'\r\n' not in self.buffer:
                self.more()
            size, self.buffer = self.buffer.split(b'\r\n', 1)
            size = int(size, 16)
            body += self.take(size)
            assert self.take(2) == b'\r\n'
            if not size:
                return body

    def ask(self, target='/', method='GET', fields='', body=b'', host='localhost'):
        """The request alone; response() and more() are for what comes."""
        lines = [f'{method} {target} HTTP/1.1', f'Host: {host}']
        lines += [x for x in fields.split('\n') if x]
        self.send('\r\n'.join(lines).encode('latin-1') + b'\r\n\r\n' + body)

    def rest(self):
        """All until the peer ends the connection."""
        data = self.buffer
        self.buffer = b''
        while True:
            try:
                part = self.socket.recv(262144)
            except ConnectionResetError:
                return data
            if not part:
                return data
            data += part

    def is_closed(self, seconds=5):
        """Whether the peer ends the connection within this time, and sends nothing before."""
        self.socket.settimeout(seconds)
        try:
            return not self.buffer and self.socket.recv(1) == b''
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


if BY_HTTP2:
    from http2_client import Http2Client as Client
else:
    Client = Http1Client
