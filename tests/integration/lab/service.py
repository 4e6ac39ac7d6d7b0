# SPDX-License-Identifier: Apache-2.0
"""Postern as a process: started on free ports in its own folder, stopped by SIGTERM."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.parse
import uuid

from . import web

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("PN_BIN", ROOT / "build/bin"))
API_VERSION = "2024-05-01"
VAULT_API_VERSION = "7.4"
START_LIMIT_S = 60
STOP_LIMIT_S = 40


def wait_for(what, condition, limit_s=20, pause_s=0.02):
    """Polls until `condition` returns something true; returns it."""
    end = time.monotonic() + limit_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {limit_s} s")
        time.sleep(pause_s)


def executable_of(pid):
    with contextlib.suppress(OSError):
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).split(" ")[0]
    return ""


def children_of(pid):
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()
    return [int(p) for p in found]


class Postern:
    """One `postern serve` with everything under `folder`."""

    def __init__(self, folder, options=(), environment=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.log_path = self.folder / "postern.log"
        self.options = list(options)
        self.prefix = []  # of the command: what changes its world before it starts
        self.environment = dict(os.environ, **(environment or {}))
        self.process = None
        self.ready = {}
        self._stale = None
        self._tokens = {}
        self._sessions = {}

    # life

    def start(self, ports=None):
        """Starts it and waits for ready.json. `ports`: the ready.json of an earlier run, to get the
        same addresses again."""
        listen = {"gateway": "gatewayUrl", "gateway-tls": "gatewayTlsUrl",
                  "control": "controlUrl", "vault": "vaultUrl"}
        command = [str(BIN / "postern"), "serve", "--data", str(self.data)]
        for option, member in listen.items():
            port = urllib.parse.urlsplit(ports[member]).port if ports else 0
            command += [f"--{option}", f"localhost:{port}"]
        self._stale = self._ready_stamp()  # what a killed Postern left behind
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self.prefix + command + self.options, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=self.environment,
                                            start_new_session=True)
        try:
            self.ready = wait_for("ready.json", self._read_ready, START_LIMIT_S)
        except BaseException:
            self.kill()
            raise
        self._tokens.clear()
        self.close_sessions()
        return self

    def _read_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"postern ended with {self.process.returncode}:\n{self.log()}")
        if self._ready_stamp() in (None, self._stale):
            return None
        return json.loads((self.data / "ready.json").read_text())

    def _ready_stamp(self):
        with contextlib.suppress(OSError):
            status = (self.data / "ready.json").stat()
            return status.st_ino, status.st_mtime_ns
        return None

    def stop(self):
        """SIGTERM; asserts a clean end: exit code 0, no process left behind, no ready.json."""
        family = self.family()
        self.close_sessions()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no end {STOP_LIMIT_S} s after SIGTERM:\n{self.log()}") from None
        left = {p: executable_of(p) for p in family if executable_of(p).startswith("postern")}
        self.process = None
        assert code == 0, f"exit code {code} after SIGTERM:\n{self.log()}"
        assert not left, f"processes left behind: {left}"
        assert not (self.data / "ready.json").exists(), "ready.json is left behind"
        self.check_sanitizers()

    def check_sanitizers(self):
        """What a sanitized build has found is a failure, though the process goes on."""
        log = self.log()
        found = re.search(r"(WARNING|ERROR): \w+Sanitizer: |: runtime error: ", log)
        assert not found, log[max(0, found.start() - 200):][:8000]

    def kill(self):
        """The whole process group, at once."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def family(self):
        """pids of the supervisor and everything below it."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += children_of(pid)
        return found

    def pid(self, role):
        """The pid of one role: gateway, control, keyholder or supervisor; 0 while it is away."""
        if role == "supervisor":
            return self.process.pid
        for pid in self.family():
            if executable_of(pid) == f"postern-{role}":
                return pid
        return 0

    # addresses

    @property
    def gateway(self):
        return self.ready["gatewayUrl"]

    @property
    def gateway_tls(self):
        return self.ready["gatewayTlsUrl"]

    @property
    def control(self):
        return self.ready["controlUrl"]

    @property
    def vault_url(self):
        return self.ready["vaultUrl"]

    @property
    def vault_audience(self):
        return f"https://vault.localhost:{urllib.parse.urlsplit(self.vault_url).port}"

    @property
    def ca_file(self):
        return self.ready["caFile"]

    @property
    def tenant(self):
        return self.ready["tenantId"]

    @property
    def client_id(self):
        return self.ready["clientId"]

    @property
    def client_secret(self):
        return pathlib.Path(self.ready["clientSecretFile"]).read_text().strip()

    @property
    def subscription(self):
        return "/subscriptions/" + self.ready["subscriptionId"]

    @property
    def group(self):
        return f"{self.subscription}/resourceGroups/{self.ready['resourceGroup']}"

    @property
    def service_id(self):
        return f"{self.group}/providers/Microsoft.ApiManagement/service/{self.ready['serviceName']}"

    # calls

    def session(self, origin):
        if origin not in self._sessions:
            self._sessions[origin] = web.Session(origin, self.ca_file, keep=True, timeout=60)
        return self._sessions[origin]

    def close_sessions(self):
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def token(self, audience=None):
        """An access token of the administrator; cached."""
        audience = audience or self.control
        if audience not in self._tokens:
            answer = self.ask_token(audience)
            assert answer.status == 200, answer
            self._tokens[audience] = answer.json()["access_token"]
        return self._tokens[audience]

    def ask_token(self, audience, client_id=None, secret=None, path=None, **fields):
        form = {"grant_type": "client_credentials", "client_id": client_id or self.client_id,
                "scope": audience + "/.default"}
        if "client_assertion" not in fields:
            form["client_secret"] = secret or self.client_secret
        form.update({k: v for k, v in fields.items() if v is not None})
        form = {k: v for k, v in form.items() if fields.get(k, "") is not None}
        return self.session(self.control).call(
            "POST", path or f"/{self.tenant}/oauth2/v2.0/token",
            urllib.parse.urlencode(form), {"Content-Type": "application/x-www-form-urlencoded"})

    def arm(self, method, path, body=None, headers=None, token=None, version=API_VERSION,
            session=None):
        """A call of the management API; a path that does not start with /subscriptions is below the
        service. `token`: "" sends none."""
        if not path.startswith("/subscriptions"):
            path = self.service_id + path
        if version:
            path += ("&" if "?" in path else "?") + "api-version=" + version
        headers = dict(headers or {})
        if token != "":
            headers["Authorization"] = "Bearer " + (token or self.token())
        return (session or self.session(self.control)).call(method, path, body, headers)

    def put(self, path, properties, expect=(200, 201), **more):
        answer = self.arm("PUT", path, {"properties": properties}, **more)
        assert answer.status in expect, f"PUT {path}: {answer}"
        return answer

    def delete(self, path, expect=(200,)):
        answer = self.arm("DELETE", path, headers={"If-Match": "*"})
        assert answer.status in expect, f"DELETE {path}: {answer}"
        return answer

    def vault(self, method, path, body=None, token=None, origin=None, version=VAULT_API_VERSION):
        headers = {}
        if token != "":
            headers["Authorization"] = "Bearer " + (token or self.token(self.vault_audience))
        path += ("&" if "?" in path else "?") + "api-version=" + version
        return self.session(origin or self.vault_url).call(method, path, body, headers)

    def call(self, path, method="GET", body=None, headers=None, **more):
        """One request through the gateway's plain listener, on a connection that is kept."""
        return self.session(self.gateway).call(method, path, body, headers, **more)

    def metric(self, name, **labels):
        """The sum of a metric over its labels, or where they are these; 0 when it is not there."""
        wanted = [f'{k}="{v}"' for k, v in labels.items()]
        text = self.session(self.control).get("/metrics").text
        total = 0.0
        for line in text.splitlines():
            if line.split("{")[0].split(" ")[0] == name and all(w in line for w in wanted):
                total += float(line.rsplit(" ", 1)[1])
        return total

    # the resources that tests make most

    def upload(self, name, identity, password="secret"):
        return self.put(f"/certificates/{name}", {
            "data": identity.pfx_base64(password), "password": password})

    def make_api(self, name, url, policy=None, subscription_required=False, operations=True,
                 **more):
        """An API at /name with an operation for every method, and perhaps a policy."""
        self.put(f"/apis/{name}", dict({
            "displayName": name, "path": name, "serviceUrl": url, "protocols": ["http", "https"],
            "subscriptionRequired": subscription_required}, **more))
        if operations:
            for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
                self.put(f"/apis/{name}/operations/{method.lower()}", {
                    "displayName": method, "method": method, "urlTemplate": "/*"})
        if policy is not None:
            self.set_policy(f"/apis/{name}", policy)

    def set_policy(self, scope, document, expect=(200, 201)):
        return self.put(f"{scope}/policies/policy", {"format": "rawxml", "value": document},
                        expect)


def policy(inbound="", backend="", outbound="", on_error="", base=True):
    """A policy document; each section begins with <base/>."""
    begin = "<base />" if base else ""
    return (f"<policies><inbound>{begin}{inbound}</inbound><backend>{backend or begin}</backend>"
            f"<outbound>{begin}{outbound}</outbound><on-error>{begin}{on_error}</on-error>"
            "</policies>")


def with_certificate(name, more=""):
    return policy(f'<authentication-certificate certificate-id="{name}" />{more}')


def unique(stem):
    return f"{stem}-{uuid.uuid4().hex[:8]}"
