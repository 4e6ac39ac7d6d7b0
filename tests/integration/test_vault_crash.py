# SPDX-License-Identifier: Apache-2.0
"""Promise 10 in the vault: killed in the middle of writes, a full disk, no sealing key."""
import base64
import contextlib
import itertools
import os
import pathlib
import subprocess
import threading
import time
import uuid

import pytest
from lab import people, service, web
from lab.service import wait_for

WRITERS = 4


def restart(postern):
    family = postern.family()
    postern.kill()
    wait_for("the end of all", lambda: not any(
        service.executable_of(p).startswith("postern") for p in family))
    postern.start(postern.ready)


class Writer(threading.Thread):
    """Writes without pause and remembers what was acknowledged."""

    def __init__(self, postern, number):
        super().__init__(daemon=True)
        self.postern, self.number = postern, number
        self.token = postern.token(postern.vault_audience)
        self.session = web.Session(postern.vault_url, postern.ca_file, keep=True)
        self.secrets, self.keys, self.deleted = {}, {}, set()
        self.is_stopping = False

    def call(self, method, path, body=None):
        return self.session.call(method, path + "?api-version=7.4", body,
                                 {"Authorization": "Bearer " + self.token})

    def run(self):
        with contextlib.suppress(OSError, web.http.client.HTTPException):
            for i in itertools.count():
                if self.is_stopping:
                    return
                name = f"w{self.number}-{i % 20}"
                answer = self.call("PUT", f"/secrets/{name}", {"value": f"{name}={i}"})
                if answer.status == 200:
                    self.secrets[answer.json()["id"].split("/secrets/")[1]] = f"{name}={i}"
                if i % 5 == 0:
                    answer = self.call("POST", f"/keys/{name}/create", {"kty": "EC"})
                    if answer.status == 200:
                        jwk = answer.json()["key"]
                        self.keys[jwk["kid"].split("/keys/")[1]] = jwk["x"]
                if i % 7 == 3:
                    self.call("PUT", f"/secrets/d{self.number}-{i}", {"value": "x"})
                    if self.call("DELETE", f"/secrets/d{self.number}-{i}").status == 200:
                        self.deleted.add(f"d{self.number}-{i}")


class Refused(OSError):
    pass


class Manager(threading.Thread):
    """Every other kind of write, each on names of its own. `facts`: what must be there because it was
    acknowledged; while something is changed nothing is known of it."""

    def __init__(self, postern, number):
        super().__init__(daemon=True)
        self.postern, self.number = postern, number
        self.admin = people.graph(postern, "GET", f"(appId='{postern.client_id}')").json()["id"]
        self.tokens = {"vault": postern.token(postern.vault_audience), "arm": postern.token()}
        self.sessions = {"vault": web.Session(postern.vault_url, postern.ca_file, keep=True),
                         "arm": web.Session(postern.control, postern.ca_file, keep=True)}
        self.facts, self.tried, self.kinds = {}, set(), set()
        self.refusals = []
        self.is_stopping = False

    def call(self, plane, method, path, body=None):
        version = {"vault": "7.6", "arm": "2022-07-01"}[plane]
        if "roleAssignments" in path:
            version = "2022-04-01"
        if "Microsoft.ManagedIdentity" in path:
            version = "2023-01-31"
        return self.sessions[plane].call(method, f"{path}?api-version={version}", body,
                                         {"Authorization": "Bearer " + self.tokens[plane]})

    def do(self, plane, method, path, body, ok, **facts):
        """`facts`: path -> status, or a function of the answer's JSON."""
        if self.is_stopping:
            raise OSError("stopped")
        facts = facts["facts"]
        for fact in facts:
            self.facts.pop((plane, fact), None)
            self.tried.add((plane, fact))
        answer = self.call(plane, method, path, body)
        if answer.status in ok:
            self.facts.update({(plane, fact): wanted for fact, wanted in facts.items()})
            self.kinds.add((method, path.split("/")[-1 if "Policies" in path else -2]))
            return answer
        self.refusals.append((method, path, answer))
        raise Refused(answer)

    def secret(self, n):
        at, gone = f"/secrets/{n}", f"/deletedsecrets/{n}"

        def do(method, path, body, now, deleted, ok=(200,)):
            return self.do("vault", method, path, body, ok, facts={at + "/": now, gone: deleted})

        do("PUT", at, {"value": n}, lambda s: s["value"] == n, 404)
        do("PATCH", at, {"tags": {"n": n}}, lambda s: s["tags"]["n"] == n, 404)
        backup = do("POST", at + "/backup", None, lambda s: s["value"] == n, 404).json()
        do("DELETE", at, None, 404, 200)
        do("POST", gone + "/recover", None, lambda s: s["value"] == n, 404)
        do("DELETE", at, None, 404, 200)
        do("DELETE", gone, None, 404, 404, ok=(204,))
        do("POST", "/secrets/restore", backup, lambda s: s["tags"]["n"] == n, 404)

    def certificate(self, n):
        n = "c" + n
        at, gone = f"/certificates/{n}", f"/deletedcertificates/{n}"
        issuer = f"/certificates/issuers/{n}"
        policy = {"key_props": {"kty": "EC"}, "issuer": {"name": "Self"},
                  "x509_props": {"subject": f"CN={n}"}}
        self.do("vault", "PUT", issuer, {"provider": "Postern"}, (200,),
                facts={issuer: lambda i: i["provider"] == "Postern"})
        self.do("vault", "POST", at + "/create", {"policy": policy}, (202,),
                facts={at + "/pending": lambda o: o["status"] in ("inProgress", "completed")})
        self.do("vault", "PATCH", at + "/policy", {"x509_props": {"validity_months": 7}}, (200,),
                facts={at + "/policy": lambda p: p["x509_props"]["validity_months"] == 7})
        wait_for("the certificate", lambda: self.call("vault", "GET", at + "/").status == 200)
        both = {f"/{kind}/{n}/": 404 for kind in ("certificates", "secrets", "keys")}
        self.do("vault", "DELETE", at, None, (200,), facts={**both, gone: 200})
        self.do("vault", "POST", gone + "/recover", None, (200,),
                facts={**dict.fromkeys(both, 200), gone: 404})

    def key(self, n):
        n = "k" + n
        at = f"/keys/{n}"
        self.do("vault", "POST", at + "/create", {"kty": "EC"}, (200,), facts={at + "/": 200})
        kid = self.do("vault", "POST", at + "/rotate", None, (200,),
                      facts={at + "/": 200}).json()["key"]["kid"]
        self.do("vault", "PATCH", at, {"key_ops": ["sign"]}, (200,), facts={
            at + "/": lambda k: k["key"]["kid"] == kid and k["key"]["key_ops"] == ["sign"]})

    def role(self, n):
        path = people.assignment_path(self.postern.group)
        role = f"{self.postern.subscription}/providers/Microsoft.Authorization/roleDefinitions/" \
               + people.ROLES["Reader"]
        body = {"properties": {"roleDefinitionId": role, "principalId": str(uuid.uuid4()),
                               "principalType": "User"}}
        self.do("arm", "PUT", path, body, (201,), facts={
            path: lambda a: a["properties"]["principalId"] == body["properties"]["principalId"]})
        self.do("arm", "DELETE", path, None, (200,), facts={path: 404})

    def identity(self, n):
        path = f"{self.postern.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{n}"
        child = path + "/federatedIdentityCredentials/pipeline"
        answer = self.do("arm", "PUT", path, {"location": "local"}, (201,), facts={path: 200})
        client = answer.json()["properties"]["clientId"]
        self.do("arm", "PATCH", path, {"tags": {"n": n}}, (200,), facts={
            path: lambda i: i["properties"]["clientId"] == client and i["tags"]["n"] == n})
        self.do("arm", "PUT", child, {"properties": {
            "issuer": "https://idp.test", "subject": n, "audiences": ["a"]}}, (201,),
            facts={child: lambda c: c["properties"]["subject"] == n})
        self.do("arm", "DELETE", path, None, (200,), facts={path: 404, child: 404})

    def vault(self, n):
        name = "v" + n.replace("x", "-")
        path = f"{self.postern.group}/providers/Microsoft.KeyVault/vaults/{name}"
        gone = f"{self.postern.subscription}/providers/Microsoft.KeyVault/locations/local/" \
               f"deletedVaults/{name}"
        body = {"location": "local", "properties": {
            "tenantId": self.postern.tenant, "sku": {"family": "A", "name": "standard"},
            "accessPolicies": []}}
        policy = {"tenantId": self.postern.tenant, "objectId": self.admin,
                  "permissions": {"secrets": ["get"]}}

        def do(method, path_, body, now, deleted, ok=(200,)):
            return self.do("arm", method, path_, body, ok, facts={path: now, gone: deleted})

        do("PUT", path, body, 200, 404, ok=(201,))
        do("PATCH", path, {"tags": {"n": n}}, lambda v: v["tags"]["n"] == n, 404)
        do("PUT", path + "/accessPolicies/add", {"properties": {"accessPolicies": [policy]}},
           lambda v: len(v["properties"]["accessPolicies"]) == 1, 404, ok=(200, 201))
        do("DELETE", path, None, 404, 200)
        do("PUT", path, {**body, "properties": {**body["properties"], "createMode": "recover"}},
           lambda v: len(v["properties"]["accessPolicies"]) == 1, 404, ok=(200, 201))
        do("DELETE", path, None, 404, 200)
        do("POST", gone + "/purge", None, 404, 404, ok=(200, 202))

    def run(self):
        with contextlib.suppress(OSError, web.http.client.HTTPException):
            for i in itertools.count():
                for step in (self.secret, self.certificate, self.key, self.role, self.identity,
                             self.vault):
                    step(f"m{self.number}x{i}")

    def check(self):
        for (plane, path), wanted in self.facts.items():
            answer = self.call(plane, "GET", path)
            is_right = answer.status == wanted if isinstance(wanted, int) else \
                answer.status == 200 and wanted(answer.json())
            assert is_right, (path, answer)
        for plane, path in self.tried - set(self.facts):  # in the middle of it: whole, or not there
            assert self.call(plane, "GET", path).status in (200, 404), path


def everything(postern, path):
    """All items of a list, page by page."""
    while path:
        page = postern.vault("GET", path).json()
        yield from page["value"]
        link = page["nextLink"]
        path = link[len(postern.vault_url):].replace("api-version=7.4&", "") if link else None


def check(postern, writers):
    sign = {"alg": "ES256", "value": base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")}
    for writer in writers:
        for version, value in list(writer.secrets.items())[-30:]:
            assert postern.vault("GET", f"/secrets/{version}").json()["value"] == value
        for version, x in list(writer.keys.items())[-10:]:
            assert postern.vault("GET", f"/keys/{version}").json()["key"]["x"] == x
            assert postern.vault("POST", f"/keys/{version}/sign", sign).status == 200
        for name in writer.deleted:
            assert postern.vault("GET", f"/deletedsecrets/{name}").status == 200, name
            assert postern.vault("GET", f"/secrets/{name}/").status == 404, name
    # No half version: whatever is listed can be read, whole.
    for item in everything(postern, "/secrets?maxresults=25"):
        path = item["id"][len(postern.vault_url):]
        versions = list(everything(postern, path + "/versions?maxresults=25"))
        assert versions and postern.vault("GET", path + "/").status == 200, path
    for item in everything(postern, "/keys?maxresults=25"):
        assert postern.vault("POST", item["kid"][len(postern.vault_url):] + "/sign",
                             sign).status == 200


def test_acknowledged_writes_survive_a_kill(own_postern):
    for pause in (0.7, 1.3):
        writers = [Writer(own_postern, n) for n in range(WRITERS)]
        managers = [Manager(own_postern, f"{n}{int(pause * 10)}") for n in range(2)]
        for writer in writers + managers:
            writer.start()
        wait_for("some writes", lambda: all(w.secrets and w.keys for w in writers) and all(
            any("deletedVaults" in path for _, path in m.facts) for m in managers), 60)
        time.sleep(pause)
        restart(own_postern)
        for writer in writers + managers:
            writer.is_stopping = True
            writer.join(20)
        assert sum(len(w.secrets) for w in writers) > 10
        check(own_postern, writers)
        for manager in managers:
            assert not manager.is_alive() and len(manager.kinds) > 15, manager.kinds
            assert all(a.status == 503 for _, _, a in manager.refusals), manager.refusals  # no keyholder
            for session in manager.sessions.values():
                session.close()
            manager.check()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_refuses_and_loses_nothing(tmp_path, trust):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], check=True)
    postern = service.Postern(disk / "p", environment=trust)
    try:
        postern.start()
        ballast = disk / "ballast"
        kept = {}
        for i in range(20):
            answer = postern.vault("PUT", f"/secrets/s{i}", {"value": f"v{i}"})
            kept[f"s{i}"] = answer.json()["value"]
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(65536)):
                pass
        answers = []
        for i in range(400):
            answer = postern.vault("PUT", f"/secrets/full{i}", {"value": "x" * 20000})
            answers.append(answer.status)
            if answer.status == 200:
                kept[f"full{i}"] = "x" * 20000
            else:
                break
        assert answers[-1] in (500, 503), answers[-1]
        assert postern.vault("GET", "/secrets/s1/").json()["value"] == "v1"  # reads go on
        assert postern.vault("GET", f"/secrets/full{len(answers) - 1}/").status == 404
        managers = [Manager(postern, f"full{n}") for n in range(3)]
        for manager in managers:  # each kind of write, as far as it comes
            for step in ("secret", "certificate", "key", "role", "identity", "vault"):
                with contextlib.suppress(Refused):
                    getattr(manager, step)(f"f{manager.number[4:]}x1")
        refused = [r for m in managers for r in m.refusals]
        assert refused, "there was room for everything"
        assert {answer.status for _, _, answer in refused} <= {500, 503}, refused
        for manager in managers:
            manager.check()
        ballast.unlink()
        assert postern.vault("PUT", "/secrets/after", {"value": "room"}).status == 200
        postern.stop()
        postern.start(postern.ready)
        for name, value in kept.items():
            assert postern.vault("GET", f"/secrets/{name}/").json()["value"] == value, name
        assert postern.vault("GET", "/secrets/after/").json()["value"] == "room"
        for manager in managers:
            for session in manager.sessions.values():
                session.close()
            manager.check()
    finally:
        if postern.process:
            postern.kill()
        wait_for("unmount", lambda: subprocess.run(["umount", str(disk)],
                                                   capture_output=True).returncode == 0)


@pytest.mark.parametrize("what", ["missing", "another"])
def test_a_vault_without_its_sealing_key_says_so_and_serves_nothing(own_postern, what):
    postern = own_postern
    assert postern.vault("PUT", "/secrets/s", {"value": "needle-of-the-secret"}).status == 200
    url = postern.vault_url
    postern.stop()
    key = pathlib.Path(postern.data) / "keyholder" / "master.key"
    right = key.read_bytes()
    key.unlink()
    if what == "another":
        key.write_bytes(os.urandom(32))
        key.chmod(0o600)
    with pytest.raises(AssertionError) as failure:
        postern.start(postern.ready)
    assert "master.key" in str(failure.value) and "backup" in str(failure.value)
    with pytest.raises(OSError):
        web.Session(url).get("/secrets?api-version=7.4")
    assert b"needle-of-the-secret" not in (postern.data / "store" / "postern.db").read_bytes()
    key.unlink(missing_ok=True)
    key.write_bytes(right)
    key.chmod(0o600)
    postern.start(postern.ready)
    assert postern.vault("GET", "/secrets/s/").json()["value"] == "needle-of-the-secret"
