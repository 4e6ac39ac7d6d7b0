# SPDX-License-Identifier: Apache-2.0
"""The proxies that are compared. Each does one job: plain HTTP/1.1 with keep-alive in, one backend
over mutual TLS out, connections to it pooled, its certificate and name checked, no access log.

A peer is a class with
    name, version()
    start(job)   starts it on `job.core` (see on_core) and makes it answer at self.url
    pids()       the processes whose CPU time counts
    stop()
and a line in PEERS. `job` has: folder (scratch), ca (an Authority), ca_file, backend (host:port),
client (an Identity, the certificate to present), core, and on_core(command) -> command.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/integration"))
from lab import backends, service  # noqa: E402


class Postern:
    name = "postern"

    def version(self):
        done = subprocess.run([str(service.BIN / "postern"), "--version"], capture_output=True,
                              text=True)
        return done.stdout.strip()

    def start(self, job):
        os.sched_setaffinity(0, {job.core})  # the children inherit it
        try:
            self.postern = service.Postern(
                job.folder / "postern", ["--threads", "1"],
                {"SSL_CERT_FILE": str(job.ca_file), "SSL_CERT_DIR": str(job.folder)})
            self.postern.start()
        finally:
            os.sched_setaffinity(0, job.all_cores)
        self.postern.upload("bench", job.client)
        self.postern.make_api("bench", f"https://{job.backend}", service.with_certificate("bench"))
        self.url = self.postern.gateway + "/bench/x"

    def pids(self):
        """All of them: what the keyholder and control do for a request counts too."""
        return self.postern.family()

    def stop(self):
        self.postern.stop()


NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
{user}
events {{ worker_connections 4096; multi_accept on; }}
http {{
    access_log off;
    server_tokens off;
    tcp_nodelay on;
    keepalive_timeout 900s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    upstream backend {{
        server {backend};
        keepalive 128;
        keepalive_requests 1000000000;
        keepalive_timeout 900s;
    }}
    server {{
        listen 127.0.0.1:{port};
        location /bench/ {{
            proxy_pass https://backend/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host localhost;
            proxy_ssl_certificate {crt};
            proxy_ssl_certificate_key {key};
            proxy_ssl_trusted_certificate {ca};
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
            proxy_ssl_protocols TLSv1.2 TLSv1.3;
        }}
    }}
}}
"""


class Nginx:
    name = "nginx"

    def version(self):
        done = subprocess.run([backends.NGINX, "-v"], capture_output=True, text=True)
        return (done.stderr or done.stdout).strip().removeprefix("nginx version: ")

    def start(self, job):
        folder = job.folder / "nginx-proxy"
        folder.mkdir()
        port = backends.free_port()
        crt, key = job.client.write(folder, "client")
        (folder / "nginx.conf").write_text(NGINX.format(
            folder=folder, backend=job.backend.replace("localhost", "127.0.0.1"), port=port,
            crt=crt, key=key, ca=job.ca_file, user="user root;" if os.geteuid() == 0 else ""))
        self.process = subprocess.Popen(
            job.on_core([backends.NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"),
                         "-e", str(folder / "error.log")]), stdin=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}/bench/x"

    def pids(self):
        return [self.process.pid, *service.children_of(self.process.pid)]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)


PEERS = [Nginx, Postern]
WRK = shutil.which("wrk") or "wrk"
