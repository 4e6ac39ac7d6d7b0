# SPDX-License-Identifier: Apache-2.0
"""Policies: each element, each scope, both formats, and what is refused."""
import base64

import pytest
from lab import service
from lab.service import policy


@pytest.fixture(scope="module")
def api(postern, echo):
    """An API on the echo backend; tests replace its policy."""
    name = service.unique("policies")
    postern.make_api(name, echo.url + "/base")
    return name


def call(postern, api, path="/x", **more):
    answer = postern.call(f"/{api}{path}", **more)
    assert answer.status == 200, answer
    return answer.json()


def values(seen, name):
    return [v for n, v in seen["headers"] if n == name]


def test_without_a_policy_the_request_passes_unchanged(postern, api):
    postern.set_policy(f"/apis/{api}", policy())
    seen = call(postern, api, "/a/b?x=1&y=%20", headers={"X-Test": "t"})
    assert seen["path"] == "/base/a/b?x=1&y=%20"
    assert values(seen, "x-test") == ["t"]


@pytest.mark.parametrize("action, given, expect", [
    ("override", "old", ["new"]), ("override", None, ["new"]), ("skip", "old", ["old"]),
    ("skip", None, ["new"]), ("append", "old", ["old", "new"]), ("delete", "old", [])])
def test_set_header_on_the_request(postern, api, action, given, expect):
    value = "" if action == "delete" else "<value>new</value>"
    postern.set_policy(f"/apis/{api}", policy(
        f'<set-header name="X-Probe" exists-action="{action}">{value}</set-header>'))
    seen = call(postern, api, headers={"X-Probe": given} if given else {})
    got = [v.strip() for line in values(seen, "x-probe") for v in line.split(",")]
    assert got == expect


def test_set_header_on_the_response(postern, api):
    postern.set_policy(f"/apis/{api}", policy(
        outbound='<set-header name="X-Out"><value>1</value><value>2</value></set-header>'
                 '<set-header name="Server" exists-action="delete" />'))
    answer = postern.call(f"/{api}/x")
    got = [v.strip() for line in answer.headers.get_all("X-Out") for v in line.split(",")]
    assert got == ["1", "2"]
    assert "Server" not in answer.headers


@pytest.mark.parametrize("action, query, expect", [
    ("override", "?q=old&r=1", {"q=new", "r=1"}), ("skip", "?q=old", {"q=old"}),
    ("skip", "", {"q=new"}), ("append", "?q=old", {"q=old", "q=new"}),
    ("delete", "?q=old&r=1", {"r=1"})])
def test_set_query_parameter(postern, api, action, query, expect):
    value = "" if action == "delete" else "<value>new</value>"
    postern.set_policy(f"/apis/{api}", policy(
        f'<set-query-parameter name="q" exists-action="{action}">{value}</set-query-parameter>'))
    path = call(postern, api, "/x" + query)["path"]
    assert set(path.partition("?")[2].split("&")) - {""} == expect


def test_rewrite_uri_with_template_parameters(postern, api):
    postern.put(f"/apis/{api}/operations/rewritten", {
        "displayName": "r", "method": "GET", "urlTemplate": "/items/{id}/parts/{part}",
        "templateParameters": [{"name": n, "type": "string", "required": True}
                               for n in ("id", "part")]})
    postern.set_policy(f"/apis/{api}", policy())
    postern.set_policy(f"/apis/{api}/operations/rewritten", policy(
        '<rewrite-uri template="/p/{part}?of={id}" />'))
    path = call(postern, api, "/items/7/parts/bolt?extra=1")["path"]
    assert path.split("?")[0] == "/base/p/bolt"
    assert set(path.split("?")[1].split("&")) == {"of=7", "extra=1"}
    postern.set_policy(f"/apis/{api}/operations/rewritten", policy(
        '<rewrite-uri template="/p/{part}?of={id}" copy-unmatched-params="false" />'))
    path = call(postern, api, "/items/7/parts/bolt?extra=1")["path"]
    assert path == "/base/p/bolt?of=7"


def test_set_backend_service_by_url(postern, api, echo):
    postern.set_policy(f"/apis/{api}", policy(
        f'<set-backend-service base-url="{echo.url}/other" />'))
    assert call(postern, api)["path"] == "/other/x"


def test_set_backend_service_by_backend_with_its_credentials(postern, api, echo):
    backend = service.unique("b")
    postern.put(f"/backends/{backend}", {
        "url": echo.url + "/entity", "protocol": "http",
        "credentials": {"header": {"x-key": ["k1"]}, "query": {"code": ["c1"]},
                        "authorization": {"scheme": "Custom", "parameter": "p1"}}})
    postern.set_policy(f"/apis/{api}", policy(
        f'<set-backend-service backend-id="{backend}" />'))
    seen = call(postern, api)
    assert seen["path"] == "/entity/x?code=c1"
    assert values(seen, "x-key") == ["k1"]
    assert values(seen, "authorization") == ["Custom p1"]


def test_a_changed_backend_is_used_by_the_next_request(postern, api, echo):
    backend = service.unique("b")
    for i in range(3):
        postern.put(f"/backends/{backend}", {"url": f"{echo.url}/v{i}", "protocol": "http"})
        if i == 0:
            postern.set_policy(f"/apis/{api}", policy(
                f'<set-backend-service backend-id="{backend}" />'))
        assert call(postern, api)["path"] == f"/v{i}/x"


def test_return_response_skips_the_backend_and_outbound(postern, api, echo):
    before = len(echo.seen)
    postern.set_policy(f"/apis/{api}", policy(
        '<return-response><set-status code="418" reason="Short and stout" />'
        '<set-header name="X-Tea"><value>green</value></set-header>'
        '<set-body>pot</set-body></return-response>',
        outbound='<set-header name="X-Out"><value>no</value></set-header>'))
    answer = postern.call(f"/{api}/x")
    assert (answer.status, answer.headers["X-Tea"], answer.text) == (418, "green", "pot")
    assert "X-Out" not in answer.headers
    assert len(echo.seen) == before


def test_return_response_in_outbound_replaces_the_answer(postern, api):
    postern.set_policy(f"/apis/{api}", policy(
        outbound='<return-response><set-status code="202" reason="Accepted" />'
                 '<set-body>mine</set-body></return-response>'))
    answer = postern.call(f"/{api}/x")
    assert (answer.status, answer.text) == (202, "mine")


def test_forward_request_timeout_is_500(postern, api, echo):
    import threading
    release = threading.Event()
    echo.route("/base/slow", lambda h: (release.wait(20), h.answer(200)))
    postern.set_policy(f"/apis/{api}", policy(backend='<forward-request timeout="1" />'))
    try:
        answer = postern.call(f"/{api}/slow")
    finally:
        release.set()
    assert answer.status == 500, answer
    assert answer.json()["statusCode"] == 500
    assert "imeout" in postern.log()


def test_no_forward_request_means_no_backend_call(postern, api, echo):
    before = len(echo.seen)
    postern.set_policy(f"/apis/{api}", (
        "<policies><inbound /><backend /><outbound>"
        '<set-header name="X-Out"><value>ran</value></set-header></outbound><on-error />'
        "</policies>"))
    answer = postern.call(f"/{api}/x")
    assert answer.status == 200 and answer.headers["X-Out"] == "ran"
    assert len(echo.seen) == before


def test_on_error_shapes_the_answer_of_a_failed_backend(postern):
    name = service.unique("onerror")
    postern.make_api(name, "https://localhost:1", policy(
        on_error='<set-header name="X-Failed"><value>yes</value></set-header>'))
    answer = postern.call(f"/{name}/x")
    assert answer.status == 500 and answer.headers["X-Failed"] == "yes"
    postern.set_policy(f"/apis/{name}", policy(
        on_error='<return-response><set-status code="503" reason="Later" />'
                 '<set-body>later</set-body></return-response>'))
    answer = postern.call(f"/{name}/x")
    assert (answer.status, answer.text) == (503, "later")


def test_scopes_nest_global_api_operation(own_postern, echo):
    postern = own_postern
    postern.make_api("scopes", echo.url)

    def mark(text):
        return (f'<set-header name="X-Order" exists-action="append"><value>{text}</value>'
                "</set-header>")

    postern.set_policy("", "<policies><inbound>" + mark("global") + "</inbound><backend>"
                       "<forward-request /></backend><outbound /><on-error /></policies>")
    postern.set_policy("/apis/scopes", policy(mark("api")))
    postern.set_policy("/apis/scopes/operations/get", policy(mark("operation")))

    def order(method="GET"):
        seen = postern.call("/scopes/x", method).json()
        return [v.strip() for line in values(seen, "x-order") for v in line.split(",")]

    assert order() == ["global", "api", "operation"]
    assert order("POST") == ["global", "api"]
    postern.set_policy("/apis/scopes", policy(mark("api"), base=False,
                                              backend="<base />"))
    assert order() == ["api", "operation"], "without base the parent does not run"
    postern.delete("/apis/scopes/operations/get/policies/policy")
    assert order() == ["api"]
    postern.delete("/apis/scopes/policies/policy")
    assert order() == ["global"]
    postern.delete("/policies/policy")
    assert order() == []


def test_policy_is_returned_in_both_formats(postern, api):
    document = policy('<set-header name="X-A"><value>a &amp; b</value></set-header>')
    created = postern.set_policy(f"/apis/{api}", document)
    assert created.json()["properties"]["value"]
    path = f"/apis/{api}/policies/policy"
    for form in ("xml", "rawxml"):
        answer = postern.arm("GET", f"{path}?format={form}")
        assert answer.status == 200 and answer.headers["ETag"]
        assert answer.json()["properties"]["format"] == form
        assert "a &amp; b" in answer.json()["properties"]["value"]
        again = postern.arm("PUT", path, {"properties": {
            "format": form, "value": answer.json()["properties"]["value"]}})
        assert again.status == 200, again
        assert values(call(postern, api), "x-a") == ["a & b"]


def test_missing_policy_is_404(postern, echo):
    name = service.unique("nopolicy")
    postern.make_api(name, echo.url)
    answer = postern.arm("GET", f"/apis/{name}/policies/policy?format=xml")
    assert answer.status == 404
    assert answer.json()["error"]["code"] == "ResourceNotFound"


BAD = {
    "unknown-element": ("<teleport />", "teleport"),
    "unknown-attribute": ('<rewrite-uri template="/x" colour="red" />', "colour"),
    "wrong-section": ("<forward-request />", "forward-request"),
    "missing-attribute": ("<rewrite-uri />", "template"),
    "unknown-certificate": ('<authentication-certificate certificate-id="nowhere" />', "nowhere"),
    "unknown-thumbprint": ('<authentication-certificate thumbprint="' + "0" * 40 + '" />',
                           "0" * 40),
    "no-certificate": ("<authentication-certificate />", "authentication-certificate"),
    "unknown-backend": ('<set-backend-service backend-id="nowhere" />', "nowhere"),
    "two-bases": ("<base />", "base"),
    "bad-action": ('<set-header name="x" exists-action="maybe"><value>v</value></set-header>',
                   "exists-action"),
    "bad-header-name": ('<set-header name="a b"><value>v</value></set-header>', "set-header"),
    "header-injection": ('<set-header name="x"><value>a&#13;&#10;b: c</value></set-header>',
                         "value"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_understood_is_refused_with_its_place(postern, api, case):
    statement, names = BAD[case]
    postern.set_policy(f"/apis/{api}", policy('<set-header name="X-Kept"><value>1</value>'
                                              "</set-header>"))
    answer = postern.set_policy(f"/apis/{api}", policy("\n    " + statement), (400,))
    error = answer.json()["error"]
    assert error["code"] == "ValidationError"
    text = str(error["details"])
    assert names in text, text
    if case not in ("unknown-backend",):
        assert "on line 2, column" in text, text
    assert values(call(postern, api), "x-kept") == ["1"], "a refused policy changed something"


@pytest.mark.parametrize("document", [
    "<policies><inbound></policies>", "", "<fragment />", "<policies><elsewhere /></policies>",
    "<policies><inbound /><inbound /></policies>", "no xml at all",
    '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><policies><inbound>'
    '<set-header name="x"><value>&e;</value></set-header></inbound></policies>',
    "<policies>" + "<inbound>" * 500 + "</inbound>" * 500 + "</policies>"],
    ids=["unclosed", "empty", "fragment", "section", "twice", "text", "entity", "deep"])
def test_a_broken_document_is_400(postern, api, document):
    answer = postern.set_policy(f"/apis/{api}", document, (400,))
    assert "root:" not in answer.text


def test_a_document_over_256_kb_is_400(postern, api):
    filler = "<!--" + "x" * (257 << 10) + "-->"
    postern.set_policy(f"/apis/{api}", policy(filler), (400,))


@pytest.mark.parametrize("way", ["certificate-id", "thumbprint", "thumbprint-lower", "body"])
def test_authentication_certificate_each_way(postern, ca, nginx, way):
    name = service.unique("way")
    identity = ca.client(name, "rsa2048")
    if way != "body":
        postern.upload(name, identity)
    statement = {
        "certificate-id": f'certificate-id="{name}"',
        "thumbprint": f'thumbprint="{identity.sha1}"',
        "thumbprint-lower": f'thumbprint="{identity.sha1.lower()}"',
        "body": f'body="{base64.b64encode(identity.pfx("p")).decode()}" password="p"'}[way]
    postern.make_api(name, nginx.url("good"),
                     policy(f"<authentication-certificate {statement} />"))
    seen = postern.call(f"/{name}/x").json()
    assert seen["sha1"].upper() == identity.sha1


def test_a_pfx_in_a_policy_is_not_returned_or_logged_in_clear(postern, ca, nginx):
    name = service.unique("inline")
    identity = ca.client(name)
    secret = "inline-password-4711"
    data = identity.pfx_base64(secret)
    postern.make_api(name, nginx.url("good"), policy(
        f'<authentication-certificate body="{data}" password="{secret}" />'))
    answer = postern.arm("GET", f"/apis/{name}/policies/policy?format=rawxml")
    assert secret not in answer.text and data not in answer.text
    assert secret not in postern.log()
    value = answer.json()["properties"]["value"]
    postern.set_policy(f"/apis/{name}", value)
    assert postern.call(f"/{name}/x").json()["sha1"].upper() == identity.sha1


def test_a_wrong_password_of_a_body_is_400(postern, ca, nginx):
    name = service.unique("inlinebad")
    postern.make_api(name, nginx.url("good"))
    data = ca.client(name).pfx_base64("right")
    answer = postern.set_policy(f"/apis/{name}", policy(
        f'<authentication-certificate body="{data}" password="wrong" />'), (400,))
    assert "password" in answer.text.lower()


def test_backend_certificate_and_policy_certificate_the_policy_wins(postern, ca, nginx, uploaded,
                                                                   clients):
    name = service.unique("both")
    postern.put(f"/backends/{name}", {
        "url": nginx.url("good"), "protocol": "http", "credentials": {
            "certificateIds": [f"{postern.service_id}/certificates/{uploaded['p256']}"]}})
    use = f'<set-backend-service backend-id="{name}" />'
    postern.make_api(name, nginx.url("good"), policy(use))
    assert postern.call(f"/{name}/x").json()["sha1"].upper() == clients["p256"].sha1
    postern.set_policy(f"/apis/{name}", policy(
        use + f'<authentication-certificate certificate-id="{uploaded["p384"]}" />'))
    assert postern.call(f"/{name}/x").json()["sha1"].upper() == clients["p384"].sha1


def test_backend_certificate_by_thumbprint(postern, nginx, uploaded, clients):
    name = service.unique("print")
    postern.put(f"/backends/{name}", {
        "url": nginx.url("good"), "protocol": "http",
        "credentials": {"certificate": [clients["rsa2048"].sha1]}})
    postern.make_api(name, nginx.url("good"), policy(
        f'<set-backend-service backend-id="{name}" />'))
    assert postern.call(f"/{name}/x").json()["sha1"].upper() == clients["rsa2048"].sha1
