# SPDX-License-Identifier: MIT
"""
Certificates as distributions get them: Debian's dehydrated asks a CA (pebble) as in the examples of
the package, and emberd, as shipped, answers the challenges and takes up what is issued.
"""
import json
import ssl

import pytest

from client import Kept, Load, get
from waiting import wait_until

NAME = 'example.org'
EXAMPLES = '/usr/share/doc/emberd/examples/acme'
SETTINGS = f'/etc/emberd/emberd.conf.d/{NAME}.conf'
PEM = f'/etc/emberd/{NAME}.pem'
HOOK = '/usr/local/sbin/emberd-deploy-certificate'
CA = '/tmp/ca/pebble.pem'
WEBROOT = '/var/lib/letsencrypt/webroot'
PEBBLE = {'pebble': {
    'listenAddress': '127.0.0.1:14000', 'managementListenAddress': '127.0.0.1:15000',
    'certificate': CA, 'privateKey': '/tmp/ca/pebble.key',
    'httpPort': 80, 'tlsPort': 443, 'externalAccountBindingRequired': False}}
# every certificate needs challenges anew; and the dehydrated of Debian 12 asks only once
PEBBLE_ENVIRONMENT = ['PEBBLE_VA_NOSLEEP=1', 'PEBBLE_AUTHZREUSE=0', 'PEBBLE_WFE_NONCEREJECT=0']
DEHYDRATED = f"""
CA=https://localhost:14000/dir
CURL_OPTS="--cacert {CA}"
KEY_ALGO=secp384r1
"""
PREPARE = f"""set -e
echo 127.0.0.1 localhost {NAME} >>/etc/hosts
mkdir -p /tmp/ca /srv/www/{NAME}
echo this is it >/srv/www/{NAME}/index.html
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=localhost \\
    -addext subjectAltName=DNS:localhost -keyout /tmp/ca/pebble.key -out {CA}
install -m 0755 {EXAMPLES}/deploy-certificate {HOOK}
install -m 0644 {EXAMPLES}/dehydrated.conf.sh /etc/dehydrated/conf.d/emberd.sh
install -m 0644 {EXAMPLES}/dehydrated.service {EXAMPLES}/dehydrated.timer /etc/systemd/system
echo {NAME} >/etc/dehydrated/domains.txt
systemctl daemon-reload
"""


def install(machine, folder, names):
    files = machine.shell(f'find /share/{machine.suite}.{folder} -name "*.deb"').split()
    if not files:
        pytest.skip(f'no {names} in {machine.suite}')
    machine.apt('install', *files)


@pytest.fixture(scope='module')
def acme(machine):
    """A CA, and dehydrated with the examples as they are, but for the address of the CA."""
    m = machine
    install(m, 'acme', 'dehydrated or pebble')
    m.shell(PREPARE)
    m.write('/etc/dehydrated/conf.d/test.sh', DEHYDRATED)
    m.write('/tmp/ca/pebble.json', json.dumps(PEBBLE))
    m.run('systemd-run', '--unit=pebble', '--collect',
          *(f'--setenv={line}' for line in PEBBLE_ENVIRONMENT),
          'pebble', '-config', '/tmp/ca/pebble.json')
    assert wait_until(lambda: m.call('curl', '-sf', '--cacert', CA,
                                     'https://localhost:14000/dir').returncode == 0)
    m.run('dehydrated', '--register', '--accept-terms')
    yield m
    print(m.journal('pebble')[-4000:])
    m.shell(f'systemctl stop pebble; systemctl disable -q emberd-tls.socket; rm -f {PEM}')


class Site:
    """What the examples make, step by step, and what a visitor who trusts the CA sees of it."""

    def __init__(self, emberd):
        self.machine, self.inside = emberd.machine, emberd.inside
        root = self.machine.run('curl', '-sSf', '--cacert', CA, 'https://localhost:15000/roots/0')
        self.context = ssl.create_default_context(cadata=root)
        self.serials = []  # of the certificates that were shown, in order

    def begin(self):
        m = self.machine
        m.run('systemctl', 'stop', 'emberd.socket')
        m.run('systemctl', '-q', 'enable', '--now', 'emberd-tls.socket', 'emberd.socket')
        m.run('install', '-D', '-m', '0644', f'{EXAMPLES}/{NAME}.conf', SETTINGS)

    def issue(self):
        self.machine.run('systemctl', 'start', 'dehydrated.service')

    def use_certificate(self):
        m = self.machine
        m.shell(f"sed -i 's/^#\\([A-Z]\\)/\\1/' {SETTINGS}")
        m.run('emberd', '--check')
        m.run('systemctl', 'try-reload-or-restart', 'emberd')

    def wrap(self, plain):
        s = self.context.wrap_socket(plain, server_hostname=NAME)
        serial = s.getpeercert()['serialNumber']
        if serial not in self.serials:
            self.serials.append(serial)
        return s

    def get(self):
        """A request by TLS, from a thread in the network of the machine."""
        return get(port=443, wrap=self.wrap)

    def issued(self):
        shown = self.machine.run('openssl', 'x509', '-noout', '-serial', '-in', PEM)
        return shown.strip().partition('=')[2]


@pytest.fixture
def site(acme, emberd):
    """A site that has its certificate."""
    s = Site(emberd)
    s.begin()
    s.issue()  # only the first time
    s.use_certificate()
    return s


def test_first_certificate(acme, emberd):
    """From a site in the clear to one with a certificate, by the steps that the manual names."""
    site = Site(emberd)
    site.begin()
    assert b'this is it' in emberd.get().body
    pid = emberd.pid()
    site.issue()
    assert emberd.pid() == pid
    assert acme.run('stat', '-c', '%U:%G %a', PEM) == 'root:emberd 640\n'
    assert b'this is it' in emberd.get().body
    with pytest.raises(OSError):
        emberd.inside.call(site.get)
    site.use_certificate()
    assert b'this is it' in emberd.inside.call(site.get).body
    assert emberd.pid() == pid
    assert site.serials == [site.issued()]
    answer = emberd.get('/index.html')
    assert answer.status == 308 and 'https://test/index.html' in answer.head
    assert emberd.get('/.well-known/acme-challenge/none').status == 404
    acme.run('systemctl', 'start', 'dehydrated.timer')
    assert acme.show('dehydrated.timer', 'NextElapseUSecRealtime')
    acme.run('systemctl', 'stop', 'dehydrated.timer')


def test_renewal(site, emberd):
    """Renewed while clients ask: nobody is turned away, and new connections see the new one."""
    emberd.inside.call(site.get)
    pid, old = emberd.pid(), site.issued()
    with Load(emberd.machine, 2, ask=site.get) as anew, \
            Load(emberd.machine, 1, ask=Kept(443, site.wrap).get) as kept:
        site.machine.run('dehydrated', '--cron', '--force')
        before = anew.answered
        assert wait_until(lambda: anew.answered > before + 4)
    print(f'{anew.answered} and {kept.answered} answered, failed: {anew.failures} '
          f'{kept.failures}; slowest {anew.slowest_ms:.0f} ms')
    assert anew.answered > 20 and kept.answered > 20
    assert not anew.failures and not kept.failures
    assert emberd.pid() == pid
    assert site.issued() != old and site.serials == [old, site.issued()]


def test_asleep(site, emberd):
    """A certificate that comes while emberd sleeps wakes nobody; the next visitor sees it."""
    m, folder = emberd.machine, f'/var/lib/dehydrated/certs/{NAME}'
    m.run('systemctl', 'stop', 'emberd.service')
    m.shell(f'echo >>{PEM}')
    m.run(HOOK, 'deploy_cert', NAME, f'{folder}/privkey.pem', f'{folder}/cert.pem',
          f'{folder}/fullchain.pem', f'{folder}/chain.pem', '0')
    assert emberd.pid() == 0
    assert m.shell(f'cat {folder}/fullchain.pem {folder}/privkey.pem | cmp - {PEM}') == ''
    assert b'this is it' in emberd.inside.call(site.get).body
    assert site.serials == [site.issued()]


def test_refused(site, emberd):
    """
    A reload that fails is heard of, and leaves the certificate that is in force in its place; once
    its reason is gone dehydrated hands the new one over although it has nothing to renew.
    """
    m = emberd.machine
    emberd.inside.call(site.get)
    pid, old = emberd.pid(), site.issued()
    emberd.settings('[Server]\nDrainSec=perhaps\n')
    done = m.call('dehydrated', '--cron', '--force')
    assert done.returncode != 0
    assert f'did not take up the new certificate of {NAME}' in done.stdout
    assert site.issued() == old
    emberd.inside.call(site.get)
    assert emberd.pid() == pid and site.serials == [old]
    emberd.settings('')
    site.issue()
    emberd.inside.call(site.get)
    assert emberd.pid() == pid
    assert site.issued() != old and site.serials == [old, site.issued()]
    assert m.shell('ls -A /etc/emberd | grep -c "^[.]" || true') == '0\n'


def test_certbot(acme, emberd, request):
    """certbot, by the lines in the manual: first certificate, renewal, a reload that fails."""
    if not request.config.getoption('--long'):
        pytest.skip('takes half a minute: --long')
    site, m = Site(emberd), emberd.machine
    install(m, 'certbot', 'certbot')
    m.shell(f'rm -f {PEM}; mkdir -p {WEBROOT}/.well-known/acme-challenge')
    site.begin()
    m.shell(f'sed -i "s,^Challenge=.*,Challenge={WEBROOT}/.well-known/acme-challenge," {SETTINGS}')
    certbot = ['env', f'REQUESTS_CA_BUNDLE={CA}', 'certbot', '-n', '--server',
               'https://localhost:14000/dir']
    m.run(*certbot, 'certonly', '--webroot', '-w', WEBROOT, '-d', NAME, '--agree-tos',
          '--register-unsafely-without-email', '--deploy-hook', HOOK, seconds=120)
    site.use_certificate()
    emberd.inside.call(site.get)
    m.run(*certbot, 'renew', '--force-renewal', '--no-random-sleep-on-renew', seconds=120)
    emberd.inside.call(site.get)
    assert len(site.serials) == 2 and site.serials[1] == site.issued()
    emberd.settings('[Server]\nDrainSec=perhaps\n')
    done = m.call(*certbot, 'renew', '--force-renewal', '--no-random-sleep-on-renew', seconds=120)
    print(done.returncode, done.stdout)
    assert f'did not take up the new certificate of {NAME}' in done.stdout
    assert site.issued() == site.serials[1]
    emberd.settings('')
    m.run('env', f'RENEWED_LINEAGE=/etc/letsencrypt/live/{NAME}', HOOK)
    emberd.inside.call(site.get)
    assert len(site.serials) == 3 and site.serials[2] == site.issued()


def test_hook(site, emberd):
    """By hand it says how it is meant; as certbot calls it, it fails by its exit status, too."""
    m, folder = emberd.machine, f'/var/lib/dehydrated/certs/{NAME}'
    emberd.inside.call(site.get)
    hook = ['env', f'RENEWED_LINEAGE={folder}', HOOK]
    m.shell(f'echo >>{PEM}')
    m.run(*hook)
    assert 'settings reloaded' in emberd.log()
    m.shell(f'echo >>{PEM}')
    emberd.settings('[Server]\nDrainSec=perhaps\n')
    assert m.call(*hook).returncode == 1
    assert m.call(HOOK).returncode == 64
