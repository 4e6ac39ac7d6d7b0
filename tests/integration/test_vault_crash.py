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

import pytest
from lab import service, web
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
        for writer in writers:
            writer.start()
        wait_for("some writes", lambda: all(w.secrets and w.keys for w in writers))
        time.sleep(pause)
        restart(own_postern)
        for writer in writers:
            writer.is_stopping = True
            writer.join(20)
        assert sum(len(w.secrets) for w in writers) > 10
        check(own_postern, writers)


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
        ballast.unlink()
        assert postern.vault("PUT", "/secrets/after", {"value": "room"}).status == 200
        postern.stop()
        postern.start(postern.ready)
        for name, value in kept.items():
            assert postern.vault("GET", f"/secrets/{name}/").json()["value"] == value, name
        assert postern.vault("GET", "/secrets/after/").json()["value"] == "room"
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
