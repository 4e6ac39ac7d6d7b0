# SPDX-License-Identifier: Apache-2.0
"""OpenID Connect issuers: a real one (npm's oidc-provider), and a forger that signs whatever it is
told and can be made slow, silent or wrong."""
import base64
import http.server
import json
import pathlib
import ssl
import subprocess
import threading
import time
import urllib.parse

from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from . import web

JS = pathlib.Path(__file__).resolve().parents[1] / "js"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """js/issuer.mjs. `secret` and `token` are those of its client "workload"."""

    def __init__(self, folder, ca, redirect_uris=(), alg="RS256"):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        crt, key = ca.server("issuer").write(folder, "issuer")
        self.ca_file = folder / "issuer-ca.crt"
        self.ca_file.write_bytes(ca.certificate_pem)
        self.log = (folder / "issuer.log").open("w+")
        self.process = subprocess.Popen(
            ["node", str(JS / "issuer.mjs"), json.dumps({
                "cert": str(crt), "key": str(key), "redirectUris": list(redirect_uris),
                "alg": alg})],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, cwd=JS)
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise AssertionError("issuer.mjs does not start:\n" + self.log.read())
        self.url = json.loads(line)["issuer"]

    def token(self, audience):
        """A JWT that the issuer makes for its client: subject "workload"."""
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "resource": audience})
        basic = base64.b64encode(b"workload:workload-secret").decode()
        session = web.Session(self.url, str(self.ca_file))
        answer = session.call("POST", "/token", form, {
            "Content-Type": "application/x-www-form-urlencoded",
            "Authorization": "Basic " + basic})
        session.close()
        assert answer.status == 200, answer
        return answer.json()["access_token"]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
        self.log.close()


def new_key(kind):
    if kind == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def number(value, length=None):
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


def jwk_of(key, kid):
    numbers = key.public_key().public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        return {"kty": "RSA", "kid": kid, "use": "sig", "n": number(numbers.n),
                "e": number(numbers.e)}
    return {"kty": "EC", "kid": kid, "use": "sig", "crv": "P-256", "x": number(numbers.x, 32),
            "y": number(numbers.y, 32)}


def signature(key, alg, data):
    if alg == "none":
        return b""
    if alg == "HS256":  # by the public key's text: the classic confusion
        mac = hmac.HMAC(key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
            hashes.SHA256())
        mac.update(data)
        return mac.finalize()
    if alg == "ES256":
        r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    if alg == "PS256":
        return key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


class Forger:
    """An issuer with keys of its own: keys[kid] are in its JWKS. `status`: what it answers with."""

    def __init__(self, folder, ca):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        crt, key = ca.server("forger").write(folder, "forger")
        self.keys = {"k1": new_key("RS256")}
        self.requests = []
        self.status = 200
        self.discovery = {}  # changes to the document
        self.path = ""  # where it is, below the origin
        self.key_issuers = {}  # kid -> the key's own "issuer", as Entra ID has it
        self.delay = 0  # seconds before each answer
        self.max_age = None
        self.challenge = None  # WWW-Authenticate of a vault that it plays
        self.posts = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(crt, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _handler(forger):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                forger.requests.append(self.path)
                time.sleep(forger.delay)
                documents = {
                    forger.path + "/.well-known/openid-configuration": dict({
                        "issuer": forger.url, "jwks_uri": forger.url + "/keys",
                        "authorization_endpoint": forger.url + "/auth",
                        "token_endpoint": forger.url + "/token"}, **forger.discovery),
                    "/keys": {"keys": [dict(jwk_of(k, kid), **(
                        {"issuer": forger.key_issuers[kid]} if kid in forger.key_issuers else {}))
                        for kid, k in forger.keys.items()]},
                }
                body = json.dumps(documents.get(self.path, {})).encode()
                self.send_response(forger.status)
                if forger.status == 302:
                    self.send_header("Location", forger.url + "/elsewhere")
                if forger.max_age is not None:
                    self.send_header("Cache-Control", f"max-age={forger.max_age}")
                if forger.challenge:
                    self.send_header("WWW-Authenticate", forger.challenge)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                forger.posts.append(self.path)
                self.send_error(400)

            def log_message(self, *_):
                pass

        return Handler

    def token(self, kid="k1", alg="RS256", key=None, header=None, **claims):
        now = int(time.time())
        claims = dict({"iss": self.url, "sub": "workload", "aud": "api://AzureADTokenExchange",
                       "iat": now, "nbf": now, "exp": now + 600}, **claims)
        claims = {k: v for k, v in claims.items() if v is not None}
        head = dict({"typ": "JWT", "alg": alg, "kid": kid}, **(header or {}))
        head = {k: v for k, v in head.items() if v is not None}
        data = ".".join(b64(json.dumps(p).encode()) for p in (head, claims))
        return data + "." + b64(signature(key or self.keys[kid], alg, data.encode()))

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
