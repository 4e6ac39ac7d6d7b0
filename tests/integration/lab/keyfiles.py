# SPDX-License-Identifier: Apache-2.0
"""Key files as the world's programs write them: OpenSSL, NSS, Java, GnuTLS, node-forge, and by hand."""
import hashlib
import hmac
import os
import pathlib
import subprocess

JS = pathlib.Path(__file__).parent.parent / "js"


def run(*command, **more):
    """Bytes of standard output; a failure shows what the program said."""
    done = subprocess.run(command, capture_output=True, timeout=300, **more)
    assert done.returncode == 0, (command, done.stdout[-500:], done.stderr[-500:])
    return done.stdout


class Bench:
    """One identity with its issuer, written to files, and the programs that make key files of it."""

    def __init__(self, folder, identity, issuer):
        self.folder = pathlib.Path(folder)
        self.identity = identity
        (self.folder / "key.pem").write_bytes(identity.key_pem)
        (self.folder / "leaf.pem").write_bytes(identity.certificate_pem)
        (self.folder / "issuer.pem").write_bytes(issuer.certificate_pem)
        self.count = 0

    def _out(self):
        self.count += 1
        return self.folder / f"out-{self.count}.p12"

    def openssl(self, *options, password="p w", name="mine", key="key.pem", leaf="leaf.pem"):
        out = self._out()
        run("openssl", "pkcs12", "-export", "-inkey", key, "-in", leaf, "-certfile", "issuer.pem", "-name", name,
            "-passout", f"pass:{password}", "-out", str(out), *options, cwd=self.folder)
        return out.read_bytes()

    def nss(self, *options, password="p w"):
        source, out, base = self._out(), self._out(), self.folder / f"nss-{self.count}"
        source.write_bytes(self.openssl(password=password))
        base.mkdir()
        run("certutil", "-N", "-d", str(base), "--empty-password")
        run("pk12util", "-i", str(source), "-d", str(base), "-W", password)
        run("pk12util", "-o", str(out), "-n", "mine", "-d", str(base), "-W", password, *options)
        return out.read_bytes()

    def keytool(self, *options, password="p word"):
        source, out = self._out(), self._out()
        source.write_bytes(self.openssl(password=password))
        run("keytool", "-importkeystore", "-srckeystore", str(source), "-srcstoretype", "PKCS12", "-srcstorepass",
            password, "-destkeystore", str(out), "-deststoretype", "PKCS12", "-deststorepass", password, *options)
        return out.read_bytes()

    def certtool(self, *options, password="p w"):
        out = self._out()
        run("certtool", "--to-p12", "--load-privkey", "key.pem", "--load-certificate", "leaf.pem",
            "--load-ca-certificate", "issuer.pem", "--p12-name", "mine", "--password", password, "--outder",
            "--outfile", str(out), *options, cwd=self.folder)
        return out.read_bytes()

    def forge(self, algorithm, password="p w"):
        """Of a certificate of its own: node-forge knows no EC issuers."""
        source, out = self._out(), self._out()
        run("openssl", "req", "-x509", "-key", "key.pem", "-subj", "/CN=forge", "-days", "3", "-out", "forge.pem",
            cwd=self.folder)
        run("openssl", "pkcs12", "-export", "-inkey", "key.pem", "-in", "forge.pem", "-passout", f"pass:{password}",
            "-out", str(source), cwd=self.folder)
        run("node", "forge.mjs", str(source), password, algorithm, str(out), cwd=JS)
        return out.read_bytes()

    def pem(self, *options, password="p w"):
        """PKCS#8 with openssl's options, then the certificates."""
        key = run("openssl", "pkcs8", "-topk8", "-in", "key.pem", *options, "-passout", f"pass:{password}",
                  cwd=self.folder)
        return key + (self.folder / "leaf.pem").read_bytes() + (self.folder / "issuer.pem").read_bytes()


# --- by hand: DER, and files that no program here writes ---

def der(tag, *parts):
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def read(data):
    """(tag, body, rest) of the element in front."""
    length, at = data[1], 2
    if length & 0x80:
        size = length & 0x7F
        length, at = int.from_bytes(data[2:2 + size], "big"), 2 + size
    return data[0], data[at:at + length], data[at + length:]


def children(body):
    found = []
    while body:
        tag, inner, body = read(body)
        found.append((tag, inner))
    return found


def integer(value):
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(text):
    numbers = [int(number) for number in text.split(".")]
    out = bytes([numbers[0] * 40 + numbers[1]])
    for number in numbers[2:]:
        part = bytes([number & 0x7F])
        while number > 0x7F:
            number >>= 7
            part = bytes([0x80 | number & 0x7F]) + part
        out += part
    return der(0x06, out)


HMAC = {"sha1": "1.2.840.113549.2.7", "sha256": "1.2.840.113549.2.9", "sha384": "1.2.840.113549.2.10",
        "sha512": "1.2.840.113549.2.11"}


def with_pbmac1(pfx, password, digest="sha256", prf="sha256", rounds=2048, key_len=32, right=True):
    """RFC 9579: the same file with another integrity check."""
    version, (tag, content), *_ = children(read(pfx)[1])
    octets = read(children(content)[1][1])[1]
    salt = os.urandom(16)
    null = der(0x05)
    parameters = der(0x30, der(0x30, oid("1.2.840.113549.1.5.12"), der(
        0x30, der(0x04, salt), integer(rounds), integer(key_len), der(0x30, oid(HMAC[prf]), null))),
        der(0x30, oid(HMAC[digest]), null))
    key = hashlib.pbkdf2_hmac(prf, password.encode(), salt, rounds, key_len) if rounds < 10**7 else b"k" * key_len
    value = hmac.new(key, octets, digest).digest()
    if not right:
        value = bytes(len(value))
    mac = der(0x30, der(0x30, der(0x30, oid("1.2.840.113549.1.5.14"), parameters), der(0x04, value)),
              der(0x04, b"NOT USED"), integer(1))
    return der(0x30, der(*version), der(tag, content), mac)


def indefinite(tag, *parts):
    return bytes([tag, 0x80]) + b"".join(parts) + b"\0\0"


def as_ber(pfx):
    """Indefinite lengths and an octet string in pieces, as Windows and old tools write them."""
    version, (_, content), mac = children(read(pfx)[1])
    kind, (wrapper, body) = children(content)
    octets = read(body)[1]
    pieces = [der(0x04, octets[at:at + 1000]) for at in range(0, len(octets), 1000)]
    return indefinite(0x30, der(*version),
                      indefinite(0x30, der(*kind), indefinite(wrapper, indefinite(0x24, *pieces))), der(*mac))


def spliced(*files):
    """The contents of several files without integrity check in one: several keys."""
    contents = []
    for pfx in files:
        version, (tag, content), *_ = children(read(pfx)[1])
        octets = read(children(content)[1][1])[1]
        contents += [der(kind, body) for kind, body in children(read(octets)[1])]
    data = der(0x04, der(0x30, *contents))
    return der(0x30, der(*version), der(0x30, oid("1.2.840.113549.1.7.1"), der(0xA0, data)))


def nested(depth):
    """Safe contents in safe contents: RFC 7292 allows it, a hostile file does not stop."""
    bag_oid = oid("1.2.840.113549.1.12.10.1.6")
    contents = der(0x30)
    for _ in range(depth):
        contents = der(0x30, der(0x30, bag_oid, der(0xA0, contents)))
    safe = der(0x30, der(0x30, oid("1.2.840.113549.1.7.1"), der(0xA0, der(0x04, contents))))
    return der(0x30, integer(3), der(0x30, oid("1.2.840.113549.1.7.1"), der(0xA0, der(0x04, safe))))
