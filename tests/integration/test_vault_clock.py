# SPDX-License-Identifier: Apache-2.0
"""What the embedded vault does by its own clock, which these tests move, and whom it tells."""
import base64
import time

import pytest
from cryptography import x509
from lab import service
from lab.service import wait_for
from lab.webhook import Webhook

DAY = 86400
EVENTS = "/providers/Microsoft.EventGrid/eventSubscriptions"


@pytest.fixture
def hook():
    webhook = Webhook()
    yield webhook
    webhook.stop()


def move(postern, days, *options):
    """The same vault, so many days later."""
    if postern.process:
        postern.stop()
    postern.environment["PN_VAULT_CLOCK"] = str(days * DAY)
    postern.options = list(options)
    postern.start(postern.ready)


def vault_id(postern, name="local"):
    return f"{postern.group}/providers/Microsoft.KeyVault/vaults/{name}"


def subscribe(postern, hook, name="hook", expect=(200, 201), **properties):
    answer = postern.arm("PUT", vault_id(postern) + EVENTS + "/" + name, {"properties": {
        "destination": {"endpointType": "WebHook", "properties": {"endpointUrl": hook.url}},
        **properties}}, version="2022-06-15")
    assert answer.status in expect, answer
    return answer.json()


def ok(answer, status=200):
    assert answer.status == status, answer
    return answer.json()


def certificate(bundle):
    return x509.load_der_x509_certificate(base64.b64decode(bundle["cer"]))


def create(postern, name, issuer, **more):
    policy = {"x509_props": {"subject": f"CN={name}", "validity_months": 12},
              "issuer": {"name": issuer}, "key_props": {"kty": "EC", "crv": "P-256", **more}}
    ok(postern.vault("POST", f"/certificates/{name}/create", {"policy": policy}), 202)
    return ok(postern.vault("GET", f"/certificates/{name}/"))


def test_a_year_of_a_vault(own_postern, hook):
    postern = own_postern
    now = int(time.time())
    subscribe(postern, hook)
    ok(postern.vault("PUT", "/certificates/issuers/our-ca", {"provider": "PosternCA"}))
    first = {"self": create(postern, "self", "Self"), "reuse": create(postern, "reuse", "Self",
             reuse_key=True), "ours": create(postern, "ours", "our-ca")}
    ok(postern.vault("POST", "/keys/key/create", {"kty": "EC"}))
    ok(postern.vault("PUT", "/keys/key/rotationpolicy", {
        "lifetimeActions": [{"trigger": {"timeAfterCreate": "P30D"}, "action": {"type": "Rotate"}}],
        "attributes": {"expiryTime": "P120D"}}))
    ok(postern.vault("PUT", "/secrets/ends", {"value": "x",
                                              "attributes": {"exp": now + 60 * DAY}}))
    ok(postern.vault("PUT", "/secrets/gone", {"value": "x"}))
    ok(postern.vault("DELETE", "/secrets/gone"))
    wait_for("the events of what is new", lambda: len(hook.events) >= 6)
    assert hook.seen() == [("CertificateNewVersionCreated", n) for n in ("self", "reuse", "ours")] \
        + [("KeyNewVersionCreated", "key"), ("SecretNewVersionCreated", "ends"),
           ("SecretNewVersionCreated", "gone")]
    event = hook.events[4]
    assert event["topic"] == vault_id(postern) and event["dataVersion"] == "1"
    assert event["data"]["Id"].startswith(f"{postern.vault_url}/secrets/ends/")
    assert (event["data"]["EXP"], event["data"]["ObjectType"], event["data"]["VaultName"]) == \
        (now + 60 * DAY, "Secret", "local")

    move(postern, 40)
    wait_for("the new key", lambda: hook.seen("KeyNewVersionCreated")[1:])
    versions = ok(postern.vault("GET", "/keys/key/versions"))["value"]
    assert len(versions) == 2
    newest = ok(postern.vault("GET", "/keys/key"))
    assert 159 <= (newest["attributes"]["exp"] - now) / DAY <= 161
    assert wait_for("near", lambda: hook.seen("SecretNearExpiry")) == [("SecretNearExpiry", "ends")]

    move(postern, 100)  # the purge waits: the clock was not seen going steadily
    wait_for("expired", lambda: hook.seen("SecretExpired"))
    assert ok(postern.vault("GET", "/deletedsecrets/gone"))["scheduledPurgeDate"] < now + 100 * DAY

    move(postern, 100, "--limit", "vault-purge-delay=0")
    wait_for("the purge", lambda: postern.vault("GET", "/deletedsecrets/gone").status == 404)
    ok(postern.vault("PUT", "/secrets/gone", {"value": "its name is free"}))

    move(postern, 300)
    for name, bundle in first.items():
        wait_for(f"the renewal of {name}", lambda name=name: len(ok(postern.vault(
            "GET", f"/certificates/{name}/versions"))["value"]) == 2)
        after = ok(postern.vault("GET", f"/certificates/{name}/"))
        assert after["id"] != bundle["id"]
        assert after["attributes"]["exp"] > bundle["attributes"]["exp"] + 250 * DAY
        same = certificate(after).public_key().public_numbers() == \
            certificate(bundle).public_key().public_numbers()
        assert same == (name == "reuse"), name
        operation = ok(postern.vault("GET", f"/certificates/{name}/pending"))
        assert operation["status"] == "completed"
    issuer = ok(postern.vault("GET", "/certificates/issuers/our-ca"))
    ca = x509.load_der_x509_certificate(base64.b64decode(issuer["ca"]["cer"]))
    assert certificate(ok(postern.vault("GET", "/certificates/ours/"))).issuer == ca.subject
    # Nothing is done twice: once told, an end is not told again after a restart.
    assert len(hook.seen("SecretExpired")) == len(hook.seen("SecretNearExpiry")) == 1
    move(postern, -1000)  # and a clock that goes back undoes nothing
    assert len(ok(postern.vault("GET", "/certificates/self/versions"))["value"]) == 2


def test_a_renewal_that_fails_is_told_and_the_version_stays(own_postern):
    postern = own_postern
    ok(postern.vault("PUT", "/certificates/issuers/ca", {"provider": "PosternCA"}))
    before = create(postern, "c", "ca")
    ok(postern.vault("PATCH", "/certificates/issuers/ca", {"attributes": {"enabled": False}}))
    move(postern, 300)
    wait_for("the failure", lambda: ok(postern.vault("GET", "/certificates/c/pending"))["status"]
             == "failed")
    assert "disabled" in ok(postern.vault("GET", "/certificates/c/pending"))["error"]["message"]
    assert ok(postern.vault("GET", "/certificates/c/"))["id"] == before["id"]
    ok(postern.vault("PATCH", "/certificates/issuers/ca", {"attributes": {"enabled": True}}))
    move(postern, 301)
    wait_for("the renewal", lambda: ok(postern.vault("GET", "/certificates/c/"))["id"]
             != before["id"])


def test_events_wait_for_their_webhook_over_a_kill(own_postern, hook):
    postern = own_postern
    answer = subscribe(postern, hook, filter={
        "includedEventTypes": ["Microsoft.KeyVault.SecretNewVersionCreated"],
        "subjectBeginsWith": "wait"})
    assert answer["properties"]["destination"]["properties"]["endpointBaseUrl"] == \
        hook.url.split("?")[0]
    path = vault_id(postern) + EVENTS
    shown = postern.arm("GET", path, version="2022-06-15")
    assert "needle-of-the-hook" not in shown.text
    full = postern.arm("POST", f"{path}/hook/getFullUrl", version="2022-06-15").json()
    assert full == {"endpointUrl": hook.url}
    hook.status = 503
    for i in range(3):
        ok(postern.vault("PUT", f"/secrets/wait-{i}", {"value": "needle-of-the-secret"}))
    ok(postern.vault("PUT", "/secrets/other", {"value": "x"}))
    ok(postern.vault("POST", "/keys/wait-key/create", {"kty": "EC"}))
    wait_for("a try", lambda: hook.attempts > 0)
    assert not hook.events
    family = postern.family()
    postern.kill()
    wait_for("the end of all", lambda: not any(
        service.executable_of(p).startswith("postern") for p in family))
    hook.status = 200
    postern.environment["PN_VAULT_CLOCK"] = "60"  # the next try is due
    postern.start(postern.ready)
    wait_for("the events", lambda: len(hook.events) >= 3)
    assert hook.seen() == [("SecretNewVersionCreated", f"wait-{i}") for i in range(3)]
    assert "needle" not in str(hook.events)
    hook.status = 400  # given up at once
    ok(postern.vault("PUT", "/secrets/wait-3", {"value": "x"}))
    wait_for("the end", lambda: "event=vault_event_given_up" in postern.log())
    assert postern.arm("DELETE", f"{path}/hook", version="2022-06-15").status == 200
    assert postern.arm("GET", path, version="2022-06-15").json()["value"] == []


def test_a_queue_has_an_end(own_postern, hook):
    move(own_postern, 0, "--limit", "vault-events=2")
    subscribe(own_postern, hook)
    hook.status = 500
    for i in range(5):
        ok(own_postern.vault("PUT", f"/secrets/s{i}", {"value": "x"}))
    text = own_postern.session(own_postern.control).get("/metrics").text
    assert 'postern_limit_hits_total{limit="vault-events"} 3' in text, \
        [line for line in text.splitlines() if "vault-events" in line]


@pytest.mark.parametrize("case", ["no-handshake", "http", "http-127", "link-local", "mapped", "6to4",
                                  "number", "metadata", "schema", "name", "type"])
def test_what_is_no_webhook_is_refused(postern, hook, case):
    hook.validates = case != "no-handshake"
    guarded = {"link-local": "169.254.169.254", "mapped": "[::ffff:169.254.169.254]",
               "6to4": "[2002:a9fe:a9fe::1]", "number": "2852039166", "metadata": "168.63.129.16"}
    url = {"http": "http://hooks.example/x", "http-127": "http://127.example/x",
           **{name: f"https://{host}/x" for name, host in guarded.items()}}
    body = {"destination": {"endpointType": "EventHub" if case == "type" else "WebHook",
                            "properties": {"endpointUrl": url.get(case, hook.url)}}}
    if case == "schema":
        body["eventDeliverySchema"] = "CustomInputSchema"
    name = "x!" if case == "name" else service.unique("hook")
    answer = postern.arm("PUT", f"{vault_id(postern)}{EVENTS}/{name}", {"properties": body},
                         version="2022-06-15")
    assert answer.status == 400, answer
    assert postern.arm("GET", f"{vault_id(postern)}{EVENTS}/{name}",
                       version="2022-06-15").status == 404
    if case in guarded:
        assert "no connection is made on behalf of others" in answer.text, answer
        assert postern.metric("postern_outbound_denied_total", kind="webhook",
                              rule="guarded-address") >= 1
    if case == "http-127":
        assert "must be an https URL" in answer.text, answer


def test_requests_above_the_limit_are_throttled(own_postern):
    move(own_postern, 0, "--limit", "vault-key-operations=3")
    ok(own_postern.vault("POST", "/keys/k/create", {"kty": "EC"}))
    body = {"alg": "ES256", "value": base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")}
    answers = [own_postern.vault("POST", "/keys/k/sign", body) for _ in range(4)]
    assert [a.status for a in answers] == [200, 200, 200, 429]
    assert answers[3].json()["error"]["code"] == "Throttled"
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 10
    ok(own_postern.vault("GET", "/keys/k"))  # another class


def test_a_deleted_vault_is_purged_by_the_clock_alone(own_postern):
    postern = own_postern
    body = {"location": "local", "properties": {
        "tenantId": postern.tenant, "sku": {"family": "A", "name": "standard"},
        "softDeleteRetentionInDays": 7, "accessPolicies": []}}
    shown = f"{postern.subscription}/providers/Microsoft.KeyVault/locations/local/deletedVaults/gone"

    def arm(method, path, body=None):
        return postern.arm(method, path, body, version="2022-07-01")

    ok(arm("PUT", vault_id(postern, "gone"), body), 201)
    ok_status = arm("DELETE", vault_id(postern, "gone"))
    assert ok_status.status == 200
    move(postern, 100)  # a clock that jumped: looking shows nothing, and destroys nothing
    assert arm("GET", shown).status == 404
    taken = arm("PUT", vault_id(postern, "gone"), body)
    assert taken.status == 409 and "recover or purge" in taken.text, taken
    move(postern, 0)
    ok(arm("GET", shown))
    body["properties"]["createMode"] = "recover"
    ok(arm("PUT", vault_id(postern, "gone"), body), 201)
    assert arm("DELETE", vault_id(postern, "gone")).status == 200
    move(postern, 100, "--limit", "vault-purge-delay=0")
    del body["properties"]["createMode"]
    wait_for("the purge, which nobody asks for",
             lambda: "event=vault_purged vault=gone" in postern.log())
    ok(arm("PUT", vault_id(postern, "gone"), body), 201)
