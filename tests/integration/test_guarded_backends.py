# SPDX-License-Identifier: Apache-2.0
"""Addresses that only this machine may ask (link-local, metadata services) are no backends, whatever
leads to them; the test makes a namespace so that something really answers there."""
import http.server
import os
import threading
import time

import pytest
from lab import backends, dns, netns, service
from test_websocket import shake, websocket_api

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
                                  "169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "0.0.0.0",
                                  "[64:ff9b::169.254.169.254]", "[64:ff9b:1::a9fe:a9fe]",
                                  "[2002:a9fe:a9fe::1]", "[::169.254.169.254]", "[fd00:ec2::23]"])
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
def test_a_redirect_does_not_lead_there(house, metadata):
    server = backends.Python()
    try:
        for number, host in enumerate([HOST, "metadata.test", f"[::ffff:{HOST}]"]):
            server.route(f"/{number}", lambda request, host=host: request.answer(302, headers={
                "Location": f"http://{host}:{metadata}/latest"}))
        name = service.unique("guard")
        house.make_api(name, server.url, service.policy(
            backend='<forward-request follow-redirects="true" />', base=False))
        before = Metadata.asked
        for number in range(3):
            answer = house.call(f"/{name}/{number}")
            assert answer.status == 500 and b"secret" not in answer.body, answer
        assert Metadata.asked == before
    finally:
        server.stop()


@needs_root
def test_a_websocket_does_not_lead_there(house, metadata):
    before = Metadata.asked
    for host in (HOST, "metadata.test"):
        sock, head, _ = shake(house, "/" + websocket_api(house, f"http://{host}:{metadata}"))
        sock.close()
        assert head.startswith(b"HTTP/1.1 500 "), head
    assert Metadata.asked == before


@needs_root
def test_the_test_console_does_not_lead_there(house, metadata):
    name = service.unique("guard")
    house.make_api(name, f"http://{HOST}:{metadata}")
    before = Metadata.asked
    answer = house.arm("POST", f"/apis/{name}/test", {"method": "GET", "path": "/x"})
    assert "secret" not in answer.text and Metadata.asked == before, answer


@needs_root
def test_a_name_whose_address_changes_between_two_looks_is_not_believed(house, metadata, names):
    """DNS rebinding: the address that is looked at is the one that is connected to."""
    port = metadata
    names.names["rebind.test"] = ["127.0.0.1"]
    name = service.unique("guard")
    house.make_api(name, f"http://rebind.test:{port}")
    before = Metadata.asked
    for turn in range(12):
        names.names["rebind.test"] = [HOST] if turn % 2 else ["127.0.0.1"]
        answer = house.call(f"/{name}/x")
        assert answer.status == 500 and b"secret" not in answer.body
        time.sleep(0.15)  # its time to live is a second: some turns see the one, some the other
    assert Metadata.asked == before


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376",
                                  "169.254.43518", "[::ffff:169.254.169.254]", "[2002:a9fe:a9fe::1]",
                                  "[64:ff9b:1::a9fe:a9fe]"])
def test_a_proxy_is_not_asked_for_a_guarded_address_in_any_writing(house, host):
    proxy = backends.Python()
    try:
        name = service.unique("guard")
        made = house.arm("PUT", f"/backends/{name}", {"properties": {
            "url": f"https://{host}:8443", "protocol": "http", "proxy": {"url": proxy.url}}})
        if made.status == 400:
            return  # not even a host
        house.make_api(name, "http://127.0.0.1:1", service.policy(
            f'<set-backend-service backend-id="{name}" />'))
        told = house.log().count("code=address_guarded")
        assert house.call(f"/{name}/x").status == 500
        service.wait_for("log", lambda: house.log().count("code=address_guarded") > told)
        assert not proxy.seen
    finally:
        proxy.stop()


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
