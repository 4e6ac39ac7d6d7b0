# SPDX-License-Identifier: Apache-2.0
"""Policy expressions: what a request gets by them, which client certificate, what is refused, and
what an evaluation may take."""
import json

import pytest
from lab import service
from lab.limits import Counted
from lab.service import policy

VALUES = {"expression-steps": "200", "expression-bytes": "65536", "expression-regex-steps": "200"}


@pytest.fixture(scope="module")
def postern(tmp_path_factory, trust):
    """Of this file alone: its expressions would be users of the certificates of all other tests."""
    instance = service.Postern(tmp_path_factory.mktemp("expressions"), environment=trust)
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture(scope="module")
def api(postern, echo):
    name = service.unique("expr")
    postern.make_api(name, echo.url + "/base")
    return name


def call(postern, api, path="/x", **more):
    answer = postern.call(f"/{api}{path}", **more)
    assert answer.status == 200, answer
    return answer.json()


def value(seen, name):
    return [v for n, v in seen["headers"] if n == name]


def header(name, expression):
    return f'<set-header name="{name}"><value>{expression}</value></set-header>'


def refused(postern, scope, document):
    answer = postern.set_policy(scope, document, expect=(400,))
    return answer.json()["error"]["details"][0]["message"]


def events(postern, **fields):
    return [line for line in postern.log().splitlines()
            if all(f"{name}={text}" in line for name, text in fields.items())]


# what a request gets


def test_values_of_the_request_reach_the_backend(postern, api):
    postern.set_policy(f"/apis/{api}", policy(
        header("X-Method", "@(context.Request.Method.ToLower())") +
        header("X-Tenant", '@(context.Request.Headers.GetValueOrDefault("X-Who", "nobody"))') +
        header("X-Url", '@(context.Request.OriginalUrl.Path + "|" + context.Request.Url.Path)') +
        header("X-Ip", "@(context.Request.IpAddress)") +
        header("X-Api", '@($"{context.Api.Id}/{context.Operation.Name}/{context.Deployment.ServiceName}")') +
        header("X-Cert", '@(context.Request.Certificate?.Thumbprint ?? "none")') +
        '<set-query-parameter name="n"><value>@(1 + 2)</value></set-query-parameter>'))
    seen = call(postern, api, "/a?q=1", headers={"X-Who": "Blue"})
    assert value(seen, "x-method") == ["get"]
    assert value(seen, "x-tenant") == ["Blue"]
    assert value(seen, "x-url") == [f"/{api}/a|/base/a"]
    assert value(seen, "x-ip") == ["127.0.0.1"]
    assert value(seen, "x-api") == [f"{api}/GET/{postern.ready['serviceName']}"]
    assert value(seen, "x-cert") == ["none"]
    assert seen["path"] == "/base/a?q=1&n=3"


def test_variables_go_from_section_to_section(postern, api):
    postern.set_policy(f"/apis/{api}", policy(
        '<set-variable name="n" value="@(20 + 1)" />'
        '<set-variable name="n" value="@((int)context.Variables["n"] * 2)" />'
        '<set-variable name="text" value="literal" />',
        outbound='<set-header name="X-N"><value>@{ var n = context.Variables.GetValueOrDefault<int>("n");'
                 ' if (n == 42 && context.Response.StatusCode == 200) { return (string)context.Variables["text"]; }'
                 ' return "no"; }</value></set-header>'
                 '<set-status code="@(200 + (int)context.Variables["n"] / 6)" reason="@("Made")" />'))
    answer = postern.call(f"/{api}/x")
    assert (answer.status, answer.headers["X-N"]) == (207, "literal")


def test_choose_takes_the_first_branch_that_holds(postern, api):
    postern.set_policy(f"/apis/{api}", policy(
        '<choose><when condition="@(context.Request.Headers.GetValueOrDefault("X-Who") == "a")">'
        + header("X-Branch", "one") +
        '</when><when condition="@(context.Request.Headers.ContainsKey("X-Who"))"><choose>'
        '<when condition="@(context.Request.Method != "GET")"><return-response>'
        '<set-status code="405" reason="No" /><set-body>@("not " + context.Request.Method)</set-body>'
        '</return-response></when><otherwise>' + header("X-Branch", "two") + '</otherwise></choose>'
        '</when><otherwise>' + header("X-Branch", "three") + '</otherwise></choose>' + header("X-After", "1")))
    for who, branch in (("a", "one"), ("b", "two"), (None, "three")):
        seen = call(postern, api, headers={"X-Who": who} if who else {})
        assert (value(seen, "x-branch"), value(seen, "x-after")) == ([branch], ["1"])
    answer = postern.call(f"/{api}/x", "DELETE", headers={"X-Who": "b"})
    assert (answer.status, answer.text) == (405, "not DELETE")


def test_uri_method_and_backend_by_expressions(postern, api, echo):
    backend = service.unique("by-name")
    postern.put(f"/backends/{backend}", {"url": echo.url + "/entity", "protocol": "http"})
    postern.set_policy(f"/apis/{api}", policy(
        '<set-method>@(context.Request.Headers.GetValueOrDefault("X-M", "GET"))</set-method>'
        '<rewrite-uri template="@("/r/" + context.Request.Method.ToLower())" />'
        '<choose><when condition="@(context.Request.Headers.ContainsKey("X-Url"))">'
        f'<set-backend-service base-url="@("{echo.url}" + "/other")" /></when><otherwise>'
        f'<set-backend-service backend-id="@("by-" + "{backend[3:]}")" /></otherwise></choose>'))
    assert call(postern, api)["path"] == "/entity/r/get"
    seen = call(postern, api, headers={"X-Url": "1", "X-M": "PUT"})
    assert (seen["path"], seen["method"]) == ("/other/r/put", "PUT")


def test_what_has_no_body_any_more_is_answered_without_one(postern, api):
    """The backend tells the length that a GET would have had; the client, who sent one, gets no bytes and waits for none."""
    postern.set_policy(f"/apis/{api}", policy("<set-method>HEAD</set-method>"))
    for _ in range(2):
        answer = postern.call(f"/{api}/x")
        assert (answer.status, answer.text) == (200, "")
    assert postern.call(f"/{api}/x", "HEAD").status == 200
    postern.set_policy(f"/apis/{api}", policy(outbound='<set-status code="204" reason="Nothing" />'))
    for _ in range(2):
        answer = postern.call(f"/{api}/x")
        assert (answer.status, answer.text, answer.headers["Content-Length"]) == (204, "", None)
    postern.set_policy(f"/apis/{api}", policy("<set-method>GET</set-method>"))
    answer = postern.call(f"/{api}/x", "HEAD")
    assert (answer.status, answer.text) == (200, "")


def test_credentials_by_expressions_are_held_to_the_rules(postern, api):
    postern.set_policy(f"/apis/{api}", policy(
        '<authentication-basic username="@(context.Request.Headers.GetValueOrDefault("X-Who"))" '
        'password="p&lt;w" />'))
    seen = call(postern, api, headers={"X-Who": "jo"})
    assert value(seen, "authorization") == ["Basic am86cDx3"]
    assert postern.call(f"/{api}/x", headers={"X-Who": "a:b"}).status == 500
    assert events(postern, code="expression_failed", api=api)


def test_a_header_gets_no_line_end_by_an_expression(postern, api):
    postern.set_policy(f"/apis/{api}", policy(
        header("X-Bad", '@(Uri.UnescapeDataString(context.Request.Url.Query.GetValueOrDefault("v", "")))')))
    assert value(call(postern, api, "/x?v=good"), "x-bad") == ["good"]
    assert postern.call(f"/{api}/x?v=a%250D%250AX-Evil%3A%201").status == 500


def test_what_throws_runs_on_error(postern, api, echo):
    postern.set_policy(f"/apis/{api}", policy(
        header("X", '@(context.Request.Headers["X-Missing"][0])'),
        on_error='<set-header name="X-Why"><value>@(context.LastError.Source + ":" + '
                 'context.LastError.Reason + ":" + context.LastError.Section)</value></set-header>'
                 '<return-response><set-status code="502" reason="Bad" /><set-header name="X-Why"><value>'
                 '@(context.LastError.Reason)</value></set-header><set-body>'
                 '@(context.LastError.Message)</set-body></return-response>'))
    before = len(echo.seen)
    answer = postern.call(f"/{api}/x")
    assert answer.status == 502
    assert answer.headers["X-Why"] == "ExpressionValueEvaluationFailure"
    assert answer.text.startswith("Expression evaluation failed. KeyNotFoundException: ")
    assert len(echo.seen) == before
    assert events(postern, code="expression_failed", api=api)


# which client certificate


@pytest.fixture(scope="module")
def tenants(postern, ca):
    """Two certificates, by name."""
    stem = service.unique("tenant")
    identities = {f"{stem}-{who}": ca.client(f"{stem}-{who}") for who in ("red", "blue")}
    for name, identity in identities.items():
        postern.upload(name, identity)
    return stem, identities


def by_header(stem):
    return policy('<authentication-certificate certificate-id="@("' + stem +
                  '-" + context.Request.Headers.GetValueOrDefault("X-Tenant", ""))" />')


def test_a_header_chooses_the_client_certificate(postern, nginx, tenants):
    stem, identities = tenants
    name = service.unique("chooses")
    postern.make_api(name, nginx.url("good"), by_header(stem))
    for who in ("red", "blue", "red", "blue"):
        answer = postern.call(f"/{name}/x", headers={"X-Tenant": who})
        assert answer.status == 200 and f"CN={stem}-{who}" in answer.text, answer


def test_a_thumbprint_from_an_expression(postern, nginx, tenants):
    stem, identities = tenants
    name = service.unique("print")
    red, blue = (identities[f"{stem}-{who}"].sha1 for who in ("red", "blue"))
    postern.make_api(name, nginx.url("good"), policy(
        f'<authentication-certificate thumbprint="@(context.Request.Method == "GET" ? "{red}" : '
        f'"{blue.lower()}")" />'))
    assert f"CN={stem}-red" in postern.call(f"/{name}/x").text
    assert f"CN={stem}-blue" in postern.call(f"/{name}/x", "POST", body=b"").text


@pytest.mark.parametrize("who, code", [("green", "certificate_unknown"), ("a/b", "expression_failed"),
                                       ("", "certificate_unknown")])
def test_an_unknown_certificate_reaches_nobody(postern, nginx, tenants, who, code):
    """500 with a cause in the log; nothing goes to the backend, neither without certificate nor with another one."""
    stem, _ = tenants
    name = service.unique("unknown")
    postern.make_api(name, nginx.url("open"), by_header(stem))
    assert postern.call(f"/{name}/known", headers={"X-Tenant": "red"}).status == 200
    answer = postern.call(f"/{name}/nobody-{name}", headers={"X-Tenant": who})
    assert answer.status == 500 and "activityId" in answer.json(), answer
    service.wait_for("the log line", lambda: events(postern, code=code, api=name))
    assert f"nobody-{name}" not in nginx.log()


def test_the_choice_of_an_outer_scope_is_not_kept_by_a_failing_one(postern, nginx, tenants):
    """The API names one certificate, the operation's expression fails: it is not the API's that is shown."""
    stem, _ = tenants
    name = service.unique("outer")
    postern.make_api(name, nginx.url("good"),
                     policy(f'<authentication-certificate certificate-id="{stem}-red" />'))
    postern.set_policy(f"/apis/{name}/operations/get", policy(
        '<authentication-certificate certificate-id="@(context.Request.Headers["X-Tenant"][0])" />'))
    assert postern.call(f"/{name}/x").status == 500
    answer = postern.call(f"/{name}/x", headers={"X-Tenant": f"{stem}-blue"})
    assert f"CN={stem}-blue" in answer.text


# who uses a certificate


def usage(postern, name):
    found = postern.arm("GET", f"/certificates/{name}/usage").json()["value"]
    return {entry["id"][len(postern.service_id):]: entry.get("dynamic", False) for entry in found}


def test_literals_of_an_expression_are_references(own_postern, ca, echo):
    postern = own_postern
    one, two = service.unique("one"), service.unique("two")
    for name in (one, two):
        postern.upload(name, ca.client(name))
    postern.make_api(one, echo.url, policy(
        f'<authentication-certificate certificate-id="@(context.Request.Method == "GET" ? "{one}" : "{two}")" />'))
    expect = {f"/apis/{one}/policies/policy": True, f"/apis/{one}": True}
    assert usage(postern, one) == expect and usage(postern, two) == expect
    error = postern.arm("DELETE", f"/certificates/{two}", headers={"If-Match": "*"}).json()["error"]
    assert error["code"] == "ValidationError" and f"/apis/{one}/policies/policy" in error["message"]
    assert "names it in an expression" in [d["message"] for d in error["details"]]
    assert all(user["dynamic"] for user in error["details"][0]["innererror"]["usage"])
    # Named outright as well, it is a reference as any other.
    postern.set_policy(f"/apis/{one}", policy(
        f'<choose><when condition="true"><authentication-certificate certificate-id="{two}" /></when></choose>'
        f'<authentication-certificate certificate-id="@(context.Api.Id == "x" ? "{one}" : "{two}")" />'))
    assert usage(postern, one) == expect
    assert usage(postern, two) == {path: False for path in expect}
    postern.set_policy(f"/apis/{one}", policy())
    for name in (one, two):
        assert usage(postern, name) == {}
        postern.delete(f"/certificates/{name}")


def test_an_expression_that_may_name_any_is_told_and_refuses_nothing(own_postern, ca, echo):
    """Alone it does not keep a certificate from being deleted; with other users it is among the details."""
    postern = own_postern
    for name in ("free", "used", "named"):
        postern.upload(name, ca.client(name))
    postern.make_api("open", echo.url, policy(
        '<set-variable name="which" value="@(context.Request.Method == "GET" ? "named" : "other")" />'
        '<authentication-certificate certificate-id="@((string)context.Variables["which"])" />'))
    postern.make_api("plain", echo.url, policy('<authentication-certificate certificate-id="used" />'))
    dynamic = {"/apis/open/policies/policy": True, "/apis/open": True}
    assert usage(postern, "free") == dynamic
    assert usage(postern, "used") == dict(dynamic, **{"/apis/plain/policies/policy": False, "/apis/plain": False})
    refusal = postern.arm("DELETE", "/certificates/used", headers={"If-Match": "*"})
    error = refusal.json()["error"]
    assert refusal.status == 400 and "/apis/plain/policies/policy\r\n" in error["message"]
    details = {detail["target"]: detail["message"] for detail in error["details"]}
    assert details["/apis/open/policies/policy"] == "may use it: an expression decides at run time"
    # A variable's literal that is a certificate's name counts as a name.
    refusal = postern.arm("DELETE", "/certificates/named", headers={"If-Match": "*"})
    assert refusal.status == 400 and "/apis/open/policies/policy" in refusal.json()["error"]["message"]
    postern.delete("/certificates/free")


def test_backends_by_an_expression_lead_to_their_certificates(own_postern, ca, echo):
    postern = own_postern
    for name in ("by-literal", "by-any", "alone"):
        postern.upload(name, ca.client(name))
    for name in ("by-literal", "by-any"):
        postern.put(f"/backends/{name}", {"url": "https://localhost:1", "protocol": "http", "credentials": {
            "certificateIds": [f"{postern.service_id}/certificates/{name}"]}})
    postern.make_api("lit", echo.url, policy(
        '<set-backend-service backend-id="@(context.Api.Id == "lit" ? "by-literal" : "no-such")" />'))
    postern.make_api("any", echo.url, policy(
        '<set-backend-service backend-id="@(context.Request.Headers["X"][0])" />'))
    anyone = {"/apis/any/policies/policy": True, "/apis/any": True}
    assert usage(postern, "by-literal") == dict(
        anyone, **{"/backends/by-literal": False, "/apis/lit/policies/policy": True, "/apis/lit": True})
    assert usage(postern, "by-any") == dict(anyone, **{"/backends/by-any": False})
    assert usage(postern, "alone") == {}
    assert postern.arm("DELETE", "/backends/by-literal", headers={"If-Match": "*"}).status == 400
    postern.delete("/backends/by-any")


def test_named_values_and_fragments_hold_expressions(postern, ca, api):
    """A value becomes a part of the expression's text; what a fragment's expression names is in use."""
    value_name, fragment = service.unique("nv"), service.unique("f")
    certificate = service.unique("in-fragment")
    postern.upload(certificate, ca.client(certificate))
    postern.put(f"/namedValues/{value_name}", {"displayName": value_name, "value": "a<b"}, expect=(200, 201, 202))
    postern.put(f"/policyFragments/{fragment}", {"format": "rawxml", "value":
        f'<fragment><choose><when condition="@(1 < 2 && "{{{{{value_name}}}}}".Contains("<"))">'
        + header("X-Fragment", "@(\"{{" + value_name + "}}\".Length)") +
        '</when></choose><choose><when condition="@(context.Request.Method == "TRACE")">'
        f'<authentication-certificate certificate-id="@(1 < 2 ? "{certificate}" : "{certificate}")" />'
        '</when></choose></fragment>'}, expect=(200, 201, 202))
    postern.set_policy(f"/apis/{api}", policy(
        f'<include-fragment fragment-id="{fragment}" />' + header("X-Nv", '@("{{' + value_name + '}}" + (1 < 2))')))
    seen = call(postern, api)
    assert (value(seen, "x-fragment"), value(seen, "x-nv")) == (["3"], ["a<bTrue"])
    used = usage(postern, certificate)
    assert used[f"/policyFragments/{fragment}"] and used[f"/apis/{api}/policies/policy"]
    assert postern.arm("DELETE", f"/certificates/{certificate}", headers={"If-Match": "*"}).status == 400


# formats and refusals


def test_both_formats_hold_the_same_expression(postern, api):
    raw = policy('<set-variable name="v" value="@(1 < 2 && "a" != "b" ? "<&>" : "no")" />')
    postern.set_policy(f"/apis/{api}", raw)
    texts = {}
    for form in ("xml", "rawxml"):
        texts[form] = postern.arm("GET", f"/apis/{api}/policies/policy?format={form}").json()["properties"]["value"]
    assert 'value="@(1 < 2 && "a" != "b" ? "<&>" : "no")"' in texts["rawxml"]
    assert 'value="@(1 &lt; 2 &amp;&amp; &quot;a&quot; != &quot;b&quot; ? &quot;&lt;&amp;&gt;&quot;' in texts["xml"]
    for form in ("xml", "rawxml"):
        postern.put(f"/apis/{api}/policies/policy", {"format": form, "value": texts[form]})
        again = postern.arm("GET", f"/apis/{api}/policies/policy?format=rawxml").json()["properties"]["value"]
        assert again == texts["rawxml"]


@pytest.mark.parametrize("inner, message", [
    ('<set-variable name="v" value="@(JObject.Parse("{}"))" />',
     "on line 3, column 33: policy expression: 'JObject' is not available in this release"),
    ('<set-variable name="v" value="@(context.Request.Body.As<string>())" />',
     "on line 3, column 49: policy expression: 'Body' is not available in this release"),
    ('<choose><when condition="@(1 + 1)" /></choose>',
     "on line 3, column 30: policy expression: the result must be a bool here, this is a int"),
    ('<set-variable name="v" value="@(Regex.IsMatch("", "("))" />',
     "the regular expression is not one"),
    ('<set-header name="a" exists-action="@("skip")"><value>1</value></set-header>',
     "the attribute 'exists-action' cannot be a policy expression"),
])
def test_what_is_not_available_is_refused_with_its_place(postern, api, inner, message):
    document = f"<policies>\n<inbound>\n{inner}\n</inbound></policies>"
    assert message in refused(postern, f"/apis/{api}", document)


def test_policy_check_finds_the_same(postern, tmp_path):
    import subprocess
    path = tmp_path / "policy.xml"
    path.write_text('<policies>\n<inbound>\n<set-variable name="v" value="@(foo)" />\n</inbound></policies>')
    done = subprocess.run([str(service.BIN / "postern"), "policy", "check", str(path)], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1
    assert "line 3, column 33" in done.stderr + done.stdout and "'foo' is not known" in done.stderr + done.stdout


# limits


@pytest.fixture(scope="module")
def narrow(tmp_path_factory, trust):
    options = [word for name, text in VALUES.items() for word in ("--limit", f"{name}={text}")]
    instance = service.Postern(tmp_path_factory.mktemp("narrow"), options, trust)
    instance.start()
    yield instance
    instance.stop()


@pytest.mark.parametrize("limit, expression", [
    ("expression-steps", '@{ var n = 0; foreach (var x in context.Request.Headers.GetValueOrDefault("X-T", "")'
                         ".Split(',')) { n += 1; } return n; }"),
    ("expression-bytes", '@(context.Request.Headers.GetValueOrDefault("X-T", "").Replace(",", "-".PadLeft(400)))'),
    ("expression-regex-steps", '@(Regex.IsMatch(context.Request.Headers.GetValueOrDefault("X-T", ""), "^(,+)+$"))')])
def test_an_evaluation_has_limits(narrow, echo, limit, expression):
    name = service.unique("narrow")
    narrow.make_api(name, echo.url, policy(header("X-R", expression)))
    assert narrow.call(f"/{name}/x", headers={"X-T": ",,"}).status == 200
    before = len(echo.seen)
    with Counted(narrow, limit):
        answer = narrow.call(f"/{name}/x", headers={"X-T": "," * 200 + "x"})
    assert answer.status == 500 and "activityId" in answer.json()
    assert len(echo.seen) == before
    service.wait_for("the log line", lambda: events(narrow, code="expression_limit", api=name))
    assert limit in events(narrow, code="expression_limit", api=name)[0]


def test_a_secret_is_in_no_message(postern, api):
    """What an expression works on is in no error and in no log line."""
    secret = service.unique("very-secret")
    postern.set_policy(f"/apis/{api}", policy(
        header("X", '@(int.Parse(context.Request.Headers.GetValueOrDefault("X-Secret", "")))'),
        on_error="<return-response><set-body>@(context.LastError.Message)</set-body></return-response>"))
    answer = postern.call(f"/{api}/x", headers={"X-Secret": secret})
    assert "FormatException" in answer.text and secret not in answer.text
    service.wait_for("the log line", lambda: events(postern, code="expression_failed", api=api))
    assert secret not in postern.log()


def test_the_portals_answer_has_the_place(postern, api):
    """The editor of the portal marks the line that the error names."""
    answer = postern.set_policy(f"/apis/{api}", "<policies>\n<inbound>\n<set-variable name='v'\nvalue='@(x)' />"
                                                "</inbound></policies>", expect=(400,))
    assert "on line 4, column 10" in json.dumps(answer.json())
