# SPDX-License-Identifier: Apache-2.0
"""The limits of other identity providers, each hit from outside."""
import concurrent.futures
import subprocess
import time

import pytest
from lab import issuer as issuers
from lab import service, web
from test_federation import federate, login
from test_limits import hits

AUDIENCE = "api://postern"
LIMITS = {"issuers-known": "3", "issuer-keys": "2", "issuer-fetches": "1", "issuer-waiting": "0",
          "issuer-refetch": "1h", "issuer-retry": "1s", "issuer-stale": "3s",
          "issuer-lifetime-min": "1s", "issuer-lifetime-max": "2s", "foreign-token-bytes": "2048"}


@pytest.fixture(scope="module")
def forgers(tmp_path_factory, ca):
    made = [issuers.Forger(tmp_path_factory.mktemp("forger"), ca) for _ in range(4)]
    yield made
    for forger in made:
        forger.stop()


@pytest.fixture(scope="module")
def narrow(tmp_path_factory, trust, forgers):
    options = [o for name, value in LIMITS.items() for o in ("--limit", f"{name}={value}")]
    for forger in forgers:
        options += ["--trusted-issuer", f"{forger.url},audience={AUDIENCE}"]
    made = service.Postern(tmp_path_factory.mktemp("narrow"), options, trust).start()
    yield made
    made.stop()


def ask(postern, forger, **more):
    return postern.arm("GET", "", token=forger.token(aud=AUDIENCE, **more)).status


def asked(forger):
    return forger.requests.count("/keys")


def test_keys_above_issuer_keys_are_not_seen(narrow, forgers):
    forger = forgers[0]
    forger.keys.update({f"k{i}": issuers.new_key("RS256") for i in (2, 3)})
    before = hits(narrow, "issuer-keys")
    assert [ask(narrow, forger, kid=k) for k in ("k1", "k2", "k3")] == [403, 403, 401]
    assert hits(narrow, "issuer-keys") > before


def test_an_unknown_kid_is_looked_for_once_in_issuer_refetch(narrow, forgers):
    forger = forgers[1]
    forger.max_age = 3600  # cut to issuer-lifetime-max
    assert ask(narrow, forger) == 403
    before, seen = hits(narrow, "issuer-refetch"), asked(forger)
    stranger = issuers.new_key("RS256")
    answers = [ask(narrow, forger, kid=f"no{i}", key=stranger) for i in range(5)]
    assert answers == [401] * 5
    assert asked(forger) == seen + 1
    assert hits(narrow, "issuer-refetch") == before + 5
    service.wait_for("issuer-lifetime-max", lambda: ask(narrow, forger) == 403 and
                     asked(forger) > seen + 1, 10)


def test_an_issuer_that_is_away_is_asked_once_in_issuer_retry(narrow, forgers):
    forger = forgers[2]
    forger.status = 503
    before = hits(narrow, "issuer-retry")
    assert [ask(narrow, forger) for _ in range(5)] == [503] * 5
    assert forger.requests.count("/.well-known/openid-configuration") <= 2
    assert hits(narrow, "issuer-retry") >= before + 3
    forger.status = 200
    service.wait_for("issuer-retry", lambda: ask(narrow, forger) == 403, 10)


def test_last_keys_serve_for_issuer_stale(narrow, forgers):
    forger = forgers[2]
    forger.max_age = 0  # raised to issuer-lifetime-min
    before = hits(narrow, "issuer-stale")
    service.wait_for("fresh keys", lambda: ask(narrow, forger) == 403 and asked(forger) > 1, 10)
    seen = asked(forger)
    assert ask(narrow, forger) == 403 and asked(forger) == seen, "kept for issuer-lifetime-min"
    forger.status = 503
    time.sleep(1.2)  # they have ended
    tried = len(forger.requests)
    assert ask(narrow, forger) == 403, "the issuer is away, its last keys serve"
    assert len(forger.requests) > tried
    assert ask(narrow, forger, kid="new", key=forger.keys["k1"]) == 503, \
        "a new key may be good: it is not denied"
    service.wait_for("issuer-stale", lambda: ask(narrow, forger) == 503, 15)
    assert hits(narrow, "issuer-stale") == before + 1
    forger.status = 200


def test_fetches_at_a_time_and_who_waits_for_them(narrow, forgers):
    slow, other = forgers[3], forgers[0]
    slow.delay, other.delay = 0.7, 0
    own = web.Session(narrow.control, narrow.ca_file)
    waiting, fetches = hits(narrow, "issuer-waiting"), hits(narrow, "issuer-fetches")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(narrow.arm, "GET", "", token=slow.token(aud=AUDIENCE),
                            session=own)
        service.wait_for("the fetch", lambda: slow.requests, 10)
        assert ask(narrow, slow) == 503, "issuer-waiting"
        assert ask(narrow, other, kid="unknown", key=other.keys["k1"]) == 503, "issuer-fetches"
        assert narrow.arm("GET", "").status == 200, "our own tokens wait for nobody"
        assert first.result().status == 403
    assert hits(narrow, "issuer-waiting") == waiting + 1
    assert hits(narrow, "issuer-fetches") >= fetches + 1
    slow.delay = 0
    own.close()


def test_the_issuer_not_asked_for_longest_goes(narrow, forgers):
    before = hits(narrow, "issuers-known")
    for forger in forgers:
        forger.status = 200
        service.wait_for("keys", lambda f=forger: ask(narrow, f) == 403, 10)
    assert hits(narrow, "issuers-known") > before


def test_a_long_assertion_is_refused(narrow, forgers):
    workload = federate(narrow, forgers[0].url)
    good = login(narrow, workload["clientId"], forgers[0].token())
    assert good.status == 200, good
    before = hits(narrow, "foreign-token-bytes")
    answer = login(narrow, workload["clientId"], forgers[0].token(more="x" * 2048))
    assert answer.status == 401 and "AADSTS50027" in answer.text, answer
    assert hits(narrow, "foreign-token-bytes") == before + 1


@pytest.mark.parametrize("limit, options", [
    ("trusted-issuers", ["https://a.test,audience=a", "https://b.test,audience=a"]),
    ("issuer-audiences", ["https://a.test,audience=a,audience=b"])])
def test_too_many_are_told_at_the_start(tmp_path, limit, options):
    command = [str(service.BIN / "postern"), "serve", "--data", str(tmp_path / "data"), "--limit",
               f"{limit}=1"]
    for name in ("control", "vault", "gateway", "gateway-tls"):
        command += [f"--{name}", "localhost:0"]
    for option in options:
        command += ["--trusted-issuer", option]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and f"(limit {limit})" in done.stderr, done.stderr
