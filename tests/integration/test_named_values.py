# SPDX-License-Identifier: Apache-2.0
"""Named values: what policies and backends name, live when the change is answered; secrets nowhere
in clear; from a vault followed like certificates."""
import base64
import json

import pytest
from lab import people, service
from lab.service import policy

MISSING = "Cannot find a property"


def header(value, name="x-seen"):
    return policy(f'<set-header name="{name}"><value>{value}</value></set-header>')


def seen(postern, api, name="x-seen"):
    answer = postern.call(f"/{api}/x")
    assert answer.status == 200, answer
    return [v for n, v in answer.json()["headers"] if n == name]


def named(postern, name, value=None, expect=(200, 201), at="", **more):
    properties = {"displayName": name, **more}
    if value is not None:
        properties["value"] = value
    return postern.put(f"{at}/namedValues/{name}", properties, expect=expect)


def detail(answer):
    return answer.json()["error"]["details"][0]


@pytest.fixture(scope="module")
def api(postern, echo):
    name = service.unique("nv")
    postern.make_api(name, echo.url)
    return name


@pytest.fixture
def name():
    return service.unique("value")


def test_a_change_is_live_when_it_is_answered(postern, api, name):
    made = named(postern, name, "one", tags=["a", "b"])
    assert made.status == 201 and made.headers["ETag"], made
    assert made.json()["properties"] == {"displayName": name, "value": "one", "secret": False,
                                         "tags": ["a", "b"], "provisioningState": "Succeeded"}
    assert made.json()["type"] == "Microsoft.ApiManagement/service/namedValues"
    written = header("v-{{%s}}-{{%s}}" % (name, name.upper()))
    stored = postern.set_policy(f"/apis/{api}", written)
    assert "{{%s}}" % name in stored.json()["properties"]["value"]
    assert seen(postern, api) == ["v-one-one"]
    for value in ("two", "<three> & \"more\"", "{{%s}}" % name):
        assert named(postern, name, value, tags=["a", "b"]).status == 200
        assert seen(postern, api) == [f"v-{value}-{value}"]
    patched = postern.arm("PATCH", f"/namedValues/{name}", {"properties": {"value": "four"}},
                          headers={"If-Match": "*"})
    assert patched.status == 200 and patched.json()["properties"]["tags"] == ["a", "b"], patched
    assert seen(postern, api) == ["v-four-four"]
    shown = postern.arm("GET", f"/apis/{api}/policies/policy?format=rawxml").json()
    assert "v-{{%s}}-{{%s}}" % (name, name.upper()) in shown["properties"]["value"]
    head = postern.arm("HEAD", f"/namedValues/{name}")
    assert head.status == 200 and head.headers["ETag"] == patched.headers["ETag"]
    stale = postern.arm("PATCH", f"/namedValues/{name}", {"properties": {"value": "five"}},
                        headers={"If-Match": made.headers["ETag"]})
    assert stale.status == 412


def test_what_does_not_fit_is_refused_and_nothing_changes(postern, api, name):
    named(postern, name, "15")
    postern.set_policy(f"/apis/{api}", policy(
        f'<set-header name="x-seen"><value>{{{{{name}}}}}</value></set-header>',
        backend=f'\n<forward-request timeout="{{{{{name}}}}}" />'))
    refused = named(postern, name, "a while", expect=(400,))
    assert detail(refused)["target"] == "forward-request", refused
    assert detail(refused)["message"].startswith(f"'/apis/{api}/policies/policy' would no longer be "
                                                 "valid: Error in element 'forward-request' on line ")
    assert postern.arm("GET", f"/namedValues/{name}").json()["properties"]["value"] == "15"
    assert seen(postern, api) == ["15"]
    renamed = postern.put(f"/namedValues/{name}", {"displayName": name + ".x", "value": "1"},
                          expect=(400,))
    assert MISSING in detail(renamed)["message"]
    used = postern.delete(f"/namedValues/{name}", expect=(400,)).json()["error"]
    assert used["code"] == "ValidationError"
    assert used["message"].startswith(f"The Named value '{name}' is used by the following entities:"
                                      f"\r\n/apis/{api}/policies/policy\r\n")
    postern.set_policy(f"/apis/{api}", policy())
    postern.delete(f"/namedValues/{name}")
    assert postern.arm("GET", f"/namedValues/{name}").status == 404
    assert postern.delete(f"/namedValues/{name}", expect=(204,))


def test_unknown_names_are_refused_with_their_place(postern, api):
    refused = postern.set_policy(f"/apis/{api}", header("{{nobody-has-it}}"), expect=(400,))
    assert detail(refused)["target"] == "value"
    assert detail(refused)["message"].startswith("Error in element 'value' on line 1, column ")
    assert f"{MISSING} 'nobody-has-it'" in detail(refused)["message"]
    backend = postern.put("/backends/nobody", {
        "url": "https://b", "protocol": "http",
        "credentials": {"header": {"x": ["{{nobody-has-it}}"]}}}, expect=(400,))
    assert detail(backend)["target"] == "credentials.header"
    assert f"{MISSING} 'nobody-has-it'" in detail(backend)["message"]


@pytest.mark.parametrize("properties, target", [
    ({"value": "x"}, "displayName"), ({"displayName": "a b", "value": "x"}, "displayName"),
    ({"displayName": "a"}, "value"), ({"displayName": "a", "value": "x" * 4097}, "value"),
    ({"displayName": "a", "value": "x", "tags": ["t"] * 33}, "tags"),
    ({"displayName": "a", "value": "x", "keyVault": {"secretIdentifier": "https://v/secrets/s"}},
     "keyVault"),
    ({"displayName": "a", "keyVault": {"secretIdentifier": "https://v/certificates/s"}},
     "keyVault.secretIdentifier")])
def test_bad_named_values_are_refused(postern, properties, target):
    refused = postern.put("/namedValues/bad", properties, expect=(400,))
    assert detail(refused)["target"] == target, refused
    assert postern.arm("GET", "/namedValues/bad").status == 404


def test_display_names_are_unique_without_case(postern, name):
    named(postern, name, "x")
    twin = postern.put(f"/namedValues/{name}2", {"displayName": name.upper(), "value": "y"},
                       expect=(400,))
    assert detail(twin) == {"code": "ValidationError", "target": "name",
                            "message": "Property with the same name already exist."}


def test_lists_are_filtered(postern, name):
    named(postern, name, "x", tags=["blue"])
    query = f"$filter=contains(displayName,'{name}')"
    found = postern.arm("GET", f"/namedValues?{query}".replace(" ", "%20")).json()
    assert [v["name"] for v in found["value"]] == [name] and found["count"] == 1
    failed = postern.arm("GET", "/namedValues?isKeyVaultRefreshFailed=true&$top=2").json()
    assert name not in [v["name"] for v in failed["value"]]


def test_a_backends_credentials_follow(postern, echo, name):
    secret = "tok-" + name
    named(postern, name, "one")
    named(postern, name + "-t", secret, secret=True)
    made = postern.put(f"/backends/{name}", {"url": echo.url, "protocol": "http", "credentials": {
        "header": {"x-seen": ["h-{{%s}}" % name]}, "query": {"q": ["{{%s}}" % name]},
        "authorization": {"scheme": "Bearer", "parameter": "{{%s-t}}" % name}}}).json()
    assert made["properties"]["credentials"]["header"] == {"x-seen": ["h-{{%s}}" % name]}
    postern.make_api(name, echo.url, policy(f'<set-backend-service backend-id="{name}" />'))
    assert seen(postern, name) == ["h-one"]
    assert seen(postern, name, "authorization") == [f"Bearer {secret}"]
    named(postern, name, "two")
    assert seen(postern, name) == ["h-two"]
    refused = named(postern, name, "a\nb", expect=(400,))
    assert f"'/backends/{name}' would no longer be valid" in detail(refused)["message"]
    assert seen(postern, name) == ["h-two"]
    assert f"/backends/{name}" in postern.delete(f"/namedValues/{name}", expect=(400,)).text
    again = postern.put(f"/backends/{name}", made["properties"]).json()
    assert again["properties"]["credentials"] == made["properties"]["credentials"]


def test_a_secret_is_nowhere_in_clear(own_postern, echo):
    secret = "hush-hush-sweet-4711"
    answer = named(own_postern, "quiet", secret, secret=True)
    assert secret not in answer.text and "value" not in answer.json()["properties"]
    own_postern.make_api("quiet", echo.url, header("{{quiet}}"))
    assert seen(own_postern, "quiet") == [secret]
    for path in ("/namedValues/quiet", "/namedValues", "/apis/quiet/policies/policy?format=rawxml"):
        assert secret not in own_postern.arm("GET", path).text
    told = own_postern.arm("POST", "/namedValues/quiet/listValue")
    assert told.status == 200 and told.json() == {"value": secret} and told.headers["ETag"]
    refused = own_postern.set_policy("/apis/quiet", policy(
        '<authentication-certificate certificate-id="{{quiet}}" />'), expect=(400,))
    assert secret not in refused.text and "secret named values" in refused.text
    own_postern.set_policy("/apis/quiet", policy(backend='<forward-request timeout="{{ten}}" />'),
                           expect=(400,))
    plain = own_postern.arm("PATCH", "/namedValues/quiet", {"properties": {"tags": ["t"]}})
    assert plain.status == 200 and "value" not in plain.json()["properties"]
    assert seen(own_postern, "quiet") == [secret]
    own_postern.stop()
    hidden = [secret.encode(), base64.b64encode(secret.encode()).rstrip(b"=")]
    for path in own_postern.data.rglob("*"):
        if path.is_file():
            assert not any(h in path.read_bytes() for h in hidden), path
    assert secret not in own_postern.log()
    own_postern.start()
    assert seen(own_postern, "quiet") == [secret], "it is unsealed after a restart"


def test_who_may_read_does_not_see_secrets(postern, name):
    named(postern, name, "hidden", secret=True)
    reader = people.Application(postern)
    people.assign(postern, reader.object_id, "API Management Service Reader Role",
                  postern.service_id)
    token = reader.token()
    assert postern.arm("GET", f"/namedValues/{name}", token=token).status == 200
    assert postern.arm("POST", f"/namedValues/{name}/listValue", token=token).status == 403


# from a vault


def put_secret(postern, name, value):
    answer = postern.vault("PUT", f"/secrets/{name}", {"value": value})
    assert answer.status == 200, answer
    return answer.json()["id"]


def vaulted(postern, name, identifier, expect=(200, 201)):
    return postern.put(f"/namedValues/{name}", {"displayName": name, "keyVault": {
        "secretIdentifier": identifier, "identityClientId": None}}, expect=expect)


def test_a_vault_secret_is_followed_and_a_version_is_pinned(postern, api, name):
    version = put_secret(postern, name, "v1")
    made = vaulted(postern, name, f"{postern.vault_url}/secrets/{name}").json()["properties"]
    assert made["secret"] is True and "value" not in made
    assert made["keyVault"]["lastStatus"]["code"] == "Success"
    vaulted(postern, name + "-p", version)
    postern.set_policy(f"/apis/{api}", header("{{%s}}/{{%s-p}}" % (name, name)))
    assert seen(postern, api) == ["v1/v1"]
    put_secret(postern, name, "v2")
    service.wait_for("the new version", lambda: seen(postern, api) == ["v2/v1"], 20)
    assert postern.arm("POST", f"/namedValues/{name}/listValue").json() == {"value": "v2"}
    patched = postern.arm("PATCH", f"/namedValues/{name}", {"properties": {"value": "mine"}})
    assert patched.status == 200, patched
    assert "keyVault" not in patched.json()["properties"]
    assert seen(postern, api) == ["mine/v1"]


def test_what_the_vault_refuses_is_said(postern, name):
    refused = vaulted(postern, name, f"{postern.vault_url}/secrets/{name}-none", expect=(400,))
    assert detail(refused)["target"] == "keyVault.secretIdentifier"
    assert postern.arm("GET", f"/namedValues/{name}").status == 404
    put_secret(postern, name, "x" * 20000)
    refused = vaulted(postern, name, f"{postern.vault_url}/secrets/{name}", expect=(400,))
    assert "cannot be a named value" in detail(refused)["message"], refused


def test_a_bad_new_version_never_takes_over(postern, api, name):
    put_secret(postern, name, "20")
    vaulted(postern, name, f"{postern.vault_url}/secrets/{name}")
    postern.set_policy(f"/apis/{api}", policy(
        '<set-header name="x-seen"><value>{{%s}}</value></set-header>' % name,
        backend='<forward-request timeout="{{%s}}" />' % name))
    put_secret(postern, name, "sup-rise")
    refreshed = postern.arm("POST", f"/namedValues/{name}/refreshSecret")
    assert refreshed.status == 200, refreshed
    status = refreshed.json()["properties"]["keyVault"]["lastStatus"]
    assert status["code"] == "ValueRefused" and f"/apis/{api}/policies/policy" in status["message"]
    assert "sup-rise" not in refreshed.text
    assert seen(postern, api) == ["20"]
    failed = postern.arm("GET", "/namedValues?isKeyVaultRefreshFailed=true").json()["value"]
    assert name in [v["name"] for v in failed]
    put_secret(postern, name, "21")
    again = postern.arm("POST", f"/namedValues/{name}/refreshSecret")
    assert again.json()["properties"]["keyVault"]["lastStatus"]["code"] == "Success"
    assert seen(postern, api) == ["21"]
    assert postern.arm("POST", f"/namedValues/none/refreshSecret").status == 404
    named(postern, name + "-plain", "x")
    assert postern.arm("POST", f"/namedValues/{name}-plain/refreshSecret").status == 400
    postern.set_policy(f"/apis/{api}", policy())


# in workspaces, and behind certificates


def test_a_workspace_has_its_own(postern, echo, name):
    at = f"/workspaces/{name}"
    postern.put(at, {"displayName": name})
    named(postern, name, "the service's")
    postern.put(f"{at}/apis/{name}", {"displayName": name, "path": name, "serviceUrl": echo.url,
                                      "protocols": ["http"], "subscriptionRequired": False})
    postern.put(f"{at}/apis/{name}/operations/get", {"displayName": "g", "method": "GET",
                                                     "urlTemplate": "/*"})
    refused = postern.set_policy(f"{at}/apis/{name}", header("{{%s}}" % name), expect=(400,))
    assert MISSING in refused.text, "no name leads out of its scope"
    named(postern, name, "the workspace's", at=at)
    postern.set_policy(f"{at}/apis/{name}", header("{{%s}}" % name))
    assert seen(postern, name) == ["the workspace's"]
    vault = postern.put(f"{at}/namedValues/v", {"displayName": "v", "keyVault": {
        "secretIdentifier": f"{postern.vault_url}/secrets/x"}}, expect=(400,))
    assert detail(vault)["target"] == "keyVault"
    postern.delete(at)


def users(postern, certificate):
    answer = postern.arm("GET", f"/certificates/{certificate}/usage").json()["value"]
    return {(u["id"][len(postern.service_id):], u["via"][len(postern.service_id):], u["by"])
            for u in answer}


@pytest.mark.parametrize("attribute", ["certificate-id", "thumbprint"])
def test_a_certificate_named_by_a_value_is_used_by_what_is_behind(postern, ca, nginx, name, attribute):
    one, two = ca.client(name + "-1"), ca.client(name + "-2")
    first, second = name + "-1", name + "-2"
    postern.upload(first, one)
    postern.upload(second, two)
    of = {first: first, second: second} if attribute == "certificate-id" else {
        first: one.sha1, second: two.sha1}
    named(postern, name, of[first])
    postern.make_api(name, nginx.url("good"), policy(
        f'<authentication-certificate {attribute}="{{{{{name}}}}}" />'))
    other = name + "-other"
    postern.make_api(other, nginx.url("good"), header("{{%s}}" % name))
    assert postern.call(f"/{name}/x").json()["sha1"].upper() == one.sha1
    expected = {(f"/namedValues/{name}", f"/certificates/{first}", "value"),
                (f"/apis/{name}/policies/policy", f"/namedValues/{name}",
                 "reference"),
                (f"/apis/{name}", f"/apis/{name}/policies/policy", "policy")}
    assert users(postern, first) == expected
    refused = postern.delete(f"/certificates/{first}", expect=(400,)).text
    assert f"/namedValues/{name}" in refused and f"/apis/{name}" in refused
    named(postern, name, of[second])
    assert postern.call(f"/{name}/x").json()["sha1"].upper() == two.sha1
    assert users(postern, first) == set() and len(users(postern, second)) == 3
    postern.delete(f"/certificates/{first}")
    refused = named(postern, name, of[first], expect=(400,))
    assert "could not be found" in detail(refused)["message"], refused
    assert postern.call(f"/{name}/x").json()["sha1"].upper() == two.sha1
