# SPDX-License-Identifier: Apache-2.0
"""Policy fragments: included in place, live when the change is answered, and never in the way of the
policies that include them."""
import base64
import json

import pytest
from lab import service
from lab.service import policy


def wrap(inner):
    return f"<fragment>{inner}</fragment>"


def header(value):
    return f'<set-header name="x-seen" exists-action="append"><value>{value}</value></set-header>'


def include(*ids):
    return "".join(f'<include-fragment fragment-id="{i}" />' for i in ids)


def put(postern, name, inner, expect=(200, 201), at="", **more):
    return postern.put(f"{at}/policyFragments/{name}",
                       {"format": "rawxml", "value": wrap(inner), **more}, expect=expect)


def seen(postern, api):
    answer = postern.call(f"/{api}/x")
    assert answer.status == 200, answer
    return [v for n, v in answer.json()["headers"] if n == "x-seen"]


def detail(answer):
    return answer.json()["error"]["details"][0]


@pytest.fixture(scope="module")
def api(postern, echo):
    name = service.unique("fragments")
    postern.make_api(name, echo.url)
    return name


@pytest.fixture
def name():
    return service.unique("f")


def test_a_fragment_is_included_and_its_change_is_live(postern, api, name):
    made = put(postern, name, header("one"), description="says one")
    assert made.status == 201 and made.headers["ETag"]
    assert made.json()["type"] == "Microsoft.ApiManagement/service/policyFragments"
    properties = made.json()["properties"]
    assert properties["description"] == "says one" and properties["format"] == "rawxml"
    assert properties["provisioningState"] == "Succeeded"
    assert properties["value"].startswith("<fragment>\r\n    <set-header")
    put(postern, name + "-o", header("before") + include(name) + header("after"))
    stored = postern.set_policy(f"/apis/{api}", policy(include(name + "-o", name)))
    assert f'fragment-id="{name}-o"' in stored.json()["properties"]["value"]
    assert seen(postern, api) == ["before", "one", "after", "one"]
    assert put(postern, name, header("two")).status == 200
    assert seen(postern, api) == ["before", "two", "after", "two"]
    put(postern, name, "")
    assert seen(postern, api) == ["before", "after"]
    xml = postern.arm("GET", f"/policyFragments/{name}-o?format=xml").json()["properties"]
    assert xml["format"] == "xml" and "<include-fragment" in xml["value"]
    assert postern.arm("HEAD", f"/policyFragments/{name}").status == 200
    listed = postern.arm("GET", f"/policyFragments?$orderby=name%20desc").json()
    names = [f["name"] for f in listed["value"]]
    assert {name, name + "-o"} <= set(names) and names == sorted(names, reverse=True)


def test_who_includes_it_is_listed_and_it_is_not_deleted(postern, api, name):
    put(postern, name, header("x"))
    put(postern, name + "-o", include(name))
    postern.set_policy(f"/apis/{api}", policy(include(name)))
    listed = postern.arm("POST", f"/policyFragments/{name}/listReferences").json()
    assert [r["id"][len(postern.service_id):] for r in listed["value"]] == [
        f"/apis/{api}/policies/policy", f"/policyFragments/{name}-o"] and listed["count"] == 2
    page = postern.arm("POST", f"/policyFragments/{name}/listReferences?$top=1&$skip=1").json()
    assert [r["name"] for r in page["value"]] == [name + "-o"] and page["count"] == 2
    error = postern.delete(f"/policyFragments/{name}", expect=(400,)).json()["error"]
    assert error["code"] == "ValidationError" and error["message"].startswith(
        f"The Policy Fragment '{name}' is used by the following entities:\r\n"
        f"/apis/{api}/policies/policy\r\n/policyFragments/{name}-o\r\n")
    postern.set_policy(f"/apis/{api}", policy())
    postern.delete(f"/policyFragments/{name}-o")
    postern.delete(f"/policyFragments/{name}")
    assert postern.delete(f"/policyFragments/{name}", expect=(204,))
    assert postern.arm("POST", f"/policyFragments/{name}/listReferences").status == 404


@pytest.mark.parametrize("inner, reason", [
    ("<base />", "may not contain <base />"), ("<nope />", "'nope' is not known"),
    ("text", "takes no text"), (include("nobody"), "Policy fragment with id 'nobody' could not be found."),
    ("<set-header />", "set-header"), ("<!--" + "x" * 33000 + "-->", "the limit is 32768")])
def test_bad_fragments_are_refused(postern, inner, reason):
    assert reason in detail(put(postern, "bad", inner, expect=(400,)))["message"]
    assert postern.arm("GET", "/policyFragments/bad").status == 404


def test_names_and_roots_are_checked(postern):
    put(postern, "a.b", "", expect=(400,))
    put(postern, "-a", "", expect=(400,))
    root = postern.put("/policyFragments/bad", {"value": "<policies />"}, expect=(400,))
    assert "must start with <fragment>" in detail(root)["message"]


def test_a_change_that_breaks_a_policy_is_refused_naming_it(postern, api, name):
    put(postern, name, header("kept"))
    postern.set_policy(f"/apis/{api}", policy(outbound=include(name)))
    refused = put(postern, name, '<rewrite-uri template="/y" />', expect=(400,))
    message = detail(refused)["message"]
    assert message.startswith(f"'/apis/{api}/policies/policy' would no longer be valid: Error in element "
                              "'rewrite-uri' on line 2, column ")
    assert f"in the policy fragment '{name}': the policy is not allowed in section 'outbound'" in message
    assert "kept" in postern.arm("GET", f"/policyFragments/{name}").json()["properties"]["value"]
    inbound = put(postern, name + "-i", '<rewrite-uri template="/y" />')
    assert inbound.status == 201
    refused = postern.set_policy(f"/apis/{api}", policy(outbound=include(name + "-i")), expect=(400,))
    assert "not allowed in section 'outbound'" in detail(refused)["message"]


def test_circles_depth_and_size_have_an_end(postern, api, name):
    put(postern, name + "-a", header("a"))
    put(postern, name + "-b", include(name + "-a"))
    circle = put(postern, name + "-a", include(name + "-b"), expect=(400,))
    assert "would include itself" in detail(circle)["message"]
    own = put(postern, name + "-a", include(name + "-a"), expect=(400,))
    assert "would include itself" in detail(own)["message"]
    put(postern, name + "-0", header("deep"))
    for i in range(1, 9):
        put(postern, f"{name}-{i}", include(f"{name}-{i - 1}"))
    too_deep = postern.set_policy(f"/apis/{api}", policy(include(f"{name}-8")), expect=(400,))
    assert "fragment-depth" in detail(too_deep)["message"]
    postern.set_policy(f"/apis/{api}", policy(include(f"{name}-7")))
    assert seen(postern, api) == ["deep"]
    put(postern, name + "-l", "<!--" + "x" * 30000 + "-->")
    too_long = postern.set_policy(f"/apis/{api}", policy(include(*[name + "-l"] * 40)), expect=(400,))
    assert "policy-expanded-bytes" in detail(too_long)["message"]
    postern.set_policy(f"/apis/{api}", policy())


def test_named_values_inside_a_fragment_follow(postern, api, name):
    postern.put(f"/namedValues/{name}", {"displayName": name, "value": "first"})
    put(postern, name, header("{{%s}}" % name))
    postern.set_policy(f"/apis/{api}", policy(include(name)))
    assert seen(postern, api) == ["first"]
    postern.put(f"/namedValues/{name}", {"displayName": name, "value": "second"})
    assert seen(postern, api) == ["second"]
    used = postern.delete(f"/namedValues/{name}", expect=(400,)).text
    assert f"/policyFragments/{name}" in used
    postern.set_policy(f"/apis/{api}", policy())


def test_a_certificate_in_a_fragment_is_used_by_what_is_behind(postern, ca, other_ca, nginx, name):
    identity = ca.client(name)
    postern.upload(name, identity)
    postern.put(f"/namedValues/{name}", {"displayName": name, "value": name})
    put(postern, name, f'<authentication-certificate certificate-id="{name}" />')
    put(postern, name + "-v", '<authentication-certificate certificate-id="{{%s}}" />' % name)
    for api, fragment in ((name, name), (name + "-v", name + "-v")):
        postern.make_api(api, nginx.url("good"), policy(include(fragment)))
        assert postern.call(f"/{api}/x").json()["sha1"].upper() == identity.sha1
    usage = postern.arm("GET", f"/certificates/{name}/usage").json()["value"]
    found = {(u["id"][len(postern.service_id):], u["via"][len(postern.service_id):]) for u in usage}
    certificate = f"/certificates/{name}"
    expected = {(f"/policyFragments/{name}", certificate), (f"/namedValues/{name}", certificate),
                (f"/policyFragments/{name}-v", f"/namedValues/{name}")}
    for api in (name, name + "-v"):
        expected |= {(f"/apis/{api}/policies/policy", f"/policyFragments/{api}"),
                     (f"/apis/{api}", f"/apis/{api}/policies/policy")}
    assert found == expected
    refused = postern.delete(certificate, expect=(400,)).json()["error"]
    assert refused["details"][0]["innererror"]["usageCount"] == len(expected)
    # A new generation that these backends refuse stays staged: they were found through the fragment.
    stranger = other_ca.client(name + "-other")
    offered = postern.arm("PUT", certificate, {"properties": {
        "data": stranger.pfx_base64("p"), "password": "p"}})
    assert offered.status == 409, offered
    assert name in offered.json()["error"]["message"]


def test_a_token_of_a_fragment_is_got_before_it_is_live(postern, api, name):
    postern.put(f"/namedValues/{name}", {"displayName": name, "value": "api://one"})
    put(postern, name, '<authentication-managed-identity resource="{{%s}}" />' % name)
    postern.set_policy(f"/apis/{api}", policy(include(name)))

    def audience():
        headers = postern.call(f"/{api}/x").json()["headers"]
        token = [v for n, v in headers if n == "authorization"][0].split(" ")[1]
        body = token.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["aud"]

    assert audience() == "api://one"
    postern.put(f"/namedValues/{name}", {"displayName": name, "value": "api://two"})
    assert audience() == "api://two"
    put(postern, name, '<authentication-managed-identity resource="api://three" />')
    assert audience() == "api://three"
    postern.set_policy(f"/apis/{api}", policy())


def test_a_workspace_has_its_own(postern, echo, name):
    at = f"/workspaces/{name}"
    postern.put(at, {"displayName": name})
    put(postern, name, header("the service's"))
    postern.put(f"{at}/apis/{name}", {"displayName": name, "path": name, "serviceUrl": echo.url,
                                      "protocols": ["http"], "subscriptionRequired": False})
    postern.put(f"{at}/apis/{name}/operations/get", {"displayName": "g", "method": "GET",
                                                     "urlTemplate": "/*"})
    refused = postern.set_policy(f"{at}/apis/{name}", policy(include(name)), expect=(400,))
    assert "could not be found" in refused.text
    put(postern, name, header("own"), at=at)
    postern.set_policy(f"{at}/apis/{name}", policy(include(name)))
    assert seen(postern, name) == ["own"]
    postern.delete(at)
