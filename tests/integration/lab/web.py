# SPDX-License-Identifier: Apache-2.0
"""A small HTTP client that hides nothing: one connection per call unless a session is kept."""
import contextlib
import http.client
import json
import socket
import ssl
import urllib.parse


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {dict(self.headers.items())} {self.text[:2000]}"


class Session:
    """Calls to one origin; keeps its connection when `keep` is set."""

    def __init__(self, origin, ca_file=None, keep=False, timeout=30):
        self.url = urllib.parse.urlsplit(origin)
        self.keep = keep
        self.timeout = timeout
        self.connection = None
        self.context = None
        if self.url.scheme == "https":
            self.context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def _open(self):
        port = self.url.port or {"http": 80, "https": 443}[self.url.scheme]
        if self.context:
            return http.client.HTTPSConnection(self.url.hostname, port, timeout=self.timeout,
                                               context=self.context)
        return http.client.HTTPConnection(self.url.hostname, port, timeout=self.timeout)

    def call(self, method, path, body=None, headers=None, chunked=False):
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        elif isinstance(body, str):
            body = body.encode()
        if body is None and method in ("PUT", "POST", "PATCH"):
            headers.setdefault("Content-Length", "0")
        if not self.keep:
            self.close()
        fresh = self.connection is None
        if fresh:
            self.connection = self._open()
        try:
            return self._exchange(method, path, body, headers, chunked)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError,
                ssl.SSLEOFError):
            self.close()
            if fresh:
                raise
            self.connection = self._open()  # an idle connection was closed under us
            return self._exchange(method, path, body, headers, chunked)

    def _exchange(self, method, path, body, headers, chunked):
        self.connection.request(method, path, body=body, headers=headers, encode_chunked=chunked)
        response = self.connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        if not self.keep:
            self.close()
        return answer

    def get(self, path, **more):
        return self.call("GET", path, **more)


def raw(origin, data, timeout=10, half_close=False):
    """Sends bytes as they are, returns all that comes back until the peer closes or is silent."""
    url = urllib.parse.urlsplit(origin)
    received = b""
    with contextlib.closing(socket.create_connection((url.hostname, url.port), timeout)) as sock:
        sock.sendall(data)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(socket.timeout, ConnectionResetError):
            while True:
                piece = sock.recv(65536)
                if not piece:
                    break
                received += piece
    return received
