# SPDX-License-Identifier: Apache-2.0
"""Addresses that only this machine may ask (link-local, metadata services) are no backends, whatever
leads to them; the test makes a namespace so that something really answers there."""
import http.server
import os
import threading

import pytest
from lab import dns, netns, service

HOST = "169.254.213.1"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")


class Metadata(http.server.BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self):
        Metadata.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"secret")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def metadata():
    """A server at a link-local address of this machine; its port."""
    space = netns.Namespace(HOST, ["169.254.213.2"])
    server = http.server.ThreadingHTTPServer((HOST, 0), Metadata)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    space.remove()


@pytest.fixture(scope="module")
def names():
    server = dns.NameServer()
    server.names["metadata.test"] = [HOST]
    server.names["both.test"] = [HOST, "127.0.0.1"]
    return server


@pytest.fixture(scope="module")
def house(names, tmp_path_factory, trust):
    instance = service.Postern(tmp_path_factory.mktemp("guarded"), environment=trust,
                               options=["--dns-servers", names.address])
    instance.start()
    yield instance
    instance.stop()


@needs_root
@pytest.mark.parametrize("host", [HOST, f"[::ffff:{HOST}]", "metadata.test", "2852050177",
                                  "169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "0.0.0.0"])
def test_a_guarded_address_is_no_backend(house, metadata, host):
    name = service.unique("guard")
    made = house.arm("PUT", f"/apis/{name}", {"properties": {
        "displayName": name, "path": name, "serviceUrl": f"http://{host}:{metadata}",
        "protocols": ["http"], "subscriptionRequired": False}})
    if made.status == 400:
        return  # not even an address
    house.put(f"/apis/{name}/operations/get",
              {"displayName": "g", "method": "GET", "urlTemplate": "/*"})
    before, told = Metadata.asked, house.log().count("code=address_guarded")
    answer = house.call(f"/{name}/latest/meta-data")
    assert answer.status == 500 and b"secret" not in answer.body
    assert Metadata.asked == before
    if host != "2852050177":  # a name to us, and nobody knows it
        service.wait_for("log", lambda: house.log().count("code=address_guarded") > told)


@needs_root
def test_a_policy_does_not_lead_there(house, metadata):
    name = service.unique("guard")
    house.make_api(name, "http://127.0.0.1:1", service.policy(
        f'<set-backend-service base-url="http://metadata.test:{metadata}" />'))
    before = Metadata.asked
    assert house.call(f"/{name}/x").status == 500
    assert Metadata.asked == before


@needs_root
def test_a_name_with_both_kinds_of_address_is_served_by_the_other(house, metadata, echo):
    name = service.unique("guard")
    port = echo.httpd.server_address[1]
    house.make_api(name, f"http://both.test:{port}")
    assert house.call(f"/{name}/x").status == 200


@needs_root
def test_a_probe_tells_why(house, metadata):
    house.put("/backends/guarded", {"url": f"https://{HOST}:{metadata}", "protocol": "http"})
    answer = house.arm("POST", "/backends/guarded/probe")
    assert "address_guarded" in answer.text and "link-local-backends" in answer.text, answer


@needs_root
def test_the_switch_lets_them(metadata, names, tmp_path, trust):
    house = service.Postern(tmp_path, environment=trust,
                            options=["--dns-servers", names.address, "--link-local-backends",
                                     "allow"])
    house.start()
    try:
        house.make_api("meta", f"http://metadata.test:{metadata}")
        assert house.call("/meta/x").text == "secret"
    finally:
        house.stop()
