# SPDX-License-Identifier: Apache-2.0
"""Routing, subscription keys, listeners, and read-your-writes."""
import json

import pytest
from lab import service, web
from lab.service import policy

NOT_FOUND = {"statusCode": 404, "message": "Resource not found"}


@pytest.mark.parametrize("path", ["/", "/nowhere", "/nowhere/at/all", "/etc%2fpasswd"])
def test_no_api_is_404_as_in_the_reference(postern, path):
    answer = postern.call(path)
    assert answer.status == 404
    assert answer.json() == NOT_FOUND
    assert answer.headers["Content-Type"].startswith("application/json")


def test_operation_templates_choose_and_everything_else_is_404(postern, echo):
    name = service.unique("route")
    postern.make_api(name, echo.url, operations=False)
    assert postern.call(f"/{name}/items").status == 404, "an API without operations serves nothing"
    for operation, method, template, parameters in (
            ("list", "GET", "/items", ()), ("one", "GET", "/items/{id}", ("id",)),
            ("special", "GET", "/items/special", ()), ("make", "POST", "/items", ()),
            ("root", "GET", "/", ()), ("rest", "GET", "/files/*", ())):
        postern.put(f"/apis/{name}/operations/{operation}", {
            "displayName": operation, "method": method, "urlTemplate": template,
            "templateParameters": [{"name": p, "type": "string", "required": True}
                                   for p in parameters]})
        postern.set_policy(f"/apis/{name}/operations/{operation}", policy(
            f'<set-header name="X-Operation"><value>{operation}</value></set-header>'))

    def operation_of(method, path):
        answer = postern.call(f"/{name}{path}", method)
        if answer.status != 200:
            return answer.status
        return dict(answer.json()["headers"])["x-operation"]

    assert operation_of("GET", "/items") == "list"
    assert operation_of("GET", "/items/5") == "one"
    assert operation_of("GET", "/items/special") == "special"
    assert operation_of("POST", "/items") == "make"
    assert operation_of("GET", "") == "root"
    assert operation_of("GET", "/files/a/b/c") == "rest"
    assert operation_of("GET", "/items/5/6") == 404
    assert operation_of("POST", "/items/5") == 404
    assert operation_of("DELETE", "/items") == 404
    assert operation_of("GET", "/ITEMS") in ("list", 404)


def test_the_longest_api_path_wins(postern, echo):
    short, deep = service.unique("long"), "deeper"
    postern.make_api(short, echo.url + "/short")
    postern.put(f"/apis/{short}-2", {"displayName": "x", "path": f"{short}/{deep}",
                                     "serviceUrl": echo.url + "/deep", "protocols": ["http"],
                                     "subscriptionRequired": False})
    postern.put(f"/apis/{short}-2/operations/get", {"displayName": "g", "method": "GET",
                                                    "urlTemplate": "/*"})
    assert postern.call(f"/{short}/x").json()["path"] == "/short/x"
    assert postern.call(f"/{short}/{deep}/x").json()["path"] == "/deep/x"
    assert postern.call(f"/{short}/{deep}er/x").json()["path"] == f"/short/{deep}er/x"


def test_an_api_for_https_only_is_not_served_on_the_plain_listener(postern, echo):
    name = service.unique("tlsonly")
    postern.make_api(name, echo.url, protocols=["https"])
    assert postern.call(f"/{name}/x").status == 404
    assert postern.session(postern.gateway_tls).get(f"/{name}/x").status == 200


def test_the_tls_listener_serves_with_postern_s_own_ca(postern, echo, curl):
    name = service.unique("tls")
    postern.make_api(name, echo.url)
    for version in ("1.2", "1.3"):
        text = curl("--tls-max", version, f"--tlsv{version}", "--http1.1",
                    f"{postern.gateway_tls}/{name}/x?tls={version}")
        assert json.loads(text)["path"] == f"/x?tls={version}"


def test_hop_by_hop_headers_stop_here(postern, echo):
    name = service.unique("hop")
    postern.make_api(name, echo.url)
    answer = postern.call(f"/{name}/x", headers={
        "Connection": "keep-alive, X-Hop", "X-Hop": "1", "Keep-Alive": "timeout=5", "TE": "x",
        "Proxy-Authorization": "secret", "Upgrade": "h2c", "X-End": "2"})
    seen = dict(answer.json()["headers"])
    assert seen["x-end"] == "2"
    for header in ("x-hop", "keep-alive", "te", "proxy-authorization", "upgrade"):
        assert header not in seen, header
    assert seen["host"] == echo.url.split("//")[1], "Host names the backend"


class TestSubscriptionKeys:
    @pytest.fixture(scope="class")
    def api(self, postern, echo):
        name = service.unique("keys")
        postern.make_api(name, echo.url, subscription_required=True)
        return name

    @pytest.fixture(scope="class")
    def keys(self, postern, api):
        sid = service.unique("sub")
        body = postern.put(f"{postern.service_id}/subscriptions/{sid}", {
            "scope": f"/apis/{api}", "displayName": sid, "state": "active"}, (201,))
        assert "primaryKey" not in body.json()["properties"]
        answer = postern.arm("POST", f"{postern.service_id}/subscriptions/{sid}/listSecrets")
        assert answer.status == 200, answer
        secrets = answer.json()
        return sid, secrets["primaryKey"], secrets["secondaryKey"]

    def test_missing_key_is_401_with_the_documented_words(self, postern, api):
        answer = postern.call(f"/{api}/x")
        assert answer.status == 401
        assert answer.json()["message"].startswith(
            "Access denied due to missing subscription key.")
        assert answer.headers["WWW-Authenticate"].startswith("AzureApiManagementKey realm=")

    def test_wrong_key_is_401(self, postern, api):
        answer = postern.call(f"/{api}/x", headers={"Ocp-Apim-Subscription-Key": "0" * 32})
        assert answer.status == 401
        assert answer.json()["message"].startswith(
            "Access denied due to invalid subscription key.")

    def test_both_keys_work_in_header_and_query(self, postern, api, keys):
        for key in keys[1:]:
            assert len(key) == 32
            header = postern.call(f"/{api}/x", headers={"Ocp-Apim-Subscription-Key": key})
            assert header.status == 200, header
            assert postern.call(f"/{api}/x?subscription-key={key}").status == 200

    def test_a_key_of_another_api_is_401(self, postern, echo, keys):
        other = service.unique("keys2")
        postern.make_api(other, echo.url, subscription_required=True)
        answer = postern.call(f"/{other}/x", headers={"Ocp-Apim-Subscription-Key": keys[1]})
        assert answer.status == 401

    def test_get_never_shows_keys(self, postern, keys):
        answer = postern.arm("GET", f"{postern.service_id}/subscriptions/{keys[0]}")
        assert answer.status == 200
        assert keys[1] not in answer.text and keys[2] not in answer.text

    def test_a_suspended_subscription_is_refused_at_once(self, postern, api):
        path = f"{postern.service_id}/subscriptions/{service.unique('state')}"
        body = {"scope": f"/apis/{api}", "displayName": "s", "state": "active",
                "primaryKey": service.unique("primary"), "secondaryKey": service.unique("second")}
        for state, expect in (("active", 200), ("suspended", 401), ("active", 200)):
            postern.put(path, dict(body, state=state))
            answer = postern.call(f"/{api}/x", headers={
                "Ocp-Apim-Subscription-Key": body["primaryKey"]})
            assert answer.status == expect, (state, answer)

    def test_renamed_key_parameters_are_used(self, postern, echo):
        name = service.unique("renamed")
        postern.make_api(name, echo.url, subscription_required=True,
                         subscriptionKeyParameterNames={"header": "X-My-Key", "query": "my-key"})
        sid = service.unique("sub")
        postern.put(f"{postern.service_id}/subscriptions/{sid}", {
            "scope": f"/apis/{name}", "displayName": sid, "state": "active",
            "primaryKey": "p" * 32})
        assert postern.call(f"/{name}/x", headers={"X-My-Key": "p" * 32}).status == 200
        assert postern.call(f"/{name}/x?my-key=" + "p" * 32).status == 200
        assert postern.call(f"/{name}/x", headers={
            "Ocp-Apim-Subscription-Key": "p" * 32}).status == 401


def test_read_your_writes_200_times(postern, echo):
    """Promise 3: the very next request obeys a change that was answered."""
    name = service.unique("ryw")
    postern.make_api(name, echo.url)
    for i in range(200):
        postern.set_policy(f"/apis/{name}", policy(
            f'<return-response><set-body>{i}</set-body></return-response>'))
        assert postern.call(f"/{name}/x").text == str(i)


def test_read_your_writes_on_every_gateway_thread(postern, echo):
    """New connections land on any thread; each must have the change."""
    name = service.unique("rywt")
    postern.make_api(name, echo.url)
    for i in range(20):
        postern.set_policy(f"/apis/{name}", policy(
            f'<return-response><set-body>{i}</set-body></return-response>'))
        for _ in range(6):
            assert web.Session(postern.gateway).get(f"/{name}/x").text == str(i)


def test_a_deleted_api_is_404_at_once(postern, echo):
    for _ in range(10):
        name = service.unique("gone")
        postern.make_api(name, echo.url)
        assert postern.call(f"/{name}/x").status == 200
        postern.delete(f"/apis/{name}?deleteRevisions=true")
        assert postern.call(f"/{name}/x").status == 404
