# SPDX-License-Identifier: Apache-2.0
"""Event Grid tells of a new version: both schemas with their handshakes, who may tell, and whom it wakes."""
import json
import urllib.parse
import uuid

import pytest
from lab import service, web

PATH = "/postern/eventgrid"


@pytest.fixture(scope="module")
def deaf(tmp_path_factory, trust):
    """A Postern that polls once an hour: what happens sooner was told."""
    postern = service.Postern(tmp_path_factory.mktemp("deaf"), environment=trust,
                              options=["--rotation-interval", "3600"])
    postern.start()
    yield postern
    postern.stop()


def code(postern):
    path = postern.data / "eventgrid.secret"
    assert path.stat().st_mode & 0o777 == 0o600
    return path.read_text().strip()


def send(postern, body, method="POST", secret=None, token=None, **headers):
    secret = code(postern) if secret is None else secret
    path = PATH + (f"?code={urllib.parse.quote(secret)}" if secret else "")
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        headers["Authorization"] = "Bearer " + token
    session = web.Session(postern.control, postern.ca_file)
    return session.call(method, path, body if isinstance(body, (str, bytes)) or body is None else
                        json.dumps(body), headers)


def event(postern, name, kind="Certificate", origin=None, version="0" * 32):
    origin = origin or postern.vault_url
    collection = {"Certificate": "certificates", "Secret": "secrets"}[kind]
    return {"id": str(uuid.uuid4()), "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v",
            "subject": name, "eventType": f"Microsoft.KeyVault.{kind}NewVersionCreated", "dataVersion": "1",
            "metadataVersion": "1", "eventTime": "2026-11-01T10:00:00.0000000Z",
            "data": {"Id": f"{origin}/{collection}/{name}/{version}", "VaultName": "local", "ObjectType": kind,
                     "ObjectName": name, "Version": version, "NBF": 1, "EXP": 2}}


def cloud_event(postern, name, **more):
    grid = event(postern, name, **more)
    return {"specversion": "1.0", "id": grid["id"], "source": grid["topic"], "subject": grid["subject"],
            "type": grid["eventType"], "time": grid["eventTime"], "data": grid["data"]}


def follow(postern, ca, name):
    """A certificate that follows a vault object, and the number of polls of it so far."""
    identity = ca.client(name)
    assert postern.vault("POST", f"/certificates/{name}/import",
                         {"value": identity.pfx_base64("p"), "pwd": "p"}).status == 200
    postern.put(f"/certificates/{name}", {"keyVault": {"secretIdentifier": f"{postern.vault_url}/secrets/{name}"}})


def polls(postern, name):
    return postern.log().count(f"event=vault_object_told origin={postern.vault_url} name={name} ")


@pytest.mark.parametrize("kind", ["Certificate", "Secret"])
@pytest.mark.parametrize("schema", ["grid", "cloud", "cloud-batch"])
def test_an_event_wakes_exactly_who_follows_that_object(deaf, ca, schema, kind):
    name, other = service.unique("told"), service.unique("other")
    follow(deaf, ca, name)
    follow(deaf, ca, other)
    if schema == "grid":
        answer = send(deaf, [event(deaf, name, kind)], aeg_event_type="Notification",
                      Content_Type="application/json; charset=utf-8")
    elif schema == "cloud":
        answer = send(deaf, cloud_event(deaf, name, kind=kind), Content_Type="application/cloudevents+json")
    else:
        answer = send(deaf, [cloud_event(deaf, name, kind=kind)],
                      Content_Type="application/cloudevents-batch+json; charset=utf-8")
    assert answer.status == 200, answer
    service.wait_for("the poll", lambda: polls(deaf, name) == 1)
    assert polls(deaf, other) == 0


def test_event_grid_is_answered_its_validation_code(deaf):
    handshake = [{"id": "1", "topic": "/t", "subject": "", "eventTime": "2026-11-01T10:00:00Z", "metadataVersion": "1",
                  "dataVersion": "2", "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {
                      "validationCode": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6",
                      "validationUrl": "https://rp-eastus2.eventgrid.azure.net/validate?id=1"}}]
    answer = send(deaf, handshake, aeg_event_type="SubscriptionValidation")
    assert answer.status == 200
    assert answer.json() == {"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}
    assert answer.headers["Content-Type"].startswith("application/json")
    assert send(deaf, handshake, aeg_event_type="SubscriptionValidation", secret="").status == 401


def test_cloud_events_ask_by_options(deaf):
    answer = send(deaf, None, "OPTIONS", WebHook_Request_Origin="eventgrid.azure.net", WebHook_Request_Rate="120")
    assert answer.status == 200, answer
    assert answer.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"
    assert answer.headers["WebHook-Allowed-Rate"] == "120"
    assert send(deaf, None, "OPTIONS").status == 400
    assert send(deaf, None, "OPTIONS", secret="", WebHook_Request_Origin="eventgrid.azure.net").status == 401


def test_who_may_not_tell_is_refused(deaf, ca):
    name = service.unique("refused")
    follow(deaf, ca, name)
    body = [event(deaf, name)]
    for secret in ("", "wrong", code(deaf)[:-1], code(deaf) + "x"):
        answer = send(deaf, body, secret=secret)
        assert answer.status == 401 and "WWW-Authenticate" in answer.headers, answer
        assert code(deaf) not in answer.text
    assert send(deaf, body, secret="", token="ey.no.token").status == 401
    assert send(deaf, body, secret="", token=deaf.token(deaf.vault_audience)).status == 401
    assert polls(deaf, name) == 0
    assert send(deaf, body, secret="", token=deaf.token()).status == 200
    service.wait_for("the poll", lambda: polls(deaf, name) == 1)
    assert code(deaf) not in deaf.log()


@pytest.mark.parametrize("body, word", [
    ("", "empty"), ("{", "JSON"), ("[]", "no event"), ("[1]", "object"), ("3", "object"),
    ([{"eventType": "Microsoft.KeyVault.CertificateNewVersionCreated"}], "data.Id"),
    ([{"eventType": "Microsoft.KeyVault.CertificateNewVersionCreated", "data": {"Id": "http://v/certificates/c"}}],
     "data.Id"),
    ([{"eventType": "Microsoft.KeyVault.CertificateNewVersionCreated", "data": {"Id": 7}}], "data.Id"),
    ([{"data": {}}], "eventType"), ({"specversion": "0.3", "type": "x", "id": "1", "source": "s"}, "specversion"),
    ([{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {}}], "validationCode"),
    ([{"eventType": "a.b", "data": {}}] * 1001, "1000")])
def test_wrong_input_is_told_and_wakes_nobody(deaf, body, word):
    answer = send(deaf, body)
    assert answer.status == 400 and word in answer.json()["error"]["message"], answer


def test_what_does_not_concern_us_is_taken_and_left(deaf):
    for kind in ("Microsoft.KeyVault.CertificateNearExpiry", "Microsoft.Storage.BlobCreated"):
        assert send(deaf, [dict(event(deaf, "x"), eventType=kind)]).status == 200
    assert send(deaf, [event(deaf, "nobody-follows-this")]).status == 200
    assert send(deaf, [event(deaf, "x", origin="https://elsewhere.vault.azure.net")]).status == 200
    answer = send(deaf, None, "GET")
    assert answer.status == 405 and answer.headers["Allow"] == "OPTIONS, POST"


def test_the_secret_can_be_replaced(own_postern):
    before = code(own_postern)
    ready = own_postern.ready
    own_postern.stop()
    own_postern.start(ready)
    assert code(own_postern) == before
    own_postern.stop()
    (own_postern.data / "eventgrid.secret").unlink()
    own_postern.start(ready)
    assert code(own_postern) != before
    assert send(own_postern, [event(own_postern, "x")], secret=before).status == 401
    assert send(own_postern, [event(own_postern, "x")]).status == 200
