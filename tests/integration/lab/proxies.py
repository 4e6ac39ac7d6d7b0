# SPDX-License-Identifier: Apache-2.0
"""HTTP proxies that open tunnels: Debian's tinyproxy, and a scripted one for what it cannot show."""
import base64
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

from .backends import free_port

TINYPROXY = shutil.which("tinyproxy") or "/usr/bin/tinyproxy"


class Tinyproxy:
    """The real one; with `user` and `password` it wants them."""

    def __init__(self, folder, user=None, password=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.log_path = self.folder / "tinyproxy.log"
        config = self.folder / "tinyproxy.conf"
        config.write_text(f"Port {self.port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\n"
                          f'LogFile "{self.log_path}"\nLogLevel Connect\nAllow 127.0.0.1\n'
                          + (f"BasicAuth {user} {password}\n" if user else ""))
        self.process = subprocess.Popen([TINYPROXY, "-d", "-c", str(config)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        for _ in range(250):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            time.sleep(0.02)
        raise AssertionError("tinyproxy does not start")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def stop(self):
        self.process.terminate()
        self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class ScriptedProxy:
    """Remembers each CONNECT and answers it with `answer(number)`: None opens the tunnel, bytes are
    sent instead; then the connection is closed, or left as it is with `hangs`."""

    def __init__(self, answer=lambda number: None, hangs=False):
        self.answer, self.hangs = answer, hangs
        self.heads = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with contextlib.suppress(OSError), sock:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = sock.recv(4096)
                if not piece:
                    return
                head += piece
            self.heads.append(head.decode())
            answer = self.answer(len(self.heads))
            if answer is not None:
                sock.sendall(answer)
                while self.hangs and sock.recv(4096):
                    pass
                return
            host, port = head.split()[1].decode().rsplit(":", 1)
            with socket.create_connection((host.strip("[]"), int(port)), 5) as backend:
                sock.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
                there = threading.Thread(target=self._pump, args=(sock, backend), daemon=True)
                there.start()
                self._pump(backend, sock)

    @staticmethod
    def _pump(source, sink):
        with contextlib.suppress(OSError):
            while True:
                piece = source.recv(65536)
                if not piece:
                    break
                sink.sendall(piece)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def credentials(self, number=0):
        """user:password of a CONNECT, or None."""
        for line in self.heads[number].split("\r\n"):
            if line.lower().startswith("proxy-authorization: basic "):
                return base64.b64decode(line.split()[-1]).decode()
        return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def await_port(port, process, what):
    for _ in range(250):
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    raise AssertionError(f"{what} does not start")


class _TlsProxy:
    """A proxy reached by TLS: `server` is what it proves to be."""

    def __init__(self, folder, server):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.crt, self.key = server.write(self.folder, "proxy")
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"

    def run(self, *command):
        process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        await_port(self.port, process, command[0])
        return process

    def stop(self):
        """At once, with its children: open tunnels are no reason to stay."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class HaproxyBefore(_TlsProxy):
    """Debian's haproxy, which ends TLS in front of a plain proxy."""

    def __init__(self, folder, server, inner_port):
        super().__init__(folder, server)
        pem = self.folder / "proxy.pem"
        pem.write_bytes(pathlib.Path(self.crt).read_bytes() + pathlib.Path(self.key).read_bytes())
        config = self.folder / "haproxy.cfg"
        config.write_text(f"""
global
    maxconn 200
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend proxy
    bind 127.0.0.1:{self.port} ssl crt {pem} alpn http/1.1
    bind [::1]:{self.port} ssl crt {pem} alpn http/1.1
    default_backend inner
backend inner
    server inner 127.0.0.1:{inner_port}
""")
        self.process = self.run("/usr/sbin/haproxy", "-db", "-f", config)


class ApacheProxy(_TlsProxy):
    """Debian's apache2 with mod_proxy_connect and TLS of its own."""

    def __init__(self, folder, server, ports):
        super().__init__(folder, server)
        modules = "/usr/lib/apache2/modules"
        config = self.folder / "apache.conf"
        config.write_text(f"""
ServerRoot {self.folder}
PidFile {self.folder}/apache.pid
ErrorLog {self.folder}/error.log
Mutex pthread
ServerName localhost
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_connect_module {modules}/mod_proxy_connect.so
LoadModule ssl_module {modules}/mod_ssl.so
{"User www-data" if os.geteuid() == 0 else ""}
Listen 127.0.0.1:{self.port}
SSLSessionCache none
SSLEngine on
SSLCertificateFile {self.crt}
SSLCertificateKeyFile {self.key}
ProxyRequests On
AllowCONNECT {" ".join(map(str, ports))}
<Proxy *>
    Require all granted
</Proxy>
""")
        self.process = self.run("/usr/sbin/apache2", "-DFOREGROUND", "-d", self.folder, "-f", config)
