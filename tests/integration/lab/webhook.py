# SPDX-License-Identifier: Apache-2.0
"""A webhook of Event Grid: shakes hands, keeps what it is told, and fails when it is to."""
import http.server
import json
import threading


class Webhook:
    def __init__(self, port=0):
        self.events = []
        self.status = 200  # of notifications
        self.validates = True
        self.attempts = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                kind = self.headers["aeg-event-type"]
                answer, status = {}, 200
                if kind == "SubscriptionValidation":
                    if outer.validates:
                        answer = {"validationResponse": body[0]["data"]["validationCode"]}
                else:
                    outer.attempts += 1
                    status = outer.status
                    if status == 200:
                        outer.events += body
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook?code=needle-of-the-hook"

    def seen(self, kind=None):
        """(type without its prefix, name of the object) of each event, in their order."""
        prefix = "Microsoft.KeyVault."
        pairs = [(e["eventType"].removeprefix(prefix), e["subject"]) for e in self.events]
        return [p for p in pairs if not kind or p[0] == kind]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
