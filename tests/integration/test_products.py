# SPDX-License-Identifier: Apache-2.0
"""Products: APIs that are offered together, their keys, their policy between the global one and the API's."""
import subprocess

import pytest
from lab import people, service
from lab.service import policy, with_certificate

KEY = "Ocp-Apim-Subscription-Key"
TYPE = "Microsoft.ApiManagement/service/products"


def subscription(postern, name, scope=""):
    """Its whole id: a path that begins with /subscriptions/ is one of Azure's."""
    return f"{postern.service_id}{scope}/subscriptions/{name}"


class Product:
    def __init__(self, postern, name=None, scope="", **properties):
        self.postern, self.name = postern, name or service.unique("product")
        self.scope, self.path = scope, f"{scope}/products/{self.name}"
        self.id = postern.service_id + self.path
        self.made = postern.put(self.path, dict({"displayName": f"The {self.name}", "state": "published"},
                                                **properties))

    def add(self, api, expect=(201,)):
        answer = self.postern.arm("PUT", f"{self.path}/apis/{api}")
        assert answer.status in expect, answer
        return answer

    def remove(self, api, expect=200):
        answer = self.postern.arm("DELETE", f"{self.path}/apis/{api}")
        assert answer.status == expect, answer

    def change(self, **properties):
        answer = self.postern.arm("PATCH", self.path, {"properties": properties}, headers={"If-Match": "*"})
        assert answer.status == 200, answer
        return answer.json()["properties"]

    def subscribe(self, name=None, scope=None, expect=(200, 201), **properties):
        """A subscription's key, by the id or the short form of the product."""
        name = name or service.unique("sub")
        path = subscription(self.postern, name, self.scope)
        made = self.postern.put(path, dict({
            "displayName": name, "scope": scope or self.id}, **properties), expect=expect)
        if made.status >= 300:
            return made
        keys = self.postern.arm("POST", path + "/listSecrets").json()
        return keys["primaryKey"]

    def policy(self, document):
        return self.postern.set_policy(self.path, document)


def status(postern, api, key=None, **more):
    return postern.call(f"/{api}/x", headers={KEY: key} if key else {}, **more).status


def shown(postern, api, key=None):
    """SHA-1 of the certificate that came to the backend; "": none."""
    answer = postern.call(f"/{api}/x", headers={KEY: key} if key else {})
    assert answer.status == 200, answer
    return answer.json()["sha1"].upper()


def seen(answer, name):
    """The field as the echo backend got it; "": not at all."""
    assert answer.status == 200, answer
    return ",".join(value for field, value in answer.json()["headers"] if field.lower() == name.lower())


def error_of(answer, expected=400):
    assert answer.status == expected, answer
    return answer.json()["error"]


def target_of(answer):
    error = error_of(answer)
    assert error["code"] == "ValidationError", error
    return error["details"][0]["target"]


def usage_of(postern, path):
    users = postern.arm("GET", f"{path}/usage").json()["value"]
    return {(user["id"].replace(postern.service_id, ""), user["by"]) for user in users}


# the resource

def test_a_product_is_made_read_changed_listed_and_deleted(postern):
    product = Product(postern, description="All of it", terms="Be kind", subscriptionsLimit=3)
    body = product.made.json()
    assert product.made.status == 201 and body["id"] == product.id and body["type"] == TYPE
    assert body["properties"] == {"displayName": f"The {product.name}", "description": "All of it",
                                  "terms": "Be kind", "subscriptionRequired": True, "approvalRequired": False,
                                  "subscriptionsLimit": 3, "state": "published"}
    tag = product.made.headers["ETag"]
    head = postern.arm("HEAD", product.path)
    assert head.status == 200 and head.headers["ETag"] == tag
    assert postern.arm("HEAD", "/products/nowhere").status == 404
    changed = postern.arm("PATCH", product.path, {"properties": {"subscriptionsLimit": None, "state": "notPublished"}},
                          headers={"If-Match": tag}).json()["properties"]
    assert changed["state"] == "notPublished" and "subscriptionsLimit" not in changed
    assert postern.arm("PUT", product.path, {"properties": {"displayName": "x"}}, headers={"If-Match": tag}).status == 412
    whole = postern.put(product.path, {"displayName": "x"}, expect=(200,)).json()["properties"]
    assert whole == {"displayName": "x", "subscriptionRequired": True, "approvalRequired": False,
                     "state": "notPublished"}
    other = Product(postern, product.name + "-z")
    found = postern.arm("GET", f"/products?$filter=startswith(name,'{product.name}')%20and%20state%20eq%20'published'")
    assert [p["name"] for p in found.json()["value"]] == [other.name]
    page = postern.arm("GET", f"/products?$filter=startswith(name,'{product.name}')&$top=1").json()
    assert page["count"] == 2 and len(page["value"]) == 1 and "$skip=1" in page["nextLink"].replace("%24", "$")
    assert postern.arm("DELETE", product.path, headers={"If-Match": tag}).status == 412
    postern.delete(product.path)
    assert postern.arm("DELETE", product.path).status == 204
    postern.delete(other.path)


@pytest.mark.parametrize("properties, target", [
    ({}, "displayName"), ({"displayName": "x" * 301}, "displayName"),
    ({"displayName": "x", "description": "x" * 1001}, "description"),
    ({"displayName": "x", "state": "hidden"}, "state"),
    ({"displayName": "x", "subscriptionsLimit": -1}, "subscriptionsLimit"),
    ({"displayName": "x", "subscriptionRequired": False, "approvalRequired": True}, "approvalRequired"),
    ({"displayName": "x", "subscriptionRequired": False, "subscriptionsLimit": 1}, "subscriptionsLimit")])
def test_a_bad_product_is_refused_and_nothing_is_made(postern, properties, target):
    name = service.unique("bad")
    assert target_of(postern.arm("PUT", f"/products/{name}", {"properties": properties})) == target
    assert postern.arm("GET", f"/products/{name}").status == 404


# APIs of it

def test_apis_are_added_looked_for_listed_and_removed(postern, echo):
    product, api = Product(postern), service.unique("api")
    postern.make_api(api, echo.url, operations=False)
    assert postern.arm("HEAD", f"{product.path}/apis/{api}").status == 404
    made = product.add(api).json()
    assert made["id"] == f"{product.id}/apis/{api}" and made["name"] == api and made["type"] == TYPE + "/apis"
    assert made["properties"]["path"] == api
    product.add(api, expect=(200,))
    product.add(api.upper() + ";rev=1", expect=(200,))
    assert [a["name"] for a in postern.arm("GET", f"{product.path}/apis").json()["value"]] == [api]
    listed = postern.arm("GET", f"/apis/{api}/products").json()
    assert [p["id"] for p in listed["value"]] == [product.id] and listed["count"] == 1
    assert error_of(postern.arm("PUT", f"{product.path}/apis/nowhere"), 404)["message"] == "API not found."
    assert error_of(postern.arm("PUT", f"/products/nowhere/apis/{api}"), 404)["message"] == "Product not found."
    product.remove(api)
    product.remove(api, expect=204)
    assert postern.arm("GET", f"{product.path}/apis").json()["value"] == []
    product.add(api)
    postern.delete(f"/apis/{api}")  # goes out of the product with it
    assert postern.arm("GET", f"{product.path}/apis").json()["count"] == 0


def test_az_apim_product_api_check_gets_the_204_that_it_wants(postern, echo):
    """HEAD of an association: 204 by curl, without a body; a 200 makes az fail."""
    product, api = Product(postern), service.unique("api")
    postern.make_api(api, echo.url, operations=False)
    product.add(api)

    def head(name):
        return subprocess.run(
            ["curl", "-sS", "--cacert", postern.ca_file, "-I", "-H", f"Authorization: Bearer {postern.token()}",
             "-o", "/dev/null", "-w", "%{http_code} %{size_download}",
             f"{postern.control}{product.id}/apis/{name}?api-version=2021-08-01"],
            check=True, capture_output=True, text=True).stdout
    assert (head(api), head("other")) == ("204 0", "404 0")


def test_links_by_a_name_of_their_own(postern, echo):
    product, first, second = Product(postern), service.unique("a"), service.unique("b")
    for api in (first, second):
        postern.make_api(api, echo.url, operations=False)
    path = f"{product.path}/apiLinks/mine"
    made = postern.put(path, {"apiId": f"{postern.service_id}/apis/{first}"}, expect=(201,)).json()
    assert made == {"id": f"{product.id}/apiLinks/mine", "name": "mine", "type": TYPE + "/apiLinks",
                    "properties": {"apiId": f"{postern.service_id}/apis/{first}"}}
    assert postern.arm("GET", path).json() == made and postern.arm("HEAD", f"{product.path}/apis/{first}").status == 204
    product.add(second)
    names = {link["name"] for link in postern.arm("GET", f"{product.path}/apiLinks").json()["value"]}
    assert names == {"mine", second}
    taken = postern.arm("PUT", f"{product.path}/apiLinks/again", {"properties": {"apiId": f"/apis/{first}"}})
    assert target_of(taken) == "apiId" and "by the link 'mine'" in taken.json()["error"]["details"][0]["message"]
    for wrong in ("/apis/nowhere", "x", f"/products/{product.name}"):
        assert target_of(postern.arm("PUT", f"{product.path}/apiLinks/again", {"properties": {"apiId": wrong}})) == "apiId"
    product.remove(second)
    postern.put(path, {"apiId": f"/apis/{second}"})  # the same link, another API
    assert [a["name"] for a in postern.arm("GET", f"{product.path}/apis").json()["value"]] == [second]
    postern.delete(path)
    assert postern.arm("GET", path).status == 404 and postern.arm("DELETE", path).status == 204


def test_an_api_is_in_64_products_and_not_in_65(postern, echo):
    api = service.unique("api")
    postern.make_api(api, echo.url, operations=False)
    products = [Product(postern, f"{api}-{i}") for i in range(65)]
    for product in products[:64]:
        product.add(api)
    refused = error_of(postern.arm("PUT", f"{products[64].path}/apis/{api}"))
    assert "at most 64" in refused["details"][0]["message"]
    assert status(postern, api) == 404  # no operation: the gateway took them all
    for product in products:
        postern.delete(product.path)


# keys

def test_a_products_key_opens_its_apis_only_and_at_once(postern, echo):
    product, inside, outside = Product(postern), service.unique("in"), service.unique("out")
    for api in (inside, outside):
        postern.make_api(api, echo.url, subscription_required=True)
    product.add(inside)
    key, short = product.subscribe(), product.subscribe(scope=f"/products/{product.name.upper()}")
    for _ in range(3):
        assert [status(postern, inside, k) for k in (key, short, None, "wrong")] == [200, 200, 401, 401]
        assert status(postern, outside, key) == 401
        product.remove(inside)
        assert status(postern, inside, key) == 401
        product.add(inside)
    product.add(outside)
    assert status(postern, outside, key) == 200
    assert postern.call(f"/{inside}/x?subscription-key={key}").status == 200
    product.change(state="notPublished")  # published is for the eyes of developers, not for callers
    assert status(postern, inside, key) == 200
    scopes = {s["properties"]["scope"] for s in postern.arm("GET", f"{product.path}/subscriptions").json()["value"]}
    assert scopes == {product.id}
    found = postern.arm("GET", subscription(postern, "")[:-1] + f"?$filter=scope%20eq%20'{product.id}'").json()
    assert found["count"] == 2


def test_a_regenerated_and_a_suspended_key_of_a_product(postern, echo):
    product, api, name = Product(postern), service.unique("api"), service.unique("sub")
    postern.make_api(api, echo.url, subscription_required=True)
    product.add(api)
    key = product.subscribe(name)
    assert postern.arm("POST", subscription(postern, name) + "/regeneratePrimaryKey").status == 204
    new = postern.arm("POST", subscription(postern, name) + "/listSecrets").json()["primaryKey"]
    assert (status(postern, api, key), status(postern, api, new)) == (401, 200)
    assert postern.arm("DELETE", product.path).status == 400, "the reference outlives a new key"
    postern.arm("PATCH", subscription(postern, name), {"properties": {"state": "suspended"}})
    assert status(postern, api, new) == 401


def test_approval_makes_a_subscription_wait(postern, echo):
    product, api, name = Product(postern, approvalRequired=True), service.unique("api"), service.unique("sub")
    postern.make_api(api, echo.url, subscription_required=True)
    product.add(api)
    key = product.subscribe(name)
    path = subscription(postern, name)
    assert postern.arm("GET", path).json()["properties"]["state"] == "submitted"
    assert status(postern, api, key) == 401
    postern.put(path, {"displayName": "again", "scope": product.id})  # neither approves it
    assert postern.arm("GET", path).json()["properties"]["state"] == "submitted"
    postern.arm("PATCH", path, {"properties": {"state": "active"}}, headers={"If-Match": "*"})
    assert status(postern, api, key) == 200
    postern.put(path, {"displayName": "again", "scope": product.id})  # nor takes it back
    assert status(postern, api, key) == 200
    postern.arm("PATCH", path, {"properties": {"state": "rejected"}}, headers={"If-Match": "*"})
    assert status(postern, api, key) == 401


def test_the_limit_of_subscriptions_is_of_one_owner_at_a_time(postern):
    product = Product(postern, subscriptionsLimit=2)
    names = [service.unique("sub") for _ in range(3)]
    for name in names[:2]:
        product.subscribe(name, ownerId="/users/anna")
    refused = product.subscribe(names[2], ownerId="/users/Anna", expect=(400,))
    assert "2 subscriptions of one owner" in error_of(refused)["details"][0]["message"]
    product.subscribe(ownerId="/users/berta")
    product.subscribe(names[0], ownerId="/users/anna")  # it has its place
    postern.arm("PATCH", subscription(postern, names[0]), {"properties": {"state": "cancelled"}})
    product.subscribe(names[2], ownerId="/users/anna")
    back = postern.arm("PATCH", subscription(postern, names[0]), {"properties": {"state": "active"}})
    assert target_of(back) == "scope"


@pytest.mark.parametrize("scope", ["/products", "/products/", "/products/nowhere", "/products/a/apis/b"])
def test_a_subscription_to_no_product_is_refused(postern, scope):
    answer = postern.arm("PUT", subscription(postern, service.unique("s")), {"properties": {
        "displayName": "x", "scope": scope}})
    assert target_of(answer) == "scope"


def test_an_api_in_an_open_product_needs_no_key(postern, echo):
    product, api = Product(postern, subscriptionRequired=False), service.unique("api")
    postern.make_api(api, echo.url, subscription_required=True)
    assert status(postern, api) == 401
    product.add(api)
    assert [status(postern, api), status(postern, api, "wrong")] == [200, 200]
    product.change(subscriptionRequired=True)
    assert [status(postern, api), status(postern, api, "wrong")] == [401, 401]


def test_an_api_is_in_one_open_product_at_most(postern, echo):
    first, second = Product(postern, subscriptionRequired=False), Product(postern, subscriptionRequired=False)
    api = service.unique("api")
    postern.make_api(api, echo.url)
    first.add(api)
    assert f"open product '{first.name}'" in error_of(second.add(api, expect=(400,)))["details"][0]["message"]
    second.change(subscriptionRequired=True)
    second.add(api)
    answer = postern.arm("PATCH", second.path, {"properties": {"subscriptionRequired": False}})
    assert target_of(answer) == "subscriptionRequired"


# deleting

def test_a_product_with_subscriptions_is_not_deleted_by_accident(postern, echo):
    product, api, name = Product(postern), service.unique("api"), service.unique("sub")
    postern.make_api(api, echo.url, subscription_required=True)
    product.add(api)
    key = product.subscribe(name)
    error = error_of(postern.arm("DELETE", product.path, headers={"If-Match": "*"}))
    assert error["code"] == "ValidationError" and f"/subscriptions/{name}\r\n" in error["message"]
    assert status(postern, api, key) == 200
    assert postern.arm("DELETE", product.path + "?deleteSubscriptions=true", headers={"If-Match": "*"}).status == 200
    assert postern.arm("GET", subscription(postern, name)).status == 404
    assert status(postern, api, key) == 401
    again = Product(postern, product.name)  # starts empty
    assert postern.arm("GET", f"{again.path}/apis").json()["count"] == 0
    assert postern.arm("GET", f"/apis/{api}").status == 200


def test_products_survive_a_restart(own_postern, echo):
    postern = own_postern
    product, api = Product(postern), service.unique("api")
    postern.make_api(api, echo.url, subscription_required=True)
    product.add(api)
    product.policy(policy('<set-header name="X-Product"><value>gold</value></set-header>'))
    key = product.subscribe()
    ready = postern.ready
    postern.stop()
    postern.start(ready)
    answer = postern.call(f"/{api}/x", headers={KEY: key})
    assert seen(answer, "X-Product") == "gold", answer
    assert status(postern, api) == 401


# the product's policy

def mark(name):
    """Appends its name to a field: the order in which documents run can be read at the backend."""
    return f'<set-header name="X-Ran" exists-action="append"><value>{name}</value></set-header>'


def test_a_products_policy_runs_between_the_global_one_and_the_apis(own_postern, echo):
    postern = own_postern
    gold, silver, api = Product(postern, "gold"), Product(postern, "silver"), "echo"
    postern.make_api(api, echo.url, policy(mark("api")), subscription_required=True)
    postern.set_policy(f"/apis/{api}/operations/post", policy(mark("operation")))
    postern.set_policy("", policy(mark("global"), backend="<forward-request />", base=False))
    for product in (gold, silver):
        product.add(api)
    everything = product.subscribe(scope="/apis")
    keys = {product.name: product.subscribe() for product in (gold, silver)}

    def ran(key, method="GET"):
        return seen(postern.call(f"/{api}/x", method, headers={KEY: key}), "X-Ran").replace(" ", "")

    assert ran(keys["gold"]) == "global,api", "no product has a policy yet"
    gold.policy(policy(mark("gold")))
    assert ran(keys["gold"]) == "global,gold,api" and ran(keys["gold"], "POST") == "global,gold,api,operation"
    assert ran(keys["silver"]) == "global,api" and ran(keys["silver"], "POST") == "global,api,operation"
    assert ran(everything) == "global,api", "a key of all APIs is of no product"
    silver.policy(policy(mark("silver"), base=False, backend="<base />"))
    assert ran(keys["silver"]) == "silver,api", "without <base/> what is outside does not run"
    gold.policy(policy(mark("changed")))
    assert ran(keys["gold"]) == "global,changed,api" and ran(keys["gold"], "POST") == "global,changed,api,operation"
    postern.set_policy(f"/apis/{api}", policy(mark("api"), base=False, backend="<base />"))
    assert ran(keys["gold"]) == "api"
    postern.set_policy(f"/apis/{api}", policy(mark("api")))
    assert postern.arm("GET", f"{gold.path}/policies/policy").json()["type"] == TYPE + "/policies"
    postern.delete(f"{gold.path}/policies/policy")
    assert ran(keys["gold"]) == "global,api"
    assert postern.arm("GET", f"{gold.path}/policies/policy").status == 404
    gold.remove(api)
    postern.delete(f"{silver.path}/apis/{api}")
    assert postern.call(f"/{api}/x", headers={KEY: keys["silver"]}).status == 401


def test_all_sections_of_a_products_policy_run_on_its_calls_and_its_errors(postern, echo):
    product, api = Product(postern), service.unique("api")
    postern.make_api(api, echo.url, subscription_required=True)
    product.add(api)
    header = '<set-header name="X-{0}"><value>{0}</value></set-header>'
    product.policy(policy(outbound=header.format("out"), on_error=header.format("err")))
    key = product.subscribe()
    assert postern.call(f"/{api}/x", headers={KEY: key}).headers["X-out"] == "out"
    assert "X-err" not in postern.call(f"/{api}/x").headers, "who has no key is in no product"
    postern.put(f"/apis/{api}", {"displayName": api, "path": api, "serviceUrl": "http://localhost:1",
                                 "protocols": ["http"], "subscriptionRequired": True})
    failed = postern.call(f"/{api}/x", headers={KEY: key})
    assert failed.status == 500 and failed.headers["X-err"] == "err"


def test_an_open_products_policy_runs_without_a_key(postern, echo):
    product, api = Product(postern, subscriptionRequired=False), service.unique("api")
    postern.make_api(api, echo.url)
    other = Product(postern)
    for one in (product, other):
        one.add(api)
        one.policy(policy(mark(one.name)))
    key = other.subscribe()
    assert seen(postern.call(f"/{api}/x"), "X-Ran") == product.name
    assert seen(postern.call(f"/{api}/x", headers={KEY: key}), "X-Ran") == other.name
    product.remove(api)
    assert seen(postern.call(f"/{api}/x"), "X-Ran") == ""


def test_the_certificate_of_a_products_policy_is_that_of_its_own_requests_only(postern, ca, nginx):
    """Three products, one backend, one API: each key shows its own certificate, in any order, on pooled connections."""
    api, products, keys, prints = service.unique("api"), [], [], []
    postern.make_api(api, nginx.url("good"), subscription_required=True)
    for _ in range(2):
        product = Product(postern)
        identity = ca.client(product.name)
        postern.upload(product.name, identity)
        product.add(api)
        product.policy(with_certificate(product.name))
        products.append(product)
        keys.append(product.subscribe())
        prints.append(identity.sha1)
    mismatches = postern.metric("postern_identity_mismatch_total")
    for _ in range(10):
        for key, sha1 in zip(keys, prints):
            assert shown(postern, api, key) == sha1
    # rotated: the next request of that product shows the new one, the other's stay as they are
    renewed = ca.client("renewed")
    postern.upload(products[0].name, renewed)
    assert [shown(postern, api, key) for key in keys] == [renewed.sha1, prints[1]]
    products[0].policy(with_certificate(products[1].name))
    assert [shown(postern, api, key) for key in keys] == [prints[1], prints[1]]
    assert postern.metric("postern_identity_mismatch_total") == mismatches == 0
    # an API's own certificate is the later one
    postern.upload(api, ca.client(api))
    postern.set_policy(f"/apis/{api}", with_certificate(api))
    assert shown(postern, api, keys[0]) not in prints


def test_what_a_products_policy_names_must_be_there(postern):
    product = Product(postern)
    answer = postern.arm("PUT", f"{product.path}/policies/policy", {"properties": {
        "format": "rawxml", "value": with_certificate("nowhere")}})
    assert "Certificate with id 'nowhere' could not be found." in error_of(answer)["details"][0]["message"]
    assert postern.arm("PUT", "/products/nowhere/policies/policy", {"properties": {
        "format": "rawxml", "value": policy()}}).status == 404


# who uses what

def test_the_usage_of_a_certificate_goes_over_the_products_policy_to_its_apis(postern, ca, echo):
    product, name, apis = Product(postern), service.unique("c"), sorted(service.unique("api") for _ in range(2))
    postern.upload(name, ca.client(name))
    for api in apis:
        postern.make_api(api, echo.url, operations=False)
        product.add(api)
    product.policy(with_certificate(name))
    expected = {(f"{product.path}/policies/policy", "reference"), (product.path, "policy"),
                *((f"/apis/{api}", "product") for api in apis)}
    assert usage_of(postern, f"/certificates/{name}") == expected
    error = error_of(postern.arm("DELETE", f"/certificates/{name}", headers={"If-Match": "*"}))
    assert f"\r\n{product.path}/policies/policy\r\nand by 3 more" in error["message"]
    told = {detail["target"]: detail["message"] for detail in error["details"]}
    assert told[product.path] == "uses it by its policy"
    assert told[f"/apis/{apis[0]}"] == f"is in {product.path}, whose policy uses it"
    product.remove(apis[0])
    assert usage_of(postern, f"/certificates/{name}") == expected - {(f"/apis/{apis[0]}", "product")}


def test_a_backend_and_its_certificate_are_used_by_a_products_policy(postern, ca, nginx):
    product, name, api = Product(postern), service.unique("b"), service.unique("api")
    identity = ca.client(name)
    postern.upload(name, identity)
    postern.put(f"/backends/{name}", {"url": nginx.url("good"), "protocol": "http", "credentials": {
        "certificateIds": [f"{postern.service_id}/certificates/{name}"]}})
    postern.make_api(api, "http://localhost:1", subscription_required=True)
    product.add(api)
    product.policy(policy(f'<set-backend-service backend-id="{name}" />'))
    assert shown(postern, api, product.subscribe()) == identity.sha1
    assert (f"/apis/{api}", "product") in usage_of(postern, f"/certificates/{name}")
    error = error_of(postern.arm("DELETE", f"/backends/{name}", headers={"If-Match": "*"}))
    assert {detail["target"] for detail in error["details"]} == {
        f"{product.path}/policies/policy", product.path, f"/apis/{api}"}
    assert postern.arm("DELETE", product.path + "?deleteSubscriptions=true").status == 200
    postern.delete(f"/backends/{name}")
    postern.delete(f"/certificates/{name}")


# what is shown a new certificate before it serves; workspaces

class Workspace:
    """Only what Product asks of a Postern: paths below a workspace."""

    def __init__(self, postern):
        self.name = service.unique("team")
        self.path = f"/workspaces/{self.name}"
        postern.put(self.path, {"displayName": self.name})


def test_a_workspaces_product_is_of_its_apis_only(postern, ca, nginx):
    team, api, outside = Workspace(postern), service.unique("api"), service.unique("out")
    product = Product(postern, scope=team.path)
    assert product.made.json()["type"] == "Microsoft.ApiManagement/service/workspaces/products"
    identity = ca.client("team")
    postern.put(f"{team.path}/certificates/c1", {"data": identity.pfx_base64("p"), "password": "p"})
    postern.make_api(outside, nginx.url("good"), subscription_required=True)
    postern.put(f"{team.path}/apis/{api}", {"displayName": api, "path": api, "serviceUrl": nginx.url("good"),
                                            "protocols": ["http"]})
    postern.put(f"{team.path}/apis/{api}/operations/get", {"displayName": "GET", "method": "GET", "urlTemplate": "/*"})
    link = postern.put(f"{product.path}/apiLinks/l1", {"apiId": f"{postern.service_id}{team.path}/apis/{api}"}).json()
    assert link["type"] == "Microsoft.ApiManagement/service/workspaces/products/apiLinks"
    other = postern.arm("PUT", f"{product.path}/apiLinks/l2", {"properties": {
        "apiId": f"{postern.service_id}/apis/{outside}"}})
    assert target_of(other) == "apiId", "the service's own API is in no product of a workspace"
    product.policy(with_certificate("c1"))
    key = product.subscribe()
    assert shown(postern, api, key) == identity.sha1
    assert status(postern, outside, key) == 401
    twin = Product(postern, product.name)  # of the service: another one
    twin.add(outside)
    assert status(postern, outside, key) == 401 and status(postern, api, twin.subscribe()) == 401
    assert usage_of(postern, f"{team.path}/certificates/c1") == {
        (f"{product.path}/policies/policy", "reference"), (product.path, "policy"),
        (f"{team.path}/apis/{api}", "product")}
    postern.delete(team.path)
    assert status(postern, api, key) == 404
    assert postern.arm("GET", twin.path).status == 200


# who may

@pytest.mark.parametrize("role, in_team, reads, writes", [
    ("API Management Workspace API Product Manager", True, True, True),
    ("API Management Workspace API Developer", True, True, True),
    ("API Management Workspace Reader", True, True, False),
    ("API Management Service Contributor", False, True, True),
    ("API Management Service Reader Role", False, True, False),
    ("Key Vault Reader", False, False, False)])
def test_products_obey_the_role(postern, echo, role, in_team, reads, writes):
    scope = Workspace(postern).path if in_team else ""
    product, api = Product(postern, scope=scope), service.unique("api")
    postern.put(f"{scope}/apis/{api}", {"displayName": api, "path": api, "serviceUrl": echo.url})
    person = people.Application(postern)
    person.assign(role, postern.service_id + scope if in_team else postern.group)
    for method, path, body, may in (
            ("GET", product.path, None, reads), ("GET", f"{product.path}/apis", None, reads),
            ("PUT", f"{product.path}/apis/{api}", None, writes), ("HEAD", f"{product.path}/apis/{api}", None, reads),
            ("GET", f"{product.path}/apiLinks", None, reads), ("GET", f"{scope}/apis/{api}/products", None, reads),
            ("PUT", f"{product.path}/policies/policy", {"properties": {"value": policy()}}, writes),
            ("GET", f"{product.path}/subscriptions", None, reads),
            ("PATCH", product.path, {"properties": {"terms": "x"}}, writes),
            ("DELETE", f"{product.path}/apis/{api}", None, writes), ("DELETE", product.path, None, writes)):
        got = person.arm(method, path, body).status
        assert (got == 403) != may, (role, method, path, got)
        assert not may or got in (200, 201, 204, 404), (role, method, path, got)
