# SPDX-License-Identifier: Apache-2.0
"""Workspaces: a team's own APIs, backends, certificates, policies and keys, apart from all others."""
import collections

import pytest
from lab import people, service, web
from lab.service import policy, with_certificate

PLAIN = {"displayName": "A team", "description": "its own"}


class Workspace:
    """The calls of `postern`, below a workspace."""

    def __init__(self, postern, name=None):
        self.name = name or service.unique("team")
        self.path = f"/workspaces/{self.name}"
        self.id = postern.service_id + self.path
        self.postern = postern
        postern.put(self.path, {"displayName": f"Team {self.name}"})

    def arm(self, method, path, *args, **more):
        return self.postern.arm(method, self.path + path, *args, **more)

    def put(self, path, properties, **more):
        return self.postern.put(self.path + path, properties, **more)

    def upload(self, name, identity):
        return self.put(f"/certificates/{name}", {
            "data": identity.pfx_base64("secret"), "password": "secret"})

    def backend(self, name, url, certificate):
        return self.put(f"/backends/{name}", {
            "url": url, "protocol": "http",
            "credentials": {"certificateIds": [f"{self.id}/certificates/{certificate}"]}})

    def api(self, name, url, document=None, path=None, **more):
        self.put(f"/apis/{name}", dict({
            "displayName": name, "path": path or name, "serviceUrl": url,
            "protocols": ["http", "https"], "subscriptionRequired": False}, **more))
        self.put(f"/apis/{name}/operations/get", {
            "displayName": "GET", "method": "GET", "urlTemplate": "/*"})
        if document:
            self.put(f"/apis/{name}/policies/policy", {"format": "rawxml", "value": document})


@pytest.fixture
def team(postern):
    return Workspace(postern)


def shown(postern, path):
    """The SHA-1 of the certificate that the backend was shown; "" for none."""
    answer = postern.call(path)
    assert answer.status == 200, answer
    return answer.json()["sha1"].upper()


def error_of(answer, status=400):
    assert answer.status == status, answer
    return answer.json()["error"]


# the workspace itself

def test_a_workspace_is_made_read_changed_listed_and_deleted(postern):
    name = service.unique("ws")
    made = postern.put(f"/workspaces/{name}", PLAIN, expect=(201,))
    body = made.json()
    assert body["id"] == f"{postern.service_id}/workspaces/{name}"
    assert body["type"] == "Microsoft.ApiManagement/service/workspaces"
    assert body["properties"] == PLAIN
    tag = made.headers["ETag"]
    assert postern.arm("GET", f"/workspaces/{name.upper()}").json()["name"] == name
    changed = postern.arm("PATCH", f"/workspaces/{name}", {"properties": {"displayName": "New"}},
                          headers={"If-Match": tag})
    assert changed.status == 200 and changed.json()["properties"] == {
        "displayName": "New", "description": "its own"}
    stale = postern.arm("PUT", f"/workspaces/{name}", {"properties": PLAIN},
                        headers={"If-Match": tag})
    assert stale.status == 412, stale
    found = postern.arm("GET", f"/workspaces?$filter=name%20eq%20%27{name}%27").json()
    assert [w["name"] for w in found["value"]] == [name] and found["count"] == 1
    postern.delete(f"/workspaces/{name}")
    assert postern.arm("GET", f"/workspaces/{name}").status == 404
    assert postern.arm("DELETE", f"/workspaces/{name}").status == 204


@pytest.mark.parametrize("properties, target", [
    ({}, "displayName"), ({"displayName": ""}, "displayName"), ({"displayName": 7}, "displayName")])
def test_a_bad_workspace_is_refused(postern, properties, target):
    name = service.unique("bad")
    error = error_of(postern.arm("PUT", f"/workspaces/{name}", {"properties": properties}))
    assert error["details"][0]["target"] == target
    assert postern.arm("GET", f"/workspaces/{name}").status == 404


@pytest.mark.parametrize("path", ["/certificates", "/certificates/c1", "/backends", "/apis/a",
                                  "/policies/policy", "/certificates/c1/usage"])
def test_what_is_in_no_workspace_is_not_found(postern, path):
    error = error_of(postern.arm("GET", f"/workspaces/nowhere{path}"), 404)
    assert error["message"] == "Workspace not found."


def test_an_unknown_type_in_a_workspace_is_told(team):
    assert error_of(team.arm("GET", "/gateways"), 404)["code"] == "InvalidResourceType"
    assert error_of(team.arm("GET", "/workspaces/inner"), 404)["code"] == "InvalidResourceType"
    assert error_of(team.arm("GET", "/networkstatus"), 404)["code"] == "InvalidResourceType"


# certificates

def test_a_workspaces_certificate_is_presented_by_its_backend_and_by_its_policy(
        postern, ca, nginx, team):
    first, second = ca.client("first"), ca.client("second")
    made = team.upload("c1", first).json()
    assert made["id"] == f"{team.id}/certificates/c1"
    assert made["type"] == "Microsoft.ApiManagement/service/workspaces/certificates"
    team.upload("c2", second)
    by_backend, by_policy = service.unique("byb"), service.unique("byp")
    team.backend("b1", nginx.url("good"), "c1")
    team.api(by_backend, "https://unused.test", policy('<set-backend-service backend-id="b1" />'))
    team.api(by_policy, nginx.url("good"), with_certificate("c2"))
    assert shown(postern, f"/{by_backend}/x") == first.sha1
    assert shown(postern, f"/{by_policy}/x") == second.sha1
    # replaced: the next request shows the new one, and old connections do not come back
    renewed = ca.client("renewed")
    team.upload("c1", renewed)
    assert shown(postern, f"/{by_backend}/x") == renewed.sha1
    states = [g["state"] for g in team.arm("GET", "/certificates/c1/generations").json()["value"]]
    assert "current" in states and len(states) == 2


def test_a_key_vault_is_refused_in_a_workspace(postern, team):
    body = {"properties": {"keyVault": {"secretIdentifier": f"{postern.vault_url}/secrets/x"}}}
    error = error_of(team.arm("PUT", "/certificates/vaulted", body))
    assert error["code"] == "ValidationError"
    assert error["details"][0]["target"] == "keyVault"
    assert "not available in a workspace" in error["details"][0]["message"]
    assert team.arm("GET", "/certificates/vaulted").status == 404


def test_a_used_certificate_of_a_workspace_is_not_deleted_and_tells_its_users(ca, nginx, team):
    team.upload("c1", ca.client("used"))
    team.backend("b1", nginx.url("good"), "c1")
    name = service.unique("uses")
    team.api(name, nginx.url("good"), policy('<set-backend-service backend-id="b1" />'))
    usage = team.arm("GET", "/certificates/c1/usage").json()
    assert {(u["id"].removeprefix(team.id), u["type"].rsplit("service/", 1)[1])
            for u in usage["value"]} == {
        ("/backends/b1", "workspaces/backends"),
        (f"/apis/{name}/policies/policy", "workspaces/apis/policies"),
        (f"/apis/{name}", "workspaces/apis")}
    error = error_of(team.arm("DELETE", "/certificates/c1", headers={"If-Match": "*"}))
    assert f"{team.path}/backends/b1" in error["message"]
    error = error_of(team.arm("DELETE", "/backends/b1", headers={"If-Match": "*"}))
    assert f"{team.path}/apis/{name}/policies/policy" in error["message"]
    for path in (f"/apis/{name}?deleteRevisions=true", "/backends/b1", "/certificates/c1"):
        answer = team.arm("DELETE", path, headers={"If-Match": "*"})
        assert answer.status == 200, answer


def test_the_longest_names_are_told_before_they_are_stored(postern, ca):
    long = Workspace(postern, service.unique("w" * 70))
    identity = ca.client("long")
    long.upload("c" * 80, identity)
    assert long.arm("GET", "/certificates/" + "c" * 80).status == 200
    wide = "%C3%A4" * 80  # 160 bytes
    body = {"properties": {"data": identity.pfx_base64("secret"), "password": "secret"}}
    error = error_of(long.arm("PUT", f"/certificates/{wide}", body))
    assert error["details"][0]["target"] == "name" and "bytes" in error["details"][0]["message"]
    answer = postern.arm("PUT", f"/certificates/{wide}", body)  # without a workspace there is room
    assert answer.status == 201, answer
    postern.delete(f"/certificates/{wide}")


# apart from each other

def test_one_id_in_two_workspaces_and_the_service_is_three_identities(postern, ca, nginx):
    """Interleaved on kept connections: never the wrong one (promise 1)."""
    plan = {}
    postern.upload("same", ca.client("service"))
    for owner in (None, Workspace(postern), Workspace(postern)):
        identity = ca.client("same")
        name = service.unique("same")
        if owner:
            owner.upload("same", identity)
            owner.backend("same", nginx.url("good"), "same")
            owner.api(name, nginx.url("good"), policy('<set-backend-service backend-id="same" />'))
        else:
            postern.upload("same", identity)
            postern.make_api(name, nginx.url("good"), with_certificate("same"))
        plan[f"/{name}/x"] = identity.sha1
    outcomes = collections.Counter()
    for _ in range(100):
        for path, expected in plan.items():
            outcomes["right" if shown(postern, path) == expected else "WRONG"] += 1
    assert outcomes == {"right": 300}
    assert postern.metric("postern_identity_mismatch_total") == 0


def test_one_file_in_two_workspaces_shares_no_connection(postern, ca, nginx):
    """The same file under the same id: still two identities, so the backend sees two connections."""
    identity = ca.client("shared")
    connections = set()
    for team in (Workspace(postern), Workspace(postern)):
        name = service.unique("file")
        team.upload("one", identity)
        team.api(name, nginx.url("good"), with_certificate("one"))
        for _ in range(3):
            answer = postern.call(f"/{name}/x").json()
            assert answer["sha1"].upper() == identity.sha1
        connections.add(answer["connection"])
    assert len(connections) == 2


def test_nothing_of_another_scope_can_be_named(postern, ca, nginx, team):
    other = Workspace(postern)
    certificate = ca.client("theirs")
    own = service.unique("own")
    postern.upload(own, certificate)
    other.upload("theirs", certificate)
    postern.put(f"/backends/{own}", {"url": nginx.url("good"), "protocol": "http"})
    name = service.unique("thief")
    team.api(name, nginx.url("good"))
    for attribute in (f'certificate-id="{own}"', 'certificate-id="theirs"',
                      f'thumbprint="{certificate.sha1}"'):
        document = policy(f"<authentication-certificate {attribute} />")
        error = error_of(team.arm("PUT", f"/apis/{name}/policies/policy", {
            "properties": {"format": "rawxml", "value": document}}))
        assert "could not be found" in str(error), error
    document = policy(f'<set-backend-service backend-id="{own}" />')
    assert "could not be found" in str(error_of(team.arm("PUT", f"/apis/{name}/policies/policy", {
        "properties": {"format": "rawxml", "value": document}})))
    for reference in (f"{postern.service_id}/certificates/{own}", f"{other.id}/certificates/theirs",
                      own, f"/workspaces/{other.name}/certificates/theirs"):
        error = error_of(team.arm("PUT", "/backends/thief", {"properties": {
            "url": nginx.url("good"), "protocol": "http",
            "credentials": {"certificateIds": [reference]}}}))
        assert "not found" in str(error), error
    # nor the other way round
    error = error_of(postern.arm("PUT", f"/backends/{own}", {"properties": {
        "url": nginx.url("good"), "protocol": "http",
        "credentials": {"certificateIds": [f"{other.id}/certificates/theirs"]}}}))
    assert "not found" in str(error), error


def test_what_the_global_policy_names_stays_the_services_own(own_postern, ca, nginx):
    """A workspace cannot put a certificate of its own in the place of the one that the service's
    policy names for all."""
    ours, theirs = ca.client("ours"), ca.client("theirs")
    own_postern.upload("corporate", ours)
    team = Workspace(own_postern)
    team.upload("corporate", theirs)
    team.api("all", nginx.url("good"))
    own_postern.set_policy("", policy('<authentication-certificate certificate-id="corporate" />',
                                      backend="<forward-request />", base=False))
    assert shown(own_postern, "/all/x") == ours.sha1
    team.put("/policies/policy", {"format": "rawxml", "value": with_certificate("corporate")})
    assert shown(own_postern, "/all/x") == theirs.sha1
    team.arm("DELETE", "/policies/policy", headers={"If-Match": "*"})
    assert team.arm("GET", "/policies/policy").status == 404
    assert shown(own_postern, "/all/x") == ours.sha1


def test_a_path_is_of_one_api_whatever_its_scope(postern, echo, team):
    name = service.unique("path")
    postern.make_api(name, echo.url)
    error = error_of(team.arm("PUT", "/apis/other", {"properties": {
        "displayName": "x", "path": name, "serviceUrl": echo.url}}))
    assert "same Path" in str(error)


def test_keys_open_their_own_scope(postern, echo, team):
    name, plain = service.unique("keyed"), service.unique("plain")
    team.api(name, echo.url, subscriptionRequired=True)
    postern.make_api(plain, echo.url, subscription_required=True)
    other = Workspace(postern)

    def key(owner, scope):
        stem = service.unique("key")
        answer = postern.put(f"{owner}/subscriptions/{stem}", {
            "displayName": stem, "scope": scope})
        assert answer.json()["properties"]["scope"].startswith(owner)
        secrets = postern.arm("POST", f"{owner}/subscriptions/{stem}/listSecrets").json()
        return stem, secrets["primaryKey"]

    def opens(api, secret):
        answer = postern.call(f"/{api}/x", headers={"Ocp-Apim-Subscription-Key": secret})
        assert answer.status in (200, 401), answer
        return answer.status == 200

    _, whole = key(team.id, "/apis")
    stem, one = key(team.id, f"{team.id}/apis/{name}")
    _, services = key(postern.service_id, "/apis")
    _, foreign = key(other.id, "/apis")
    _, everything = key(postern.service_id, postern.service_id)
    assert [opens(name, k) for k in (whole, one, services, foreign, everything)] == [
        True, True, False, False, True]
    assert [opens(plain, k) for k in (whole, one, services, foreign, everything)] == [
        False, False, True, False, True]
    answer = team.arm("POST", f"/subscriptions/{stem}/regeneratePrimaryKey")
    assert answer.status == 204 and not opens(name, one)
    taken = postern.arm("PUT", f"{postern.service_id}/subscriptions/{service.unique('dup')}", {
        "properties": {"displayName": "dup", "scope": "/apis", "primaryKey": whole}})
    assert "same key" in str(error_of(taken))


# deletion

def test_a_deleted_workspace_takes_everything_along_and_forgets_its_keys(own_postern, ca, nginx):
    team = Workspace(own_postern)
    identity = ca.client("doomed")
    team.upload("c1", identity)
    team.backend("b1", nginx.url("good"), "c1")
    body = policy(f'<authentication-certificate body="{identity.pfx_base64("pw")}" password="pw" />')
    team.api("doomed", nginx.url("good"), policy('<set-backend-service backend-id="b1" />'))
    team.api("embedded", nginx.url("good"), body)
    assert shown(own_postern, "/doomed/x") == identity.sha1
    assert shown(own_postern, "/embedded/x") == identity.sha1
    keys = lambda: list((own_postern.data / "keyholder").rglob("*"))  # noqa: E731
    before = len(keys())
    own_postern.delete(team.path)
    assert own_postern.call("/doomed/x").status == 404
    assert own_postern.call("/embedded/x").status == 404
    assert len(keys()) < before, "the key is still there"
    notes = [n["entry"] for n in own_postern.arm("GET", "/audit").json()["value"]]
    removed = [n for n in notes if n.get("operation") == "workspace" and n.get("method") == "DELETE"]
    assert [n["certificate"] for n in removed] == [f"{team.id}/certificates/c1"]
    again = Workspace(own_postern, team.name)
    assert again.arm("GET", "/certificates").json()["count"] == 0
    assert again.arm("GET", "/apis").json()["count"] == 0


def test_workspaces_survive_a_restart_and_control_being_dead(own_postern, ca, nginx):
    team = Workspace(own_postern)
    identity = ca.client("kept")
    team.upload("c1", identity)
    team.api("kept", nginx.url("good"), with_certificate("c1"))
    ports = own_postern.ready
    own_postern.stop()
    own_postern.start(ports)
    assert shown(own_postern, "/kept/x") == identity.sha1
    assert team.arm("GET", "/certificates/c1").status == 200


# roles

def test_roles_of_a_workspace_end_at_its_border(postern, ca, team):
    other = Workspace(postern)
    team.upload("c1", ca.client("seen"))
    other.upload("c1", ca.client("unseen"))
    reader, developer = people.Application(postern), people.Application(postern)
    reader.assign("API Management Workspace Reader", team.id)
    developer.assign("API Management Workspace Contributor", team.id)
    data = {"properties": {"data": ca.client("new").pfx_base64("x"), "password": "x"}}
    path = f"{postern.service_id}/workspaces"
    for app, may_write in ((reader, False), (developer, True)):
        assert app.arm("GET", f"{path}/{team.name}/certificates/c1").status == 200
        assert app.arm("GET", f"{path}/{other.name}/certificates/c1").status == 403
        assert app.arm("GET", "/certificates").status == 403
        written = app.arm("PUT", f"{path}/{team.name}/certificates/c2", data)
        assert (written.status in (200, 201)) == may_write, written
        if not may_write:
            assert "workspaces/certificates/write" in error_of(written, 403)["message"]
        assert app.arm("PUT", f"{path}/{other.name}/certificates/c2", data).status == 403
        assert app.arm("PUT", "/certificates/c2", data).status == 403


def test_the_probe_and_the_doctor_work_in_a_workspace(ca, nginx, team):
    identity = ca.client("probed")
    team.upload("c1", identity)
    team.backend("b1", nginx.url("good"), "c1")
    story = team.arm("POST", "/backends/b1/probe")
    assert story.status == 200, story
    assert story.json()["properties"]["verdict"] if "properties" in story.json() else story.json()
    checked = team.arm("POST", "/checkCertificate", {"properties": {
        "data": identity.pfx_base64("pw"), "password": "pw"}})
    assert checked.status == 200, checked
    assert team.arm("GET", "/backends/b1/lastFailure").status in (200, 404)


def test_expiry_metrics_tell_workspaces_apart(own_postern, ca):
    for team in (Workspace(own_postern), Workspace(own_postern)):
        team.upload("twin", ca.client("twin"))
    text = web.Session(own_postern.control, own_postern.ca_file).get("/metrics").text
    lines = [line for line in text.splitlines()
             if line.startswith('postern_certificate_expiry_days{certificate="twin"')]
    assert len(lines) == 2 and all('workspace="team-' in line for line in lines), lines
