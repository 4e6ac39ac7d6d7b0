# SPDX-License-Identifier: Apache-2.0
"""The path that routing and policies have seen is the path that a backend serves, whichever way the
backend reads it, and whatever a policy makes of it. Paths by chance; readers are nginx, apache2, Node
and models of others. test_http_correctness.py has spellings that are known."""
import contextlib
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import urllib.parse

import pytest
from lab import backends, raw, service
from lab.raw import Recorder, connect, receive, request
from lab.service import policy

FORBID = '<return-response><set-status code="403" reason="No" /></return-response>'
# What may not be reached, for whoever serves the paths below /base.
FORBIDDEN = [r"/admin(/.*)?", r"/users/[^/]+/secret/?", r"/[^/]+:purge/?", r"/x/admin/?", r"/inner(/.*)?"]

NGINX = """
daemon off;
pid {folder}/n.pid;
error_log {folder}/n.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    {temporary}
    merge_slashes {merge};
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 $uri; }} }}
}}
"""
APACHE = """
ServerRoot {folder}
PidFile {folder}/a.pid
ErrorLog {folder}/a.log
Mutex pthread
ServerName localhost
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule headers_module {modules}/mod_headers.so
{user}
Listen 127.0.0.1:{port}
DocumentRoot {folder}
AllowEncodedSlashes {slashes}
MergeSlashes {merge}
Header always set X-Path "expr=%{{REQUEST_URI}}"
"""
NODE = """
require('http').createServer((request, response) => {
  try {
    const path = decodeURIComponent(new URL(request.url, 'http://x').pathname);
    response.setHeader('X-Path', encodeURIComponent(path));
  } catch {}
  response.setHeader('Content-Length', 0).end();
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
"""


class Reader:
    """A real server that says which path it makes of a target."""

    def __init__(self, name, command, port=None, decode=str):
        self.name, self.port, self.decode = name, port, decode
        pipe = subprocess.DEVNULL if port else subprocess.PIPE
        self.process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=pipe,
                                        stderr=subprocess.DEVNULL, text=True)
        if not port:
            self.port = int(self.process.stdout.readline())
        service.wait_for(name, self._answers)
        self.sock = None

    def _answers(self):
        assert self.process.poll() is None, f"{self.name} does not start"
        with contextlib.suppress(OSError):
            raw.socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def read(self, target):
        """None: it refuses the target."""
        for _ in range(2):  # the connection may have ended meanwhile
            if not self.sock:
                self.sock = raw.socket.create_connection(("127.0.0.1", self.port), 10)
            with contextlib.suppress(OSError):
                self.sock.sendall(request("GET", target))
                head, body = raw.request_of(self.sock)
                if head:
                    if b"\r\nConnection: close" in head:
                        self.sock = None
                    found = re.search(rb"(?i)\r\nx-path: ([^\r]*)", head)
                    if head.startswith(b"HTTP/1.1 400") or not (found or body):
                        return None
                    return self.decode((found[1] if found else body).decode("latin-1"))
            self.sock = None
        return None

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def unescaped(text):
    """Apache's expressions give the path with escapes of their own."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), text)


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    found = []
    for merge in ("on", "off"):
        folder, port = tmp_path_factory.mktemp("nginx"), backends.free_port()
        (folder / "n.conf").write_text(("user root;" if os.geteuid() == 0 else "") + NGINX.format(
            folder=folder, port=port, merge=merge, temporary="".join(
                f"{kind}_temp_path {folder}/{kind};" for kind in
                ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))))
        found.append(Reader(f"nginx merge_slashes {merge}", [
            backends.NGINX, "-e", folder / "n.log", "-p", folder, "-c", folder / "n.conf"], port))
    for slashes, merge in (("On", "On"), ("NoDecode", "Off")):
        folder, port = tmp_path_factory.mktemp("apache"), backends.free_port()
        (folder / "a.conf").write_text(APACHE.format(
            folder=folder, port=port, slashes=slashes, merge=merge, modules="/usr/lib/apache2/modules",
            user="User nobody\nGroup nogroup" if os.geteuid() == 0 else ""))
        found.append(Reader(f"apache2 AllowEncodedSlashes {slashes}", [
            "/usr/sbin/apache2", "-DFOREGROUND", "-d", folder, "-f", folder / "a.conf"], port, unescaped))
    found.append(Reader("node", [shutil.which("node") or "/usr/bin/node", "-e", NODE],
                        decode=urllib.parse.unquote))
    yield found
    for reader in found:
        reader.stop()


def models(target):
    """Paths that other readers make of it: (name, path). Path parameters are cut never, before
    anything is decoded, or after it; slashes and backslashes are decoded or not; empty segments are
    merged or not; dot segments are resolved last."""
    path = target.split("?")[0]
    for cut, escaped, slashes, back, merge in itertools.product(
            ("no", "raw", "after"), (False, True), (False, True), (False, True), (False, True)):
        text = path
        if escaped:
            text = re.sub("(?i)%3b", ";", text)
        if cut == "raw":
            text = re.sub(r";[^/]*", "", text)
        if slashes:
            text = re.sub("(?i)%2f", "/", text)
        if back:
            text = re.sub(r"(?i)%5c|\\\\", "/", text)
        if cut == "after":
            text = re.sub(r";[^/]*", "", text)
        text = urllib.parse.unquote(text.replace("%2F", "\0").replace("%5C", "\1"), "latin-1")
        segments = []
        for segment in text.split("/")[1:]:
            if segment == "..":
                segments = segments[:-1]
            elif segment != "." and not (merge and not segment):
                segments.append(segment)
        yield (cut, escaped, slashes, back, merge), "/" + "/".join(segments)


def forbidden(path):
    """Why this path must not have been served; None: it may."""
    path = path.lower()
    if path != "/base" and not path.startswith("/base/"):
        return "it is not below the API's"
    below = path[5:]
    return next((f"it is {p}" for p in FORBIDDEN if re.fullmatch(p, below, re.S)), None)


PIECES = ["/", "/", "/", "//", "%2f", "%2F", "%5c", "%5C", "\\", ";", ";x=y", "%3b", "%3B", ".", "..",
          "%2e", "%2E", "%2e%2e", ".%2e", "...", "%252e", "%252f", "%c0%ae", "%c0%af", "%e0%80%ae",
          "%EF%BC%8F", "%00", "%0d%0a", "%20", "%09", "+", ":", "%3a", "@", "~", "%7e", "%", "%zz", "%u002e",
          "%23", "%3f", "%26", "&", "=", ",", "!", "'", "(", ")", "*", "admin", "ADMIN", "%61dmin",
          "adm%49n", "open", "users", "u", "secret", "secre%74", ":purge", "%3apurge", "x", "inner",
          "%69nner", "I%6Ener", "a"]
STEMS = ["/open/x", "/users/u/secret", "/u:purge", "/x/admin", "/admin/x", "/inner/x", "/open/../admin",
         "/users/u", "/inner", "/admin", "/open"]


def mutated(chance):
    path = chance.choice(STEMS) if chance.random() < 0.7 else "/" + "".join(
        chance.choice(PIECES) for _ in range(chance.randint(1, 6)))
    for _ in range(chance.randint(0, 4)):
        places = [m.start() for m in re.finditer("/|$", path)]
        at = chance.choice(places) if chance.random() < 0.7 else chance.randint(0, len(path))
        piece = chance.choice(PIECES)
        if chance.random() < 0.4 and at < len(path) and path[at] == "/":
            path = path[:at] + piece + path[at + 1:]
        else:
            path = path[:at] + piece + path[at:]
    return path + chance.choice(["", "", "", "?q=/../admin", "?", "??"])


@pytest.fixture(scope="module")
def recorder():
    with Recorder() as backend:
        yield backend


def add(postern, api, stem, template, text=None, parameters=()):
    postern.put(f"/apis/{api}/operations/{stem}", {
        "displayName": stem, "method": "GET", "urlTemplate": template, "templateParameters": [
            {"name": n, "type": "string", "required": True} for n in parameters]})
    if text:
        postern.set_policy(f"/apis/{api}/operations/{stem}", policy(text))


@pytest.fixture(scope="module")
def guarded(postern, recorder):
    name = service.unique("confusion")
    postern.make_api(name, recorder.url + "/base", operations=False)
    add(postern, name, "open", "/open/*")
    add(postern, name, "rest", "/*")
    add(postern, name, "admin", "/admin/*", FORBID)
    add(postern, name, "secret", "/users/{id}/secret", FORBID, ["id"])
    add(postern, name, "purge", "/{id}:purge", FORBID, ["id"])
    add(postern, name, "exact", "/x/admin", FORBID)
    postern.make_api(f"{name}-inner", recorder.url + "/base/inner", policy(FORBID), path=f"{name}/inner")
    return name


def ask(postern, recorder, path):
    """The status and the target that the backend saw."""
    before = len(recorder.requests)
    with connect(postern, 10) as sock:
        sock.sendall(request("GET", path, "Connection: close"))
        received = receive(sock, 5)
    seen = recorder.requests[before:]
    assert len(re.findall(rb"HTTP/1\.1 \d", received)) == 1 and not recorder.doubts, (path, received)
    status = int(received.split(b" ", 2)[1])
    assert (status == 200) == bool(seen) and len(seen) <= 1, (path, received, seen)
    return status, seen[0].target if seen else None


def test_no_path_is_served_that_policies_have_not_seen(postern, recorder, guarded, readers):
    """PN_MUTATIONS and PN_MUTATIONS_SEED for more, and for others."""
    seed = int(os.environ.get("PN_MUTATIONS_SEED", "1"))
    chance = random.Random(seed)
    served = refused = 0
    for i in range(int(os.environ.get("PN_MUTATIONS", "1500"))):
        path = mutated(chance)
        status, target = ask(postern, recorder, f"/{guarded}{path}")
        assert status in (200, 400, 403, 404), (path, status)
        if status != 200:
            refused += 1
            continue
        served += 1
        for name, seen in [*models(target), *((r.name, r.read(target)) for r in readers)]:
            why = seen and forbidden(seen)
            assert not why, f"seed {seed}, number {i}: {path} became {target}, to {name} {seen}: {why}"
    assert served > 100 and refused > 100
    assert all(reader.read("/base/open/x%20y") == "/base/open/x y" for reader in readers)


@pytest.mark.parametrize("path", [
    "/users/a%5Cb%2Fsecret",  # nginx decodes slashes, and leaves backslashes as they are
    "/u%5Cv:purge%2F", "/users%5Ca%2Fb/secret",
    "/a%3Bb:purge;c",  # servlets cut parameters before they decode
    "/x%2Fadmin;y%2Fz", "/x%2Fadmin;y%2F..%2fz", "/users/u%3Bv;w%2Fsecret"])
def test_readers_that_decode_one_thing_and_not_another(postern, recorder, guarded, path):
    status, target = ask(postern, recorder, f"/{guarded}{path}")
    seen = {forbidden(model) for _, model in models(target)} if target else {None}
    assert seen == {None}, f"{path} became {target}: {seen}"
    assert status == 400


# --- what a policy makes of a value

BY_EXPRESSION = '@("{}" + context.Request.MatchedParameters["id"])'


@pytest.fixture(scope="module")
def rewriting(postern, recorder):
    name = service.unique("rewriting")
    postern.make_api(name, recorder.url + "/base", operations=False)
    add(postern, name, "plain", "/plain/{id}", '<rewrite-uri template="/to/{id}" />', ["id"])
    add(postern, name, "made", "/made/{id}",
        f"<rewrite-uri template='{BY_EXPRESSION.format('/to/')}' />", ["id"])
    add(postern, name, "sent", "/sent/{id}", "<set-backend-service base-url='" +
        BY_EXPRESSION.format(recorder.url + "/base/to/") + "' /><rewrite-uri template='/x' />", ["id"])
    add(postern, name, "rest", "/rest/{*rest}", '<rewrite-uri template="/to/{rest}?of={rest}" />',
        ["rest"])
    return name


VALUES = ["%252e%252e", "%252e%252e%252fadmin", "%252E.%252Fadmin", "a%2F%252e%252e%2F%252e%252e%2Fadmin",
          ".%252e%255cadmin", "%252e%252e%253bx", "%25%32%65%252e", "..%3b", "%252e%252e;x", "%5c..",
          "%252500", "%2500", "%25", "%25zz", "%25u002e%25u002e", "a%0d%0ab", "a%00", "%c0%ae%c0%ae"]


@pytest.mark.parametrize("way", ["plain", "made", "sent", "rest"])
@pytest.mark.parametrize("value", VALUES)
def test_no_value_climbs_out_of_what_a_policy_makes(postern, recorder, rewriting, readers, way, value):
    """Whether a template encodes it, or an expression puts it in as it is."""
    status, target = ask(postern, recorder, f"/{rewriting}/{way}/{value}")
    assert status in (200, 400, 500)
    if status != 200:
        return
    assert not re.search("%(?![0-9A-Fa-f]{2})|%00", target), target
    for name, seen in [*models(target), *((r.name, r.read(target)) for r in readers)]:
        assert not seen or seen.startswith("/base/to/"), f"{target}, to {name} {seen}"


@pytest.mark.parametrize("path, target", [
    ("/rest/a%20b/c", "/base/to/a%20b/c?of=a%20b%2Fc"), ("/rest/a%2Fb", "/base/to/a%2Fb?of=a%2Fb"),
    ("/rest/%252e", "/base/to/%252e?of=%252e"), ("/rest/%C3%A4/", "/base/to/%C3%A4/?of=%C3%A4%2F"),
    ("/plain/a%20b", "/base/to/a%20b"), ("/plain/a%2Fb", "/base/to/a%2Fb"),
    ("/plain/%252e", "/base/to/%252e"), ("/made/a", "/base/to/a"), ("/made/%252e%252e.", "/base/to/..."),
    ("/sent/a", "/base/to/a/x")])
def test_what_a_policy_makes_of_honest_values(postern, recorder, rewriting, path, target):
    assert ask(postern, recorder, f"/{rewriting}{path}") == (200, target)
