# SPDX-License-Identifier: Apache-2.0
"""`compatibility: azure-strict | postern`: every quirk is documented, in the code, and does what the page says."""
import re

import pytest
from lab import people, service
from lab.service import policy, with_certificate
from test_generations import picky  # noqa: F401

SOURCE = service.ROOT / "src/arm"


@pytest.fixture(scope="module")
def strict(tmp_path_factory, trust):
    postern = service.Postern(tmp_path_factory.mktemp("strict"), environment=trust,
                              options=["--compatibility", "azure-strict"])
    postern.start()
    yield postern
    postern.stop()


@pytest.fixture(params=["postern", "azure-strict"])
def either(request, postern, strict):
    return (strict, True) if request.param == "azure-strict" else (postern, False)


def from_vault(postern, ca, name):
    identity = ca.client(name)
    assert postern.vault("POST", f"/certificates/{name}/import",
                         {"value": identity.pfx_base64("p"), "pwd": "p"}).status == 200
    postern.put(f"/certificates/{name}", {"keyVault": {"secretIdentifier": f"{postern.vault_url}/secrets/{name}"}})
    return identity


def flat_refresh_secret(either, ca):
    postern, is_strict = either
    name = service.unique("flat")
    identity = from_vault(postern, ca, name)
    answer = postern.arm("POST", f"/certificates/{name}/refreshSecret")
    body = answer.json()
    assert answer.status == 200 and answer.headers["ETag"] and body["name"] == name
    assert ("properties" in body) is not is_strict
    facts = body if is_strict else body["properties"]
    assert facts["thumbprint"] == identity.sha1 and facts["keyVault"]["lastStatus"]["code"] == "Success"


def no_warnings(either, ca):
    postern, is_strict = either
    name = service.unique("warned")
    answer = postern.upload(name, ca.client(name, begins=-9, days=2))
    for body in (answer.json(), postern.arm("GET", f"/certificates/{name}").json(),
                 next(c for c in postern.arm("GET", f"/certificates?$filter=name%20eq%20'{name}'").json()["value"])):
        assert ("warnings" in body["properties"]) is not is_strict


def no_innererror(either, ca):
    postern, is_strict = either
    body = {"properties": {"data": ca.client("x").pfx_base64("right"), "password": "wrong"}}
    answer = postern.arm("PUT", f"/certificates/{service.unique('refused')}", body)
    detail = answer.json()["error"]["details"][0]
    assert answer.status == 400 and ("innererror" in detail) is not is_strict
    assert set(detail) - {"innererror"} == {"code", "target", "message"}
    name = service.unique("used")
    postern.upload(name, ca.client(name))
    postern.make_api(name, "https://localhost:1", with_certificate(name))
    error = postern.arm("DELETE", f"/certificates/{name}", headers={"If-Match": "*"}).json()["error"]
    direct = f"The Certificate '{name}' is used by the following entities:\r\n/apis/{name}/policies/policy\r\n"
    if is_strict:
        assert error == {"code": "ValidationError", "message": direct, "details": None}
    else:
        assert error["message"].startswith(direct) and len(error["details"]) == 2


def no_orderby(either, ca):
    postern, is_strict = either
    stem = service.unique("order")
    for name, days in (("a", 5), ("b", 9), ("c", 7)):
        postern.upload(f"{stem}-{name}", ca.client(f"{stem}-{name}", days=days))
    flt = f"startswith(name,'{stem}')"

    def listed(order):
        query = f"/certificates?$filter={flt}&$orderby={order}".replace(" ", "%20")
        return [c["name"][-1] for c in postern.arm("GET", query).json()["value"]]
    assert listed("expirationDate") == (["a", "b", "c"] if is_strict else ["a", "c", "b"])
    assert listed("expirationDate desc") == (["a", "b", "c"] if is_strict else ["b", "c", "a"])
    assert listed("name desc") == (["a", "b", "c"] if is_strict else ["c", "b", "a"])
    if not is_strict:
        page = postern.arm("GET", f"/certificates?$filter={flt}&$orderby=name%20desc&$top=2".replace(" ", "%20")).json()
        assert [c["name"][-1] for c in page["value"]] == ["c", "b"] and page["count"] == 3
        following = postern.session(postern.control).call(
            "GET", page["nextLink"][len(postern.control):], None, {"Authorization": "Bearer " + postern.token()})
        assert [c["name"][-1] for c in following.json()["value"]] == ["a"]
        for wrong in ("color", "name sideways"):
            answer = postern.arm("GET", f"/certificates?$orderby={wrong}".replace(" ", "%20"))
            assert answer.status == 400 and "$orderby" in answer.text


def no_force(either, ca, other_ca, picky):
    postern, is_strict = either
    name = service.unique("forced")
    postern.upload(name, ca.client(name))
    postern.make_api(name, picky.url, with_certificate(name))
    body = {"properties": {"data": other_ca.client(name).pfx_base64("p"), "password": "p"}}
    assert postern.arm("PUT", f"/certificates/{name}?force=true", body).status == (409 if is_strict else 200)


def no_certificate_ids(either, ca):
    postern, is_strict = either
    name = service.unique("ids")
    postern.upload(name, ca.client(name))
    postern.make_api(name, "https://localhost:1")
    answer = postern.set_policy(f"/apis/{name}", policy(
        f'<authentication-certificate certificate-ids="{name}" />'), (201, 400))
    assert answer.status == (400 if is_strict else 201)
    assert not is_strict or "certificate-ids" in answer.json()["error"]["details"][0]["message"]


QUIRKS = {"flat-refresh-secret": flat_refresh_secret, "no-warnings": no_warnings, "no-innererror": no_innererror,
          "no-orderby": no_orderby, "no-force": no_force,
          "no-certificate-ids": no_certificate_ids}


@pytest.mark.parametrize("quirk", sorted(QUIRKS))
def test_each_quirk_is_as_the_page_says(either, ca, other_ca, picky, quirk):
    arguments = (other_ca, picky) if quirk == "no-force" else ()
    QUIRKS[quirk](either, ca, *arguments)


def test_the_page_and_the_code_have_the_same_quirks():
    code = dict(re.findall(r'X\((\w+), "([\w-]+)"\)', (SOURCE / "quirks.h").read_text()))
    page = (service.ROOT / "docs/compatibility.md").read_text()
    changed = page.split("## What the mode changes")[1].split("\n## ")[0]
    assert set(code.values()) == set(re.findall(r"^\| `([\w-]+)` \|", changed, re.M)) == set(QUIRKS)
    sources = "".join(path.read_text() for path in SOURCE.glob("*.c"))
    for symbol in code:
        assert f"ARM_QUIRK_{symbol})" in sources, f"{symbol} is in the table only"


@pytest.mark.parametrize("where", ["policy", "backend"])
def test_a_vault_certificate_by_thumbprint_is_refused_in_both(either, ca, nginx, where):
    postern, _ = either
    name = service.unique("print")
    identity = from_vault(postern, ca, name)
    if where == "policy":
        postern.make_api(name, nginx.url("good"))
        answer = postern.set_policy(f"/apis/{name}", policy(
            f'<authentication-certificate thumbprint="{identity.sha1}" />'), (400,))
    else:
        answer = postern.arm("PUT", f"/backends/{name}", {"properties": {
            "url": nginx.url("good"), "protocol": "http", "credentials": {"certificate": [identity.sha1]}}})
    assert answer.status == 400 and name in answer.text


# the `use` permission

@pytest.fixture(scope="module")
def linked(tmp_path_factory, trust, ca):
    postern = service.Postern(tmp_path_factory.mktemp("linked"), environment=trust,
                              options=["--linked-access-check", "on"])
    postern.start()
    postern.upload("mine", ca.client("mine"))
    postern.upload("theirs", ca.client("theirs"))
    postern.make_api("api", "https://localhost:1")
    yield postern
    postern.stop()


CASES = {  # where the caller is Contributor, besides what is written -> which certificates may be used
    "nowhere else": ((), ()), "one certificate": (("/certificates/mine",), ("mine",)),
    "both certificates": (("/certificates/mine", "/certificates/theirs"), ("mine", "theirs")),
    "the service": (("",), ("mine", "theirs"))}


@pytest.mark.parametrize("case", sorted(CASES))
@pytest.mark.parametrize("what", ["backend", "thumbprint", "policy", "patch"])
def test_who_names_a_certificate_needs_use_on_it(linked, ca, what, case):
    scopes, usable = CASES[case]
    app = people.Application(linked)
    backend = f"/backends/{service.unique('b')}"
    written = "/apis/api/policies/policy" if what == "policy" else backend
    for scope in (written, *scopes):
        app.assign("Contributor", linked.service_id + scope)
    if what == "patch":
        linked.put(backend, {"url": "https://localhost:1", "protocol": "http"})
    thumbprints = {c["name"]: c["properties"]["thumbprint"] for c in linked.arm("GET", "/certificates").json()["value"]}
    for name in ("mine", "theirs"):
        properties = {"url": "https://localhost:1", "protocol": "http", "credentials": {
            "certificateIds": [f"{linked.service_id}/certificates/{name}"]}}
        if what == "thumbprint":
            properties["credentials"] = {"certificate": [thumbprints[name]]}
        if what == "policy":
            properties = {"format": "rawxml", "value": with_certificate(name)}
        answer = app.arm("PATCH" if what == "patch" else "PUT", written, {"properties": properties},
                         headers={"If-Match": "*"})
        if name in usable:
            assert answer.status in (200, 201), answer
            continue
        error = answer.json()["error"]
        assert answer.status == 403 and error["code"] == "LinkedAuthorizationFailed", answer
        assert "Microsoft.ApiManagement/service/certificates/use/action" in error["message"]
        assert f"{linked.service_id}/certificates/{name}" in error["message"] and app.object_id in error["message"]
        assert app.arm("GET", written).status == (200 if what == "patch" or usable else 404) or what == "policy"


def test_without_the_setting_nobody_asks(postern, ca):
    app = people.Application(postern)
    backend, name = f"/backends/{service.unique('b')}", service.unique("c")
    postern.upload(name, ca.client(name))
    app.assign("Contributor", postern.service_id + backend)
    answer = app.arm("PUT", backend, {"properties": {"url": "https://localhost:1", "protocol": "http", "credentials": {
        "certificateIds": [f"{postern.service_id}/certificates/{name}"]}}})
    assert answer.status == 201, answer
