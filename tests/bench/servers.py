# SPDX-License-Identifier: MIT
"""The workloads, and how each server is set up for them: alike, as far as their settings go."""
import os
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('EMBERD_BUILD') or os.path.join(TOP, 'build')
PEERS = ('nginx', 'lighttpd', 'h2o')
EMBERD = ('emberd-epoll', 'emberd-io_uring')
PATIENCE_SEC = 600  # longer than any connection of ours stays silent


class Work:
    """A workload: what is asked for, by which tool and protocol, by how many connections."""

    def __init__(self, size, connections, text='', tool='wrk', **more):
        self.size, self.connections, self.text, self.tool = size, connections, text, tool
        self.pipeline = more.get('pipeline', 1)
        self.close = more.get('close', False)
        self.tls = more.get('tls', False)
        self.streams = more.get('streams', 0)  # of HTTP/2, a connection
        self.asks = more.get('asks', '')  # how the tool of ours is to behave
        self.emberd_only = tool == 'cold'
        self.has_floor = not self.tls and not self.streams and tool == 'wrk'

    def __str__(self):
        protocol = 'HTTP/2' if self.streams else 'HTTP/1.1'
        protocol += ' over TLS 1.3' if self.tls else ''
        return f'{protocol}, {self.size} bytes, {self.connections} connections{self.text}'


WORKS = {
    'small': Work(1 << 10, 64),
    'close': Work(1 << 10, 64, ', a connection a request', close=True),
    'pipe16': Work(1 << 10, 64, ', 16 requests in a row', pipeline=16),
    'medium': Work(64 << 10, 64),
    'large': Work(1 << 20, 16),
    'tls': Work(1 << 10, 64, tls=True),
    'tls-large': Work(1 << 20, 16, tls=True),
    'tls-full': Work(1 << 10, 16, ': a full handshake and one request each', 'connect', tls=True,
                     close=True, asks='fresh'),
    'tls-resumed': Work(1 << 10, 16, ': a resumed handshake and one request each', 'connect',
                        tls=True, close=True, asks='resumed'),
    'h2': Work(1 << 10, 10, ', 100 streams each', 'h2load', tls=True, streams=100),
    'h2-large': Work(1 << 20, 4, ', 10 streams each', 'h2load', tls=True, streams=10),
    'h2c': Work(1 << 10, 10, ', 100 streams each', 'h2load', streams=100),
    'h2c-large': Work(1 << 20, 4, ', 10 streams each', 'h2load', streams=10),
    'tls-idle': Work(1 << 10, 5000, ', silent after the handshake', 'idle', tls=True,
                     asks='handshake'),
    'tls-kept': Work(1 << 10, 5000, ', silent after one request', 'idle', tls=True,
                     asks='request'),
    'tls-cold': Work(1 << 10, 1, ', to a server that is started by it', 'cold', tls=True),
}
BY_DEFAULT = ('small', 'close', 'pipe16', 'medium', 'large')


class Place:
    """What a server finds: a port, files, and a folder for its own."""

    def __init__(self, folder, port, work, certificate):
        self.folder, self.port, self.work, self.certificate = folder, port, work, certificate
        self.root = f'{folder}/www'

    @property
    def pem(self):
        return f'{self.certificate}/certificate.pem'

    @property
    def key(self):
        return f'{self.certificate}/key.pem'


def write(path, text):
    with open(path, 'w', encoding='ascii') as file:
        file.write(text)
    return path


def make_certificate(folder):
    """ECDSA on P-256, which all of them know, and which browsers like best."""
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                    'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', '/CN=localhost',
                    '-addext', 'subjectAltName=DNS:localhost', '-keyout', f'{folder}/key.pem',
                    '-out', f'{folder}/certificate.pem'], check=True, capture_output=True)
    os.chmod(f'{folder}/key.pem', 0o600)
    return folder


def emberd_settings(place, more=''):
    """A file of settings without a listener: for sockets that are passed in."""
    site = f'Certificate={place.pem}\nKey={place.key}\n' if place.work.tls else ''
    return f'''[Server]
Workers=1
AccessLog=off
HeadTimeoutSec={PATIENCE_SEC}
KeepAliveSec={PATIENCE_SEC}
HTTP2={'yes' if place.work.streams else 'no'}
{more}[Site localhost]
Root={place.root}
{site}'''


def emberd(backend):
    def command(place):
        if place.work.has_floor:
            return [f'{BUILD}/emberd', '-b', backend, '-w', '1', '-o', 'Server.AccessLog=off',
                    '-l', f'127.0.0.1:{place.port}', place.root]
        name = 'https' if place.work.tls else 'http'
        listener = f'[Listener {name}]\nAddress=127.0.0.1:{place.port}\n'
        return [f'{BUILD}/emberd', '-b', backend, '-c',
                write(f'{place.folder}/emberd.conf', emberd_settings(place, listener))]
    return command


def floor(backend):
    return lambda place: [f'{BUILD}/tests/bench/floor', backend, str(place.port),
                          str(place.work.size), 'close' if place.work.close else 'keep']


def nginx(place):
    paths = ' '.join(f'{kind}_temp_path {place.folder}/{kind};' for kind in
                     ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
    tls = f'''ssl_certificate {place.pem}; ssl_certificate_key {place.key};
  ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets on; ssl_stapling off;''' \
        if place.work.tls else ''
    listen = (' ssl' if place.work.tls else '') + (' http2' if place.work.streams else '')
    return ['nginx', '-p', place.folder, '-c', write(f'{place.folder}/nginx.conf', f'''
daemon off; master_process off; error_log {place.folder}/error; pid {place.folder}/pid;
events {{ worker_connections 8192; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; {paths}
  keepalive_timeout {PATIENCE_SEC}s; client_header_timeout {PATIENCE_SEC}s;
  types {{ text/plain txt; }} {tls}
  open_file_cache max=1000 inactive=60s; open_file_cache_valid 60s;
  server {{ listen 127.0.0.1:{place.port}{listen} backlog=4096; root {place.root}; }}
}}
''')]


def lighttpd(place):
    h2 = 'enable' if place.work.streams else 'disable'
    tls = f'''server.modules += ("mod_openssl")
ssl.engine = "enable"
ssl.pemfile = "{place.pem}"
ssl.privkey = "{place.key}"
ssl.openssl.ssl-conf-cmd = ("MinProtocol" => "TLSv1.2")
''' if place.work.tls else ''
    return ['lighttpd', '-D', '-f', write(f'{place.folder}/lighttpd.conf', f'''
server.document-root = "{place.root}"
server.bind = "127.0.0.1"
server.port = {place.port}
server.listen-backlog = 4096
server.max-connections = 8192
server.max-fds = 16384
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = {PATIENCE_SEC}
server.max-read-idle = {PATIENCE_SEC}
server.feature-flags = ("server.h2proto" => "{h2}", "server.h2c" => "{h2}")
mimetype.assign = (".txt" => "text/plain")
{tls}''')]


def h2o(place):
    user = '' if os.geteuid() else 'user: root\n'
    tls = f''', ssl: {{certificate-file: {place.pem}, key-file: {place.key},
  minimum-version: TLSv1.2, ocsp-update-interval: 0}}''' if place.work.tls else ''
    return ['h2o', '-c', write(f'{place.folder}/h2o.conf', f'''{user}num-threads: 1
max-connections: 8192
http1-request-timeout: {PATIENCE_SEC}
http2-idle-timeout: {PATIENCE_SEC}
listen: {{host: 127.0.0.1, port: {place.port}{tls}}}
hosts: {{default: {{paths: {{/: {{file.dir: {place.root}}}}}}}}}
''')]


SERVERS = {'emberd-epoll': emberd('epoll'), 'emberd-io_uring': emberd('io_uring'), 'nginx': nginx,
           'lighttpd': lighttpd, 'h2o': h2o, 'floor-epoll': floor('epoll'),
           'floor-io_uring': floor('io_uring')}
