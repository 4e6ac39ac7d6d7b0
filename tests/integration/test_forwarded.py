# SPDX-License-Identifier: Apache-2.0
"""What backends are told of clients, as the operator set it."""
import json

import pytest
from lab import backends, h2peer, service


@pytest.mark.parametrize("options, sent, expected", [
    ([], {}, {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http"}),
    ([], {"X-Forwarded-For": "192.0.2.1"}, {"x-forwarded-for": "192.0.2.1, 127.0.0.1"}),
    (["--x-forwarded", "replace", "--forwarded", "on"],
     {"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1", "X-Forwarded-Port": "1",
      "X-Forwarded-Prefix": "/admin", "X-FORWARDED-SERVER": "evil", "X-Forwarded-Proto": "https"},
     {"x-forwarded-for": "127.0.0.1", "forwarded": 'for=127.0.0.1;proto=http;host="%s"',
      "x-forwarded-port": None, "x-forwarded-prefix": None, "x-forwarded-server": None,
      "x-forwarded-proto": "http"}),
    (["--x-forwarded", "off"], {"X-Forwarded-For": "192.0.2.1"},
     {"x-forwarded-for": "192.0.2.1", "x-forwarded-proto": None, "x-forwarded-host": None}),
])
def test_forwarding_is_as_configured(tmp_path, trust, options, sent, expected):
    backend = backends.Python()
    instance = service.Postern(tmp_path, options=options, environment=trust)
    instance.start()
    try:
        instance.make_api("e", backend.url)
        host = instance.gateway.split("//")[1]
        with h2peer.Peer(instance.gateway) as peer:
            answers = [instance.call("/e/x", headers=sent).json(), json.loads(
                peer.call("GET", "/e/x", [(n.lower(), v) for n, v in sent.items()]).body)]
        for answer in answers:
            headers = dict(answer["headers"])
            for name, value in expected.items():
                assert headers.get(name) == (value % host if value and "%s" in value else value)
    finally:
        instance.stop()
        backend.stop()
