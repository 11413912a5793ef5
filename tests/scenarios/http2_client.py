# SPDX-License-Identifier: MIT
"""As client.py's, over HTTP/2: each request is a stream, and responses are taken in their order."""
import re
import time

import h2.config
import h2.connection
import h2.events
import h2.settings
import hyperframe.frame

import client
from carrier import SCHEME

WINDOW = 1 << 20  # of a stream; a reader that rests holds no more than this back


class Response:
    def __init__(self, headers):
        self.fields, self.body, self.trailers = {}, b'', []
        self.ended, self.reset = False, None
        self.parts = []
        assert headers[0][0] == ':status', headers
        self.status = int(headers[0][1])
        for name, value in headers[1:]:
            assert name == name.lower() and not name.startswith(':'), name
            assert name not in ('connection', 'transfer-encoding', 'keep-alive'), name
            assert name not in self.fields, f'{name} twice in {headers!r}'
            self.fields[name] = value

    def __repr__(self):
        return f'<{self.status} {self.fields!r} and {len(self.body)} bytes>'


class Http2Client(client.Connection):
    def __init__(self, connected):
        super().__init__(connected)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding='latin-1', validate_outbound_headers=False,
            normalize_outbound_headers=False))
        self.h2.local_settings = h2.settings.Settings(client=True, initial_values={
            h2.settings.SettingCodes.ENABLE_PUSH: 0,
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
        self.outlive_goaway()
        self.begun = False
        self.asked = []       # streams whose responses nobody has taken
        self.responses = {}   # of each stream
        self.informed = {}    # of each stream, the statuses that came before
        self.resets = {}      # of each stream, why
        self.goaway = None
        self.settings_seen = False

    def outlive_goaway(self):
        """The library takes GOAWAY for the end; streams that were begun go on (RFC 9113, 6.8)."""
        handlers = self.h2._frame_dispatch_table
        take = handlers[hyperframe.frame.GoAwayFrame]

        def take_and_go_on(frame):
            before = self.h2.state_machine.state
            result = take(frame)
            self.h2.state_machine.state = before
            return result

        handlers[hyperframe.frame.GoAwayFrame] = take_and_go_on

    def flush(self):
        if not self.begun:
            self.begun = True
            self.h2.initiate_connection()
            self.h2.increment_flow_control_window(16 * WINDOW)
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)
        return self

    def more(self):
        """What has come; at least something."""
        self.flush()
        data = self.socket.recv(262144)
        if not data:
            raise EOFError(f'the connection ended; {self.goaway}')
        for event in self.h2.receive_data(data):
            self.take_event(event)
        self.flush()

    def until_begun(self):
        """The response to what was asked first has begun to come."""
        while self.asked[0] not in self.responses:
            self.more()

    def take_event(self, event):
        e = h2.events
        if isinstance(event, e.ResponseReceived):
            self.responses[event.stream_id] = Response(event.headers)
        elif isinstance(event, e.InformationalResponseReceived):
            self.informed.setdefault(event.stream_id, []).append(int(event.headers[0][1]))
        elif isinstance(event, e.DataReceived):
            self.responses[event.stream_id].parts.append(event.data)
            if event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, e.TrailersReceived):
            self.responses[event.stream_id].trailers = event.headers
        elif isinstance(event, e.StreamEnded):
            self.responses[event.stream_id].ended = True
        elif isinstance(event, e.StreamReset):
            self.resets[event.stream_id] = event.error_code
        elif isinstance(event, e.ConnectionTerminated):
            self.goaway = event
        elif isinstance(event, e.RemoteSettingsChanged):
            self.settings_seen = True

    def begin(self, target, method, fields, host, end):
        """A new stream with a request's head."""
        if not self.begun:
            self.flush()
        headers = [(b':method', method.encode()), (b':scheme', SCHEME.encode()),
                   (b':authority', host.encode()), (b':path', target.encode('latin-1'))]
        for line in fields.split('\n'):
            name, _, value = line.partition(':')
            if name and name.lower() not in ('connection', 'keep-alive', 'transfer-encoding'):
                headers.append((name.lower().encode(), value.strip().encode('latin-1')))
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers, end_stream=end)
        self.asked.append(stream)
        self.flush()
        return stream

    def ask(self, target='/', method='GET', fields='', body=b'', host='localhost'):
        """The stream stays open on our side where Content-Length says more than is sent."""
        promised = re.search(r'^content-length: *(\d+)$', fields, re.M | re.I)
        ends = not promised or len(body) >= int(promised.group(1))
        stream = self.begin(target, method, fields, host, ends and not body)
        self.send_body(stream, body, ends)
        return stream

    def send_body(self, stream, body, end):
        """As there is room; what comes meanwhile is kept. Stops where the stream has ended."""
        view = memoryview(body)
        while len(view):
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size,
                       len(view))
            if stream in self.resets or (room <= 0 and self.is_answered(stream)):
                return
            if room <= 0:
                self.more()
                continue
            self.h2.send_data(stream, bytes(view[:room]), end_stream=end and room == len(view))
            view = view[room:]
            self.flush()

    def is_answered(self, stream):
        return stream in self.responses and self.responses[stream].ended

    def response(self, to='GET'):
        """That of the request asked first."""
        stream = self.asked.pop(0)
        while not self.is_answered(stream):
            if stream in self.resets:
                raise ConnectionResetError(f'reset by {self.resets[stream]!r}')
            if self.goaway and stream > self.goaway.last_stream_id:
                raise ConnectionResetError('refused by GOAWAY')
            self.more()
        response = self.responses.pop(stream)
        response.body = b''.join(response.parts)
        response.parts = []
        response.closes = self.goaway is not None
        length = response.fields.get('content-length')
        if to != 'HEAD' and response.status not in (204, 304) and length is not None:
            assert len(response.body) == int(length), (len(response.body), length)
        if to == 'HEAD' or response.status in (204, 304):
            assert not response.body
        return response

    def is_closed(self, seconds=5):
        """Whether the peer ends the connection within this time, with no response before."""
        end = time.monotonic() + seconds
        before = len(self.responses)
        try:
            while len(self.responses) == before:
                self.socket.settimeout(max(end - time.monotonic(), 0.001))
                self.more()
        except (EOFError, ConnectionResetError, BrokenPipeError):
            return True
        except TimeoutError:
            pass
        return False
