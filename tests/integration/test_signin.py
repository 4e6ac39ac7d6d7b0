# SPDX-License-Identifier: Apache-2.0
"""Local accounts and sessions of the portal, by raw requests: what an attacker would try."""
import base64
import hashlib
import secrets
import threading
import time
import urllib.parse
import uuid

import pytest

from lab import web

USERS = "/msgraph/v1.0/users"
PASSWORD = "correct horse battery"
PORTAL = "7d1a4c1e-5a0c-4d4f-9c39-3b0f6a5e0c11"
COOKIE = "__Host-postern-session"


def people(postern, method, path="", body=None):
    return web.Session(postern.control, postern.ca_file).call(
        method, USERS + path, body, {"Authorization": "Bearer " + postern.token()})


@pytest.fixture
def user(postern):
    name = "user" + uuid.uuid4().hex[:10]
    made = people(postern, "POST", body={"userPrincipalName": name, "displayName": name,
                                         "passwordProfile": {"password": PASSWORD}})
    assert made.status == 201, made
    return name


class Visitor:
    """A browser without its rules: sends the halves of its session as it likes."""

    def __init__(self, postern):
        self.postern = postern
        self.cookie = self.key = None

    def call(self, method, path, body=None, **headers):
        if self.cookie:
            headers.setdefault("Cookie", f"{COOKIE}={self.cookie}")
        if self.key:
            headers.setdefault("X-Postern-Session-Key", self.key)
        session = web.Session(self.postern.control, self.postern.ca_file)
        return session.call(method, path, body, headers)

    def sign_in(self, body, **headers):
        answer = self.call("POST", "/signin/session", body, **headers)
        if answer.status == 201:
            self.key = answer.json()["sessionKey"]
            self.cookie = answer.headers["Set-Cookie"].split(";")[0].split("=", 1)[1]
        return answer

    def signed_in_as(self):
        answer = self.call("GET", "/signin/session")
        assert answer.status == 200, answer
        return (answer.json().get("session") or {}).get("userName")


@pytest.fixture
def visitor(postern, user):
    one = Visitor(postern)
    answer = one.sign_in({"userName": user, "password": PASSWORD})
    assert answer.status == 201, answer
    assert one.signed_in_as() == user
    return one


def test_session_cookie_is_out_of_reach_of_scripts_and_other_sites(postern, user):
    answer = Visitor(postern).sign_in({"userName": user, "password": PASSWORD})
    attributes = [part.strip() for part in answer.headers["Set-Cookie"].split(";")[1:]]
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert not any(attribute.startswith("Domain") for attribute in attributes)


@pytest.mark.parametrize("half", ["cookie", "key"])
def test_half_of_a_session_is_worth_nothing(visitor, half):
    setattr(visitor, half, None)
    assert visitor.signed_in_as() is None


def test_halves_of_two_sessions_do_not_make_one(postern, user, visitor):
    other = Visitor(postern)
    assert other.sign_in({"userName": user, "password": PASSWORD}).status == 201
    visitor.key = other.key
    assert visitor.signed_in_as() is None


@pytest.mark.parametrize("headers", [
    {"Origin": "https://elsewhere.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"}])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_another_site_may_not(visitor, user, method, headers):
    body = {"userName": user, "password": PASSWORD} if method == "POST" else None
    answer = visitor.call(method, "/signin/session", body, **headers)
    assert answer.status == 403 and answer.json()["error"]["code"] == "CrossOrigin", answer
    assert visitor.signed_in_as() == user


@pytest.mark.parametrize("change", [{"accountEnabled": False},
                                    {"passwordProfile": {"password": "another long password"}}])
def test_session_ends_with_the_account_and_with_its_password(postern, visitor, user, change):
    assert people(postern, "PATCH", f"/{user}", change).status == 204
    assert visitor.signed_in_as() is None
    assert visitor.sign_in({"userName": user, "password": PASSWORD}).status == 401


def test_session_does_not_pass_to_a_new_account_of_the_same_name(postern, visitor, user):
    assert people(postern, "DELETE", f"/{user}").status == 204
    assert visitor.signed_in_as() is None
    made = people(postern, "POST", body={"userPrincipalName": user,
                                         "passwordProfile": {"password": PASSWORD}})
    assert made.status == 201, made
    assert visitor.signed_in_as() is None


@pytest.mark.parametrize("after", [0.01, 0.03, 0.06, 0.1, 0.15])
def test_changes_of_one_account_at_the_same_time_are_both_kept(postern, user, after):
    """Hashing a password takes long; an account that is switched off meanwhile stays off."""
    slow = threading.Thread(target=people, args=(
        postern, "PATCH", f"/{user}", {"passwordProfile": {"password": "another long password"}}))
    slow.start()
    time.sleep(after)
    assert people(postern, "PATCH", f"/{user}", {"accountEnabled": False}).status == 204
    slow.join()
    answer = people(postern, "GET", f"/{user}")
    assert answer.json()["accountEnabled"] is False, answer


def test_account_deleted_while_it_is_changed_stays_deleted(postern, user):
    slow = threading.Thread(target=people, args=(
        postern, "PATCH", f"/{user}", {"passwordProfile": {"password": "another long password"}}))
    slow.start()
    time.sleep(0.02)
    assert people(postern, "DELETE", f"/{user}").status == 204
    slow.join()
    assert people(postern, "GET", f"/{user}").status == 404


# ---- authorization codes --------------------------------------------------------------------

def ask_code(visitor, verifier, **more):
    challenge = hashlib.sha256(verifier.encode()).digest()
    fields = {"client_id": PORTAL, "redirect_uri": visitor.postern.control + "/signin/callback",
              "response_type": "code", "scope": visitor.postern.control + "/.default",
              "state": "s", "prompt": "none", "code_challenge_method": "S256",
              "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode()}
    fields.update(more)
    return visitor.call("GET", f"/{visitor.postern.tenant}/oauth2/v2.0/authorize?"
                        + urllib.parse.urlencode({k: v for k, v in fields.items() if v}))


def code_of(answer):
    assert answer.status == 302, answer
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(answer.headers["Location"]).query)
    assert query["state"] == ["s"]
    return query["code"][0]


def redeem(visitor, code, verifier, **more):
    fields = {"grant_type": "authorization_code", "client_id": PORTAL, "code": code,
              "redirect_uri": visitor.postern.control + "/signin/callback",
              "code_verifier": verifier}
    fields.update(more)
    return Visitor(visitor.postern).call(
        "POST", f"/{visitor.postern.tenant}/oauth2/v2.0/token", urllib.parse.urlencode(fields),
        **{"Content-Type": "application/x-www-form-urlencoded"})


def test_code_is_worth_one_token_to_who_knows_the_verifier(visitor):
    verifier = secrets.token_urlsafe(48)
    code = code_of(ask_code(visitor, verifier))
    assert redeem(visitor, code, verifier).status == 200
    assert redeem(visitor, code, verifier).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("wrong", [
    {"code_verifier": secrets.token_urlsafe(48)}, {"code_verifier": "short"},
    {"redirect_uri": "https://elsewhere.test/signin/callback"},
    {"client_id": "00000000-0000-0000-0000-000000000001"}])
def test_code_is_spent_by_a_wrong_attempt(visitor, wrong):
    verifier = secrets.token_urlsafe(48)
    code = code_of(ask_code(visitor, verifier))
    assert redeem(visitor, code, verifier, **wrong).status in (400, 401)
    assert redeem(visitor, code, verifier).json()["error"] == "invalid_grant"


def test_code_ends_with_its_session(visitor):
    verifier = secrets.token_urlsafe(48)
    code = code_of(ask_code(visitor, verifier))
    assert visitor.call("DELETE", "/signin/session").status == 204
    assert redeem(visitor, code, verifier).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("wrong", [
    {"redirect_uri": "https://elsewhere.test/signin/callback"},
    {"redirect_uri": "{control}/signin/callback/../../elsewhere"},
    {"redirect_uri": "{control}@elsewhere.test/signin/callback"},
    {"redirect_uri": None}, {"client_id": "00000000-0000-0000-0000-000000000001"}])
def test_nobody_is_led_to_another_address(visitor, wrong):
    wrong = {k: v.format(control=visitor.postern.control) if v else v for k, v in wrong.items()}
    answer = ask_code(visitor, secrets.token_urlsafe(48), **wrong)
    assert answer.status == 400 and "Location" not in answer.headers, answer


@pytest.mark.parametrize("wrong, error", [
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"code_challenge": None}, "invalid_request"),
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"scope": "https://elsewhere.test/.default"}, "invalid_scope")])
def test_authorization_refuses(visitor, wrong, error):
    answer = ask_code(visitor, secrets.token_urlsafe(48), **wrong)
    assert answer.status == 302 and f"error={error}" in answer.headers["Location"], answer
    assert "code=" not in answer.headers["Location"]


def test_without_a_session_there_is_no_code(postern):
    answer = ask_code(Visitor(postern), secrets.token_urlsafe(48))
    assert "error=login_required" in answer.headers["Location"], answer


def test_a_sign_in_leaves_the_service_ready(visitor):
    """A session is a change of the store that the gateway is not told of by itself."""
    answer = visitor.call("GET", "/readyz")
    assert (answer.status, answer.body) == (200, b"ready\n")
