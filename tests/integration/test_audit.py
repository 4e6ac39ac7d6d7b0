# SPDX-License-Identifier: Apache-2.0
"""Evidence: who changed which certificate and with what result, which generation served which backend from when to
when; and that nobody can change that unseen."""
import json
import re
import shutil
import sqlite3
import subprocess

import pytest
from lab import people, service
from lab.service import with_certificate


def entries(postern, after=0):
    found = []
    while True:
        page = postern.arm("GET", f"/audit?after={after}&$top=1000")
        assert page.status == 200, page
        found += page.json()["value"]
        if "nextLink" not in page.json():
            return found
        after = found[-1]["seq"]


def about(postern, name, kind=None):
    return [e["entry"] for e in entries(postern) if e["entry"].get("certificate", "").endswith("/" + name)
            and kind in (None, e["entry"]["kind"])]


def verify(postern):
    answer = postern.arm("POST", "/audit/verify")
    assert answer.status == 200, answer
    return answer.json()


def test_who_changed_which_certificate_is_noted_with_the_result(postern, ca):
    name = service.unique("noted")
    correlation = "11111111-2222-3333-4444-555555555555"
    identity, following = ca.client(name), ca.client(name)
    stranger = people.Application(postern)

    def put(who, **properties):
        return who.arm("PUT", f"/certificates/{name}", {"properties": properties},
                       headers={"x-ms-correlation-request-id": correlation})
    assert put(stranger, data=identity.pfx_base64("secret-word"), password="secret-word").status == 403
    assert put(postern, data=identity.pfx_base64("secret-word"), password="wrong-word").status == 400
    assert put(postern, data=identity.pfx_base64("secret-word"), password="secret-word").status == 201
    assert put(postern, data=following.pfx_base64("p"), password="p").status == 200
    assert postern.arm("POST", f"/certificates/{name}/refreshSecret").status == 400
    postern.delete(f"/certificates/{name}")
    operations = about(postern, name, "operation")
    assert [(o["method"], o["operation"], o["status"]) for o in operations[:4]] == [
        ("PUT", "certificate", 403), ("PUT", "certificate", 400), ("PUT", "certificate", 201),
        ("PUT", "certificate", 200)]
    assert [o["method"] for o in about(postern, name, "operation")][-1] == "DELETE"
    assert operations[0]["code"] == "AuthorizationFailed" and operations[1]["code"] == "ValidationError"
    assert operations[0]["principal"]["objectId"] == stranger.object_id
    assert operations[2]["principal"]["appId"] == postern.client_id and operations[2]["thumbprint"] == identity.sha1
    assert {o["correlationId"] for o in operations[:4]} == {correlation} and operations[2]["requestId"]
    states = [(g["generation"], g["state"]) for g in about(postern, name, "generation")]
    assert states == [(2, "staged"), (1, "draining"), (2, "current")]
    text = json.dumps(entries(postern))
    assert "secret-word" not in text and "wrong-word" not in text and identity.pfx_base64("secret-word")[:60] not in text
    assert verify(postern)["valid"]


def test_a_rotation_from_the_vault_is_noted_with_its_version_and_cause(postern, ca):
    name = service.unique("vault")

    def put_version():
        identity = ca.client(name)
        sid = postern.vault("POST", f"/certificates/{name}/import",
                            {"value": identity.pfx_base64("p"), "pwd": "p"}).json()["sid"]
        return identity, sid.rsplit("/", 1)[1]
    put_version()
    postern.put(f"/certificates/{name}", {"keyVault": {"secretIdentifier": f"{postern.vault_url}/secrets/{name}"}})
    identity, version = put_version()
    current = service.wait_for("the note", lambda: [g for g in about(postern, name, "generation") if (
        g["state"], g["generation"]) == ("current", 2)])
    assert current[0]["thumbprint"] == identity.sha1 and current[0]["secretVersion"] == version
    assert current[0]["cause"] == "vault"


def test_only_who_may_read_it_does(postern):
    app = people.Application(postern)
    assert app.arm("GET", "/audit").status == 403
    assert app.arm("POST", "/audit/verify").status == 403
    app.assign("Reader", postern.service_id)
    assert app.arm("GET", "/audit").status == 200
    assert postern.arm("GET", "/audit?after=x").status == 400
    assert postern.arm("PUT", "/audit", {}).status == 405


def test_the_commands(postern, ca):
    name = service.unique("cmd")
    postern.upload(name, ca.client(name))

    def run(*arguments):
        return subprocess.run([service.BIN / "postern", "audit", *arguments, "--data", str(postern.data)],
                              capture_output=True, text=True, timeout=60)
    shown = run("show", "--certificate", name)
    assert shown.returncode == 0 and "PUT certificate: 201" in shown.stdout, shown
    assert len(json.loads(run("show", "--certificate", name, "--output", "json").stdout)) == 1
    verified = run("verify")
    assert verified.returncode == 0 and re.search(r"valid +true", verified.stdout), verified


# tampering

def last_three(database):
    return [row[0] for row in database.execute("SELECT seq FROM audit ORDER BY seq DESC LIMIT 3")][::-1]


def edit(database):
    database.execute("UPDATE audit SET entry = replace(entry, '\"status\":201', '\"status\":404') WHERE seq = ?",
                     (last_three(database)[1],))


def edit_with_hash(database):
    database.execute("UPDATE audit SET entry = '{}', hash = '" + "0" * 64 + "' WHERE seq = ?",
                     (last_three(database)[1],))


def delete(database):
    database.execute("DELETE FROM audit WHERE seq = ?", (last_three(database)[1],))


def truncate(database):
    database.execute("DELETE FROM audit WHERE seq = ?", (last_three(database)[2],))


def truncate_all(database):
    database.execute("DELETE FROM audit")


def reorder(database):
    a, b, _ = last_three(database)
    database.execute("UPDATE audit SET seq = -1 WHERE seq = ?", (a,))
    database.execute("UPDATE audit SET seq = ? WHERE seq = ?", (a, b))
    database.execute("UPDATE audit SET seq = ? WHERE seq = -1", (b,))


def add(database):
    database.execute("INSERT INTO audit SELECT seq + 1, time, entry, hash FROM audit ORDER BY seq DESC LIMIT 1")


def forge_head(database):
    database.execute("UPDATE texts SET value = 'AAAA' WHERE name = 'audit_head'")


def drop_head(database):
    database.execute("DELETE FROM texts WHERE name = 'audit_head'")


@pytest.fixture(scope="module")
def written(tmp_path_factory, trust, ca):
    """The data folder of a Postern with a log of some entries."""
    folder = tmp_path_factory.mktemp("written")
    postern = service.Postern(folder, environment=trust)
    postern.start()
    for i in range(4):
        postern.upload(f"c{i}", ca.client(f"c{i}"))
    assert verify(postern)["valid"]
    ready = postern.ready
    postern.stop()
    return folder / "data", ready


def tampered(database_path, how):
    database = sqlite3.connect(database_path, timeout=10)
    database.execute("DROP TRIGGER IF EXISTS audit_is_not_edited")
    database.execute("DROP TRIGGER IF EXISTS audit_is_not_cut")
    how(database)
    database.commit()
    database.close()


@pytest.mark.parametrize("how", [edit, edit_with_hash, delete, truncate, truncate_all, reorder, add, forge_head,
                                 drop_head])
def test_what_is_tampered_with_while_nobody_looks_is_found_and_stays_found(tmp_path, trust, written, ca, how):
    shutil.copytree(written[0], tmp_path / "data")
    tampered(tmp_path / "data/store/postern.db", how)
    postern = service.Postern(tmp_path, environment=trust)
    postern.start()
    try:
        report = verify(postern)
        assert report["valid"] is False and report["problem"], report
        postern.upload("after", ca.client("after"))  # what comes after does not heal it
        assert verify(postern)["valid"] is False
        done = subprocess.run([service.BIN / "postern", "audit", "verify", "--data", str(postern.data)],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "problem" in done.stdout
    finally:
        postern.stop()


@pytest.mark.parametrize("how", [edit, truncate, reorder])
def test_what_is_tampered_with_while_it_serves_is_found(own_postern, ca, how):
    for i in range(3):
        own_postern.upload(f"c{i}", ca.client(f"c{i}"))
    assert verify(own_postern)["valid"]
    tampered(own_postern.data / "store/postern.db", how)
    assert verify(own_postern)["valid"] is False


def test_the_database_itself_refuses_to_change_an_entry(written, tmp_path):
    shutil.copy(written[0] / "store/postern.db", tmp_path / "copy.db")
    database = sqlite3.connect(tmp_path / "copy.db")
    for statement in ("UPDATE audit SET entry = '{}'", "DELETE FROM audit"):
        with pytest.raises(sqlite3.DatabaseError, match="audit"):
            database.execute(statement)
    database.close()


def test_the_log_is_bounded_and_valid_when_the_oldest_go(tmp_path, trust, ca):
    postern = service.Postern(tmp_path, environment=trust, options=["--limit", "audit-entries=100"])
    postern.start()
    try:
        for _ in range(120):
            postern.arm("POST", "/certificates/nobody/refreshSecret")
        report = verify(postern)
        assert report["valid"] and report["entries"] <= 100 and report["first"] > 1, report
        assert postern.metric("postern_limit_hits_total") > 0
        ready = postern.ready
        postern.stop()
        postern.start(ready)
        assert verify(postern)["valid"]
    finally:
        postern.stop()


def test_a_kill_loses_no_note_of_an_acknowledged_change(own_postern, ca):
    for i in range(3):
        own_postern.upload(f"k{i}", ca.client(f"k{i}"))
        own_postern.kill()
        own_postern.start()  # on ports of its own: the former processes may still be ending
        assert [o["status"] for o in about(own_postern, f"k{i}", "operation")] == [201]
    assert verify(own_postern)["valid"]


def test_which_generation_served_which_backend_from_when_to_when(own_postern, ca, nginx):
    postern, name = own_postern, "served"
    postern.upload(name, ca.client(name))
    postern.make_api(name, nginx.url("good"), with_certificate(name))
    assert postern.call(f"/{name}/x").status == 200

    def uses():
        return [u for u in (e["entry"] for e in entries(postern)) if u["kind"] == "use"]
    began = service.wait_for("the first use", uses)
    assert len(began) == 1 and began[0]["what"] == "began" and began[0]["generation"] == 1
    assert began[0]["backend"] == f"localhost:{nginx.ports['good']}" and began[0]["from"].endswith("Z")
    second = ca.client(name)
    postern.upload(name, second)
    assert postern.call(f"/{name}/x").status == 200
    service.wait_for("the end of the first and the beginning of the second", lambda: sorted(
        (u["generation"], u["what"]) for u in uses()) == [(1, "began"), (1, "ended"), (2, "began")])
    ended = next(u for u in uses() if u["what"] == "ended")
    assert ended["from"] == began[0]["from"] and ended["until"] >= ended["from"]
    assert next(u for u in uses() if u["generation"] == 2)["thumbprint"] == second.sha1
    assert verify(postern)["valid"]


def test_an_older_copy_of_the_whole_data_folder_is_found_by_an_anchor(tmp_path, trust, ca):
    def audit(*arguments):
        return subprocess.run([service.BIN / "postern", "audit", *arguments, "--data", str(postern.data)],
                              capture_output=True, text=True, timeout=60)
    postern = service.Postern(tmp_path, environment=trust)
    postern.start()
    postern.upload("first", ca.client("first"))
    early = audit("head").stdout.strip()
    postern.stop()
    shutil.copytree(postern.data, tmp_path / "copy", symlinks=True)
    postern.start()
    postern.upload("second", ca.client("second"))
    late = audit("head").stdout.strip()
    assert int(late.split(":")[0]) > int(early.split(":")[0])
    for anchor in (early, late):
        assert audit("verify", "--since", anchor).returncode == 0
    assert audit("verify", "--since", late[:-1]).returncode == 2
    assert postern.arm("POST", "/audit/verify", {"properties": {"anchor": {"seq": 0}}}).status == 400
    postern.stop()
    shutil.rmtree(postern.data)
    shutil.move(tmp_path / "copy", postern.data)
    postern.start()
    try:
        assert audit("verify").returncode == 0, "nothing else finds it"
        assert audit("verify", "--since", early).returncode == 0
        done = audit("verify", "--since", late)
        assert done.returncode == 1 and "older state" in done.stdout, done
        for number in range(8):
            postern.upload(f"third-{number}", ca.client("third"))
        done = audit("verify", "--since", late)
        assert done.returncode == 1 and "another entry" in done.stdout, done
    finally:
        postern.stop()
