# SPDX-License-Identifier: Apache-2.0
"""The proxies that are compared, each configured as those who know it well would: one worker, no
access log, the backend's certificate and name checked, connections to backends kept.

A peer is a class with
    name, version()
    start(stage)          starts it on `stage.core` (see stage.on_core); `stage.py` says what there is
    plain, tls            origins of its two listeners, HTTP/1.1 and HTTPS with HTTP/2: set by start()
    routes                the backends (names of stage.SERVERS) that it can proxy as they are meant;
                          a request for backend B goes to /B/..., which the backend gets unchanged
    pids()                the processes whose CPU time and memory count
    stop()
and for S7, when `has_scale` is set
    start_scale(stage, identities)   route i (/ri/...) has its own backend and presents identities[i]
    change(i, identity)   from now on route i presents this identity; returns when that was accepted
    restart(stage, answers)          only if start_scale() filled a running proxy
    before_change(i)                 may make the connection that change() uses
and a line in PEERS.
"""
import concurrent.futures
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.parse

from lab import backends, service, web

BULK_THREADS = 8


def first_line(command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().split("\n")[0]


class Process:
    """A proxy that is one command, in the foreground, and its children."""
    process = None

    def run(self, stage, command):
        self.process = subprocess.Popen(stage.on_core(command), stdin=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def take_ports(self):
        self.port, self.tls_port = backends.free_port(), backends.free_port()
        self.plain = f"http://127.0.0.1:{self.port}"
        self.tls = f"https://localhost:{self.tls_port}"

    def pids(self):
        return [self.process.pid, *service.children_of(self.process.pid)]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
            return
        self.process.kill()
        self.process.wait()


# --- nginx ---

NGINX_HEAD = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
worker_rlimit_nofile {files};
{user}
events {{ worker_connections {connections}; multi_accept on; }}
http {{
    access_log off;
    server_tokens off;
    tcp_nodelay on;
    keepalive_timeout 900s;
    keepalive_requests 2000000000;
    http2_max_concurrent_streams 256;
    client_body_temp_path {folder}/temp;
    proxy_temp_path {folder}/temp;
    fastcgi_temp_path {folder}/temp;
    uwsgi_temp_path {folder}/temp;
    scgi_temp_path {folder}/temp;
    ssl_certificate {stage.server_crt};
    ssl_certificate_key {stage.server_key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:front:20m;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host localhost;
    proxy_max_temp_file_size 0;
    proxy_buffer_size 8k;
    proxy_buffers 16 32k;
    proxy_busy_buffers_size 128k;
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate {stage.ca_file};
    proxy_ssl_name localhost;
    proxy_ssl_server_name on;
    proxy_ssl_session_reuse on;
    proxy_ssl_protocols TLSv1.2 TLSv1.3;
"""
NGINX_UPSTREAM = """
    upstream {name} {{
        server 127.0.0.1:{port};
        keepalive {keep};
        keepalive_requests 2000000000;
        keepalive_timeout 900s;
    }}
"""
NGINX_LOCATION = """
        location /{name}/ {{
            proxy_pass https://{name};
            proxy_ssl_certificate {crt};
            proxy_ssl_certificate_key {key};
        }}
"""


class Nginx(Process):
    name = "nginx"
    routes = ("keep", "full", "resumed")  # it has no HTTP/2 to backends
    has_scale = True

    def version(self):
        return first_line([backends.NGINX, "-v"]).removeprefix("nginx version: ")

    def serve(self, stage, folder, ports, certificates, keep):
        """`ports`: of the backend by route name; `certificates`: files (crt, key) by route name."""
        (folder / "temp").mkdir(parents=True, exist_ok=True)
        self.take_ports()
        config = folder / "nginx.conf"
        with config.open("w") as file:
            file.write(NGINX_HEAD.format(
                folder=folder, stage=stage, files=stage.descriptors,
                connections=stage.descriptors - 100,
                user="user root;" if os.geteuid() == 0 else ""))
            for name, port in ports.items():
                file.write(NGINX_UPSTREAM.format(name=name, port=port, keep=keep))
            file.write("    server {\n")
            for address in ("127.0.0.1", "[::1]"):
                file.write(f"        listen {address}:{self.port} backlog=4096;\n"
                           f"        listen {address}:{self.tls_port} ssl http2 backlog=4096;\n")
            for name in ports:
                crt, key = certificates[name]
                file.write(NGINX_LOCATION.format(name=name, crt=crt, key=key))
            file.write("    }\n}\n")
        self.run(stage, [backends.NGINX, "-p", str(folder), "-c", str(config), "-e",
                         str(folder / "error.log")])

    def start(self, stage):
        self.serve(stage, stage.folder / "nginx", {n: stage.ports[n] for n in self.routes},
                   {n: (stage.client_crt, stage.client_key) for n in self.routes}, 1024)

    def start_scale(self, stage, identities):
        self.folder = stage.folder / f"nginx-{len(identities)}"
        self.folder.mkdir(exist_ok=True)
        names = [f"r{i}" for i in range(len(identities))]
        files = {n: identity.write(self.folder, n) for n, identity in zip(names, identities)}
        self.serve(stage, self.folder, dict.fromkeys(names, stage.ports["routes"]), files, 64)

    def change(self, number, identity):
        identity.write(self.folder, f"r{number}")
        self.process.send_signal(signal.SIGHUP)


# --- haproxy ---

HAPROXY_HEAD = """
global
    nbthread 1
    maxconn 12000
    no strict-limits
    tune.ssl.default-dh-param 2048
    tune.h2.max-concurrent-streams 256
defaults
    mode http
    no log
    option http-keep-alive
    http-reuse always
    timeout client 900s
    timeout http-keep-alive 900s
    timeout http-request 900s
    timeout server 900s
    timeout connect 5s
frontend front
    bind 127.0.0.1:{port} backlog 4096
    bind ::1:{port} backlog 4096
    bind 127.0.0.1:{tls_port} ssl crt {stage.server_pem} alpn h2,http/1.1 backlog 4096
    bind ::1:{tls_port} ssl crt {stage.server_pem} alpn h2,http/1.1 backlog 4096
    use_backend %[path,field(2,/)]
"""
HAPROXY_BACKEND = """
backend {name}
    server s 127.0.0.1:{port} pool-max-conn -1 pool-purge-delay 900s ssl verify required \
ca-file {ca} crt {pem} sni str(localhost) verifyhost localhost {more}
"""


class Haproxy(Process):
    name = "haproxy"
    routes = ("keep", "two", "full", "resumed")
    has_scale = True

    def version(self):
        return first_line(["haproxy", "-v"])

    def serve(self, stage, folder, ports, pems):
        folder.mkdir(exist_ok=True)
        self.take_ports()
        config = folder / "haproxy.cfg"
        with config.open("w") as file:
            file.write(HAPROXY_HEAD.format(port=self.port, tls_port=self.tls_port, stage=stage))
            for name, port in ports.items():
                file.write(HAPROXY_BACKEND.format(name=name, port=port, ca=stage.ca_file,
                                                  pem=pems[name],
                                                  more="alpn h2" if name == "two" else ""))
        self.run(stage, [shutil.which("haproxy") or "/usr/sbin/haproxy", "-W", "-q", "-f",
                         str(config)])

    def start(self, stage):
        self.serve(stage, stage.folder / "haproxy", {n: stage.ports[n] for n in self.routes},
                   dict.fromkeys(self.routes, stage.client_pem))

    def start_scale(self, stage, identities):
        self.folder = stage.folder / f"haproxy-{len(identities)}"
        self.folder.mkdir(exist_ok=True)
        pems = {}
        for i, identity in enumerate(identities):
            pems[f"r{i}"] = self.folder / f"r{i}.pem"
            pems[f"r{i}"].write_bytes(identity.pem)
        self.serve(stage, self.folder, dict.fromkeys(pems, stage.ports["routes"]), pems)

    def change(self, number, identity):
        (self.folder / f"r{number}.pem").write_bytes(identity.pem)
        self.process.send_signal(signal.SIGUSR2)


# --- Postern ---

def forwards_with(certificate, version=None):
    backend = f'<forward-request http-version="{version}" />' if version else ""
    return service.policy(f'<authentication-certificate certificate-id="{certificate}" />', backend)


class Postern:
    name = "postern"
    routes = ()
    has_scale = True
    postern = None

    def version(self):
        return first_line([str(service.BIN / "postern"), "--version"])

    def run(self, stage, folder):
        """On the one core: the children inherit it."""
        if not self.postern:
            self.postern = service.Postern(
                folder, ["--threads", "1"],
                {"SSL_CERT_FILE": str(stage.ca_file), "SSL_CERT_DIR": str(stage.folder)})
        os.sched_setaffinity(0, {stage.core})
        try:
            self.postern.start(self.postern.ready or None)
        finally:
            os.sched_setaffinity(0, stage.all_cores)
        self.plain, self.tls = self.postern.gateway, self.postern.gateway_tls

    def start(self, stage):
        # Of its own: another may be running from the same stage.
        self.run(stage, pathlib.Path(tempfile.mkdtemp(prefix="postern-", dir=stage.folder)))
        self.postern.upload("bench", stage.client)
        for name, version in (("keep", None), ("full", None), ("resumed", None), ("two", "2")):
            self.postern.make_api(name, f"https://localhost:{stage.ports[name]}/{name}")
            answer = self.postern.set_policy(f"/apis/{name}", forwards_with("bench", version),
                                             expect=(200, 201, 400))
            if answer.status != 400:
                self.routes += (name,)

    # S7: all of it through the management API, as anybody would

    def start_scale(self, stage, identities):
        self.run(stage, stage.folder / f"postern-{len(identities)}")
        self.token = self.postern.token()
        self.local = threading.local()
        with concurrent.futures.ThreadPoolExecutor(BULK_THREADS) as pool:
            jobs = [pool.submit(self.make_route, stage, i, identity)
                    for i, identity in enumerate(identities)]
            for job in jobs:
                job.result()
        self.changes = 5 * len(identities)

    def restart(self, stage, answers):
        """Stops it and starts it with what it has; seconds until `answers` returns."""
        self.postern.stop()
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            # The gateway may answer before control does, and `ready` waits for both.
            answered = pool.submit(lambda: (answers(), time.monotonic())[1])
            self.run(stage, None)
            return answered.result() - began

    def make_route(self, stage, number, identity):
        name = f"r{number}"
        self.upload(name, identity)
        self.put(f"/backends/{name}", {
            "url": f"https://localhost:{stage.ports['routes']}/{name}", "protocol": "http",
            "credentials": {"certificateIds": [
                f"{self.postern.service_id}/certificates/{name}"]}})
        self.put(f"/apis/{name}", {"displayName": name, "path": name, "protocols": ["http"],
                                   "serviceUrl": "https://localhost/", "subscriptionRequired": False})
        self.put(f"/apis/{name}/operations/get", {"displayName": "get", "method": "GET",
                                                  "urlTemplate": "/*"})
        self.put(f"/apis/{name}/policies/policy", {"format": "rawxml", "value": service.policy(
            f'<set-backend-service backend-id="{name}" />')})

    def upload(self, name, identity):
        self.put(f"/certificates/{name}", {"data": identity.pfx_base64(), "password": ""})

    def put(self, path, properties):
        if not hasattr(self.local, "session"):
            self.local.session = web.Session(self.postern.control, self.postern.ca_file, keep=True,
                                             timeout=60)
        self.postern.put(path, properties, token=self.token, session=self.local.session)

    def before_change(self, number):
        """The caller's connection to the management API, which a program has open already."""
        if not hasattr(self.local, "session"):
            self.local.session = web.Session(self.postern.control, self.postern.ca_file, keep=True,
                                             timeout=60)
        self.postern.arm("GET", f"/certificates/r{number}", token=self.token,
                         session=self.local.session)

    def change(self, number, identity):
        self.upload(f"r{number}", identity)

    def pids(self):
        """All of them: what the keyholder and control do for a request counts, too."""
        return self.postern.family()

    def stop(self):
        self.postern.stop()


PEERS = [Nginx, Haproxy, Postern]


def answers(url, text):
    """Whether GET `url` gives 200 and exactly this text, without checking the front's certificate."""
    split = urllib.parse.urlsplit(url)
    with contextlib.suppress(OSError, ValueError):
        answer = web.Session(f"{split.scheme}://{split.netloc}", timeout=5).get(split.path)
        return answer.status == 200 and answer.text == text
    return False


def speaks_http2(origin, path):
    done = subprocess.run(["curl", "-sk", "--http2", "--max-time", "5", "-o", "/dev/null", "-w",
                           "%{http_version} %{http_code}", origin + path], capture_output=True,
                          text=True)
    return done.stdout == "2 200"
