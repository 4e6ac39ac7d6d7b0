# SPDX-License-Identifier: Apache-2.0
"""Promise 1, the one everything rests on: no request ever travels under another identity."""
import collections
import concurrent.futures
import threading

import pytest
from lab import service, web
from lab.service import policy, with_certificate

REQUESTS = 3000
THREADS = 8


def hammer(postern, plan, requests, threads=THREADS):
    """`plan`: (path, expected SHA-1 or "") pairs, interleaved over all threads; counts outcomes."""
    outcomes = collections.Counter()
    lock = threading.Lock()

    def worker(first):
        mine = collections.Counter()
        session = web.Session(postern.gateway, keep=True)
        for i in range(first, requests, threads):
            path, expected = plan[(i * 7 + first) % len(plan)]
            answer = session.get(path)
            if answer.status != 200:
                mine[f"status {answer.status}"] += 1
                continue
            seen = answer.json()
            mine["right" if seen["sha1"].upper() == expected else "WRONG"] += 1
            mine["resumed"] += seen["reused"] == "r"
        session.close()
        with lock:
            outcomes.update(mine)

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(worker, i) for i in range(threads)]:
            done.result()
    return outcomes


@pytest.mark.parametrize("server", ["tls12", "tls13"])
def test_two_apis_one_backend_never_the_wrong_certificate(postern, ca, nginx, server):
    plan = []
    for kind in ("p256", "rsa2048", "p256", "p384"):
        name = service.unique("one")
        identity = ca.client(name, kind)
        postern.upload(name, identity)
        postern.make_api(name, nginx.url(server), with_certificate(name))
        plan.append((f"/{name}/x", identity.sha1))
    outcomes = hammer(postern, plan, REQUESTS)
    assert outcomes["right"] == REQUESTS, outcomes
    assert postern.metric("postern_identity_mismatch_total") == 0


def test_every_request_on_a_new_connection_with_resumption_on(postern, ca, tmp_path):
    """The backend closes after each answer, so each request is a handshake that may resume."""
    from lab import backends
    server = backends.Nginx(tmp_path)
    for stem, protocol in (("short12", "TLSv1.2"), ("short13", "TLSv1.3")):
        server.add(stem, ca.server(), ca, protocol, extra="keepalive_timeout 0;")
    server.start()
    try:
        for stem in ("short12", "short13"):
            plan = []
            for _ in range(2):
                name = service.unique(stem)
                identity = ca.client(name)
                postern.upload(name, identity)
                postern.make_api(name, server.url(stem), with_certificate(name))
                plan.append((f"/{name}/x", identity.sha1))
            outcomes = hammer(postern, plan, 1000, 4)
            assert outcomes["right"] == 1000, (stem, outcomes)
            assert outcomes["resumed"] > 0, f"{stem}: resumption is not on: {outcomes}"
    finally:
        server.stop()
    assert postern.metric("postern_identity_mismatch_total") == 0


def test_a_call_without_certificate_never_borrows_one(postern, ca, nginx):
    name, bare = service.unique("with"), service.unique("without")
    postern.upload(name, ca.client(name))
    postern.make_api(name, nginx.url("good"), with_certificate(name))
    postern.make_api(bare, nginx.url("good"), policy())
    for _ in range(200):
        assert postern.call(f"/{name}/x").status == 200
        assert postern.call(f"/{bare}/x").status == 400, "a certificate was presented"


def test_a_rotation_under_load_loses_no_request_and_ends(postern, ca, nginx):
    """Promise 4, as far as replacing an upload goes."""
    name = service.unique("rotate")
    identities = [ca.client(f"{name}-{i}") for i in range(6)]
    postern.upload(name, identities[0])
    postern.make_api(name, nginx.url("good"), with_certificate(name))
    current, wrong, calls = [0], [], [0]
    stop = threading.Event()
    prints = [i.sha1 for i in identities]

    def load():
        session = web.Session(postern.gateway, keep=True)
        while not stop.is_set():
            at_least = current[0]
            answer = session.get(f"/{name}/x")
            calls[0] += 1
            if answer.status != 200:
                wrong.append(answer)
                continue
            generation = prints.index(answer.json()["sha1"].upper())
            if generation < at_least:
                wrong.append(f"generation {generation} after {at_least} was answered")
        session.close()

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for i in range(1, len(identities)):
            postern.upload(name, identities[i])
            current[0] = i
            for _ in range(20):
                postern.call(f"/{name}/x")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:5]
    assert calls[0] > 100
