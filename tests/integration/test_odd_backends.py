# SPDX-License-Identifier: Apache-2.0
"""Odd backends: certificates asked for late, foreign CA names, one kind of key only, late refusals."""
import contextlib
import socket
import subprocess

import pytest
from lab import late, pki, service
from lab.backends import Nginx, free_port
from lab.service import policy, with_certificate


def backend(postern, url, *certificates, **tls_postern):
    """An API on a backend entity with these certificates; returns their common name."""
    name = service.unique("odd")
    properties = {"url": url, "protocol": "http"}
    if certificates:
        properties["credentials"] = {
            "certificateIds": [f"{postern.service_id}/certificates/{c}" for c in certificates]}
    if tls_postern:
        properties["tls"] = {"postern": tls_postern}
    postern.put(f"/backends/{name}", properties)
    postern.make_api(name, url, policy(f'<set-backend-service backend-id="{name}" />'))
    return name


def cause(postern, name, path="/x"):
    """Of a call that failed: the code in the log."""
    answer = postern.call(f"/{name}{path}")
    assert answer.status == 500, answer
    activity = answer.json()["activityId"]

    def line():
        return next((x for x in postern.log().splitlines() if activity in x and "request_failed" in x), None)
    found = service.wait_for("the log line", line, 5)
    return found.split(" code=")[1].split(" ")[0], found


def probe(postern, name):
    answer = postern.arm("POST", f"/backends/{name}/probe")
    assert answer.status == 200, answer.text
    return answer.json()


# ---- asked for after the handshake


def test_renegotiation_is_answered_where_the_backend_allows_it_and_named_where_not(postern, ca, uploaded, clients,
                                                                                   tmp_path):
    server = late.Renegotiating(tmp_path, ca.server(), ca)
    try:
        off = backend(postern, server.url, uploaded["p256"])
        assert postern.call(f"/{off}/open").json()["subject"] == ""
        code, line = cause(postern, off)
        assert code == "tls_renegotiation" and "lateAuthentication" in line
        on = backend(postern, server.url, uploaded["p256"], lateAuthentication=True)
        assert postern.call(f"/{on}/x").json()["subject"] == clients["p256"].common_name
        # At most four on one connection: then the request goes out again on a new one.
        answers = [postern.call(f"/{on}/x").json() for _ in range(12)]
        assert {a["subject"] for a in answers} == {clients["p256"].common_name}
        assert max(a["asked"] for a in answers) <= 4 and len({a["port"] for a in answers}) > 1
        assert postern.call(f"/{off}/open").status == 200, "what was allowed there is not allowed here"
        assert postern.metric("postern_identity_mismatch_total") == 0
    finally:
        server.stop()


def test_post_handshake_authentication_is_answered_where_the_backend_allows_it_and_named_where_not(
        postern, ca, uploaded, clients, tmp_path):
    server = late.Late(tmp_path, ca.server(), ca, late.ask_after_request, post_handshake=True)
    try:
        off = backend(postern, server.url, uploaded["p256"])
        code, line = cause(postern, off)
        assert code == "tls_late_authentication" and "lateAuthentication" in line
        assert not any(server.subjects), "a certificate was shown"
        on = backend(postern, server.url, uploaded["p256"], lateAuthentication=True)
        assert postern.call(f"/{on}/x").json()["subject"] == clients["p256"].common_name
    finally:
        server.stop()


# ---- refused, or cut off, after the handshake


def test_a_connection_that_is_cut_off_after_our_certificate_is_told_from_others(postern, ca, uploaded, tmp_path):
    server = late.Late(tmp_path, ca.server(), ca, late.cut_off)
    try:
        name = backend(postern, server.url, uploaded["p256"])
        assert cause(postern, name)[0] == "tls_closed_late"
        story = probe(postern, name)
        assert story["outcome"] == "failed" and story["cause"] == "tls_closed_late", story
        assert story["certificateSent"] and "log" in story["fix"]
    finally:
        server.stop()


def test_a_late_alert_has_one_code_in_the_log_and_in_the_probe(postern, ca, other_ca, tmp_path):
    with s_server(tmp_path, ca, other_ca, "-tls1_3") as url:
        mine = service.unique("mine")
        postern.upload(mine, ca.client(mine))
        name = backend(postern, url, mine)
        code, line = cause(postern, name)
        assert code == "tls_client_certificate_refused" and "after our side had finished" in line
        assert probe(postern, name)["cause"] == code


# ---- several certificates


@contextlib.contextmanager
def s_server(folder, ca, client_ca, *options):
    """openssl s_server that demands certificates of `client_ca`; gives its URL."""
    stem = service.unique("s")
    crt, key = ca.server().write(folder, stem)
    bundle = folder / f"{stem}-ca.crt"
    bundle.write_bytes(client_ca.certificate_pem)
    port = free_port()
    process = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", crt, "-key", key, "-www", "-quiet",
         "-CAfile", bundle, "-Verify", "2", "-verify_return_error", *map(str, options)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listening():
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
    try:
        service.wait_for("s_server", listening)
        yield f"https://localhost:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def three(postern, ca, other_ca):
    """Names of three certificates: RSA and EC of our CA, EC of a foreign one."""
    identities = {"rsa": ca.client("three-rsa", "rsa2048"), "ec": ca.client("three-ec"),
                  "foreign": other_ca.client("three-foreign")}
    names = {}
    for kind, identity in identities.items():
        names[kind] = service.unique(kind)
        postern.upload(names[kind], identity)
    return names


def test_the_certificate_whose_issuer_the_backend_names_is_shown(postern, nginx, three):
    order = (three["foreign"], three["rsa"], three["ec"])
    assert "CN=three-rsa" in postern.call(f"/{backend(postern, nginx.url('good'), *order)}/x").json()["subject"]
    assert "CN=three-foreign" in postern.call(
        f"/{backend(postern, nginx.url('strangers'), *order)}/x").json()["subject"]
    assert "CN=three-ec" in postern.call(
        f"/{backend(postern, nginx.url('tls12'), *reversed(order))}/x").json()["subject"]


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("sigalgs, expected", [("RSA-PSS+SHA256:RSA+SHA256", "rsa"), ("ECDSA+SHA256", "ec")])
def test_the_certificate_whose_key_the_backend_takes_is_shown(postern, ca, tmp_path, three, version, sigalgs,
                                                              expected):
    with s_server(tmp_path, ca, ca, version, "-client_sigalgs", sigalgs) as url:
        for order in (("rsa", "ec"), ("ec", "rsa")):
            name = backend(postern, url, *(three[k] for k in order))
            story = probe(postern, name)
            assert story["outcome"] == "accepted", story
            assert story["certificate"]["id"].endswith("/" + three[expected])
            assert len(story["certificates"]) == 2
            answer = postern.call(f"/{name}/x")
            assert answer.status == 200 and f"three-{expected}" in answer.text


def test_where_none_fits_nothing_is_shown_and_the_error_says_why(postern, ca, other_ca, tmp_path, three):
    with s_server(tmp_path, ca, pki.Authority("Third CA")) as url:
        name = backend(postern, url, three["rsa"], three["foreign"])
        code, line = cause(postern, name)
        assert code == "client_certificate_none_fits"
        assert three["rsa"] in line and three["foreign"] in line and "issuers" in line
        story = probe(postern, name)
        assert story["cause"] == code and not story["certificateSent"] and story["certificate"] is None
        assert len(story["certificates"]) == 2 and "Third CA" in story["acceptableIssuers"][0]
        # One alone is shown nevertheless, and its refusal explained.
        alone = probe(postern, backend(postern, url, three["rsa"]))
        assert alone["cause"] == "tls_client_certificate_refused" and ca.common_name in alone["fix"]


def test_rotating_one_of_several_opens_new_connections_and_loses_no_request(postern, ca, nginx):
    first, second = service.unique("list-a"), service.unique("list-b")
    postern.upload(first, ca.client("list-a1"))
    postern.upload(second, ca.client("list-b1"))
    name = backend(postern, nginx.url("good"), first, second)
    seen = postern.call(f"/{name}/x").json()
    assert "CN=list-a1" in seen["subject"]
    postern.upload(second, ca.client("list-b2"))  # not the one that is shown
    again = postern.call(f"/{name}/x").json()
    assert "CN=list-a1" in again["subject"] and again["connection"] != seen["connection"]
    assert again["reused"] == ".", "a session of the former list was resumed"
    postern.upload(first, ca.client("list-a2"))
    assert "CN=list-a2" in postern.call(f"/{name}/x").json()["subject"]
    assert postern.metric("postern_identity_mismatch_total") == 0


def test_a_staged_member_is_shown_in_the_place_of_its_predecessor(postern, ca, other_ca, nginx, three):
    """Pre-flight: the list decides, so a member that this backend does not want refuses nothing."""
    mine = service.unique("member")
    postern.upload(mine, ca.client("member-1"))
    backend(postern, nginx.url("strangers"), three["foreign"], mine)
    answer = postern.put(f"/certificates/{mine}", {"data": ca.client("member-2").pfx_base64("secret"),
                                                  "password": "secret"})
    assert answer.status == 200


def in_policy(postern, url, *names):
    name = service.unique("listed")
    postern.make_api(name, url, policy(f'<authentication-certificate certificate-ids="{", ".join(names)}" />'))
    return name


def test_a_policy_may_name_several_of_which_the_backend_chooses(postern, nginx, ca, other_ca, tmp_path, three):
    order = (three["foreign"], three["rsa"], three["ec"])
    for stem, expected in (("good", "three-rsa"), ("strangers", "three-foreign")):
        assert f"CN={expected}" in postern.call(f"/{in_policy(postern, nginx.url(stem), *order)}/x").json()["subject"]
    with s_server(tmp_path, ca, ca, "-client_sigalgs", "ECDSA+SHA256") as url:
        assert "three-ec" in postern.call(f"/{in_policy(postern, url, three['rsa'], three['ec'])}/x").text
    with s_server(tmp_path, ca, pki.Authority("Third CA")) as url:
        name = in_policy(postern, url, three["rsa"], three["foreign"])
        assert postern.call(f"/{name}/x").status == 500
        story = postern.arm("GET", f"/apis/{name}/lastFailure").json()
        assert story["cause"] == "client_certificate_none_fits" and not story["certificateSent"]
        assert three["rsa"] in story["sentence"] + story["detail"], story


def test_each_certificate_of_a_policys_list_is_in_use_and_pre_flighted_in_its_place(postern, ca, nginx, three):
    """A member that this backend does not want refuses nothing, for another one is shown."""
    mine = service.unique("member")
    postern.upload(mine, ca.client("member-1"))
    name = in_policy(postern, nginx.url("strangers"), three["foreign"], mine)
    for certificate in (mine, three["foreign"]):
        answer = postern.arm("DELETE", f"/certificates/{certificate}", headers={"If-Match": "*"})
        assert answer.status == 400 and f"/apis/{name}/policies/policy" in answer.text
    answer = postern.put(f"/certificates/{mine}", {"data": ca.client("member-2").pfx_base64("secret"),
                                                  "password": "secret"})
    assert answer.status == 200
    assert "CN=three-foreign" in postern.call(f"/{name}/x").json()["subject"]


@pytest.mark.parametrize("value, words", [("", "names"), ("a,,b", "by commas"), ("a, A", "each once"),
                                          (",".join(map(str, range(33))), "1 to 32")])
def test_a_list_that_is_none_is_refused_with_its_place(postern, value, words):
    name = service.unique("bad")
    postern.make_api(name, "https://localhost:1")
    answer = postern.set_policy(f"/apis/{name}", policy(
        f'<authentication-certificate certificate-ids="{value}" />'), (400,))
    message = answer.json()["error"]["details"][0]["message"]
    assert "authentication-certificate" in message and words in message, message


# ---- chains


def test_the_chain_is_sent_whole_so_that_a_backend_that_knows_the_root_only_accepts(postern, ca, tmp_path):
    root = pki.Authority("Client root")
    middle = root.authority("Client issuing CA")
    identity = middle.client("below-the-middle")
    server = Nginx(tmp_path)
    server.add("rootonly", ca.server(), root, extra="ssl_verify_depth 3;")
    server.start()
    try:
        whole, bare = service.unique("whole"), service.unique("bare")
        postern.upload(bare, identity)
        identity.chain = [middle.certificate]
        postern.upload(whole, identity)
        for version in ("1.2", "1.3"):
            answer = postern.call(f"/{backend(postern, server.url('rootonly'), whole, minimumTlsVersion=version)}/x")
            assert answer.status == 200 and "below-the-middle" in answer.json()["subject"]
        assert postern.call(f"/{backend(postern, server.url('rootonly'), bare)}/x").status == 400
    finally:
        server.stop()


def test_a_policys_certificate_wins_over_several_of_the_backend(postern, nginx, three, uploaded, clients):
    name = backend(postern, nginx.url("good"), three["rsa"], three["ec"])
    postern.make_api(name + "-p", nginx.url("good"), with_certificate(
        uploaded["p384"], f'<set-backend-service backend-id="{name}" />'))
    assert f"CN={clients['p384'].common_name}" in postern.call(f"/{name}-p/x").json()["subject"]
