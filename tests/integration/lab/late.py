# SPDX-License-Identifier: Apache-2.0
"""Backends that decide about the client certificate after the handshake."""
import contextlib
import json
import pathlib
import select
import socket
import ssl
import struct
import subprocess
import threading

JS = pathlib.Path(__file__).resolve().parents[1] / "js"


class Renegotiating:
    """js/late_backend.mjs: TLS 1.2, asks when it has seen the request."""

    def __init__(self, folder, server, client_ca):
        crt, key = server.write(folder, "late")
        ca = folder / "late-ca.crt"
        ca.write_bytes(client_ca.certificate_pem)
        self.process = subprocess.Popen(
            ["node", str(JS / "late_backend.mjs"), json.dumps({"cert": str(crt), "key": str(key), "ca": str(ca)})],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"https://localhost:{json.loads(self.process.stdout.readline())['port']}"

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Late:
    """A TLS 1.3 server of one thread per connection; `after(tls)` is called with each one whose
    handshake is over, and the connection is closed when it returns."""

    def __init__(self, folder, server, client_ca, after, post_handshake=False):
        crt, key = server.write(folder, "late13")
        ca = folder / "late13-ca.crt"
        ca.write_bytes(client_ca.certificate_pem)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.load_cert_chain(crt, key)
        self.context.load_verify_locations(str(ca))
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.post_handshake_auth = post_handshake
        self.context.num_tickets = 0
        self.after = after
        self.subjects = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self.socket.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain):
        with contextlib.suppress(OSError, ssl.SSLError):
            plain.settimeout(20)
            tls = self.context.wrap_socket(plain, server_side=True)
            self.after(self, tls)
            tls.close()

    def stop(self):
        self.socket.close()


def request(tls):
    """One request's head; None at the end."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = tls.recv(65536)
        if not piece:
            return None
        head += piece
    return head


def common_name(tls):
    subject = (tls.getpeercert() or {}).get("subject", ())
    return dict(pair for rdn in subject for pair in rdn).get("commonName", "")


def ask_after_request(server, tls):
    """Post-handshake authentication: the certificate is asked for when the request has been read."""
    while request(tls):
        tls.verify_client_post_handshake()
        tls.do_handshake()  # sends the CertificateRequest
        tls.setblocking(False)
        for _ in range(200):  # there is no application data to come, but the certificate
            if common_name(tls):
                break
            select.select([tls], [], [], 0.02)
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.recv(1)
        tls.settimeout(20)
        server.subjects.append(common_name(tls))
        body = json.dumps({"subject": server.subjects[-1]}).encode()
        tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def cut_off(_server, tls):
    """Has taken the certificate, and resets the connection without a word."""
    raw = tls.detach()
    with socket.socket(fileno=raw) as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
