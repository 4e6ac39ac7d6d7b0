# SPDX-License-Identifier: Apache-2.0
"""Debian's servers as backends that demand a client certificate, each in front of the same plain
HTTP backend, so that they answer alike: apache2, haproxy and nginx, with HTTP/1.1 and HTTP/2."""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import time

from . import backends

APACHE = """
ServerRoot {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
Mutex pthread
ServerName localhost
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule headers_module {modules}/mod_headers.so
LoadModule http2_module {modules}/mod_http2.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
LoadModule ssl_module {modules}/mod_ssl.so
{user}
{more}
Listen 127.0.0.1:{h1}
Listen 127.0.0.1:{h2}
SSLSessionCache none
SSLCertificateFile {crt}
SSLCertificateKeyFile {key}
SSLCACertificateFile {ca}
SSLVerifyClient require
SSLOptions +StdEnvVars
ProxyPass / http://127.0.0.1:{plain}/ enablereuse=on
Header always set X-Client-Cn "%{{SSL_CLIENT_S_DN_CN}}s"
Header always set X-Server apache2
<VirtualHost 127.0.0.1:{h1}>
    SSLEngine on
    Protocols http/1.1
</VirtualHost>
<VirtualHost 127.0.0.1:{h2}>
    SSLEngine on
    Protocols h2
</VirtualHost>
"""

HAPROXY = """
global
    maxconn 1000
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend h1
    bind 127.0.0.1:{h1} ssl crt {pem} ca-file {ca} verify required alpn http/1.1
    http-response set-header X-Client-Cn %[ssl_c_s_dn(cn)]
    http-response set-header X-Server haproxy
    default_backend plain
frontend h2
    bind 127.0.0.1:{h2} ssl crt {pem} ca-file {ca} verify required alpn h2
    http-response set-header X-Client-Cn %[ssl_c_s_dn(cn)]
    http-response set-header X-Server haproxy
    default_backend plain
backend plain
    server plain 127.0.0.1:{plain}
"""

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 0;
    ssl_certificate {crt};
    ssl_certificate_key {key};
    ssl_client_certificate {ca};
    ssl_verify_client on;
    {protocols}
    map $ssl_client_s_dn $cn {{ ~CN=(?<name>[^,]+) $name; }}
    server {{
        listen 127.0.0.1:{h1} ssl;
        listen 127.0.0.1:{h2} ssl http2;
        location / {{
            proxy_pass http://127.0.0.1:{plain};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_buffering off;
            add_header X-Client-Cn $cn always;
            add_header X-Server nginx always;
        }}
    }}
}}
"""


class Server:
    """One of "apache2", "haproxy", "nginx"; `ports`: {"h1": …, "h2": …}."""

    def __init__(self, kind, folder, identity, client_ca, plain_port, protocols="",
                 more=""):
        """`protocols`: of nginx, whose own choice is TLS 1.2. `more`: directives of apache2."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports = {"h1": backends.free_port(), "h2": backends.free_port()}
        crt, key = identity.write(self.folder, "server")
        pem, ca = self.folder / "server.pem", self.folder / "ca.crt"
        pem.write_bytes(identity.pem)
        ca.write_bytes(client_ca.certificate_pem)
        template, command, user = {
            "apache2": (APACHE, ["/usr/sbin/apache2", "-DFOREGROUND", "-d", folder, "-f"],
                        "User nobody\nGroup nogroup"),
            "haproxy": (HAPROXY, [shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f"], ""),
            "nginx": (NGINX, [backends.NGINX, "-e", self.folder / "error.log", "-p", folder, "-c"],
                      "user root;"),
        }[kind]
        config = self.folder / f"{kind}.conf"
        config.write_text(template.format(
            folder=self.folder, protocols=protocols and f"ssl_protocols {protocols};", crt=crt, key=key, pem=pem, ca=ca, plain=plain_port,
            user=user if os.geteuid() == 0 else "", modules="/usr/lib/apache2/modules", more=more,
            **self.ports))
        with (self.folder / "output.log").open("wb") as log:
            self.process = subprocess.Popen([*map(str, command), str(config)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for port in self.ports.values():
            self._wait(kind, port)

    def _wait(self, kind, port):
        for _ in range(500):
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            time.sleep(0.02)
        raise AssertionError(f"{kind} does not start:\n" + self.log())

    def log(self):
        return "".join((self.folder / n).read_text(errors="replace")
                       for n in ("output.log", "error.log") if (self.folder / n).exists())

    def url(self, version):
        return f"https://localhost:{self.ports[version]}"

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
