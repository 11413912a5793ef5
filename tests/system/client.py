# SPDX-License-Identifier: MIT
"""Requests to a machine, from threads that live in its network."""
import queue
import socket
import threading
import time

ANSWER_SECONDS = 15


class Answer:
    def __init__(self, status, head, body, first_byte_ms):
        self.status, self.head, self.body = status, head, body
        self.first_byte_ms = first_byte_ms  # from before connect(2)


def request_text(path, close=True):
    end = 'Connection: close\r\n' if close else ''
    return f'GET {path} HTTP/1.1\r\nHost: test\r\n{end}\r\n'.encode()


def get(path='/', port=80, host='127.0.0.1', wrap=None):
    """One request on a connection of its own, wrapped in TLS; OSError when it fails."""
    begun = time.monotonic()
    plain = socket.create_connection((host, port), timeout=ANSWER_SECONDS)
    with plain, wrap(plain) if wrap else plain as s:
        s.sendall(request_text(path))
        data = s.recv(65536)
        first = time.monotonic()
        while piece := s.recv(65536):
            data += piece
    head, found, body = data.partition(b'\r\n\r\n')
    if not found:
        raise ConnectionResetError(f'{len(data)} bytes and no head')
    length = [line for line in head.split(b'\r\n') if line.lower().startswith(b'content-length:')]
    if length and int(length[0].split(b':')[1]) != len(body):
        raise ConnectionResetError(f'{len(body)} bytes, not {length[0].decode()}')
    return Answer(int(head.split()[1]), head.decode('latin-1'), body, (first - begun) * 1000)


class Inside:
    """A thread in the machine's network that calls functions there."""

    def __init__(self, machine):
        self.calls = queue.Queue()
        self.thread = threading.Thread(target=self._serve, args=(machine,), daemon=True)
        self.thread.start()

    def _serve(self, machine):
        machine.enter_network()
        while call := self.calls.get():
            function, args, more, done = call
            try:
                done.put((function(*args, **more), None))
            except Exception as error:  # handed to the caller
                done.put((None, error))

    def call(self, function, *args, **more):
        done = queue.Queue()
        self.calls.put((function, args, more, done))
        result, error = done.get(timeout=120)
        if error:
            raise error
        return result

    def get(self, *args, **more):
        return self.call(get, *args, **more)

    def connect(self, port=80):
        return self.call(socket.create_connection, ('127.0.0.1', port), ANSWER_SECONDS)

    def end(self):
        self.calls.put(None)


class Kept:
    """One kept-alive connection, made anew when it was lost (which is counted)."""

    def __init__(self, port=80, wrap=None):
        self.socket, self.port, self.wrap = None, port, wrap

    def get(self):
        begun = time.monotonic()
        if not self.socket:
            plain = socket.create_connection(('127.0.0.1', self.port), ANSWER_SECONDS)
            self.socket = self.wrap(plain) if self.wrap else plain
        try:
            self.socket.sendall(request_text('/', close=False))
            data = self.socket.recv(65536)
            first = time.monotonic()
            if not data:
                raise ConnectionResetError('closed instead of an answer')
            head, _, body = data.partition(b'\r\n\r\n')
            length = int(head.lower().split(b'content-length:')[1].split(b'\r')[0])
            while len(body) < length:
                piece = self.socket.recv(65536)
                if not piece:
                    raise ConnectionResetError(f'{len(body)} bytes, not {length}')
                body += piece
            if b'connection: close' in head.lower():
                self.end()
        except OSError:
            self.end()
            raise
        return Answer(int(head.split()[1]), '', body, (first - begun) * 1000)

    def end(self):
        self.socket.close()
        self.socket = None


class Load:
    """
    Some clients that ask one thing after the other until ended; each connects anew for each
    request, or keeps its connection, or asks by a function that is given.
    """

    def __init__(self, machine, clients, pause=0.01, kept=False, ask=None):
        self.answered, self.slowest_ms, self.latest = 0, 0.0, 0
        self.failures = []  # (when it ended, what)
        self._ending, self._lock = threading.Event(), threading.Lock()
        self._pause, self._kept, self._ask = pause, kept, ask
        self._threads = [threading.Thread(target=self._run, args=(machine,), daemon=True)
                         for _ in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        for thread in self._threads:
            thread.join(ANSWER_SECONDS * 2)

    def _run(self, machine):
        machine.enter_network()
        ask = self._ask or (Kept().get if self._kept else get)
        while not self._ending.wait(self._pause):
            try:
                answer = ask()
                with self._lock:
                    self.answered += 1
                    self.latest = answer.status
                    self.slowest_ms = max(self.slowest_ms, answer.first_byte_ms)
                    if answer.status != 200:
                        self.failures.append(f'{answer.status}')
            except OSError as error:
                with self._lock:
                    self.failures.append(type(error).__name__)
