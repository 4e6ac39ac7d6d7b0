# SPDX-License-Identifier: Apache-2.0
"""A throw-away PKI: authorities, server and client certificates, PFX files, broken ones on purpose."""
import base64
import datetime
import hashlib
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KEY_TYPES = ("rsa2048", "rsa4096", "p256", "p384")
DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER


def new_key(kind):
    if kind.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(kind[3:]))
    return ec.generate_private_key({"p256": ec.SECP256R1, "p384": ec.SECP384R1}[kind]())


def name_of(common_name):
    return x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Postern tests"),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ])


class Identity:
    """A certificate, its private key, and the certificates above it (without the root)."""

    def __init__(self, certificate, key, chain=()):
        self.certificate = certificate
        self.key = key
        self.chain = list(chain)

    @property
    def common_name(self):
        return self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value

    @property
    def sha1(self):
        """The thumbprint as API Management prints it."""
        return self.certificate.fingerprint(hashes.SHA1()).hex().upper()

    @property
    def pin(self):
        """SPKI SHA-256 as RFC 7469 writes it."""
        spki = self.certificate.public_key().public_bytes(
            DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(spki).digest()).decode()

    @property
    def der_base64(self):
        return base64.b64encode(self.certificate.public_bytes(DER)).decode()

    @property
    def certificate_pem(self):
        return b"".join(c.public_bytes(PEM) for c in [self.certificate] + self.chain)

    @property
    def key_pem(self):
        return self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption())

    @property
    def pem(self):
        return self.key_pem + self.certificate_pem

    def pfx(self, password="", key="own", certificate="own"):
        """PKCS#12 bytes. `key` and `certificate` may be replaced, or None, to make bad ones."""
        encryption = serialization.NoEncryption()
        if password:
            encryption = serialization.BestAvailableEncryption(password.encode())
        return pkcs12.serialize_key_and_certificates(
            self.common_name.encode(),
            self.key if key == "own" else key,
            self.certificate if certificate == "own" else certificate,
            self.chain or None, encryption)

    def pfx_base64(self, password="", **bad):
        return base64.b64encode(self.pfx(password, **bad)).decode()

    def secret_numbers(self):
        """The big-endian bytes of the numbers that nobody but the keyholder may have."""
        numbers = self.key.private_numbers()
        if isinstance(self.key, rsa.RSAPrivateKey):
            found = (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
        else:
            found = (numbers.private_value,)
        return [n.to_bytes((n.bit_length() + 7) // 8, "big") for n in found]

    def write(self, folder, stem):
        """Writes stem.crt and stem.key; returns both paths."""
        crt, key = folder / f"{stem}.crt", folder / f"{stem}.key"
        crt.write_bytes(self.certificate_pem)
        key.write_bytes(self.key_pem)
        key.chmod(0o600)
        return crt, key


class Authority(Identity):
    def __init__(self, common_name="Postern tests CA"):
        key = new_key("p256")
        now = datetime.datetime.utcnow()
        name = name_of(common_name)
        certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY).not_valid_after(now + 30 * DAY)
            .add_extension(x509.BasicConstraints(True, None), critical=True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False,
                                         False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .sign(key, hashes.SHA256()))
        super().__init__(certificate, key)

    def authority(self, common_name):
        """An intermediate authority below this one."""
        below = Authority.__new__(Authority)
        key = new_key("p256")
        now = datetime.datetime.utcnow()
        certificate = (
            x509.CertificateBuilder().subject_name(name_of(common_name))
            .issuer_name(self.certificate.subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY).not_valid_after(now + 30 * DAY)
            .add_extension(x509.BasicConstraints(True, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .sign(self.key, hashes.SHA256()))
        Identity.__init__(below, certificate, key)
        return below

    def issue(self, common_name, kind="p256", names=(), addresses=(), client=False, server=False,
              begins=-1, days=10):
        """A leaf, valid from `begins` days on for `days` days."""
        key = new_key(kind)
        now = datetime.datetime.utcnow()
        usages = [u for u, wanted in ((ExtendedKeyUsageOID.CLIENT_AUTH, client),
                                      (ExtendedKeyUsageOID.SERVER_AUTH, server)) if wanted]
        builder = (
            x509.CertificateBuilder().subject_name(name_of(common_name))
            .issuer_name(self.certificate.subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins * DAY).not_valid_after(now + (begins + days) * DAY)
            .add_extension(x509.BasicConstraints(False, None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                self.key.public_key()), critical=False))
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        sans = [x509.DNSName(n) for n in names]
        sans += [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses]
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        return Identity(builder.sign(self.key, hashes.SHA256()), key)

    def client(self, common_name, kind="p256", **more):
        return self.issue(common_name, kind, client=True, **more)

    def server(self, common_name="localhost", kind="p256", **more):
        more.setdefault("names", ("localhost",))
        more.setdefault("addresses", ("127.0.0.1",))
        return self.issue(common_name, kind, server=True, **more)
