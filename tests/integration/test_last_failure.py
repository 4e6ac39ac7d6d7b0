# SPDX-License-Identifier: Apache-2.0
"""The last failed connection to each backend, kept and explained without probing."""
import datetime
import json
import subprocess

import pytest
from lab import service
from lab.service import policy, with_certificate


def make(postern, url, certificate=None, **more):
    name = service.unique("Last")
    properties = {"url": url, "protocol": "http", **more}
    if certificate:
        properties["credentials"] = {"certificateIds": [f"{postern.service_id}/certificates/{certificate}"]}
    postern.put(f"/backends/{name}", properties)
    postern.make_api(name, url, policy(f'<set-backend-service backend-id="{name}" />'))
    return name


def last(postern, name):
    answer = postern.arm("GET", f"/backends/{name}/lastFailure")
    assert answer.status == 200, answer.text
    return answer.json()


def test_a_handshake_that_failed_is_told_as_a_probe_tells_it(postern, nginx, uploaded, other_ca):
    name = make(postern, nginx.url("unknownca"), uploaded["p256"])
    assert last(postern, name)["outcome"] == "none"
    assert postern.call(f"/{name}/x").status == 500
    before = postern.metric("postern_backend_connected_total")
    kept, probed = last(postern, name), postern.arm("POST", f"/backends/{name}/probe").json()
    assert postern.metric("postern_backend_connected_total") == before, "it was tried again"
    for member in ("outcome", "cause", "fix", "serverChain", "verifyError", "certificate", "trust", "backend"):
        assert kept[member] == probed[member], member
    assert kept["cause"] == "tls_unknown_ca" and other_ca.common_name in kept["serverChain"][0]["issuer"]
    at = datetime.datetime.fromisoformat(kept["at"].replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - at).total_seconds()) < 60
    assert kept["count"] == 1


def test_failures_of_one_cause_are_counted_and_another_cause_takes_their_place(postern, nginx, uploaded):
    name = make(postern, nginx.url("wrongname"), uploaded["p256"])
    for _ in range(5):
        assert postern.call(f"/{name}/x").status == 500
    story = last(postern, name)
    assert story["cause"] == "tls_name_mismatch" and story["count"] == 5 and story["firstAt"] <= story["at"]
    postern.put(f"/backends/{name}", {"url": "https://localhost:1", "protocol": "http"})
    assert last(postern, name)["cause"] == "tls_name_mismatch", "a change tries nothing"
    postern.call(f"/{name}/x")
    story = last(postern, name)
    assert story["cause"] == "connect_refused" and story["count"] == 1 and story["fix"]
    assert story["addresses"] and story["serverChain"] == []


def test_it_stays_whatever_else_changes_and_goes_with_its_backend(postern, nginx, uploaded):
    name, other = make(postern, nginx.url("expired")), make(postern, "https://localhost:1")
    for each in (name, other):
        assert postern.call(f"/{each}/x").status == 500
    kept = last(postern, name)
    postern.arm("PATCH", f"/backends/{other}", {"properties": {"title": "changed"}}, headers={"If-Match": "*"})
    make(postern, nginx.url("good"), uploaded["p256"])
    assert last(postern, name) == kept and kept["cause"] == "tls_certificate_expired"
    postern.delete(f"/apis/{name}")
    postern.delete(f"/backends/{name}")
    assert postern.arm("GET", f"/backends/{name}/lastFailure").status == 404
    postern.put(f"/backends/{name}", {"url": nginx.url("good"), "protocol": "http"})
    assert last(postern, name)["outcome"] == "none", "that of a backend that is gone"
    assert last(postern, other)["cause"] == "connect_refused"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_refused_certificate_is_kept_whenever_it_is_refused(postern, ca, other_ca, tmp_path, version):
    from test_odd_backends import s_server
    with s_server(tmp_path, ca, other_ca, f"-tls{version.replace('.', '_')}") as url:
        mine = service.unique("mine")
        postern.upload(mine, ca.client(mine))
        name = make(postern, url, mine)
        assert postern.call(f"/{name}/x").status == 500
        story = last(postern, name)
        assert story["cause"] == "tls_client_certificate_refused"
        assert story["alert"]["late"] is (version == "1.3") and story["alert"]["name"] == "unknown_ca"
        assert story["certificateRequested"] and story["certificateSent"]
        assert other_ca.common_name in story["acceptableIssuers"][0] and ca.common_name in story["fix"]
        assert story["certificate"]["id"].endswith(mine)


def test_a_plain_backend_and_one_behind_a_proxy_are_kept_too(postern):
    plain = make(postern, "http://localhost:1")
    assert postern.call(f"/{plain}/x").status == 500
    assert last(postern, plain)["cause"] == "connect_refused"
    behind = make(postern, "https://localhost:1", proxy={"url": "http://127.0.0.1:1"})
    assert postern.call(f"/{behind}/x").status == 500
    assert last(postern, behind)["cause"] == "connect_refused"
    nowhere = make(postern, "https://nowhere.invalid")
    assert postern.call(f"/{nowhere}/x").status == 500
    assert last(postern, nowhere)["cause"] == "dns_failed"


def test_the_command_shows_it(postern, nginx):
    def run(*arguments):
        return subprocess.run([service.BIN / "postern", "backend", "probe", *arguments, "--data", str(postern.data)],
                              capture_output=True, text=True, timeout=30)
    name = make(postern, nginx.url("unknownca"))
    done = run(name, "--last")
    assert done.returncode == 0 and "no connection to it has failed" in done.stdout
    postern.call(f"/{name}/x")
    done = run(name, "--last")
    assert done.returncode == 0 and "tls_unknown_ca" in done.stdout and "failed at" in done.stdout, done
    assert json.loads(run(name, "--last", "--output", "json").stdout)["count"] == 1
    assert run(name, "--last", "--trust", "ca").returncode == 2
    shown = subprocess.run([service.BIN / "postern", "backend", "show", name, "--data", str(postern.data)],
                           capture_output=True, text=True, timeout=30)
    assert shown.returncode == 0 and "last failure" in shown.stdout and "tls_unknown_ca" in shown.stdout, shown


def last_of_api(postern, name):
    answer = postern.arm("GET", f"/apis/{name}/lastFailure")
    assert answer.status == 200, answer.text
    return answer.json()


def test_an_api_without_a_backend_entity_has_one_of_its_own(postern, nginx, ca, uploaded, clients):
    name = service.unique("Direct")
    postern.make_api(name, nginx.url("strangers"), with_certificate(uploaded["p256"]))
    assert last_of_api(postern, name) == {"outcome": "none", "fix": "", "certificate": None, "certificates": [],
                                          "api": f"{postern.service_id}/apis/{name}"}
    postern.set_policy(f"/apis/{name}", with_certificate(uploaded["p256"]))
    postern.arm("PATCH", f"/apis/{name}", {"properties": {"serviceUrl": nginx.url("unknownca")}},
                headers={"If-Match": "*"})
    assert postern.call(f"/{name}/x").status == 500
    story = last_of_api(postern, name)
    assert story["cause"] == "tls_unknown_ca" and story["count"] == 1 and story["api"].endswith(f"/apis/{name}")
    assert "trust" not in story and "backend" not in story and story["fix"]
    shown = subprocess.run([service.BIN / "postern", "api", "show", name, "--data", str(postern.data)],
                           capture_output=True, text=True, timeout=30)
    assert shown.returncode == 0 and "last failure" in shown.stdout and "tls_unknown_ca" in shown.stdout, shown
    postern.delete(f"/apis/{name}?deleteRevisions=true")
    assert postern.arm("GET", f"/apis/{name}/lastFailure").status == 404
    postern.make_api(name, nginx.url("good"))
    assert last_of_api(postern, name)["outcome"] == "none", "that of an API that is gone"


def test_which_certificate_an_apis_policy_showed_is_told(postern, ca, other_ca, tmp_path):
    from test_odd_backends import s_server
    with s_server(tmp_path, ca, other_ca, "-tls1_3") as url:
        mine = service.unique("mine")
        postern.upload(mine, ca.client(mine))
        postern.make_api(mine, url, with_certificate(mine))
        assert postern.call(f"/{mine}/x").status == 500
        story = last_of_api(postern, mine)
        assert story["cause"] == "tls_client_certificate_refused" and story["certificate"]["id"].endswith(mine)
        assert ca.common_name in story["fix"]


def test_of_more_than_the_limit_the_oldest_goes(tmp_path, trust):
    postern = service.Postern(tmp_path, environment=trust, options=["--limit", "last-failures=2"])
    postern.start()
    try:
        for name in ("a", "b", "c"):
            postern.make_api(name, "https://localhost:1")
            assert postern.call(f"/{name}/x").status == 500
        assert [last_of_api(postern, name)["outcome"] for name in "abc"] == ["none", "failed", "failed"]
        metrics = postern.session(postern.control).get("/metrics").text
        assert 'postern_limit_hits_total{limit="last-failures"} 1\n' in metrics
    finally:
        postern.stop()
