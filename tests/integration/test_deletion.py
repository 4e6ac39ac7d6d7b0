# SPDX-License-Identifier: Apache-2.0
"""Promise 7: what is in use cannot be deleted, and the refusal lists each user."""
import subprocess

from lab import service
from lab.service import policy, with_certificate


def test_nothing_in_use_can_be_deleted_by_accident(postern, ca, echo):
    name = service.unique("used")
    postern.upload(name, ca.client(name))
    postern.put(f"/backends/{name}", {"url": "https://localhost:1", "protocol": "http",
                                      "credentials": {"certificateIds": [
                                          f"{postern.service_id}/certificates/{name}"]}})
    postern.make_api(name, echo.url, with_certificate(name))
    postern.set_policy(f"/apis/{name}/operations/get", with_certificate(name))
    users = [f"/apis/{name}/policies/policy", f"/apis/{name}/operations/get/policies/policy",
             f"/backends/{name}"]
    for expected in (users, users[:2], users[:1], []):
        answer = postern.arm("DELETE", f"/certificates/{name}", headers={"If-Match": "*"})
        if not expected:
            assert answer.status == 200, answer
            break
        assert answer.status == 400, answer
        error = answer.json()["error"]
        assert error["code"] == "ValidationError"
        for user in users:
            assert (user in error["message"]) == (user in expected), (user, error["message"])
        assert postern.arm("GET", f"/certificates/{name}").status == 200
        if len(expected) == 3:
            postern.delete(f"/backends/{name}")
        elif len(expected) == 2:
            postern.set_policy(f"/apis/{name}/operations/get", policy())
        else:
            postern.delete(f"/apis/{name}/policies/policy")
    assert postern.arm("GET", f"/certificates/{name}").status == 404
    assert postern.arm("DELETE", f"/certificates/{name}").status == 204


def test_the_refusal_to_delete_shows_who_uses_it_through_others(postern, ca, echo):
    """A backend names the certificate, a pool the backend, a policy the pool: all of them, and the API, are told."""
    name = service.unique("chain")
    postern.upload(name, ca.client(name))
    postern.put(f"/backends/{name}", {"url": "https://localhost:1", "protocol": "http", "credentials": {
        "certificateIds": [f"{postern.service_id}/certificates/{name}"]}})
    postern.put(f"/backends/{name}-pool", {"type": "Pool", "pool": {"services": [
        {"id": f"{postern.service_id}/backends/{name}"}]}})
    postern.make_api(name, echo.url, policy(f'<set-backend-service backend-id="{name}-pool" />'))
    error = postern.arm("DELETE", f"/certificates/{name}", headers={"If-Match": "*"}).json()["error"]
    assert f"\r\n/backends/{name}\r\nand by 3 more" in error["message"], error["message"]
    assert {(detail["target"], detail["message"]) for detail in error["details"]} == {
        (f"/backends/{name}", "refers to it"),
        (f"/backends/{name}-pool", f"refers to /backends/{name}"),
        (f"/apis/{name}/policies/policy", f"refers to /backends/{name}-pool"),
        (f"/apis/{name}", "uses it by its policy")}
    inner = error["details"][0]["innererror"]
    usage = postern.arm("GET", f"/certificates/{name}/usage").json()
    assert inner["code"] == "in_use" and inner["usageCount"] == 4 and not inner["truncated"]
    assert inner["usage"] == usage["value"]
    error = postern.arm("DELETE", f"/backends/{name}", headers={"If-Match": "*"}).json()["error"]
    assert {detail["target"] for detail in error["details"]} == {
        f"/backends/{name}-pool", f"/apis/{name}/policies/policy", f"/apis/{name}"}


def test_a_long_list_of_users_is_cut_and_counted(postern, ca, echo):
    name = service.unique("many")
    postern.upload(name, ca.client(name))
    for number in range(120):
        postern.put(f"/backends/{name}-{number}", {
            "url": "https://localhost:1", "protocol": "http",
            "credentials": {"certificateIds": [f"{postern.service_id}/certificates/{name}"]}})
    error = postern.arm("DELETE", f"/certificates/{name}", headers={"If-Match": "*"}).json()["error"]
    assert len(error["details"]) == 100 and error["details"][0]["innererror"]["usageCount"] == 120
    shown = error["message"].count(f"/backends/{name}-")
    assert 5 < shown < 120 and f"and by {120 - shown} more" in error["message"]
    told = subprocess.run([str(service.BIN / "postern"), "certificate", "delete", name,
                           "--data", str(postern.data)], capture_output=True, text=True, timeout=60)
    assert told.returncode == 1 and f"… and 20 more: postern certificate usage {name} lists them all." \
        in told.stderr, told.stderr[-500:]
    listed = subprocess.run([str(service.BIN / "postern"), "certificate", "usage", name, "--output", "tsv",
                             "--data", str(postern.data)], capture_output=True, text=True, timeout=60)
    assert listed.returncode == 0 and len(listed.stdout.splitlines()) == 120, listed
    for number in range(120):
        postern.delete(f"/backends/{name}-{number}")
    postern.delete(f"/certificates/{name}")


def test_usage_shows_the_blast_radius_of_a_certificate(postern, ca, echo):
    """Directly, by a backend, by the policy that names the backend, and the API behind it."""
    name, direct, through = (service.unique(part) for part in ("blast", "direct", "through"))
    postern.upload(name, ca.client(name))
    usage = postern.arm("GET", f"/certificates/{name}/usage")
    assert usage.status == 200 and usage.json() == {"value": [], "count": 0, "truncated": False}
    certificate = f"{postern.service_id}/certificates/{name}"
    postern.put(f"/backends/{name}", {"url": "https://localhost:1", "protocol": "http",
                                      "credentials": {"certificateIds": [certificate]}})
    postern.make_api(direct, echo.url, with_certificate(name))
    postern.make_api(through, echo.url, policy(f'<set-backend-service backend-id="{name}" />'))
    found = {entry["id"].removeprefix(postern.service_id): entry
             for entry in postern.arm("GET", f"/certificates/{name}/usage").json()["value"]}
    assert set(found) == {
        f"/backends/{name}", f"/apis/{direct}/policies/policy", f"/apis/{direct}",
        f"/apis/{through}/policies/policy", f"/apis/{through}"}
    backend = found[f"/backends/{name}"]
    assert backend["by"] == "reference" and backend["via"].endswith(f"/certificates/{name}")
    assert found[f"/apis/{through}/policies/policy"]["via"].endswith(f"/backends/{name}")
    assert found[f"/apis/{through}"]["by"] == "policy"
    assert postern.arm("GET", f"/certificates/{name}x/usage").status == 404


def test_a_certificate_named_by_thumbprint_is_in_use(postern, ca, nginx):
    name = service.unique("printed")
    identity = ca.client(name)
    postern.upload(name, identity)
    postern.make_api(name, nginx.url("good"), policy(
        f'<authentication-certificate thumbprint="{identity.sha1}" />'))
    answer = postern.arm("DELETE", f"/certificates/{name}", headers={"If-Match": "*"})
    assert answer.status == 400, answer
    assert f"/apis/{name}/policies/policy" in answer.json()["error"]["message"]


def test_a_backend_named_by_a_policy_is_in_use(postern, echo):
    name = service.unique("inuse")
    postern.put(f"/backends/{name}", {"url": echo.url, "protocol": "http"})
    postern.make_api(name, echo.url, policy(f'<set-backend-service backend-id="{name}" />'))
    answer = postern.arm("DELETE", f"/backends/{name}", headers={"If-Match": "*"})
    assert answer.status == 400, answer
    assert f"/apis/{name}/policies/policy" in answer.json()["error"]["message"]
    postern.delete(f"/apis/{name}?deleteRevisions=true")
    postern.delete(f"/backends/{name}")


def test_a_deleted_api_no_longer_holds_its_certificate(postern, ca, nginx):
    name = service.unique("freed")
    postern.upload(name, ca.client(name))
    postern.make_api(name, nginx.url("good"), with_certificate(name))
    postern.delete(f"/apis/{name}?deleteRevisions=true")
    postern.delete(f"/certificates/{name}")
