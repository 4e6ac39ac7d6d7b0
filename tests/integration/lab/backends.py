# SPDX-License-Identifier: Apache-2.0
"""Backends on loopback: Debian's nginx that demands a client certificate, and a Python server for
what nginx cannot show (bodies as received, slow answers, broken answers)."""
import contextlib
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"

CONFIG = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
worker_processes 1;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type text/plain;
    client_max_body_size 0;
    keepalive_requests 1000000;
    {servers}
}}
"""

SERVER = """
    server {{
        listen 127.0.0.1:{port} ssl;
        listen [::1]:{port} ssl;
        server_name {stem};
        ssl_certificate {crt};
        ssl_certificate_key {key};
        ssl_protocols {protocols};
        ssl_session_cache shared:{stem}:1m;
        ssl_session_tickets on;
        ssl_verify_client {verify};
        {client_ca}
        root {folder}/files;
        location / {{
            add_header X-Client-Dn $ssl_client_s_dn;
            return 200 '{{"subject":"$ssl_client_s_dn","sha1":"$ssl_client_fingerprint","reused":"$ssl_session_reused","protocol":"$ssl_protocol","connection":"$connection","uri":"$request_uri","method":"$request_method","host":"$host","forwarded":"$http_x_test","authorization":"$http_authorization"}}';
        }}
        location /files/ {{
            alias {folder}/files/;
        }}
        {extra}
    }}
"""


def free_port():
    with contextlib.closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Nginx:
    """One nginx with any number of servers."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.servers = []
        self.ports = {}
        self.process = None
        (self.folder / "files").mkdir(parents=True, exist_ok=True)

    def add(self, stem, server, client_ca=None, protocols="TLSv1.2 TLSv1.3", extra=""):
        """A server with the identity `server`; with `client_ca` it demands certificates of it."""
        crt, key = server.write(self.folder, stem)
        ca = ""
        if client_ca:
            path = self.folder / f"{stem}-client-ca.crt"
            path.write_bytes(client_ca.certificate_pem)
            ca = f"ssl_client_certificate {path};"
        self.ports[stem] = free_port()
        self.servers.append(SERVER.format(
            port=self.ports[stem], stem=stem, crt=crt, key=key, protocols=protocols,
            verify="on" if client_ca else "off", client_ca=ca, folder=self.folder, extra=extra))
        return self

    def url(self, stem):
        return f"https://localhost:{self.ports[stem]}"

    def start(self):
        config = self.folder / "nginx.conf"
        config.write_text(CONFIG.format(
            folder=self.folder, servers="".join(self.servers),
            user="user root;" if os.geteuid() == 0 else ""))
        self.process = subprocess.Popen(
            [NGINX, "-p", str(self.folder), "-c", str(config), "-e", str(self.folder / "error.log")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for port in self.ports.values():
            self._wait(port)
        return self

    def _wait(self, port):
        for _ in range(500):
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            time.sleep(0.02)
        raise AssertionError("nginx does not start:\n" + self.log())

    def log(self):
        path = self.folder / "error.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.terminate()
                self.process.wait(10)
            self.process = None


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "backend"
    sys_version = ""

    def log_message(self, *_):
        pass

    def _body(self):
        """Yields the pieces of the request's body as they arrive."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if size == 0:
                    while self.rfile.readline().strip():
                        pass
                    return
                yield self.rfile.read(size)
                self.rfile.readline()
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read1(min(left, 65536))
            if not piece:
                return
            left -= len(piece)
            yield piece

    def _handle(self):
        state = self.server.state
        with state.lock:
            state.seen.append((self.command, self.path, list(self.headers.items())))
        path = self.path.split("?")[0]
        route = state.routes.get(path)
        if route:
            route(self)
        else:
            self.echo()

    def echo(self):
        """What arrived, as JSON."""
        body = b"".join(self._body())
        self.answer(200, json.dumps({
            "method": self.command, "path": self.path, "body": body.decode("latin-1"),
            "headers": [[n.lower(), v] for n, v in self.headers.items()],
            "subject": self.subject()}).encode(), {"Content-Type": "application/json"})

    def subject(self):
        if not isinstance(self.connection, ssl.SSLSocket):
            return ""
        certificate = self.connection.getpeercert() or {}
        return ",".join(f"{k}={v}" for rdn in certificate.get("subject", ()) for k, v in rdn)

    def answer(self, status, body=b"", headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _handle


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # a peer that goes away is part of many tests


class _State:
    def __init__(self):
        self.lock = threading.Lock()
        self.seen = []
        self.routes = {}


class Python:
    """A threading HTTP server; `routes` maps a path to a function of the handler."""

    def __init__(self, server=None, client_ca_file=None, port=0):
        self.state = _State()
        self.httpd = _Server(("127.0.0.1", port), _Handler)
        self.httpd.state = self.state
        self.scheme = "http"
        if server:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*map(str, server))
            if client_ca_file:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(str(client_ca_file))
            self.httpd.socket = context.wrap_socket(self.httpd.socket, server_side=True,
                                                    do_handshake_on_connect=False)
            self.scheme = "https"
        self.thread = threading.Thread(target=self.httpd.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"{self.scheme}://localhost:{self.httpd.server_address[1]}"

    @property
    def seen(self):
        with self.state.lock:
            return list(self.state.seen)

    def route(self, path, function):
        self.state.routes[path] = function

    def stop(self):
        self.httpd.shutdown()
        self.httpd.server_close()
