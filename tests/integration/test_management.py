# SPDX-License-Identifier: Apache-2.0
"""The management REST API by hand: envelopes, ETags, lists, statuses, the service itself."""
import urllib.parse
import uuid

import pytest
from lab import service


def test_subscriptions_and_groups_are_listed(postern):
    answer = postern.arm("GET", "/subscriptions", version="2019-11-01")
    assert answer.status == 200
    one = answer.json()["value"][0]
    assert one["subscriptionId"] == postern.ready["subscriptionId"]
    assert one["state"] == "Enabled" and one["tenantId"] == postern.tenant
    groups = postern.arm("GET", postern.subscription + "/resourceGroups", version="2021-04-01")
    assert postern.ready["resourceGroup"] in [g["name"] for g in groups.json()["value"]]


def test_service_is_returned_with_its_identity(postern):
    body = postern.arm("GET", "").json()
    assert body["type"] == "Microsoft.ApiManagement/service"
    assert body["name"] == postern.ready["serviceName"]
    assert body["identity"]["type"] == "SystemAssigned"
    uuid.UUID(body["identity"]["principalId"])
    assert body["identity"]["tenantId"] == postern.tenant
    assert body["properties"]["provisioningState"] == "Succeeded"
    assert body["properties"]["gatewayUrl"]


@pytest.mark.parametrize("scope", ["group", "subscription"])
def test_services_are_listed_by(postern, scope):
    path = getattr(postern, scope) + "/providers/Microsoft.ApiManagement/service"
    names = [s["name"] for s in postern.arm("GET", path).json()["value"]]
    assert postern.ready["serviceName"] in names


def test_fixed_segments_match_in_any_case(postern):
    lower = postern.service_id.replace("resourceGroups", "resourcegroups").replace(
        "Microsoft.ApiManagement", "microsoft.apimanagement")
    answer = postern.arm("GET", lower + "/CERTIFICATES")
    assert answer.status == 200, answer


def test_query_keys_may_be_percent_encoded_and_paths_may_end_in_a_slash(postern):
    answer = postern.session(postern.control).get(
        postern.service_id + "/?api%2Dversion=2024-05-01",
        headers={"Authorization": "Bearer " + postern.token()})
    assert answer.status == 200, answer


def test_patch_without_identity_keeps_it_and_none_removes_it(own_postern):
    before = own_postern.arm("GET", "").json()["identity"]
    kept = own_postern.arm("PATCH", "", {"tags": {"a": "b"}}, {"If-Match": "*"})
    assert kept.status == 200, kept
    assert kept.json()["identity"] == before
    gone = own_postern.arm("PATCH", "", {"identity": {"type": "None"}}, {"If-Match": "*"})
    assert gone.status == 200, gone
    assert (gone.json().get("identity") or {"type": "None"})["type"] == "None"
    back = own_postern.arm("PATCH", "", {"identity": {"type": "SystemAssigned"}},
                           {"If-Match": "*"})
    assert back.json()["identity"]["principalId"]


def test_put_creates_with_201_and_replaces_with_200(postern):
    path = "/backends/" + service.unique("b")
    body = {"url": "http://localhost:1/x", "protocol": "http"}
    assert postern.put(path, body).status == 201
    body["title"] = "second"
    answer = postern.put(path, body)
    assert answer.status == 200
    assert answer.json()["properties"]["title"] == "second"
    del body["title"]
    assert "title" not in postern.put(path, body).json()["properties"], "PUT replaces, not merges"


def test_extra_top_level_members_are_ignored(postern):
    answer = postern.arm("PUT", "/backends/" + service.unique("b"), {
        "location": "local", "id": "x", "name": "y", "type": "z", "more": {},
        "properties": {"url": "http://localhost:1", "protocol": "http"}})
    assert answer.status == 201, answer


def test_etag_travels_and_if_match_is_obeyed(postern):
    path = "/backends/" + service.unique("b")
    body = {"properties": {"url": "http://localhost:1", "protocol": "http"}}
    first = postern.arm("PUT", path, body).headers["ETag"]
    assert first.startswith('"') and first.endswith('"')
    assert postern.arm("GET", path).headers["ETag"] == first
    head = postern.arm("HEAD", path)
    assert (head.status, head.headers["ETag"], head.body) == (200, first, b"")
    body["properties"]["title"] = "t"
    second = postern.arm("PUT", path, body, {"If-Match": first}).headers["ETag"]
    assert second != first
    stale = postern.arm("PUT", path, body, {"If-Match": first})
    assert stale.status == 412
    assert postern.arm("DELETE", path, headers={"If-Match": first}).status == 412
    assert postern.arm("GET", path).headers["ETag"] == second, "a refused call changed something"
    assert postern.arm("DELETE", path, headers={"If-Match": second}).status == 200
    assert postern.arm("DELETE", path).status == 204
    assert postern.arm("GET", path).status == 404
    assert postern.arm("HEAD", path).status == 404


def test_patch_merges_backend_properties(postern):
    path = "/backends/" + service.unique("b")
    postern.put(path, {"url": "http://localhost:1", "protocol": "http", "title": "t"})
    answer = postern.arm("PATCH", path, {"properties": {"description": "d"}}, {"If-Match": "*"})
    assert answer.status == 200, answer
    properties = answer.json()["properties"]
    assert (properties["title"], properties["description"]) == ("t", "d")


def test_all_members_of_a_backend_are_stored_and_returned(postern, uploaded):
    path = "/backends/" + service.unique("b")
    body = {
        "url": "https://localhost:1/base", "protocol": "http", "title": "t", "description": "d",
        "resourceId": "https://management.azure.com/subscriptions/x",
        "credentials": {"certificateIds": [f"{postern.service_id}/certificates/{uploaded['p256']}"],
                        "header": {"x-one": ["1", "2"]}, "query": {"q": ["3"]},
                        "authorization": {"scheme": "Bearer", "parameter": "abc"}},
        "proxy": {"url": "http://localhost:2", "username": "u", "password": "hidden-81"},
        "tls": {"validateCertificateChain": False, "validateCertificateName": True},
        "circuitBreaker": {"rules": [{
            "name": "r", "tripDuration": "PT1M", "acceptRetryAfter": True,
            "failureCondition": {"count": 3, "interval": "PT10S",
                                 "statusCodeRanges": [{"min": 500, "max": 599}]}}]}}
    postern.put(path, body)
    answer = postern.arm("GET", path)
    got = answer.json()["properties"]
    for member in ("url", "protocol", "title", "description", "resourceId", "tls",
                   "circuitBreaker"):
        assert got[member] == body[member], member
    assert got["credentials"]["header"] == body["credentials"]["header"]
    assert got["credentials"]["authorization"] == body["credentials"]["authorization"]
    assert got["credentials"]["query"] == body["credentials"]["query"]
    assert got["proxy"]["username"] == "u"
    assert "hidden-81" not in answer.text, "a password is echoed"


@pytest.mark.parametrize("properties", [
    {"protocol": "http"}, {"url": "http://x"}, {"url": "http://x", "protocol": "gopher"},
    {"url": "x" * 2001, "protocol": "http"}, {"url": "http://x", "protocol": "http", "title": ""},
    {"url": "http://x", "protocol": "http", "tls": {"validateCertificateChain": "perhaps"}}],
    ids=["no-url", "no-protocol", "protocol", "long-url", "empty-title", "not-a-boolean"])
def test_a_bad_backend_is_400_and_not_stored(postern, properties):
    path = "/backends/" + service.unique("bad")
    answer = postern.arm("PUT", path, {"properties": properties})
    assert answer.status == 400, answer
    assert answer.json()["error"]["code"] == "ValidationError"
    assert answer.json()["error"]["details"]
    assert postern.arm("GET", path).status == 404


def test_unknown_certificate_in_a_backend_is_400(postern):
    answer = postern.arm("PUT", "/backends/" + service.unique("bad"), {"properties": {
        "url": "https://localhost:1", "protocol": "http", "credentials": {
            "certificateIds": [postern.service_id + "/certificates/nowhere"]}}})
    assert answer.status == 400
    assert "nowhere" in answer.text and "not found" in answer.text


def test_lists_page_with_top_skip_and_next_link(postern):
    stem = service.unique("page")
    for i in range(5):
        postern.put(f"/backends/{stem}-{i}", {"url": "http://localhost:1", "protocol": "http",
                                              "title": stem})
    seen = []
    path = f"/backends?$filter=title%20eq%20'{stem}'&$top=2"
    answer = postern.arm("GET", path).json()
    assert answer["count"] == 5
    while True:
        seen += [b["name"] for b in answer["value"]]
        assert len(answer["value"]) <= 2
        link = answer.get("nextLink")
        if not link:
            break
        assert link.startswith(postern.control)
        answer = postern.session(postern.control).get(
            link[len(postern.control):],
            headers={"Authorization": "Bearer " + postern.token()}).json()
    assert seen == [f"{stem}-{i}" for i in range(5)]
    rest = postern.arm("GET", f"/backends?$filter=title%20eq%20'{stem}'&$skip=4").json()
    assert [b["name"] for b in rest["value"]] == [f"{stem}-4"]


@pytest.mark.parametrize("query", ["$filter=title%20like%20'x'", "$filter=(((", "$top=0", "$top=x",
                                   "$skip=-1"])
def test_a_bad_list_query_is_400(postern, query):
    assert postern.arm("GET", "/backends?" + query).status == 400


def test_apis_and_operations_have_the_whole_life(postern):
    name = service.unique("life")
    created = postern.put(f"/apis/{name}", {"displayName": "Life", "path": name})
    properties = created.json()["properties"]
    assert properties["subscriptionRequired"] is True
    assert properties["protocols"] == ["https"]
    operation = postern.put(f"/apis/{name}/operations/get", {
        "displayName": "g", "method": "GET", "urlTemplate": "/items/{id}",
        "templateParameters": [{"name": "id", "type": "string", "required": True}]})
    assert operation.json()["type"] == "Microsoft.ApiManagement/service/apis/operations"
    listed = postern.arm("GET", f"/apis/{name}/operations").json()
    assert [o["name"] for o in listed["value"]] == ["get"]
    postern.delete(f"/apis/{name}/operations/get")
    postern.delete(f"/apis/{name}?deleteRevisions=false")
    assert postern.arm("GET", f"/apis/{name}").status == 404


def test_template_parameter_without_declaration_is_400(postern):
    name = service.unique("tp")
    postern.put(f"/apis/{name}", {"displayName": "x", "path": name})
    answer = postern.arm("PUT", f"/apis/{name}/operations/get", {"properties": {
        "displayName": "g", "method": "GET", "urlTemplate": "/{id}"}})
    assert answer.status == 400


def test_two_apis_cannot_have_one_path(postern):
    path = service.unique("same")
    postern.put(f"/apis/{path}-1", {"displayName": "x", "path": path})
    answer = postern.arm("PUT", f"/apis/{path}-2", {"properties": {"displayName": "x",
                                                                   "path": path}})
    assert answer.status in (400, 409), answer


def test_operation_of_an_unknown_api_is_404(postern):
    answer = postern.arm("PUT", "/apis/nowhere/operations/x", {"properties": {
        "displayName": "g", "method": "GET", "urlTemplate": "/"}})
    assert answer.status == 404


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'"x"', b'{"properties":[]}', b"\xff\xfe{}"],
                         ids=["cut", "empty", "array", "string", "properties", "not-utf8"])
def test_broken_json_is_400_and_changes_nothing(postern, body):
    path = "/backends/" + service.unique("bad")
    answer = postern.arm("PUT", path, body, {"Content-Type": "application/json"})
    assert answer.status == 400, answer
    assert answer.json()["error"]["code"]
    assert postern.arm("GET", path).status == 404


def test_deeply_nested_json_is_refused_and_control_lives(postern):
    depth = 100000
    answer = postern.arm("PUT", "/backends/deep", b'{"a":' * depth + b"1" + b"}" * depth,
                         {"Content-Type": "application/json"})
    assert answer.status == 400, answer
    assert postern.arm("GET", "").status == 200


@pytest.mark.parametrize("name", ["a*b", "a%23b", "x" * 81, "a%26b", "a%3Ab"])
def test_bad_names_are_400(postern, name):
    answer = postern.arm("PUT", f"/backends/{name}", {"properties": {
        "url": "http://localhost:1", "protocol": "http"}})
    if name in ("a*b", "a%23b", "a%26b", "a%3Ab"):
        # The service gives backends no pattern; certificates have one.
        answer = postern.arm("PUT", f"/certificates/{name}", {"properties": {"data": "AA=="}})
    assert answer.status == 400, answer


def test_lists_are_filtered_and_sorted_whatever_the_length_of_a_text(postern):
    """What is short is looked up beside the documents, what is long in them; nobody can tell."""
    stem = service.unique("len")
    names = [f"{stem}-{i}" for i in range(6)]
    for i, name in enumerate(names):
        long = f"{'x' * (900 + 200 * i)} needle-{i % 2}"
        assert postern.put(f"/workspaces/{name}", {"displayName": f"Team {9 - i}", "description": long})
    try:
        def found(query):
            answer = postern.arm("GET", "/workspaces?" + urllib.parse.quote(query, safe="$=&(),'"))
            assert answer.status == 200, answer
            return [w["name"] for w in answer.json()["value"]], answer.json()["count"]
        assert found(f"$filter=startswith(name,'{stem.upper()}')") == (names, 6)
        assert found(f"$filter=startswith(name,'{stem}') and contains(description,'NEEDLE-1')") == (names[1::2], 3)
        assert found(f"$filter=startswith(name,'{stem}')&$orderby=displayName") == (names[::-1], 6)
        assert found(f"$filter=startswith(name,'{stem}')&$orderby=description desc")[0] == names[::-1]
        assert found(f"$filter=startswith(name,'{stem}')&$orderby=displayName&$skip=2&$top=3") == (names[1:4][::-1], 6)
        assert found(f"$filter=name eq '{names[3]}' or displayName eq 'team 9'") == ([names[0], names[3]], 2)
        shown = postern.arm("GET", f"/workspaces?$filter=name%20eq%20'{names[5]}'").json()["value"][0]
        assert shown == postern.arm("GET", f"/workspaces/{names[5]}").json()  # whole, as a GET shows it
        postern.put(f"/workspaces/{names[5]}", {"displayName": "Short", "description": "brief needle-0"})
        assert found("$filter=contains(description,'brief')") == ([names[5]], 1)
        assert found("$filter=displayName eq 'Team 4'")[1] == 0
    finally:
        for name in names:
            postern.delete(f"/workspaces/{name}")
