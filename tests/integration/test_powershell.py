# SPDX-License-Identifier: Apache-2.0
"""docs/powershell.md: each command sends the body that the cmdlet sends. nginx stands before control
and writes down what passes."""
import base64
import json
import os
import re
import subprocess

import pytest
from lab import backends, service
from lab.service import BIN, ROOT

RECORDER = """
worker_processes 1; daemon off; pid {folder}/pid; {user}
events {{ }}
http {{
    log_format seen escape=json '{{"method":"$request_method","uri":"$request_uri","match":"$http_if_match","body":"$request_body"}}';
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    client_body_buffer_size 1m; client_max_body_size 1m; client_body_in_single_buffer on;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {crt}; ssl_certificate_key {key};
        access_log {folder}/seen.log seen;
        location / {{ proxy_pass {control}; proxy_ssl_server_name on; }}
    }}
}}
"""


class Recorder:
    def __init__(self, folder, postern, ca):
        self.postern = postern
        self.folder = folder
        crt, key = ca.server().write(folder, "recorder")
        (folder / "ca.pem").write_bytes(ca.certificate_pem)
        self.port = backends.free_port()
        config = folder / "nginx.conf"
        config.write_text(RECORDER.format(folder=folder, port=self.port, crt=crt, key=key,
                                          control=postern.control,
                                          user="user root;" if os.geteuid() == 0 else ""))
        self.process = subprocess.Popen([backends.NGINX, "-p", folder, "-c", config, "-e",
                                         folder / "error.log"], stdin=subprocess.DEVNULL)
        service.wait_for("the recorder", lambda: (folder / "pid").exists())

    def run(self, *arguments):
        """What the command sent that changes something: (method, path below the service, body)."""
        log = self.folder / "seen.log"
        done_before = len(log.read_text().splitlines()) if log.exists() else 0
        done = subprocess.run(
            [BIN / "postern", *map(str, arguments)], capture_output=True, text=True, timeout=60,
            stdin=subprocess.DEVNULL,
            env=dict(os.environ, POSTERN_URL=f"https://localhost:{self.port}",
                     POSTERN_CA_FILE=str(self.folder / "ca.pem"),
                     POSTERN_SERVICE=self.postern.service_id, POSTERN_TOKEN=self.postern.token()))
        assert done.returncode == 0, (arguments, done.stderr)
        # nginx writes a line when it is done with the request, which may be behind its answer: one
        # more request, on the same worker, comes behind all of them.
        last = service.unique("last")
        subprocess.run(["curl", "-sk", f"https://localhost:{self.port}/{last}"], timeout=20,
                       capture_output=True, check=True)
        service.wait_for("the record", lambda: last in log.read_text())
        lines = [json.loads(line) for line in log.read_text().splitlines()[done_before:]]
        return [(seen["method"], re.sub(r"\?.*", "", seen["uri"]).removeprefix(
            self.postern.service_id), json.loads(seen["body"]) if seen["body"] else None,
            seen["match"]) for seen in lines if seen["method"] != "GET"]


@pytest.fixture(scope="module")
def recorder(tmp_path_factory, postern, ca):
    one = Recorder(tmp_path_factory.mktemp("recorder"), postern, ca)
    yield one
    one.process.terminate()
    one.process.wait(10)


def sent(recorder, *arguments):
    """The one call of a command: method, path and properties."""
    (method, path, body, _), = recorder.run(*arguments)
    return method, path, body["properties"] if body else None


def test_certificates(recorder, postern, ca, tmp_path):
    name = service.unique("ps")
    pfx = ca.client(name).pfx("p")
    (tmp_path / "c.pfx").write_bytes(pfx)
    (tmp_path / "pw").write_text("p")
    upload = {"data": base64.b64encode(pfx).decode(), "password": "p"}
    options = [name, "--pfx", tmp_path / "c.pfx", "--password-file", tmp_path / "pw"]
    assert sent(recorder, "certificate", "add", *options) == ("PUT", f"/certificates/{name}", upload)
    assert sent(recorder, "certificate", "replace", *options) == (
        "PUT", f"/certificates/{name}", upload)
    (method, path, body, match), = recorder.run("certificate", "delete", name)
    assert (method, path, body, match) == ("DELETE", f"/certificates/{name}", None, "*")


def test_certificates_in_a_vault(recorder, postern):
    name = service.unique("ps")
    done = postern.vault("POST", f"/certificates/{name}/create",
                         {"policy": {"issuer": {"name": "Self"},
                                     "x509_props": {"subject": f"CN={name}"}}})
    assert done.status == 202, done
    secret = f"{postern.vault_url}/secrets/{name}"
    service.wait_for("the certificate", lambda: postern.vault(
        "GET", f"/secrets/{name}").status == 200)
    assert sent(recorder, "certificate", "add", name, "--vault-secret", secret) == (
        "PUT", f"/certificates/{name}", {"keyVault": {"secretIdentifier": secret}})
    (method, path, body, _), = recorder.run("certificate", "refresh", name)
    assert (method, path, body) == ("POST", f"/certificates/{name}/refreshSecret", None)


def test_backends(recorder, postern, ca, tmp_path):
    name = service.unique("ps")
    identity = ca.client(name)
    postern.upload(name, identity)
    (tmp_path / "secret").write_text("b3BlbnNlc2FtZQ==\n")
    (tmp_path / "pw").write_text("hidden\n")
    method, path, properties = sent(
        recorder, "backend", "add", name, "--url", "https://contoso.example/awesome", "--title",
        "first backend", "--description", "my backend", "--skip-certificate-chain-validation",
        "--certificate-thumbprint", identity.sha1, "--header", "x-my-1=val1", "--header",
        "x-my-1=val2", "--query-parameter", "sv=xx", "--authorization",
        f"Basic=@{tmp_path / 'secret'}", "--proxy", "http://127.0.0.1:8080", "--proxy-user", "foo",
        "--proxy-password-file", tmp_path / "pw")
    assert (method, path) == ("PUT", f"/backends/{name}")
    assert properties == {
        "url": "https://contoso.example/awesome", "protocol": "http", "title": "first backend",
        "description": "my backend", "tls": {"validateCertificateChain": False},
        "credentials": {"certificate": [identity.sha1], "header": {"x-my-1": ["val1", "val2"]},
                        "query": {"sv": ["xx"]},
                        "authorization": {"scheme": "Basic", "parameter": "b3BlbnNlc2FtZQ=="}},
        "proxy": {"url": "http://127.0.0.1:8080", "username": "foo", "password": "hidden"}}
    assert sent(recorder, "backend", "update", name, "--skip-certificate-name-validation",
                "--title", "second") == (
        "PATCH", f"/backends/{name}",
        # A PATCH replaces whole members; what is stored of tls goes along, as "keeps the rest" says.
        {"title": "second", "tls": {"validateCertificateChain": False, "validateCertificateName": False}})
    (method, path, body, match), = recorder.run("backend", "delete", name)
    assert (method, path, body, match) == ("DELETE", f"/backends/{name}", None, "*")


def test_apis_and_policies(recorder, postern, tmp_path):
    name = service.unique("ps")
    document = ("<policies><inbound><base /></inbound><backend><base /></backend><outbound><base />"
                "</outbound><on-error><base /></on-error></policies>")
    (tmp_path / "p.xml").write_text(document)
    (tmp_path / "api.json").write_text(json.dumps(
        {"openapi": "3.0.1", "info": {"title": "T"}, "paths": {"/a": {"get": {}}}}))
    calls = recorder.run("api", "add", name, "--path", f"{name}/v1", "--url",
                         "https://orders.example", "--title", "Orders", "--operation",
                         "GET:/items/{id}")
    assert [c[:2] for c in calls] == [("PUT", f"/apis/{name}"),
                                      ("PUT", f"/apis/{name}/operations/GET-1")]
    assert calls[0][2]["properties"] == {
        "displayName": "Orders", "path": f"{name}/v1", "serviceUrl": "https://orders.example",
        "protocols": ["http", "https"], "subscriptionRequired": True}
    assert calls[1][2]["properties"]["templateParameters"] == [
        {"name": "id", "required": True, "type": "string"}]
    assert sent(recorder, "policy", "set", tmp_path / "p.xml", "--api", name) == (
        "PUT", f"/apis/{name}/policies/policy", {"format": "rawxml", "value": document})
    method, path, properties = sent(recorder, "api", "import", name, tmp_path / "api.json", "--path",
                                    f"{name}/v1")
    assert (method, path) == ("PUT", f"/apis/{name}")
    assert properties["format"] == "openapi+json" and properties["path"] == f"{name}/v1"
    assert json.loads(properties["value"])["openapi"] == "3.0.1"
    assert sent(recorder, "subscription", "add", name, "--api", name)[2] == {
        "displayName": name, "scope": f"/apis/{name}", "state": "active"}


def test_product_cmdlets(recorder, tmp_path):
    name, api = service.unique("gold"), service.unique("api")
    document = service.policy('<set-header name="X-Gold"><value>1</value></set-header>')
    (tmp_path / "p.xml").write_text(document)
    recorder.run("api", "add", api, "--url", "https://orders.example", "--operation", "GET:/*")
    assert sent(recorder, "product", "add", name, "--title", "Gold", "--description", "d", "--terms", "t",
                "--subscription-required", "yes", "--approval-required", "no", "--subscriptions-limit", "2",
                "--state", "published") == ("PUT", f"/products/{name}", {
                    "displayName": "Gold", "description": "d", "terms": "t", "subscriptionRequired": True,
                    "approvalRequired": False, "subscriptionsLimit": 2, "state": "published"})
    assert sent(recorder, "product", "update", name, "--subscriptions-limit", "none") == (
        "PATCH", f"/products/{name}", {"subscriptionsLimit": None})
    assert [c[:2] for c in recorder.run("product", "api", "add", name, api)] == [("PUT", f"/products/{name}/apis/{api}")]
    assert sent(recorder, "policy", "set", tmp_path / "p.xml", "--product", name) == (
        "PUT", f"/products/{name}/policies/policy", {"format": "rawxml", "value": document})
    assert sent(recorder, "subscription", "add", name, "--product", name)[2] == {
        "displayName": name, "scope": f"/products/{name}"}
    assert [c[:2] for c in recorder.run("product", "api", "remove", name, api)] == [
        ("DELETE", f"/products/{name}/apis/{api}")]
    assert [c[:2] for c in recorder.run("product", "delete", name, "--with-subscriptions")] == [
        ("DELETE", f"/products/{name}")]


def test_the_page_names_only_commands_that_exist():
    page = (ROOT / "docs/powershell.md").read_text()
    helped = subprocess.run([BIN / "postern", "help", "commands"], capture_output=True,
                            text=True, check=True)
    known = re.findall(r"^  postern ((?:\S+ )+) ", helped.stdout, re.M)
    known = {k.strip() for k in known}
    named = {" ".join(words) for words in re.findall(r"`postern (\S+) ([a-z][a-z-]*)", page)}
    assert named and not [n for n in named if n not in known and n.split()[0] not in known
                          and not any(k.startswith(n + " ") for k in known)]
    for command, options in re.findall(r"`postern ([a-z]+ [a-z][a-z-]*)([^`]*)`", page):
        text = subprocess.run([BIN / "postern", *command.split(), "--help"], capture_output=True,
                              text=True, check=True).stdout
        for option in re.findall(r"--([a-z-]+)", options):
            assert f"--{option} " in text, (command, option)
    text = subprocess.run([BIN / "postern", "backend", "add", "--help"], capture_output=True,
                          text=True, check=True).stdout
    for option in re.findall(r"`… --([a-z-]+)", page):
        assert re.search(rf"^  --{option}\b", text, re.M), option
