# SPDX-License-Identifier: Apache-2.0
"""gRPC from @grpc/grpc-js through the gateway to a gRPC server that demands a client certificate."""
import urllib.parse

import pytest
from lab import backends, nodes, service
from lab.service import policy, wait_for

OK, CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION = 0, 1, 4, 8, 9
UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 12, 13, 14, 16


@pytest.fixture(scope="module")
def server(ca, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grpc")
    crt, key = ca.server().write(folder, "server")
    ca_file = folder / "client-ca.crt"
    ca_file.write_bytes(ca.certificate_pem)
    process = nodes.Node("grpc.mjs", serve=True, cert=str(crt), key=str(key), clientCa=str(ca_file))
    yield process
    process.stop()


@pytest.fixture(scope="module")
def api(postern, server, uploaded):
    """An API of type grpc: its backend is spoken to over HTTP/2 without a word in the policy."""
    name = service.unique("grpc")
    postern.make_api(name, server.url, policy(
        f'<authentication-certificate certificate-id="{uploaded["p256"]}" />'), type="grpc")
    return name


def ask(postern, api, *calls):
    target = urllib.parse.urlsplit(postern.gateway_tls).netloc
    return nodes.run("grpc.mjs", target=target, ca=postern.ca_file, path=f"/{api}/test.Echo",
                     calls=calls)


def test_a_unary_call_carries_the_certificate_and_its_trailers(postern, api, clients):
    seen, = ask(postern, api, {"kind": "unary", "method": "Unary", "body": "hello"})
    assert (seen["code"], seen["body"]) == (OK, "hello"), seen
    assert seen["trailers"]["x-subject"] == clients["p256"].common_name


def test_an_error_is_trailers_only_and_keeps_its_code(postern, api):
    seen, = ask(postern, api, {"kind": "unary", "method": "Fail"})
    assert (seen["code"], seen["details"], seen["why"]) == (
        FAILED_PRECONDITION, "not now", "on purpose")


def test_a_client_streams(postern, api):
    seen, = ask(postern, api, {"kind": "collect", "count": 300, "size": 50000})
    assert (seen["code"], seen["body"]) == (OK, str(300 * 50000)), seen


def test_a_server_streams(postern, api):
    seen, = ask(postern, api, {"kind": "burst", "count": 300, "size": 50000})
    assert seen == {"messages": 300, "bytes": 300 * 50000, "code": OK}


def test_both_stream_at_the_same_time(postern, api):
    """Each message waits for the echo of the one before: nothing on the way may be held back."""
    seen = ask(postern, api, *[{"kind": "chat", "count": 100}] * 10)
    assert seen == [{"turns": 100, "code": OK}] * 10


def test_a_cancelled_call_is_cancelled_at_the_server(postern, api):
    def cancelled():
        seen, = ask(postern, api, {"kind": "unary", "method": "Unary"})
        return int(seen["trailers"]["x-cancelled"])
    before = cancelled()
    seen = ask(postern, api, {"kind": "unary", "method": "Hang", "cancelMs": 200},
               {"kind": "burst", "count": 100000, "size": 10000, "cancelAfter": 3})
    assert [s["code"] for s in seen] == [CANCELLED, CANCELLED], seen
    wait_for("both cancelled at the server", lambda: cancelled() == before + 2)
    wait_for("no stream is left", lambda: postern.metric("postern_backend_streams") == 0)


def test_the_deadline_of_the_client_ends_the_call(postern, api):
    seen, = ask(postern, api, {"kind": "unary", "method": "Hang", "deadlineMs": 300})
    assert seen["code"] == DEADLINE_EXCEEDED


def test_many_calls_share_the_connections(postern, api):
    before = postern.metric("postern_backend_connected_total")
    seen = ask(postern, api, *[{"kind": "unary", "method": "Unary", "body": str(i)}
                               for i in range(200)])
    assert [s["body"] for s in seen] == [str(i) for i in range(200)]
    assert postern.metric("postern_backend_connected_total") - before <= 10
    assert postern.metric("postern_identity_mismatch_total") == 0


def test_errors_of_the_gateway_have_a_status_of_grpc(postern, server, uploaded):
    inbound = f'<authentication-certificate certificate-id="{uploaded["p256"]}" />'
    name = service.unique("grpc-slow")
    postern.make_api(name, server.url, policy(
        inbound, '<forward-request timeout-ms="300" />'), type="grpc")
    seen, = ask(postern, name, {"kind": "unary", "method": "Hang"})
    assert seen["code"] == DEADLINE_EXCEEDED, seen
    name = service.unique("grpc-away")
    postern.make_api(name, f"https://localhost:{backends.free_port()}", type="grpc")
    seen, = ask(postern, name, {"kind": "unary", "method": "Unary"})
    assert (seen["code"], seen["details"]) == (UNAVAILABLE, "Internal server error"), seen
    name = service.unique("grpc-key")
    postern.make_api(name, server.url, subscription_required=True, type="grpc")
    seen, = ask(postern, name, {"kind": "unary", "method": "Unary"})
    assert seen["code"] == UNAUTHENTICATED and "subscription key" in seen["details"], seen
    seen, = ask(postern, service.unique("nowhere"), {"kind": "unary", "method": "Unary"})
    assert seen["code"] == UNIMPLEMENTED, seen


@pytest.fixture(scope="module")
def narrow(tmp_path_factory, trust, clients):
    instance = service.Postern(tmp_path_factory.mktemp("grpc-narrow"), [
        "--threads", "1", "--limit", "request-body-bytes=100000", "--limit",
        "request-buffer-bytes=50000", "--limit", "client-body-timeout=500ms", "--limit",
        "header-bytes=4096"], trust)
    instance.start()
    instance.upload("p256", clients["p256"])
    yield instance
    instance.stop()


def test_refusals_of_the_gateway_have_a_status_of_grpc(narrow, server):
    """What the gateway answers before any policy, or in place of one: limits and what is malformed."""
    inbound = '<authentication-certificate certificate-id="p256" />'
    name, buffers = service.unique("grpc-sends"), service.unique("grpc-buffers")
    narrow.make_api(name, server.url, policy(inbound), type="grpc")
    narrow.make_api(buffers, server.url, policy(
        inbound, '<forward-request buffer-request-body="true" />'), type="grpc")
    seen = ask(narrow, name, {"kind": "unary", "method": "Unary", "size": 90000},
               {"kind": "unary", "method": "Unary", "size": 110000},
               {"kind": "unary", "method": "Unary", "metadataBytes": 6000})
    assert [s["code"] for s in seen] == [OK, RESOURCE_EXHAUSTED, RESOURCE_EXHAUSTED], seen
    assert "request-body-bytes" in seen[1]["details"], seen
    seen = ask(narrow, buffers, {"kind": "unary", "method": "Unary", "size": 40000},
               {"kind": "unary", "method": "Unary", "size": 60000}, {"kind": "open"})
    assert [s["code"] for s in seen] == [OK, RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED], seen
    assert "request-buffer-bytes" in seen[1]["details"], seen
    assert "client-body-timeout" in seen[2]["details"], seen
    seen, = ask(narrow, name + "/..%2fx", {"kind": "unary", "method": "Unary"})
    assert seen["code"] == INTERNAL, seen
