# SPDX-License-Identifier: MIT
"""Certificates for the scenarios, made when they are first asked for."""
import atexit
import datetime
import functools
import ipaddress
import os
import pwd
import shutil
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER


@functools.cache
def folder():
    """Where they lie; any user may enter, as the daemon may be nobody's."""
    path = tempfile.mkdtemp(prefix='emberd-certificates-')
    os.chmod(path, 0o755)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def write(name, data, mode=0o644, where=None):
    path = os.path.join(where or folder(), name)
    with open(path, 'wb') as file:
        os.chmod(path, mode)
        file.write(data)
    if os.geteuid() == 0:  # then emberd runs as nobody
        user = pwd.getpwnam('nobody')
        os.chown(path, user.pw_uid, user.pw_gid)
    return path


def new_key(kind='ec'):
    return rsa.generate_private_key(65537, 2048) if kind == 'rsa' \
        else ec.generate_private_key(ec.SECP256R1())


def key_bytes(key, password=None):
    encryption = serialization.BestAvailableEncryption(password) if password \
        else serialization.NoEncryption()
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, encryption)


def subject(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Certificate:
    """
    A certificate with its key. `path` has it and those between it and the root, `key_path` the key,
    `combined_path` all of it.
    """

    def __init__(self, name, key, certificate, above, where=None):
        self.name, self.key, self.certificate, self.above = name, key, certificate, above
        self.pem = certificate.public_bytes(PEM)
        chain = b''
        while above and above.above:
            chain += above.pem
            above = above.above
        self.chain = chain
        self.path = write(f'{name}.pem', self.pem + chain, where=where)
        self.key_path = write(f'{name}.key', key_bytes(key), 0o600, where)
        self.combined_path = write(f'{name}-all.pem', self.pem + chain + key_bytes(key), 0o600,
                                   where)

    @property
    def der(self):
        return self.certificate.public_bytes(DER)

    def issue(self, name, hosts=(), kind='ec', ca=False, client=False, begins=-1, ends=90,
              where=None):
        """`begins` and `ends` are days from now."""
        key = new_key(kind)
        return Certificate(name, key, _build(name, key, self.certificate.subject, self.key, hosts,
                                             ca, client, begins, ends), self, where)

    def ocsp_response(self, status=ocsp.OCSPCertStatus.GOOD, ends=7):
        """What the authority says of it, in DER."""
        now = datetime.datetime.now(datetime.timezone.utc)
        revoked = status == ocsp.OCSPCertStatus.REVOKED
        return ocsp.OCSPResponseBuilder().add_response(
            cert=self.certificate, issuer=self.above.certificate, algorithm=hashes.SHA1(),
            cert_status=status, this_update=now - DAY, next_update=now + ends * DAY,
            revocation_time=now - DAY if revoked else None, revocation_reason=None,
        ).responder_id(ocsp.OCSPResponderEncoding.HASH, self.above.certificate).sign(
            self.above.key, hashes.SHA256()).public_bytes(DER)


def _host(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _build(name, key, issuer, issuer_key, hosts, ca, client, begins, ends):
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(
        subject_name=subject(name), issuer_name=issuer, public_key=key.public_key(),
        serial_number=x509.random_serial_number(), not_valid_before=now + begins * DAY,
        not_valid_after=now + ends * DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
        issuer_key.public_key()), critical=False)
    builder = builder.add_extension(
        x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), critical=True)
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage(
            [ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH]),
            critical=False)
    if hosts:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_host(x) for x in hosts]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def new_authority(name):
    key = new_key()
    return Certificate(name, key, _build(name, key, subject(name), key, (), True, False, -2, 3650),
                       None)


@functools.cache
def authority():
    """Whom the clients of the scenarios trust."""
    return new_authority('authority')


@functools.cache
def of_session():
    """What emberd shows in all scenarios that do not care."""
    return authority().issue('session', ['localhost', '127.0.0.1', '*.example'])
