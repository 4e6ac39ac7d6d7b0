# SPDX-License-Identifier: Apache-2.0
"""Plain HTTP backends that say who they are and do as they are told: members of pools, backends
behind circuit breakers and proxies."""
import contextlib
import http.server
import json
import socket
import threading


class Member:
    """Answers every request with its name and what it saw; `status`, `headers` and `drop` (closes
    without an answer) may be changed at any time."""

    def __init__(self, name, host="127.0.0.1", port=0):
        self.name, self.status, self.headers, self.drop = name, 200, {}, False
        self.requests, self.connections = [], 0
        self.lock = threading.Lock()
        member = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                with member.lock:
                    member.connections += 1

            def log_message(self, *_):
                pass

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with member.lock:
                    member.requests.append((self.command, self.path, dict(self.headers), body))
                if member.drop:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                text = json.dumps({"member": member.name, "path": self.path,
                                   "headers": dict(self.headers)}).encode()
                self.send_response(member.status)
                for field, value in member.headers.items():
                    self.send_header(field, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = answer

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            request_queue_size = 64

            def handle_error(self, request, client_address):
                pass

        self.server = Server((host, port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.stop()
