# SPDX-License-Identifier: Apache-2.0
"""docs/openapi/postern.json is what the code has and what the server does: neither can be missing."""
import json
import re

import pytest
from lab import people, service, web
from lab.service import with_certificate

DOCUMENT = json.loads((service.ROOT / "docs/openapi/postern.json").read_text())
SERVICE = ("/subscriptions/{subscriptionId}/resourceGroups/{resourceGroup}/providers/Microsoft.ApiManagement/"
           "service/{service}")
OPERATIONS = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item]


def resolve(schema):
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def check(value, schema, where="answer"):
    """What of JSON Schema the document uses."""
    schema = resolve(schema)
    if value is None and schema.get("nullable"):
        return
    types = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    assert isinstance(value, types[schema["type"]]), f"{where}: {value!r} is no {schema['type']}"
    assert value in schema.get("enum", [value]), f"{where}: {value!r}"
    for name in schema.get("required", ()):
        assert name in value, f"{where}: {name} is missing"
    if "properties" in schema and not schema.get("additionalProperties"):
        unknown = set(value) - set(schema["properties"])
        assert not unknown, f"{where}: the file does not have {unknown}"
    for name, inner in schema.get("properties", {}).items():
        if name in value:
            check(value[name], inner, f"{where}.{name}")
    for i, item in enumerate(value if schema["type"] == "array" else ()):
        check(item, schema["items"], f"{where}[{i}]")


def test_the_file_and_the_routes_of_the_code_are_the_same():
    source = (service.ROOT / "src/arm/routes.c").read_text()
    code = set()
    for block in re.findall(r"\{(\.pattern = [^}]*)\}", source):
        if ".is_extension = true" not in block:
            continue
        path = re.search(r'SERVICE "([^"]*)"', block)[1]
        code |= {(path, method) for field, method in (("get", "get"), ("post", "post"), ("put", "put"),
                                                      ("remove", "delete"), ("patch", "patch"))
                 if f".{field} =" in block}
    grid = re.search(r'PN_EVENT_GRID_PATH +"([^"]*)"', (service.ROOT / "src/control/event_grid.h").read_text())[1]
    written = {(re.sub(r"\{[^}]*\}", "*", path.replace(SERVICE, "")), method) for path, method in OPERATIONS}
    assert written == code | {(grid, "post"), (grid, "options")}


def test_every_operation_is_whole():
    names = [DOCUMENT["paths"][p][m]["operationId"] for p, m in OPERATIONS]
    assert len(set(names)) == len(names)
    for path, method in OPERATIONS:
        operation = DOCUMENT["paths"][path][method]
        given = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert given == set(re.findall(r"\{([^}]*)\}", path)), path
        assert operation["summary"] and "200" in operation["responses"] and "401" in operation["responses"]
        assert not any(p["name"] == "api-version" for p in operation["parameters"])


@pytest.fixture(scope="module")
def world(tmp_path_factory, trust, ca, nginx):
    """A Postern in which every operation has something to answer."""
    postern = service.Postern(tmp_path_factory.mktemp("world"), environment=trust,
                              options=["--event-webhook", "http://localhost:1/"])
    postern.start()
    postern.upload("c1", ca.client("c1", days=5))
    postern.upload("c1", ca.client("c1", days=5))
    postern.make_api("a1", nginx.url("good"), with_certificate("c1"))
    postern.put("/backends/b1", {"url": nginx.url("good"), "protocol": "http", "credentials": {
        "certificateIds": [f"{postern.service_id}/certificates/c1"]}})
    service.wait_for("an event", lambda: postern.arm("GET", "/events", version=None).json()["value"])
    yield postern
    postern.stop()


def send(postern, path, method, token, body=None, headers=None):
    names = {"subscriptionId": postern.ready["subscriptionId"], "resourceGroup": postern.ready["resourceGroup"],
             "service": postern.ready["serviceName"], "certificateId": "c1", "number": "1", "backendId": "b1",
             "apiId": "a1"}
    path = re.sub(r"\{([^}]*)\}", lambda m: names[m[1]], path)
    headers = dict(headers or {}, **({"Authorization": "Bearer " + token} if token else {}))
    return web.Session(postern.control, postern.ca_file).call(method.upper(), path, body, headers)


@pytest.mark.parametrize("path, method", OPERATIONS, ids=[DOCUMENT["paths"][p][m]["operationId"] for p, m in OPERATIONS])
def test_the_server_does_what_the_file_says(world, ca, path, method):
    operation = DOCUMENT["paths"][path][method]
    bodies = {"checkCertificate": {"properties": {"data": ca.client("x").pfx_base64("p"), "password": "p"}},
              "takeEvents": [{"eventType": "Microsoft.Storage.BlobCreated", "data": {}}]}
    headers = {"WebHook-Request-Origin": "eventgrid.azure.net"} if method == "options" else None
    body = bodies.get(operation["operationId"])
    answer = send(world, path, method, world.token(), body, headers)
    assert answer.status == 200, answer
    content = operation["responses"]["200"].get("content")
    if content:
        check(answer.json(), content["application/json"]["schema"])
        lists = answer.json().get("value")
        assert lists is None or lists, "an empty list shows nothing"
    refused = send(world, path, method, None, body, headers)
    assert refused.status == 401
    check(refused.json(), operation["responses"]["401"]["content"]["application/json"]["schema"])
    if "403" in operation["responses"]:
        assert send(world, path, method, people.Application(world).token(), body).status == 403
    if "404" in operation["responses"]:
        gone = path.replace("{service}", "nobody").replace("{certificateId}", "nobody").replace("{backendId}", "nobody")
        gone = gone.replace("{apiId}", "nobody")
        assert send(world, gone, method, world.token(), body).status == 404


def test_an_extension_takes_an_api_version_too_and_what_is_azures_needs_one(world):
    assert world.arm("GET", "/certificates/c1/usage", version="2024-05-01").status == 200
    assert world.arm("GET", "/certificates/c1/usage", version="soon").status == 400
    assert world.arm("GET", "/certificates/c1", version=None).status == 400


def test_what_a_backend_has_of_ours_is_in_the_file(world, ca, nginx):
    """tls.postern: the members that the code takes, and what comes back."""
    schema = DOCUMENT["components"]["schemas"]["BackendTlsPostern"]
    page = (service.ROOT / "docs/backends.md").read_text()
    assert set(schema["properties"]) == set(re.findall(r"^\| `(\w+)` \| ", page.split("`tls.postern`")[1].split(
        "### Explaining")[0], re.M))
    own = {"caCertificates": [ca.certificate_pem.decode()], "serverName": "localhost", "minimumTlsVersion": "1.2",
           "pins": ["r/mIkG3eEpVdm+u/ko/cwxzOMo1bk4TyHIlByibiA5E="], "lateAuthentication": False}
    world.put("/backends/b2", {"url": nginx.url("good"), "protocol": "http", "tls": {
        "validateCertificateChain": True, "validateCertificateName": True, "postern": own}})
    stored = world.arm("GET", "/backends/b2").json()["properties"]["tls"]["postern"]
    assert set(stored) == set(own) == set(schema["properties"])
    check(stored, schema)
