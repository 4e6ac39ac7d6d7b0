# SPDX-License-Identifier: Apache-2.0
"""postern login --issuer: a person signs in by a browser, here played by these tests, at a real
identity provider."""
import http.cookiejar
import os
import re
import socket
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
from lab import issuer as issuers
from lab import service
from test_trusted_issuers import AUDIENCE, assign, id_of

POSTERN = str(service.BIN / "postern")


@pytest.fixture(scope="module")
def real(tmp_path_factory, ca):
    made = issuers.Issuer(tmp_path_factory.mktemp("real"), ca)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def house(tmp_path_factory, trust, real):
    made = service.Postern(tmp_path_factory.mktemp("house"), environment=trust, options=[
        "--trusted-issuer", f"{real.url},audience={AUDIENCE}"]).start()
    yield made
    made.stop()


class Browser:
    """Cookies, redirects and forms; stops where a redirect leads to http://localhost."""

    def __init__(self, ca_file):
        class Stop(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, req, fp, code, msg, headers, newurl):
                if newurl.startswith("http://localhost"):
                    raise urllib.error.HTTPError(newurl, 299, "back", headers, fp)
                return super().redirect_request(req, fp, code, msg, headers, newurl)

        self.opener = urllib.request.build_opener(
            Stop, urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_file)))

    def go(self, url, form=None):
        """(URL, page)"""
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        try:
            answer = self.opener.open(url, data, timeout=30)
            return answer.geturl(), answer.read().decode()
        except urllib.error.HTTPError as stopped:
            if stopped.code != 299:
                raise AssertionError(f"{url}: {stopped.code} {stopped.read()[:500]}") from None
            return stopped.url, ""

    def submit(self, page, url, **fields):
        action = re.search(r'action="([^"]*)"', page).group(1)
        form = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page))
        return self.go(urllib.parse.urljoin(url, action), {**form, **fields})

    def sign_in(self, url, name="ada"):
        """Through log-in and consent, to where the issuer leads in the end."""
        url, page = self.go(url)
        for _ in range(4):
            if "/interaction/" not in url:
                break
            url, page = self.submit(page, url, **({"login": name, "password": "x"}
                                                  if 'name="login"' in page else {}))
        return url, page


class Login:
    def __init__(self, house, real, home, *more, **environment):
        self.home = home
        self.environment = dict(os.environ, XDG_CONFIG_HOME=str(home), XDG_STATE_HOME=str(home),
                                SSL_CERT_FILE=str(real.ca_file), **environment)
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "POSTERN_TOKEN", "POSTERN_URL"):
            self.environment.pop(name, None)
        self.process = subprocess.Popen(
            [POSTERN, "login", "--url", house.control, "--ca-file", house.ca_file, "--issuer",
             real.url, "--client-id", "cli", *more],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said = ""

    def line_with(self, pattern):
        while True:
            line = self.process.stderr.readline()
            assert line, f"it ended: {self.said}"
            self.said += line
            found = re.search(pattern, line)
            if found:
                return found.group(0)

    def end(self):
        out, err = self.process.communicate(timeout=60)
        self.said += err
        return self.process.returncode, out, self.said

    def run(self, *command):
        return subprocess.run([POSTERN, *command], env=self.environment, capture_output=True,
                              text=True, timeout=60)


@pytest.fixture
def begin(house, real, tmp_path):
    started = []

    def start(*more, **environment):
        started.append(Login(house, real, tmp_path, *more, **environment))
        return started[-1]

    yield start
    for login in started:
        if login.process.poll() is None:
            login.process.kill()
            login.process.communicate()


def call_back(url, family=socket.AF_INET):
    """What a browser sends to the loopback address, and the answer."""
    parts = urllib.parse.urlsplit(url)
    with socket.socket(family) as sock:
        sock.settimeout(10)
        sock.connect(("127.0.0.1" if family == socket.AF_INET else "::1", parts.port))
        sock.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        answer = b""
        while chunk := sock.recv(4096):
            answer += chunk
    return answer.decode()


def test_a_person_signs_in_and_has_her_roles(begin, house, real):
    login = begin("--resource", AUDIENCE, "--no-browser")
    place = login.line_with(r"https://\S+")
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(place).query)
    assert asked["code_challenge_method"] == ["S256"] and len(asked["state"][0]) == 43
    back, _ = Browser(real.ca_file).sign_in(place)
    assert back.startswith(asked["redirect_uri"][0])
    with socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(back).port)):
        pass  # one that a browser opens and does not use
    wrong = re.sub(r"state=[^&]+", "state=" + "x" * 43, back)
    assert "404" in call_back(wrong).split("\r\n")[0], "somebody else's answer"
    assert "404" in call_back(back.split("?")[0] + "favicon.ico").split("\r\n")[0]
    page = call_back(back, socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET)
    assert page.startswith("HTTP/1.1 200") and "go back to the terminal" in page
    assert "no-store" in page and "code" not in page.lower().split("\r\n\r\n")[1]
    code, _, said = login.end()
    assert code == 1 and "postern role assign" in said, said
    principal = re.search(r"you are ([0-9a-f-]{36}) there", said).group(1)
    assert not (login.home / "postern" / "login.json").exists(), "nothing is kept of a login that failed"
    assign(house, principal)  # at the service: who sees no subscription names it
    login = begin("--resource", AUDIENCE, "--no-browser", "--vault-url", house.vault_url,
                  POSTERN_SERVICE=house.service_id)
    back, _ = Browser(real.ca_file).sign_in(login.line_with(r"https://\S+"))
    call_back(back)
    code, out, said = login.end()
    assert code == 0 and "Logged in at" in out, said
    kept = login.home / "postern" / "login.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "refresh" not in kept.read_text()
    shown = login.run("api", "list")
    assert shown.returncode == 0, shown.stderr
    refused = login.run("vault", "secret", "list")
    assert refused.returncode == 1 and principal in refused.stderr, "the vault knows her too"
    assert login.run("logout").returncode == 0
    assert id_of(house.arm("GET", "", token=real.token(AUDIENCE))) != principal


def test_a_browser_elsewhere(begin, house, real):
    login = begin("--resource", AUDIENCE, "--device")
    line = login.line_with(r"https://\S+ in any browser and enter the code \S+")
    where, code = line.split()[0], line.split()[-1]
    browser = Browser(real.ca_file)
    url, page = browser.go(where)
    url, page = browser.submit(page, url, user_code=code)
    url, page = browser.submit(page, url, confirm="yes")
    for _ in range(4):
        if "/interaction/" not in url:
            break
        url, page = browser.submit(page, url, **({"login": "grace", "password": "x"}
                                                 if 'name="login"' in page else {}))
    result, _, said = login.end()
    assert result == 1 and "postern role assign" in said, (said, page)


def test_an_opened_browser_gets_the_address(begin, tmp_path):
    script = tmp_path / "browser"
    script.write_text(f"#!/bin/sh\necho \"$1\" > {tmp_path}/opened\n")
    script.chmod(0o755)
    login = begin("--resource", AUDIENCE, BROWSER=str(script))
    place = login.line_with(r"https://\S+")
    service.wait_for("browser", lambda: (tmp_path / "opened").exists() and (
        tmp_path / "opened").read_text().strip() == place)


@pytest.mark.parametrize("query, words", [
    ("error=access_denied&error_description=%1b[31m", "access_denied"),
    ("code=x&iss=https%3A%2F%2Fanother.test", "another issuer"),
    ("code=nonsense", "refused (400): invalid_grant")])
def test_what_the_browser_may_bring(begin, query, words):
    login = begin("--no-browser")
    place = urllib.parse.parse_qs(urllib.parse.urlsplit(login.line_with(r"https://\S+")).query)
    call_back(f"{place['redirect_uri'][0]}?state={place['state'][0]}&{query}")
    code, _, said = login.end()
    assert code == 1 and words in said and "\x1b" not in said, said


@pytest.mark.parametrize("options, code, words", [
    (["--issuer", "http://x.test"], 2, "https://"),
    (["--issuer", "https://127.0.0.1:1"], 3, "not reachable"),
    (["--device"], 2, "go with --issuer"),
    (["--issuer", "https://x.test", "--secret-file", "x"], 2, "public client")])
def test_what_does_not_fit_is_told(tmp_path, house, options, code, words):
    done = subprocess.run([POSTERN, "login", "--url", house.control, "--client-id", "cli", *options],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                          env=dict(os.environ, XDG_CONFIG_HOME=str(tmp_path)))
    assert done.returncode == code and words in done.stderr, done.stderr


def test_a_url_that_is_not_the_issuers_own_is_refused(begin, house, real, tmp_path):
    done = subprocess.run([POSTERN, "login", "--url", house.control, "--issuer",
                           real.url.replace("localhost", "127.0.0.1"), "--client-id", "cli"],
                          capture_output=True, text=True, timeout=60, env=dict(
                              os.environ, XDG_CONFIG_HOME=str(tmp_path),
                              SSL_CERT_FILE=str(real.ca_file)))
    assert done.returncode == 1 and "does not name" in done.stderr, done.stderr
