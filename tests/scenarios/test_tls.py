# SPDX-License-Identifier: MIT
"""TLS: versions, certificates and whom they are for, tickets, and what clients do wrong."""
import os
import re
import socket
import ssl
import subprocess
import time

import pytest

import certificates
from carrier import TlsSocket, client_context
from client import Http1Client
from daemon import SANITIZED, SLOWNESS, eventually, free_port

pytestmark = pytest.mark.plain
once = pytest.mark.once

GET = b'GET /small.txt HTTP/1.1\r\nHost: a\r\n\r\n'
SMALL = b'small file\n'


class Tls:
    """Starts emberd with a listener for TLS, and one in clear, for Sites as a test writes them."""

    def __init__(self, emberd, root):
        self.emberd, self.root = emberd, root
        self.port, self.clear_port = free_port(), free_port()

    def settings(self, sites, server=''):
        return (f'[Server]\n{server}\n[Listener t]\nAddress=127.0.0.1:{self.port}\nTLS=yes\n'
                f'[Listener c]\nAddress=127.0.0.1:{self.clear_port}\n{sites}')

    def site(self, name, certificate, more=''):
        return (f'[Site {name}]\nRoot={self.root}\nCertificate={certificate.path}\n'
                f'Key={certificate.key_path}\n{more}\n')

    def write(self, sites, server=''):
        return self.emberd.write_settings(self.settings(sites, server))

    def __call__(self, sites, server='', **keywords):
        one = self.emberd(settings=self.settings(sites, server), listen=False, carried=False,
                          wait=False, **keywords)
        one.wait_serving()
        one.port = self.port
        return one

    def connect(self, name=None, context=None, session=None):
        connected = socket.create_connection(('127.0.0.1', self.port), 10 * SLOWNESS)
        return TlsSocket(connected, context, name, session)

    def client(self, *arguments, **keywords):
        connected = self.connect(*arguments, **keywords)
        try:
            return Http1Client(connected.handshake())
        except OSError:
            connected.close()
            raise

    def in_clear(self):
        return Http1Client(socket.create_connection(('127.0.0.1', self.clear_port), 10 * SLOWNESS))

    def shown(self, *arguments, **keywords):
        """The certificate that is shown to who asks, in DER."""
        with self.connect(*arguments, **keywords) as connected:
            return connected.handshake().tls.getpeercert(True)


@pytest.fixture
def tls(emberd, root):
    return Tls(emberd, root)


@pytest.fixture(scope='module')
def a():
    return certificates.authority().issue('a', ['a.example'])


@pytest.fixture(scope='module')
def b():
    return certificates.authority().issue('b', ['b.example', '*.b.example'])


def s_client(port, *arguments, said=b''):
    """What `openssl s_client` says."""
    done = subprocess.run(['openssl', 's_client', '-connect', f'127.0.0.1:{port}', '-CAfile',
                           certificates.authority().path, *arguments], input=said,
                          capture_output=True, timeout=20 * SLOWNESS, check=False)
    return (done.stdout + done.stderr).decode(errors='replace')


def alert_of(error):
    """What the alert says; some have no words of their own for that they are one."""
    return re.sub(r'.*alert ', '', str(error).replace('_', ' ').lower())


def of_version(version):
    """A client that speaks this version alone; old ones are below what OpenSSL likes."""
    context = client_context()
    context.set_ciphers('ALL:@SECLEVEL=0')
    context.minimum_version = context.maximum_version = version
    return context


V = ssl.TLSVersion


@pytest.mark.filterwarnings('ignore:.*deprecated')
@pytest.mark.parametrize('least, refused, spoken', [
    ('', [V.TLSv1, V.TLSv1_1], [V.TLSv1_2, V.TLSv1_3]),
    ('MinProtocol=TLSv1.3', [V.TLSv1, V.TLSv1_1, V.TLSv1_2], [V.TLSv1_3])])
def test_versions(tls, a, least, refused, spoken):
    """TLS 1.2 and 1.3, or 1.3 alone; who speaks only what is older is told so by an alert."""
    tls(tls.site('a.example', a), least)
    for version in spoken:
        with tls.client(context=of_version(version)) as client:
            assert client.socket.tls.version() == version.name.replace('v1_', 'v1.')
            assert client.request('/small.txt').body == SMALL
    for version in refused:
        with pytest.raises(ssl.SSLError) as caught:
            tls.client(context=of_version(version))
        assert 'protocol version' in alert_of(caught.value)


@once
def test_why_it_was_ended(tls, a):
    """Whoever asks for the log of a developer is told why nobody can come in."""
    one = tls(tls.site('a.example', a), 'MinProtocol=TLSv1.3')
    with pytest.raises(ssl.SSLError):
        tls.client(context=of_version(V.TLSv1_2))
    assert 'TLS with' not in one.stderr
    one.stop()
    one = tls.emberd('--log-level', 'debug', '-c', tls.write(
        tls.site('a.example', a), 'MinProtocol=TLSv1.3'), listen=False, carried=False, wait=False)
    one.wait_serving()
    with pytest.raises(ssl.SSLError):
        tls.client(context=of_version(V.TLSv1_2))
    eventually(lambda: re.search(r'TLS with 127\.0\.0\.1 was ended: .*(version|protocol)',
                                 one.stderr), 3, one.stderr)


def test_ciphers(tls, a):
    """Ciphers= is for TLS 1.2: others are refused; 1.3 goes on as it was."""
    tls(tls.site('a.example', a), 'Ciphers=ECDHE-ECDSA-AES256-GCM-SHA384')
    context = of_version(V.TLSv1_2)
    with tls.client(context=context) as client:
        assert client.socket.tls.cipher()[0] == 'ECDHE-ECDSA-AES256-GCM-SHA384'
    context.set_ciphers('ECDHE-ECDSA-AES128-GCM-SHA256')
    with pytest.raises(ssl.SSLError):
        tls.client(context=context)
    assert tls.client(context=of_version(V.TLSv1_3)).request('/small.txt').body == SMALL


@once
def test_ciphers_that_do_not_exist(tls, a):
    """Found when the settings are checked, at its line."""
    for ciphers in ['NO-SUCH-CIPHER', 'RC4-SHA']:
        path = tls.write(tls.site('a.example', a), f'Ciphers={ciphers}')
        code, out, err = tls.emberd.plain('--check', '-c', path)
        assert code == 78 and f'{path}:2: ' in err, err


def test_site_by_name(tls, a, b):
    """The name that a client asks for chooses the certificate, a wildcard's among them."""
    deep = certificates.authority().issue('deep', ['deep.b.example'])
    tls(tls.site('a.example', a, 'Default=yes') +
        tls.site('b.example', b, 'Aliases=*.b.example') + tls.site('deep.b.example', deep))
    for name, wanted in [('a.example', a), ('b.example', b), ('x.b.example', b),
                         ('X.B.EXAMPLE', b), ('deep.b.example', deep), ('unknown.example', a),
                         (None, a)]:
        assert tls.shown(name) == wanted.der, name


def test_no_default_site(tls, a, b):
    """Several Sites, none the default: nobody's certificate is shown to who asks for another."""
    tls(tls.site('a.example', a) + tls.site('b.example', b))
    assert tls.shown('a.example') == a.der
    for name in ['unknown.example', None]:
        with pytest.raises(ssl.SSLError) as caught:
            tls.client(name)
        assert 'unrecognized name' in alert_of(caught.value)


def test_host_of_another_site(tls, a, b):
    """A connection may carry requests for any Site that has no rules of its own (RFC 9110, 7.4)."""
    os.mkdir(f'{tls.root}/b')
    with open(f'{tls.root}/b/index.html', 'wb') as file:
        file.write(b'of b\n')
    tls(tls.site('a.example', a, 'Default=yes') +
        tls.site('b.example', b).replace(f'Root={tls.root}', f'Root={tls.root}/b'))
    with tls.client('a.example') as client:
        assert client.request('/small.txt', host='a.example').body == SMALL
        assert client.request('/', host='b.example').body == b'of b\n'


@pytest.mark.parametrize('combined', [False, True])
def test_rsa_and_ecdsa(tls, a, combined):
    """Each client is shown the one that it understands, ECDSA where it knows both."""
    rsa = certificates.authority().issue('rsa', ['a.example'], kind='rsa')
    files = ''.join(f'Certificate={x.combined_path}\n' for x in (rsa, a)) if combined else \
        ''.join(f'Certificate={x.path}\nKey={x.key_path}\n' for x in (rsa, a))
    tls(f'[Site a.example]\nRoot={tls.root}\n{files}')
    assert tls.shown('a.example') == a.der
    for ciphers, wanted in [('ECDHE-RSA-AES128-GCM-SHA256', rsa),
                            ('ECDHE-ECDSA-AES128-GCM-SHA256', a)]:
        context = of_version(V.TLSv1_2)
        context.set_ciphers(ciphers)
        assert tls.shown('a.example', context) == wanted.der
    said = s_client(tls.port, '-sigalgs', 'rsa_pss_rsae_sha256', '-tls1_3')
    assert 'Peer signature type: RSA-PSS' in said and 'Verify return code: 0' in said


def test_chain(tls):
    """Who trusts the root alone needs those in between, in their order (RFC 8446, 4.4.2)."""
    between = certificates.authority().issue('between', ca=True)
    second = between.issue('second', ca=True)
    leaf = second.issue('leaf', ['a.example'])
    tls(tls.site('a.example', leaf))
    assert tls.client('a.example').request('/small.txt').body == SMALL
    said = s_client(tls.port, '-showcerts')
    assert re.findall(r'^ *\d s:CN = (\w+)', said, re.M) == ['leaf', 'second', 'between']
    assert 'Verify return code: 0' in said


def test_staple(tls, a):
    """A file's response is shown to who asks for it, to nobody else; a reload takes another."""
    path = certificates.write('a.ocsp', a.ocsp_response(), where=os.path.dirname(tls.root))
    one = tls(tls.site('a.example', a, f'OCSPResponse={path}'))
    said = s_client(tls.port, '-status')
    assert 'OCSP Response Status: successful' in said and 'Cert Status: good' in said
    assert 'OCSP' not in s_client(tls.port)
    certificates.write('a.ocsp', a.ocsp_response(status=certificates.ocsp.OCSPCertStatus.REVOKED),
                       where=os.path.dirname(tls.root))
    one.signal(1)
    eventually(lambda: 'Cert Status: revoked' in s_client(tls.port, '-status') or
               'OCSPResponse=' in one.stderr, 5, 'the other response, or why not')


@once
def test_staple_that_is_none(tls, a, b):
    """What cannot be shown is told with its place."""
    folder = os.path.dirname(tls.root)
    for number, data in enumerate([b'nonsense', b'', b.ocsp_response()]):
        path = certificates.write(f'{number}.ocsp', data, where=folder)
        settings = tls.write(tls.site('a.example', a, f'OCSPResponse={path}'))
        code, _, err = tls.emberd.plain('--check', '-c', settings)
        assert code == 0 and re.search(rf'{settings}:\d+: warning: .*OCSP', err), (data, err)


# ---- certificates of clients ----

@pytest.fixture(scope='module')
def people():
    """Whom clients may be: (their authority, one of hers, one of another's)."""
    theirs = certificates.new_authority('people')
    return theirs, theirs.issue('alice', client=True), \
        certificates.new_authority('strangers').issue('mallory', client=True)


def shows(certificate, **more):
    context = client_context(**more)
    context.load_cert_chain(certificate.path, certificate.key_path)
    return context


def refused_client(tls, name, context):
    """The alert that ends it: in TLS 1.3 the client learns of it when it reads."""
    with pytest.raises(ssl.SSLError) as caught:
        with tls.client(name, context) as client:
            client.request('/small.txt', host=name)
    return alert_of(caught.value)


@pytest.mark.parametrize('version', [V.TLSv1_2, V.TLSv1_3])
def test_client_certificates(tls, a, b, people, version):
    """Nobody comes in without where it is required; a bad one is worse than none."""
    authority, alice, mallory = people
    ca = f'ClientCA={authority.path}\nClientCertificate='
    tls(tls.site('a.example', a, f'{ca}required') + tls.site('b.example', b, f'{ca}optional'))
    none = client_context(maximum_version=version)
    good, bad = shows(alice, maximum_version=version), shows(mallory, maximum_version=version)
    for name, context in [('a.example', good), ('b.example', good), ('b.example', none)]:
        with tls.client(name, context) as client:
            assert client.request('/small.txt', host=name).status == 200
    said = refused_client(tls, 'a.example', none)
    assert 'certificate required' in said or 'handshake failure' in said
    for name in ('a.example', 'b.example'):
        assert 'unknown ca' in refused_client(tls, name, bad)


def test_rules_of_another_site(tls, a, b, people):
    """
    A request for a Site that asks for certificates, on a connection that was not asked by its
    rules: misdirected (RFC 9110, 15.5.20). In clear it is forbidden where one is required.
    """
    authority, alice, _ = people
    more = f'ClientCA={authority.path}\nClientCertificate='
    tls(tls.site('a.example', a, 'Default=yes') + tls.site('b.example', b, f'{more}required') +
        tls.site('c.example', b, f'{more}optional'))
    with tls.client('a.example', shows(alice)) as client:
        assert client.request('/small.txt', host='a.example').status == 200
        assert client.request('/small.txt', host='b.example').status == 421
        assert client.request('/small.txt', host='c.example').status == 421
        assert client.request('/small.txt', host='a.example').status == 200
    with tls.client('b.example', shows(alice)) as client:
        assert client.request('/small.txt', host='b.example').status == 200
        assert client.request('/small.txt', host='c.example').status == 421
        assert client.request('/small.txt', host='a.example').status == 200
    with tls.in_clear() as client:
        assert client.request('/small.txt', host='b.example').status == 403
        assert client.request('/small.txt', host='c.example').status == 200
        assert client.request('/small.txt', host='a.example').status == 200


def test_ticket_does_not_carry_rules(tls, a, b, people):
    """A ticket of a Site that asks nobody must not open one that does."""
    authority, alice, _ = people
    tls(tls.site('a.example', a, 'Default=yes') +
        tls.site('b.example', b, f'ClientCA={authority.path}\nClientCertificate=required'))
    for version in (V.TLSv1_2, V.TLSv1_3):
        context = client_context(maximum_version=version)
        with tls.client('a.example', context) as client:
            assert client.request('/small.txt').status == 200
            session = client.socket.tls.session
        with pytest.raises((ssl.SSLError, AssertionError)):
            with tls.client('b.example', context, session) as client:
                assert client.request('/small.txt', host='b.example').status == 200


# ---- tickets ----

@pytest.mark.parametrize('version', [V.TLSv1_2, V.TLSv1_3])
def test_tickets(tls, a, version):
    """Whichever worker a client comes back to takes its ticket, after a reload as well."""
    one = tls(tls.site('a.example', a), workers=3)
    context = client_context(maximum_version=version)
    with tls.client('a.example', context) as client:
        assert not client.socket.tls.session_reused
        assert client.request('/small.txt').status == 200
        session = client.socket.tls.session
    for turn in range(20):
        if turn == 10:
            before = one.stderr.count('settings reloaded')
            one.signal(1)
            eventually(lambda: one.stderr.count('settings reloaded') > before, 5, 'the reload')
        with tls.client('a.example', context, session) as client:
            assert client.request('/small.txt').status == 200
            assert client.socket.tls.session_reused, turn
            session = client.socket.tls.session


# ---- beside it, in clear ----

def test_hsts(tls, a):
    """What comes in clear must not say so (RFC 6797, 7.2); errors by TLS say it as well."""
    tls(tls.site('a.example', a, 'HSTS=365d includeSubDomains'))
    with tls.client() as client:
        for target in ['/small.txt', '/absent', '/sub', '/big.bin']:
            assert client.request(target).fields['strict-transport-security'] == \
                'max-age=31536000; includeSubDomains', target
    with tls.in_clear() as client:
        assert 'strict-transport-security' not in client.request('/small.txt').fields


def test_redirect_and_challenge(tls, a, root):
    """All is sent to https, but what a CA asks for in clear."""
    folder = os.path.join(os.path.dirname(root), 'challenge')
    os.mkdir(folder)
    with open(f'{folder}/token', 'wb') as file:
        file.write(b'answer')
    tls(tls.site('a.example', a, f'RedirectToHTTPS=yes\nChallenge={folder}'))
    challenge = '/.well-known/acme-challenge/'
    with tls.in_clear() as client:
        response = client.request('/small.txt?a=b', host='a.example')
        assert response.status == 308
        assert response.fields['location'] == 'https://a.example/small.txt?a=b'
        assert client.request('/x', 'POST', 'Content-Length: 0', host='a.example').status == 308
        response = client.request(f'{challenge}token', host='a.example')
        assert (response.status, response.body) == (200, b'answer')
        assert client.request(f'{challenge}other', host='a.example').status == 404
        assert client.request(f'{challenge}../../small.txt', host='a.example').status == 308
        assert client.request(f'{challenge}%2e%2e/token', host='a.example').status in (308, 404)
    with tls.client('a.example') as client:
        assert client.request('/small.txt', host='a.example').body == SMALL
        assert client.request(f'{challenge}token', host='a.example').body == b'answer'


@pytest.mark.parametrize('size', [0, 100, 300000])
def test_http_in_clear_on_the_port_of_tls(tls, a, size):
    """Whoever forgot the s is told so in words that his browser shows."""
    tls(tls.site('a.example', a))
    with Http1Client(socket.create_connection(('127.0.0.1', tls.port), 10)) as client:
        client.send(GET)
        if size:
            client.send(b'x' * size)
        response = client.response()
        assert response.status == 400 and b'https://' in response.body and response.closes
        assert client.is_closed()


# ---- certificates that change, and that are broken ----

def test_new_certificate(tls, a, b):
    """A renewed one is shown to new connections after a reload; those that are open go on."""
    one = tls(tls.site('a.example', a))
    with tls.client('a.example') as old, tls.connect('a.example') as between:
        assert old.request('/small.txt').status == 200
        between.greet()  # a handshake under way
        time.sleep(0.1)
        tls.write(tls.site('a.example', b))
        one.signal(1)
        eventually(lambda: tls.shown('a.example') == b.der, 5, 'the new certificate')
        for _ in range(5):
            assert old.request('/small.txt').body == SMALL
            assert len(old.request('/big.bin').body) == 1 << 20
        assert Http1Client(between).request('/small.txt').body == SMALL
        assert between.tls.getpeercert(True) == a.der


def test_certificate_goes(tls, a):
    """A reload takes TLS away, and another brings it back."""
    one = tls(tls.site('a.example', a))
    with tls.client('a.example') as old:
        assert old.request('/small.txt').status == 200
        tls.write(f'[Site a.example]\nRoot={tls.root}\n')
        one.signal(1)
        eventually(lambda: 'closed' in one.stderr, 5, 'the warning')

        def refused():
            try:
                tls.client('a.example').close()
            except OSError:
                return True
            return False

        eventually(refused, 5, 'no TLS')
        assert old.request('/small.txt').status == 200
        with tls.in_clear() as client:
            assert client.request('/small.txt').status == 200
    tls.write(tls.site('a.example', a))
    one.signal(1)
    eventually(lambda: not refused(), 5, 'TLS again')


BROKEN = ['no-file', 'empty', 'nonsense', 'other-key', 'no-key', 'encrypted', 'folder', 'huge',
          'cut', 'key-alone']


def broken(tls, kind, a, b):
    """A Site whose certificate is broken in this way, and which line is to be blamed."""
    folder = os.path.dirname(tls.root)
    good = open(a.path, 'rb').read()
    path, key = f'{folder}/broken.pem', a.key_path
    if kind == 'folder':
        path = folder
    elif kind != 'no-file':
        data = {'empty': b'', 'nonsense': b'nonsense\n' * 100, 'huge': good + b'\n' * (2 << 20),
                'cut': good[:len(good) // 2], 'key-alone': open(a.key_path, 'rb').read()}
        certificates.write('broken.pem', data.get(kind, good), where=folder)
    if kind == 'other-key':
        key = b.key_path
    elif kind == 'no-key':
        key = path
    elif kind == 'encrypted':
        key = certificates.write('broken.key', certificates.key_bytes(a.key, b'secret'), 0o600,
                                 folder)
    return f'[Site a.example]\nRoot={tls.root}\nCertificate={path}\nKey={key}\n'


@pytest.mark.parametrize('kind', BROKEN)
def test_broken_certificate_at_reload(tls, a, b, kind):
    """What is broken is told with its place, and changes nothing."""
    one = tls(tls.site('a.example', a))
    path = tls.write(broken(tls, kind, a, b))
    one.signal(1)
    eventually(lambda: 'stay as they were' in one.stderr, 5, 'the refusal')
    told = re.search(rf'{re.escape(path)}:(\d+): (.*)', one.stderr)
    line = open(path, encoding='utf-8').read().split('\n')[int(told.group(1)) - 1]
    of_key = kind in ('other-key', 'no-key', 'encrypted')
    assert line.startswith('Key=' if of_key else 'Certificate='), (line, one.stderr)
    assert len(told.group(2)) > 10
    if kind == 'encrypted':
        assert 'encrypted' in one.stderr
    assert tls.shown('a.example') == a.der
    with tls.client('a.example') as client:
        assert client.request('/small.txt').status == 200


@once
@pytest.mark.parametrize('kind', BROKEN)
def test_broken_certificate_at_start(tls, a, b, kind):
    """By hand it does not start; --check says the same."""
    path = tls.write(broken(tls, kind, a, b))
    for arguments in [(), ('--check',), ('--print-config',)]:
        code, out, err = tls.emberd.plain('-c', path, *arguments)
        assert code == 78 and not out, (code, out, err)
        assert re.search(rf'{re.escape(path)}:\d+: .', err), err


def test_broken_certificate_of_a_service(tls, a, b):
    """Under systemd it answers 503 where it can, and closes what it cannot answer."""
    passed = tls.emberd.new_passed()
    port, tls_port = passed.tcp('http')[1], passed.tcp('https')[1]
    notify = tls.emberd.new_notify()
    path = tls.emberd.write_settings(broken(tls, 'other-key', a, b))
    one = tls.emberd('-c', path, passed=passed, notify=notify, carried=False)
    notify.wait('READY=1')
    one.port, tls.port = port, tls_port
    with Http1Client(one.connect()) as client:
        assert client.request('/').status == 503
    assert f'{path}:' in notify.wait('STATUS=Faulty')
    with pytest.raises(OSError):
        tls.client('a.example')
    tls.emberd.write_settings(tls.site('a.example', a))
    one.signal(1)
    eventually(lambda: 'settings reloaded' in one.stderr, 5, 'the reload')
    with tls.client('a.example') as client:
        assert client.request('/small.txt').status == 200


def test_socket_without_certificates(tls):
    """The socket "https" has come, and nobody wrote Certificate=: told, and closed."""
    passed = tls.emberd.new_passed()
    port, tls.port = passed.tcp('http')[1], passed.tcp('https')[1]
    one = tls.emberd(settings=f'[Site a]\nRoot={tls.root}\n', passed=passed, carried=False)
    one.port = port
    eventually(lambda: re.search(r'no Site has a Certificate=: connections to 127\.0\.0\.1:\d+ '
                                 r'\(https\), which come by TLS, are closed', one.stderr))
    with pytest.raises(OSError):
        tls.client()
    with Http1Client(one.connect()) as client:
        assert client.request('/small.txt').status == 200


@once
def test_key_that_everybody_may_read(tls, a, emberctl, folder):
    """Served, and warned about; emberctl's user hears of it too."""
    key = certificates.write('open.key', certificates.key_bytes(a.key), 0o644, folder)
    run = f'{folder}/run'
    os.mkdir(run)
    os.chmod(run, 0o777)
    one = tls(tls.site('a.example', a).replace(a.key_path, key),
              environment={'RUNTIME_DIRECTORY': run})
    wanted = rf'emberd\.conf:\d+: warning: {re.escape(key)} holds a private key and is readable'
    assert re.search(wanted, one.stderr)
    status, out, err = emberctl('reload')
    assert status == 0 and re.search(wanted, out + err)
    os.chmod(key, 0o640)
    assert emberctl('reload') == (0, '', '')


@once
def test_emberctl_and_a_broken_certificate(tls, a, b, emberctl, folder):
    """`systemctl reload` after a renewal that went wrong must fail, and say why."""
    os.mkdir(f'{folder}/run')
    os.chmod(f'{folder}/run', 0o777)
    tls(tls.site('a.example', a), environment={'RUNTIME_DIRECTORY': f'{folder}/run'})
    path = tls.write(broken(tls, 'other-key', a, b))
    status, _, err = emberctl('reload')
    assert status == 78 and f'{path}:' in err and 'stay as they were' in err
    assert tls.shown('a.example') == a.der


@once
def test_credentials(tls, a, folder):
    """credential:NAME is what systemd hands over; elsewhere it is told how."""
    os.mkdir(f'{folder}/credentials')
    for name, data in [('chain', a.pem + a.chain), ('key', certificates.key_bytes(a.key))]:
        certificates.write(name, data, 0o400, f'{folder}/credentials')
    os.chmod(f'{folder}/credentials', 0o755)
    site = f'[Site a.example]\nRoot={tls.root}\nCertificate=credential:chain\nKey=credential:key\n'
    one = tls(site, environment={'CREDENTIALS_DIRECTORY': f'{folder}/credentials'})
    assert tls.shown('a.example') == a.der
    assert 'warning' not in one.stderr
    one.stop()
    path = tls.write(site)
    code, _, err = tls.emberd.plain('-c', path)
    assert code == 78 and 'LoadCredential=' in err
    code, _, err = tls.emberd.plain('--check', '-c', path)
    assert code == 0 and 'warning: Certificate=credential:chain is checked when' in err
    code, _, err = tls.emberd.plain(
        '--check', '-c', tls.write(site.replace('credential:key', 'credential:absent')),
        environment={'CREDENTIALS_DIRECTORY': f'{folder}/credentials'})
    assert code == 78 and 'Key=credential:absent: No such file' in err


def test_expiry(tls, b, emberctl, folder):
    """Fourteen days before it ends: in the log, the status, --check; it is served all the same."""
    os.mkdir(f'{folder}/run')
    os.chmod(f'{folder}/run', 0o777)
    ends = certificates.authority().issue('ends', ['a.example'], ends=13)
    ended = certificates.authority().issue('ended', ['c.example'], begins=-30, ends=-2)
    notify = tls.emberd.new_notify()
    one = tls(tls.site('a.example', ends) + tls.site('b.example', b) +
              tls.site('c.example', ended), notify=notify,
              environment={'RUNTIME_DIRECTORY': f'{folder}/run'})
    date = r'\d{4}-\d\d-\d\d \d\d:\d\d UTC'
    for wanted in [rf'warning: Certificate={ends.path} of a.example ends at {date}; renew it',
                   rf'warning: Certificate={ended.path} of c.example ended at {date}; renew it']:
        eventually(lambda: re.search(wanted, one.stderr), 5, wanted)
    assert b.path not in one.stderr
    assert re.search(rf'a certificate ended at {date}; ', notify.wait('STATUS=.*certificate', 5))
    out = emberctl('status')[1]
    assert re.search(rf'^certificate: {b.path} of b.example, \*.b.example \(EC P-256\) ends at '
                     rf'{date}$', out, re.M), out
    assert len(re.findall('^certificate: ', out, re.M)) == 3
    assert re.search(rf'^fault: .* Certificate={ends.path} .*ends at', out, re.M)
    path = tls.write(tls.site('a.example', ends) + tls.site('b.example', b))
    code, out, err = tls.emberd.plain('--check', '-c', path)
    assert code == 0 and re.search(rf'^certificate {b.path} of b.example', out, re.M)
    assert re.search(rf'warning: Certificate={ends.path} of a.example ends at {date}', err)
    assert b.path not in err


# ---- handshakes that do not go well ----

def test_slow_handshake(tls, a):
    """HeadTimeoutSec is for all of a handshake, however its bytes drip."""
    one = tls(tls.site('a.example', a), 'HeadTimeoutSec=1')
    files = one.open_files()
    begun = time.monotonic()
    connected = tls.connect('a.example')
    hello = TlsSocket(connected.raw)
    with pytest.raises(ssl.SSLWantReadError):
        hello.tls.do_handshake()
    data = hello.outgoing.read()
    dripping = socket.create_connection(('127.0.0.1', tls.port), 10)
    half = socket.create_connection(('127.0.0.1', tls.port), 10)
    half.sendall(data[:100])
    hello_done = socket.create_connection(('127.0.0.1', tls.port), 10)
    hello_done.sendall(data)  # takes the server's flight and says no more
    at = 0
    with pytest.raises(OSError):
        while time.monotonic() - begun < 10 * SLOWNESS:
            dripping.sendall(data[at:at + 1])
            at += 1
            time.sleep(0.05)
            assert at < len(data)
    assert 0.8 < time.monotonic() - begun < 3 * SLOWNESS
    eventually(lambda: one.open_files() <= files, 3, 'all to be closed')
    for each in (connected, dripping, half, hello_done):
        each.close()


def test_time_after_the_handshake(tls, a):
    """The first request has HeadTimeoutSec from the end of the handshake, then KeepAliveSec."""
    tls(tls.site('a.example', a), 'HeadTimeoutSec=1\nKeepAliveSec=1')
    with tls.client('a.example') as silent, tls.client('a.example') as asks:
        assert asks.request('/small.txt').status == 200
        begun = time.monotonic()
        for client in (silent, asks):
            assert client.rest() == b'' and not client.socket.cut
        assert 0.7 < time.monotonic() - begun < 3 * SLOWNESS
    with tls.client('a.example') as client:
        client.send(GET[:20])
        assert client.rest().startswith(b'HTTP/1.1 408 ')


def test_cut_handshakes(tls, a):
    """At whichever byte a client leaves, with and without a reset, its connection is gone."""
    one = tls(tls.site('a.example', a))
    hello = tls.connect('a.example')
    with pytest.raises(ssl.SSLWantReadError):
        hello.tls.do_handshake()
    data = hello.outgoing.read()
    hello.close()
    files = one.open_files()
    for size in [0, 1, 5, 6, 100, len(data) - 1, len(data)]:
        for reset in (False, True):
            connected = socket.create_connection(('127.0.0.1', tls.port), 10)
            connected.sendall(data[:size])
            if reset:
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
            else:
                connected.shutdown(socket.SHUT_WR)
            connected.close()
    eventually(lambda: one.open_files() <= files, 5, 'all to be closed')
    assert tls.client('a.example').request('/small.txt').body == SMALL


def test_garbage(tls, a, rounds):
    """Bytes changed anywhere in a handshake, and after it: an alert or an end, and others go on."""
    import random
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print('seed', seed)
    tls(tls.site('a.example', a))
    for _ in range(rounds * 40):
        connected = tls.connect('a.example')
        hello = TlsSocket(connected.raw, server_name='a.example')
        with pytest.raises(ssl.SSLWantReadError):
            hello.tls.do_handshake()
        data = bytearray(hello.outgoing.read())
        for _ in range(chance.randrange(1, 5)):
            at = chance.randrange(len(data))
            data[at:at + chance.randrange(3)] = chance.randbytes(chance.randrange(4))
        try:
            hello.raw.settimeout(0.05)
            hello.raw.sendall(data)
            while hello.raw.recv(65536):
                pass
        except OSError:
            pass
        hello.raw.close()
    for _ in range(rounds * 10):
        with tls.client('a.example') as client:
            client.socket.tls.write(GET)
            data = bytearray(client.socket.outgoing.read())
            data[chance.randrange(5, len(data))] ^= 1 << chance.randrange(8)
            client.socket.raw.sendall(data)
            with pytest.raises(ssl.SSLError) as caught:
                client.socket.recv(100)
            assert 'record mac' in alert_of(caught.value)
    assert tls.client('a.example').request('/small.txt').body == SMALL


# ---- ends ----

def test_close_notify(tls, a):
    """The end is said, so that nobody can have cut the answer (RFC 8446, 6.1)."""
    tls(tls.site('a.example', a))
    for target in ['/small.txt', '/big.bin', '/absent', '/medium.bin']:
        with tls.client('a.example') as client:
            client.request(target, fields='Connection: close')
            assert client.is_closed() and not client.socket.cut, target
    with tls.client('a.example') as client:
        client.send(b'GET / HTTP/3.7\r\n\r\n')
        assert client.response().status in (400, 505)
        assert client.rest() == b'' and not client.socket.cut


def test_cut_answer_is_not_said_to_end(tls, a):
    """A file that got shorter while it was sent: the end must not look like one."""
    with open(f'{tls.root}/long', 'wb') as file:
        file.write(b'y' * (32 << 20))
    tls(tls.site('a.example', a))
    with tls.client('a.example') as client:
        client.ask('/long')
        client.until_begun()
        os.truncate(f'{tls.root}/long', 1 << 20)
        got = client.rest()
        assert len(got) >= 32 << 20 or client.socket.cut


def test_end_of_one_side(tls, a):
    """close_notify behind the requests, as a shutdown in clear: all are answered, then it ends."""
    tls(tls.site('a.example', a))
    with tls.client('a.example') as client:
        client.send(GET * 3)
        client.socket.shutdown(socket.SHUT_WR)
        for _ in range(3):
            assert client.response().body == SMALL
        assert client.is_closed() and not client.socket.cut


def test_handshake_under_way_at_stop(tls, a):
    """Who has begun is let in, answered, and told to go."""
    one = tls(tls.site('a.example', a))
    with tls.connect('a.example') as connected:
        connected.greet()
        time.sleep(0.1 * SLOWNESS)
        one.signal(15)
        time.sleep(0.1)
        client = Http1Client(connected)
        response = client.request('/small.txt')
        assert response.body == SMALL and response.closes
        assert client.is_closed() and not connected.cut
    begun = time.monotonic()
    assert one.wait() == 0
    assert time.monotonic() - begun < 3 * SLOWNESS


def test_idle_ones_at_stop(tls, a):
    """Those between two requests are told; one that shakes hands for ever is not waited for."""
    one = tls(tls.site('a.example', a))
    hanging = tls.connect('a.example')
    hanging.greet()
    with tls.client('a.example') as idle, tls.client('a.example') as fresh:
        assert idle.request('/small.txt').status == 200
        begun = time.monotonic()
        one.signal(15)
        for client in (idle, fresh):
            assert client.rest() == b'' and not client.socket.cut
        assert one.wait() == 0
        assert time.monotonic() - begun < 3 * SLOWNESS
    hanging.close()


# ---- what is sent ----

def test_sizes_around_records(tls, a):
    """Where a record, a send or a read ends is off by one in somebody's code."""
    sizes = [0, 1, 4095, 4096, 16383, 16384, 16385, 65000, 65535, 65536, 65537, 131072, 1000003]
    for size in sizes:
        with open(f'{tls.root}/{size}', 'wb') as file:
            file.write(os.urandom(size))
    tls(tls.site('a.example', a))
    with tls.client('a.example') as client:
        for size in sizes + sizes[::-1]:
            with open(f'{tls.root}/{size}', 'rb') as file:
                assert client.request(f'/{size}').body == file.read(), size
        for size in sizes:
            client.ask(f'/{size}')
        for size in sizes:
            assert len(client.response().body) == size


@pytest.mark.parametrize('kernel_tls', ['auto', 'no'])
def test_kernel_tls(tls, a, kernel_tls):
    """
    A kernel without it is asked once by each worker, and the answer is as whole; tests/vm has one
    with it.
    """
    with open('/proc/sys/net/ipv4/tcp_available_ulp', encoding='ascii') as file:
        is_there = 'tls' in file.read().split()
    data = os.urandom(3 << 20)
    with open(f'{tls.root}/long', 'wb') as file:
        file.write(data)
    one = tls.emberd('--log-level', 'debug', '-c', tls.write(
        tls.site('a.example', a), f'KernelTLS={kernel_tls}'), listen=False,
                     carried=False, wait=False)
    one.wait_serving()
    for _ in range(2):
        with tls.client('a.example') as client:
            assert client.request('/small.txt').body == SMALL
            for _ in range(2):
                assert client.request('/long').body == data
            response = client.request('/long', fields='Range: bytes=1000-1001000')
            assert response.body == data[1000:1001001]
            assert client.request('/small.txt').body == SMALL
    one.stop()
    workers = int(re.search(r'with \S+ and (\d+) worker', one.stderr).group(1))
    asked = one.stderr.count('the kernel has no TLS')
    if kernel_tls == 'no' or is_there:
        assert asked == 0
    else:
        assert 1 <= asked <= workers


@pytest.mark.parametrize('where', ['tmpfs', 'overlay'])
def test_file_systems(tls, a, request, where):
    """What a file system can tell without waiting differs; the bytes do not."""
    base = '/dev/shm' if where == 'tmpfs' else os.path.dirname(tls.root)
    if where == 'overlay':
        request.getfixturevalue('own_mounts')
    import shutil
    import tempfile
    folder = tempfile.mkdtemp(prefix='emberd-fs-', dir=base)
    os.chmod(folder, 0o755)
    served = folder
    data = os.urandom(3 << 20)
    try:
        if where == 'overlay':
            for name in ('lower', 'upper', 'work', 'merged'):
                os.mkdir(f'{folder}/{name}', 0o755)
            with open(f'{folder}/lower/low', 'wb') as file:
                file.write(data)
            served = f'{folder}/merged'
            done = subprocess.run(
                ['mount', '-t', 'overlay', 'overlay', '-o', f'lowerdir={folder}/lower,upperdir='
                 f'{folder}/upper,workdir={folder}/work', served], capture_output=True, text=True,
                check=False)
            if done.returncode:
                pytest.skip(f'no overlay here: {done.stderr}')
        with open(f'{served}/file', 'wb') as file:
            file.write(data)
        tls(tls.site('a.example', a).replace(f'Root={tls.root}', f'Root={served}'))
        with tls.client('a.example') as client:
            for name in ['file'] + ['low'] * (where == 'overlay'):
                assert client.request(f'/{name}').body == data
                response = client.request(f'/{name}', fields='Range: bytes=100000-2999999')
                assert response.body == data[100000:3000000]
    finally:
        if where == 'overlay':
            subprocess.run(['umount', served], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def test_uploads(tls, a):
    """Bodies in many records are read to their end, those past the limit are refused."""
    tls(tls.site('a.example', a), 'BodyBytesMax=300K')
    with tls.client('a.example') as client:
        for size in [1, 16384, 16385, 200000]:
            response = client.request('/small.txt', 'POST', f'Content-Length: {size}',
                                      body=b'x' * size)
            assert response.status == 405 and not response.closes
            assert client.request('/small.txt').body == SMALL
    with tls.client('a.example') as client:
        client.ask('/small.txt', 'POST', 'Content-Length: 400000', b'x' * 100000)
        response = client.response()
        assert response.status == 413 and response.closes
        assert client.rest() == b'' and not client.socket.cut


# ---- many ----

def test_many_connections(tls, a):
    """200 at once, each with what is its own."""
    tls(tls.site('a.example', a))
    many = [tls.client('a.example') for _ in range(200)]
    for turn in range(3):
        for number, client in enumerate(many):
            client.ask('/medium.bin', fields=f'Range: bytes={number}-{number + 20000 + turn}')
        for number, client in enumerate(many):
            body = client.response().body
            assert body == (b'0123456789abcdef' * 4096)[number:number + 20001 + turn]
    for client in many:
        client.close()


def test_memory_comes_back(tls, a):
    """After 1,000 connections have come and gone there is as much as after the first hundreds."""
    one = tls(tls.site('a.example', a), workers=1)
    context = client_context()

    def come_and_go(count):
        many = []
        for number in range(count):
            many.append(tls.client('a.example', context))
            many[-1].request('/small.txt' if number % 5 else '/big.bin')
            if len(many) == 50:
                for each in many:
                    each.close()
                many = []
        for each in many:
            each.close()

    come_and_go(300)
    before = one.memory_bytes()
    come_and_go(1000)
    time.sleep(0.2)
    growth = one.memory_bytes() - before
    if not SANITIZED:  # which keep what was freed
        assert growth < 2 << 20, growth


# ---- settings ----

@once
def test_print_config_reads_back(tls, a, b, people, emberd):
    """What --print-config prints of TLS gives the same settings."""
    path = certificates.write('printed.ocsp', a.ocsp_response())
    sites = tls.site('a.example', a, f'Certificate={b.path}\nKey={b.key_path}\n'
                     f'OCSPResponse={path}\nClientCA={people[0].path}\n'
                     'ClientCertificate=optional\nHSTS=1d preload\n'
                     f'Challenge={tls.root}/sub\nRedirectToHTTPS=yes')
    server = 'HTTP2=no\nMinProtocol=TLSv1.3\nCiphers=ECDHE-ECDSA-AES256-GCM-SHA384'
    code, first, err = emberd.plain('--print-config', '-c', tls.write(sites, server))
    assert code == 0, err
    for line in [*server.split('\n'), 'TLS=yes', f'Certificate={a.path}', f'Certificate={b.path}',
                 f'Key={a.key_path}', f'Key={b.key_path}', f'OCSPResponse={path}',
                 'HSTS=86400 preload', f'ClientCA={people[0].path}',
                 'ClientCertificate=optional', 'RedirectToHTTPS=yes',
                 f'Challenge={tls.root}/sub']:
        assert f'\n{line}\n' in first, line
    code, second, err = emberd.plain('--print-config', '-c',
                                     emberd.write_settings(first, 'again.conf'))
    assert code == 0 and first == second, err


@once
@pytest.mark.parametrize('more, wanted', [
    ('Key=/k', r'1 Certificate= and 2 Key=; write them in pairs'),
    ('OCSPResponse=/o\nOCSPResponse=/p', 'more OCSPResponse= than Certificate='),
    ('ClientCertificate=required', 'no certificate can be good without ClientCA='),
    ('Certificate=relative', 'Certificate=.*absolute'),
    ('Certificate=credential:a/b', 'names no credential'),
    ('HSTS=soon', 'HSTS=.*such as 365d')])
def test_faulty_settings(tls, a, more, wanted):
    """Told with what to write instead."""
    path = tls.write(tls.site('a.example', a, more))
    code, _, err = tls.emberd.plain('--check', '-c', path)
    assert code == 78 and re.search(wanted, err), err
