# SPDX-License-Identifier: Apache-2.0
"""Who may call the management API: without a token 401, with a wrong one 401, without the right 403."""
import base64
import json
import time

import pytest


def test_without_a_token_the_answer_is_401(postern):
    answer = postern.arm("GET", "", token="")
    assert answer.status == 401
    assert answer.json()["error"]["code"] == "AuthenticationFailed"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def forged(token, **claims):
    head, body, signature = token.split(".")
    content = json.loads(base64.urlsafe_b64decode(body + "=="))
    content.update(claims)
    body = base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
    return f"{head}.{body}.{signature}"


def unsigned(token):
    body = token.split(".")[1]
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return f"{head}.{body}."


@pytest.mark.parametrize("spoil", [
    lambda t: "nonsense", lambda t: t[:-4], lambda t: t + "x",
    lambda t: forged(t, exp=int(time.time()) + 86400), lambda t: forged(t, oid="someone"),
    unsigned, lambda t: t.replace(".", "..")],
    ids=["nonsense", "cut", "longer", "later", "other-principal", "alg-none", "dots"])
def test_a_wrong_token_is_401(postern, spoil):
    answer = postern.arm("GET", "", token=spoil(postern.token()))
    assert answer.status == 401, answer
    assert answer.json()["error"]["code"].startswith(("InvalidAuthenticationToken",
                                                      "AuthenticationFailed"))


def test_a_token_for_the_vault_is_401_at_the_management_api(postern):
    answer = postern.arm("GET", "", token=postern.token(postern.vault_audience))
    assert answer.status == 401
    assert answer.json()["error"]["code"].startswith("InvalidAuthenticationToken")


def test_a_token_for_the_management_api_is_401_at_the_vault(postern):
    answer = postern.vault("GET", "/secrets", token=postern.token())
    assert answer.status == 401
    assert "AKV10022" in answer.json()["error"]["message"]


def test_basic_authorization_is_401(postern):
    answer = postern.session(postern.control).get(
        postern.service_id + "?api-version=2024-05-01", headers={"Authorization": "Basic eDp5"})
    assert answer.status == 401


def test_missing_api_version_is_400(postern):
    answer = postern.arm("GET", "", version=None)
    assert answer.status == 400
    assert answer.json()["error"]["code"] == "MissingApiVersionParameter"


def test_unknown_api_version_is_400(postern):
    answer = postern.arm("GET", "", version="2014-02-14")
    assert answer.status == 400
    assert answer.json()["error"]["code"] in ("InvalidApiVersionParameter",
                                              "NoRegisteredProviderFound")


@pytest.mark.parametrize("version", ["2020-12-01", "2021-08-01", "2023-05-01-preview",
                                     "2024-05-01", "2025-03-01-preview"])
def test_dated_api_versions_are_accepted(postern, version):
    assert postern.arm("GET", "", version=version).status == 200


def test_unknown_paths_are_404(postern):
    assert postern.arm("GET", "/nothing/here").status == 404
    assert postern.session(postern.control).get("/nothing").status in (401, 404)


def test_health_and_metrics_answer(postern):
    control = postern.session(postern.control)
    for path in ("/healthz", "/readyz"):
        assert control.get(path).status == 200, path
        assert postern.call(path).status == 200, path
    metrics = control.get("/metrics")
    assert metrics.status == 200
    assert "postern_identity_mismatch_total" in metrics.text
