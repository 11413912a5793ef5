# SPDX-License-Identifier: MIT
"""
What carries the requests of a run: EMBERD_CARRIER.

plain   HTTP/1.1 on a socket
tls     HTTP/1.1 over TLS
h2      HTTP/2 over TLS, agreed on by ALPN
h2c     HTTP/2 on a socket, by prior knowledge

A test that cannot be carried says so by a marker: `http1` where it is about HTTP/1's own bytes,
`plain` where emberd can speak nothing else.
"""
import contextlib
import os
import socket
import ssl

import certificates

CARRIER = os.environ.get('EMBERD_CARRIER') or 'plain'
assert CARRIER in ('plain', 'tls', 'h2', 'h2c')
BY_TLS = CARRIER in ('tls', 'h2')
BY_HTTP2 = CARRIER in ('h2', 'h2c')
VERSION = 'HTTP/2.0' if BY_HTTP2 else 'HTTP/1.1'  # in access logs
SCHEME = 'https' if BY_TLS else 'http'


class TlsSocket:
    """
    As much of a socket as the scenarios use, with TLS on it. Python's own cannot end one side and
    go on reading, nor wait with its handshake until there is something to say.
    """

    def __init__(self, connected, context=None, server_name=None, session=None):
        self.raw = connected
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or client_context()).wrap_bio(
            self.incoming, self.outgoing, server_hostname=server_name, session=session)
        self.opened = False
        self.cut = False  # the peer has closed without close_notify
        self.peeked = b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __getattr__(self, name):
        return getattr(self.raw, name)  # family, fileno, settimeout, …

    def flush(self):
        data = self.outgoing.read()
        if data:
            self.raw.sendall(data)

    def until_done(self, call, *arguments):
        """Call until it has all it wants from the peer. None: the peer has ended."""
        while True:
            try:
                result = call(*arguments)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return None
            except ssl.SSLError:  # an alert of ours says why
                with contextlib.suppress(OSError):
                    self.flush()
                raise
            data = self.raw.recv(262144)
            if data:
                self.incoming.write(data)
            else:
                self.cut = True
                self.incoming.write_eof()

    def handshake(self):
        if not self.opened:
            self.until_done(self.tls.do_handshake)
            if self.cut:
                raise ConnectionResetError('the peer ended the handshake')
            self.opened = True
        return self

    def sendall(self, data):
        self.handshake()
        view = memoryview(data)
        while len(view):
            view = view[self.tls.write(view[:262144]):]
            self.flush()

    def send(self, data):
        self.sendall(data)
        return len(data)

    def greet(self):
        """What can be said to somebody who does not answer yet."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.flush()

    def recv(self, size, flags=0):
        self.handshake()
        if not self.peeked:
            self.peeked = self.until_done(self.tls.read, size) or b''
            with contextlib.suppress(ssl.SSLError):  # what has come already, of several records
                while self.peeked and len(self.peeked) < size:
                    more = self.tls.read(size - len(self.peeked))
                    if not more:
                        break
                    self.peeked += more
        data = self.peeked[:size]
        if flags != socket.MSG_PEEK:
            self.peeked = self.peeked[size:]
        return data

    def shutdown(self, how):
        """close_notify where that is TLS's word for it; what the peer says can still be read."""
        if how == socket.SHUT_WR and self.opened:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.unwrap()
            self.flush()
        self.raw.shutdown(how)

    def close(self):
        if self.opened and not self.cut:
            with contextlib.suppress(OSError):
                self.tls.unwrap()
            with contextlib.suppress(OSError):
                self.raw.settimeout(0)
                self.flush()
        self.raw.close()


def client_context(alpn=None, **more):
    """Trusts the authority of the tests, whatever the name; `more` are attributes of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(certificates.authority().path)
    context.set_alpn_protocols(alpn or (['h2'] if BY_HTTP2 else ['http/1.1']))
    for name, value in more.items():
        setattr(context, name, value)
    return context


def carried(connected, server_name=None):
    """The socket as this run's carrier wants it."""
    if not BY_TLS or isinstance(connected, TlsSocket):
        return connected
    return TlsSocket(connected, server_name=server_name)


def options(listeners, sites):
    """What the settings have to say: values of -o."""
    if CARRIER == 'h2c':
        return ['Server.HTTP2=yes']  # "auto" is by TLS alone
    if not BY_TLS:
        return []
    one = certificates.of_session()
    found = [f'Listener {name}.TLS=yes' for name in listeners]
    for name in sites:
        found += [f'Site {name}.Certificate={one.path}', f'Site {name}.Key={one.key_path}']
    return found


def curl_options():
    """How curl comes by this carrier."""
    found = ['--cacert', certificates.authority().path] if BY_TLS else []
    return found + {'h2': ['--http2'], 'h2c': ['--http2-prior-knowledge']}.get(CARRIER,
                                                                             ['--http1.1'])
