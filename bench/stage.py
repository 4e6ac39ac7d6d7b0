# SPDX-License-Identifier: Apache-2.0
"""What all proxies meet: cores, a CA, the client certificate, and the backends.

The backends are one nginx with one worker that demands a client certificate. Each has its own port and
answers at any path below its own name, so that no proxy has to rewrite a path:

    keep     HTTP/1.1, connections kept; also 10 KB and 1 MB
    two      HTTP/2 (and HTTP/1.1)
    full     closes after every answer, resumes no session: a new full handshake for each request
    resumed  closes after every answer, with session tickets
    routes   as keep, at /r0/x, /r1/x, ...; /r0/who answers the serial of the client certificate
"""
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/integration"))
from lab import backends, pki, service  # noqa: E402

BODY = "x" * 100
FILES = {"10k": 10 * 1024, "1m": 1024 * 1024}

CONFIG = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_processes 1;
worker_rlimit_nofile {files};
{user}
events {{ worker_connections {connections}; multi_accept on; }}
http {{
    log_format resumed $ssl_session_reused;
    access_log off;
    client_body_temp_path {folder}/temp;
    proxy_temp_path {folder}/temp;
    fastcgi_temp_path {folder}/temp;
    uwsgi_temp_path {folder}/temp;
    scgi_temp_path {folder}/temp;
    default_type text/plain;
    sendfile on;
    open_file_cache max=100 inactive=600s;
    keepalive_timeout 900s;
    keepalive_requests 2000000000;
    http2_max_concurrent_streams 256;
    ssl_certificate {crt};
    ssl_certificate_key {key};
    ssl_client_certificate {ca};
    ssl_verify_client on;
    ssl_protocols TLSv1.2 TLSv1.3;
    {servers}
}}
"""

SERVER = """
    server {{
        listen 127.0.0.1:{port} ssl {more} backlog=4096;
        listen [::1]:{port} ssl {more} backlog=4096;
        server_name localhost;
        root {folder}/files;
        {settings}
        location / {{ return 200 '{body}'; }}
        location ~ /(10k|1m)$ {{ }}
        location ~ /who$ {{ return 200 '$ssl_client_serial'; }}
    }}
"""

TICKETS = "ssl_session_cache shared:{name}:20m; ssl_session_tickets on; ssl_session_timeout 1h;"
CLOSING = "keepalive_timeout 0; access_log {folder}/{name}.log resumed buffer=64k flush=200ms;"
SERVERS = {  # more words of `listen`, settings
    "keep": ("", TICKETS),
    "two": ("http2", TICKETS),
    "full": ("", "ssl_session_cache off; ssl_session_tickets off;" + CLOSING),
    "resumed": ("", TICKETS + CLOSING),
    "routes": ("", TICKETS),
}


def raise_descriptors():
    """To the hard limit; the proxies inherit it. Returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Stage:
    def __init__(self, folder):
        cores = sorted(os.sched_getaffinity(0))
        self.all_cores = set(cores)
        self.core, self.load_core = cores[0], cores[-1]
        self.folder = pathlib.Path(folder)
        self.descriptors = raise_descriptors()
        self.load_environment = {}
        self.ca = pki.Authority()
        self.ca_file = self.write("ca.crt", self.ca.certificate_pem)
        self.client = self.ca.client("bench client")
        self.client_crt, self.client_key = self.client.write(self.folder, "client")
        self.client_pem = self.write("client.pem", self.client.pem)
        server = self.ca.server()
        self.server_crt, self.server_key = server.write(self.folder, "server")
        self.server_pem = self.write("server.pem", server.pem)
        self.ports = {name: backends.free_port() for name in SERVERS}
        self.backend = None

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        return path

    def on_core(self, command):
        return ["taskset", "-c", str(self.core), *command]

    def start_backend(self):
        folder = self.folder / "backend"
        (folder / "temp").mkdir(parents=True)
        for name in SERVERS:
            (folder / "files" / name).mkdir(parents=True)
            for file, size in FILES.items():
                (folder / "files" / name / file).write_bytes(b"x" * size)
        servers = "".join(SERVER.format(port=self.ports[name], more=more, folder=folder, body=BODY,
                                        settings=settings.format(name=name, folder=folder))
                          for name, (more, settings) in SERVERS.items())
        config = folder / "nginx.conf"
        config.write_text(CONFIG.format(
            folder=folder, files=self.descriptors, connections=self.descriptors - 100,
            crt=self.server_crt, key=self.server_key, ca=self.ca_file, servers=servers,
            user="user root;" if os.geteuid() == 0 else ""))
        self.backend = subprocess.Popen(
            ["taskset", "-c", str(self.load_core), backends.NGINX, "-p", str(folder), "-c",
             str(config), "-e", str(folder / "error.log")], stdin=subprocess.DEVNULL)
        service.wait_for("the backend", lambda: self.listens(self.ports["routes"]))

    def stop_backend(self):
        if self.backend:
            self.backend.send_signal(signal.SIGTERM)
            self.backend.wait(20)

    def backend_pids(self):
        return [self.backend.pid, *service.children_of(self.backend.pid)]

    def resumed_share(self, name):
        """Of the handshakes since the last call: the part that resumed a session."""
        time.sleep(0.5)  # the log is flushed
        path = self.folder / "backend" / f"{name}.log"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        if path.exists():
            os.truncate(path, 0)
        return sum(line == "r" for line in lines) / len(lines) if lines else 0.0

    @staticmethod
    def listens(port):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False
