# SPDX-License-Identifier: Apache-2.0
"""The `postern` commands: clients of the REST API."""
import json
import os
import re
import subprocess

import pytest
from lab import service
from lab.service import BIN, policy, with_certificate


@pytest.fixture
def cli(postern):
    def run(*arguments, expect=0, environment=None):
        done = subprocess.run([str(BIN / "postern"), *map(str, arguments)], capture_output=True,
                              text=True, timeout=60, stdin=subprocess.DEVNULL,
                              env=dict(os.environ, **(environment or {})))
        assert done.returncode == expect, (arguments, done.stdout, done.stderr)
        return done
    return run


@pytest.fixture
def at(postern):
    """How a command finds the shared Postern."""
    return ["--data", str(postern.data)]


def test_certificate_commands(postern, cli, at, ca, tmp_path):
    name = service.unique("cli")
    identity = ca.client(name)
    (tmp_path / "c.pfx").write_bytes(identity.pfx("p"))
    (tmp_path / "pw").write_text("p")
    cli("certificate", "add", name, "--pfx", tmp_path / "c.pfx", "--password-file",
        tmp_path / "pw", *at)
    shown = json.loads(cli("certificate", "show", name, "--output", "json", *at).stdout)
    assert shown["properties"]["thumbprint"] == identity.sha1
    assert identity.sha1 in cli("certificate", "list", *at).stdout
    postern.make_api(name, "https://localhost:1", with_certificate(name))
    assert f"/apis/{name}/policies/policy" in cli("certificate", "usage", name, *at).stdout
    assert name in cli("certificate", "expiry", name, "--days", "0", *at).stdout
    doctor = cli("certificate", "check", tmp_path / "c.pfx", "--password-file", tmp_path / "pw", *at)
    assert identity.sha1 in doctor.stdout and "PKCS#12" in doctor.stdout
    (tmp_path / "wrong").write_text("wrong")
    assert "password" in cli("certificate", "check", tmp_path / "c.pfx", "--password-file",
                             tmp_path / "wrong", *at, expect=1).stderr
    refused = cli("certificate", "delete", name, *at, expect=1)
    assert f"/apis/{name}/policies/policy" in refused.stderr
    postern.delete(f"/apis/{name}?deleteRevisions=true")
    cli("certificate", "delete", name, *at)
    cli("certificate", "show", name, *at, expect=1)


def test_api_backend_and_policy_commands(postern, cli, at, echo, tmp_path):
    name = service.unique("clia")
    cli("api", "add", name, "--path", name, "--url", echo.url, *at)
    assert name in cli("api", "list", *at).stdout
    cli("backend", "add", name, "--url", echo.url, *at)
    assert json.loads(cli("backend", "show", name, "--output", "json", *at).stdout)[
        "properties"]["url"] == echo.url
    document = tmp_path / "policy.xml"
    document.write_text(service.policy(
        "<return-response><set-body>by policy</set-body></return-response>"))
    cli("policy", "set", "--api", name, document, *at)
    assert "by policy" in cli("policy", "show", "--api", name, *at).stdout
    cli("api", "delete", name, *at)
    cli("backend", "delete", name, *at)


def test_token_and_status(postern, cli, at):
    token = cli("token", *at).stdout.strip()
    assert postern.arm("GET", "", token=token).status == 200
    status = cli("status", *at)
    assert postern.gateway in status.stdout or postern.control in status.stdout


def test_environment_variables_are_obeyed(postern, cli):
    cli("certificate", "list", environment={
        "POSTERN_URL": postern.control, "POSTERN_TOKEN": postern.token(),
        "SSL_CERT_FILE": postern.ca_file})


def test_exit_codes_say_who_is_wrong(postern, cli, at, tmp_path):
    cli("certificate", "teleport", *at, expect=2)
    cli("certificate", "add", *at, expect=2)
    cli("certificate", "list", "--data", tmp_path / "nowhere", expect=3)
    cli("certificate", "show", "nowhere", *at, expect=1)


@pytest.mark.parametrize("command", [
    "certificate add", "certificate list", "certificate usage", "certificate delete", "api add",
    "api list", "backend add", "backend show", "policy set", "policy show", "vault secret set",
    "token", "status", "demo"])
def test_help_has_an_example(cli, command):
    text = cli(*command.split(), "--help").stdout
    assert re.search(rf"postern {command}", text), text
    assert "xample" in text, text


@pytest.mark.parametrize("group", ["certificate", "api", "backend", "policy", "vault", "identity"])
def test_help_of_a_group_lists_its_commands(cli, group):
    text = cli(group, "--help").stdout
    assert len(re.findall(rf"^ *postern {group} \w+", text, re.M)) >= 2, text


def test_help_and_version(cli):
    assert "serve" in cli("--help").stdout
    assert re.search(r"\d+\.\d+\.\d+", cli("--version").stdout)
    cli("no-such-command", expect=2)


def test_results_as_values_with_tabs(postern, cli, at, ca):
    name = service.unique("tsv")
    postern.upload(name, ca.client(name))
    lines = [line.split("\t") for line in
             cli("certificate", "list", "--output", "tsv", *at).stdout.splitlines()]
    row = next(line for line in lines if line[0] == name)
    assert len(row) == 5 and row[4].startswith("CN=")
    assert not any(line[0] == "NAME" for line in lines), "no heads"


def test_a_query_prints_a_part(postern, cli, at, ca):
    name = service.unique("query")
    identity = ca.client(name)
    postern.upload(name, identity)
    assert cli("certificate", "show", name, "--query", "/properties/thumbprint", *at).stdout == \
        identity.sha1 + "\n"
    assert cli("certificate", "show", name, "--query", "/properties/thumbprint", "--output", "json",
               *at).stdout == f'"{identity.sha1}"\n'
    assert name in cli("certificate", "list", "--query", "/*/name", *at).stdout.splitlines()
    assert cli("certificate", "list", "--query", "/0/nothing", *at).stdout == ""
    assert json.loads(cli("certificate", "show", name, "--query", "", "--output", "json",
                          *at).stdout)["name"] == name


def test_bash_completes_words_options_and_choices(cli, tmp_path):
    script = tmp_path / "postern.bash"
    script.write_text(cli("completion", "bash").stdout)

    def complete(*words):
        done = subprocess.run(["bash", "-c", 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); '
                               '_postern; printf "%s\\n" "${COMPREPLY[@]}"', str(script), *words],
                              capture_output=True, text=True, timeout=20, cwd=tmp_path)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return done.stdout.split()
    assert complete("postern", "cert") == ["certificate"]
    assert "list" in complete("postern", "certificate", "")
    assert "set" in complete("postern", "vault", "secret", "")
    assert complete("postern", "serve", "--x-forw") == ["--x-forwarded"]
    assert complete("postern", "serve", "--x-forwarded", "") == ["append", "replace", "off"]
    assert "tsv" in complete("postern", "api", "list", "--output", "")
    assert "--pfx" in complete("postern", "certificate", "add", "orders", "--p")


def test_completion_and_manual_tell_every_command(cli, tmp_path):
    """Made from the same tables as --help: nothing is missing in any of them."""
    commands = [line.split("  ")[1].removeprefix("postern ").strip()
                for line in cli("help", "commands").stdout.splitlines() if line.startswith("  postern ")]
    assert len(commands) > 25
    cli("manual", tmp_path)
    pages = {path.name: path.read_text() for path in tmp_path.iterdir()}
    for command in commands:
        page = pages[f"postern-{command.split()[0]}.1"].replace("\\-", "-")
        assert f"postern {command}" in page, command
        for option in re.findall(r"^  --(\S+)", cli(*command.split(), "--help").stdout, re.M):
            assert f"--{option}" in page, (command, option)
    for shell in ("bash", "zsh", "fish"):
        script = cli("completion", shell).stdout
        assert all(command in script or command.split()[-1] in script for command in commands), shell


DESCRIPTION = """
openapi: 3.0.3
info: {title: Orders of everybody, version: '1'}
servers: [{url: URL}]
paths:
  /items/{id}:
    get: {operationId: getItem, summary: One item, responses: {200: {description: it}}}
  /items:
    post: {operationId: addItem, responses: {201: {description: made}}}
"""


def test_an_api_is_imported_and_imported_again(postern, cli, at, echo, tmp_path):
    """The second description keeps the operation, and its policy, that both describe."""
    name = service.unique("imported")
    file = tmp_path / "openapi.yaml"
    file.write_text(DESCRIPTION.replace("URL", echo.url))
    shown = cli("api", "import", name, file, "--no-key", *at).stdout
    assert "Orders of everybody" in shown and re.search(r"operations +2", shown)
    assert postern.call(f"/{name}/items/7").status == 200
    assert postern.call(f"/{name}/items", "DELETE").status == 404
    (tmp_path / "p.xml").write_text(
        "<policies><inbound><base /><return-response><set-status code=\"299\" reason=\"Kept\" />"
        "</return-response></inbound><backend><base /></backend><outbound><base /></outbound>"
        "<on-error><base /></on-error></policies>")
    cli("policy", "set", tmp_path / "p.xml", "--api", name, "--operation", "getItem", *at)
    file.write_text(json.dumps({"swagger": "2.0", "info": {"title": "Second"}, "paths": {
        "/items/{number}": {"get": {"operationId": "readItem"}}, "/other": {"get": {}}}}))
    cli("api", "import", name, file, "--no-key", "--url", echo.url, *at)
    operations = {o["name"] for o in postern.arm("GET", f"/apis/{name}/operations").json()["value"]}
    assert operations == {"getItem", "get-other"}
    assert postern.call(f"/{name}/items/7").status == 299
    assert postern.call(f"/{name}/items", "POST").status == 404
    assert postern.call(f"/{name}/other").status == 200


def test_a_description_that_is_wrong_changes_nothing(postern, cli, at, echo, tmp_path):
    name = service.unique("imported")
    file = tmp_path / "openapi.yaml"
    file.write_text(DESCRIPTION.replace("URL", echo.url))
    cli("api", "import", name, file, *at)
    before = postern.arm("GET", f"/apis/{name}/operations").json()
    for text, told in ((": [", "line"), ("openapi: 3.0.0\npaths: {a: {}}", "paths.a"),
                       ("openapi: 3.0.0\npaths: {'/a/{x}': {get: {}}, '/a/{y}': {get: {}}}",
                        "GET /a/{y}")):
        file.write_text(text)
        assert told in cli("api", "import", name, file, *at, expect=1).stderr
    assert postern.arm("GET", f"/apis/{name}/operations").json() == before


def test_an_api_presents_the_certificate_that_was_named(postern, cli, at, ca, nginx, tmp_path):
    name = service.unique("presented")
    identity = ca.client(name)
    postern.upload(name, identity)
    cli("api", "add", name, "--url", nginx.url("good"), "--client-certificate", name, "--no-key", *at)
    answer = postern.call(f"/{name}/x")
    assert answer.status == 200 and identity.sha1.lower() in answer.body.decode().lower()
    before = postern.arm("GET", f"/apis/{name}").json()
    again = cli("api", "add", name, "--url", "https://elsewhere.example", "--client-certificate",
                "another", *at, expect=1)
    assert "has a policy already; nothing was changed" in again.stderr
    assert postern.arm("GET", f"/apis/{name}").json() == before


def test_a_folder_of_certificates_is_added(postern, cli, at, ca, tmp_path):
    """One that is refused stops nothing, and is told."""
    prefix = service.unique("many") + "-"
    folder = tmp_path / "partners"
    folder.mkdir()
    identities = {stem: ca.client(stem) for stem in ("one", "two", "of two words")}
    for stem, identity in identities.items():
        (folder / f"{stem}.pfx").write_bytes(identity.pfx("p"))
    (folder / "two.pfx").write_bytes(identities["two"].pfx("other"))
    (folder / "two.pass").write_text("other\n")
    (folder / "broken.p12").write_bytes(b"no PFX")
    (folder / "readme.txt").write_text("no certificate")
    (tmp_path / "pw").write_text("p")
    done = cli("certificate", "add-all", folder, "--password-file", tmp_path / "pw", "--prefix",
               prefix, "--output", "tsv", *at, expect=1)
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in done.stdout.splitlines()}
    assert set(rows) == {"one.pfx", "two.pfx", "of two words.pfx", "broken.p12"}
    assert rows["broken.p12"][1] == "refused" and f"{prefix}broken" in done.stderr
    for stem, identity in identities.items():
        assert rows[f"{stem}.pfx"][1:3] == ["added", identity.sha1]
    assert postern.arm("GET", f"/certificates/{prefix}of-two-words").status == 200
    assert "0/4" not in done.stderr, "no bar where nobody looks"


def test_a_bar_is_drawn_on_a_terminal(postern, at, ca, tmp_path):
    (tmp_path / "bar.pfx").write_bytes(ca.client("bar").pfx("p"))
    (tmp_path / "pw").write_text("p")
    done = subprocess.run(
        ["script", "-qec", f"{BIN}/postern certificate add-all {tmp_path} --password-file "
         f"{tmp_path}/pw --prefix {service.unique('bar')} {' '.join(at)}", "/dev/null"],
        capture_output=True, text=True, timeout=60, env=dict(os.environ, TERM="xterm"))
    assert done.returncode == 0 and "0/1 bar.pfx" in done.stdout
    assert "\x1b[1mFILE" in done.stdout, "heads in bold"


def test_a_certificate_is_replaced_only_where_there_is_one(postern, cli, at, ca, tmp_path):
    name = service.unique("replace")
    (tmp_path / "pw").write_text("p")
    (tmp_path / "c.pfx").write_bytes(ca.client("first").pfx("p"))
    second = ca.client("second")
    (tmp_path / "d.pfx").write_bytes(second.pfx("p"))
    replace = ["certificate", "replace", name, "--pfx", tmp_path / "d.pfx", "--password-file",
               tmp_path / "pw", *at]
    assert "not found" in cli(*replace, expect=1).stderr
    cli("certificate", "add", name, "--pfx", tmp_path / "c.pfx", "--password-file",
        tmp_path / "pw", *at)
    cli(*replace)
    assert cli("certificate", "show", name, "--query", "/properties/thumbprint",
               *at).stdout.strip() == second.sha1


@pytest.fixture
def elsewhere(tmp_path):
    """A person's folders on another machine."""
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state"),
            "HOME": str(tmp_path)}


def test_commands_go_where_one_has_logged_in(postern, cli, elsewhere, tmp_path):
    (tmp_path / "secret").write_text(postern.client_secret + "\n")
    login = ["login", "--url", postern.control + "/", "--client-id", postern.client_id,
             "--secret-file", tmp_path / "secret", "--ca-file", postern.ca_file, "--vault-url",
             postern.vault_url]
    assert "Logged in" in cli(*login, environment=elsewhere).stdout
    status = json.loads(cli("status", "--output", "json", environment=elsewhere).stdout)
    assert status["controlUrl"] == postern.control and status["service"] == postern.service_id
    cli("vault", "secret", "list", environment=elsewhere)
    kept = tmp_path / "config/postern/login.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert postern.client_secret not in kept.read_text(), "the secret itself is not kept"
    ended = json.loads(kept.read_text()) | {"expiresOn": 1}
    kept.write_text(json.dumps(ended))
    assert "has ended" in cli("status", environment=elsewhere, expect=2).stderr
    cli("status", "--data", postern.data, environment=elsewhere)  # --data names another one
    cli("logout", environment=elsewhere)
    assert not kept.exists()
    assert "no service is running" in cli("status", environment=elsewhere, expect=3).stderr


def test_a_login_that_is_refused_keeps_nothing(postern, cli, elsewhere, tmp_path):
    (tmp_path / "secret").write_text("not-the-secret")
    login = ["login", "--client-id", postern.client_id, "--secret-file", tmp_path / "secret",
             "--ca-file", postern.ca_file]
    refused = cli(*login, "--url", postern.control, environment=elsewhere, expect=1)
    assert "invalid_client" in refused.stderr and "not-the-secret" not in refused.stderr
    assert "https://" in cli(*login, "--url", "http://localhost:1", environment=elsewhere,
                             expect=2).stderr
    assert not (tmp_path / "config/postern/login.json").exists()


def test_keys_of_a_subscription(postern, cli, at, echo):
    name = service.unique("sub")
    cli("api", "add", name, "--url", echo.url, *at)
    cli("subscription", "add", name, "--api", name, *at)
    key = cli("subscription", "keys", name, "--query", "/primaryKey", *at).stdout.strip()

    def status(value):
        return postern.call(f"/{name}/x", headers={"Ocp-Apim-Subscription-Key": value}).status
    assert status(key) == 200 and status("wrong") == 401
    assert key not in cli("subscription", "list", "--output", "json", *at).stdout
    cli("subscription", "suspend", name, *at)
    assert status(key) == 403 or status(key) == 401
    cli("subscription", "activate", name, *at)
    assert status(key) == 200
    cli("subscription", "renew-key", name, "primary", *at)
    assert status(key) == 401
    assert "neither" in cli("subscription", "renew-key", name, "third", *at, expect=2).stderr
    cli("subscription", "delete", name, *at)
    cli("subscription", "show", name, *at, expect=1)


def test_a_products_certificate_is_chosen_by_its_key_by_commands_alone(postern, cli, at, ca, nginx, tmp_path):
    api, name = service.unique("api"), service.unique("gold")
    identity = ca.client(name)
    (tmp_path / "c.pfx").write_bytes(identity.pfx("p"))
    (tmp_path / "pw").write_text("p")
    (tmp_path / "policy.xml").write_text(with_certificate(name))
    cli("certificate", "add", name, "--pfx", tmp_path / "c.pfx", "--password-file", tmp_path / "pw", *at)
    cli("api", "add", api, "--url", nginx.url("good"), *at)
    cli("product", "add", name, "--title", "All of gold", "--api", api, "--approval-required", "yes", *at)
    assert "All of gold" in cli("product", "list", "--api", api, *at).stdout
    assert api in cli("product", "show", name, *at).stdout and api in cli("product", "api", "list", name, *at).stdout
    cli("policy", "set", tmp_path / "policy.xml", "--product", name, *at)
    assert name in cli("policy", "show", "--product", name, *at).stdout
    assert "submitted" in cli("subscription", "add", name, "--product", name, *at).stdout
    key = cli("subscription", "keys", name, "--query", "/primaryKey", *at).stdout.strip()

    def call():
        return postern.call(f"/{api}/x", headers={"Ocp-Apim-Subscription-Key": key})
    assert call().status == 401
    cli("subscription", "activate", name, *at)
    assert call().json()["sha1"].upper() == identity.sha1
    used = cli("certificate", "usage", name, *at).stdout
    assert f"/products/{name}/policies/policy" in used and f"/apis/{api}" in used
    report = cli("certificate", "expiry", name, "--days", "36500", *at, expect=1).stdout
    assert f"/products/{name}" in report and f"/apis/{api}" in report
    assert f"/subscriptions/{name}" in cli("product", "delete", name, *at, expect=1).stderr
    cli("product", "api", "remove", name, api, *at)
    assert call().status == 401
    cli("product", "update", name, "--approval-required", "no", "--subscriptions-limit", "1", *at)
    assert "1 subscriptions of one owner" in cli("subscription", "add", name + "-2", "--product", name, *at,
                                                 expect=1).stderr
    cli("product", "delete", name, "--with-subscriptions", *at)
    cli("product", "show", name, *at, expect=1)
    for wrong in (["product", "add", name, "--subscriptions-limit", "0"], ["product", "update", name],
                  ["product", "add", name, "--approval-required", "maybe"],
                  ["policy", "show", "--product", name, "--api", api],
                  ["subscription", "add", name, "--product", name, "--api", api]):
        cli(*wrong, *at, expect=2)
    inside = ["--workspace", service.unique("team"), *at]
    cli("workspace", "add", inside[1], *at)
    cli("product", "add", name, *inside)
    assert "1 products" in cli("workspace", "delete", inside[1], *at, expect=1).stderr
    cli("workspace", "delete", inside[1], "--with-contents", *at)


def test_the_readme_leads_to_ones_own_backend(postern, cli, at, ca, other_ca, nginx, tmp_path):
    """The commands of README.md under "By command", with a backend of a private authority."""
    readme = (service.ROOT / "README.md").read_text()
    block = readme.split("By command, beside `make run`:")[1].split("\n\n")[1]
    commands = [line.strip().removeprefix("build/bin/") for line in block.replace("\\\n", " ").splitlines()
                if line.strip().startswith("build/bin/postern ")]
    assert len(commands) == 4
    name = service.unique("readme")
    identity = ca.client(name)
    (tmp_path / "partner.pfx").write_bytes(identity.pfx("p"))
    (tmp_path / "partner.pass").write_text("p")
    (tmp_path / "partner-ca.pem").write_bytes(ca.certificate_pem)
    for command in commands:
        words = command.replace("https://partner.example", nginx.url("good")).split()[1:]
        words = [name if word == "partner" else word for word in words]
        done = subprocess.run([str(BIN / "postern"), *words, *map(str, at)], cwd=tmp_path, text=True,
                              capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    answer = postern.call(f"/{name}/orders")
    assert answer.status == 200 and identity.sha1.lower() in answer.body.decode().lower()


def test_a_workspaces_certificate_reaches_its_backend_by_commands_alone(postern, cli, at, ca, nginx,
                                                                        tmp_path):
    team, name = service.unique("team"), service.unique("clw")
    inside = ["--workspace", team, *at]
    identity = ca.client(name)
    (tmp_path / "c.pfx").write_bytes(identity.pfx("p"))
    (tmp_path / "pw").write_text("p")
    cli("workspace", "add", team, "--title", "The team", *at)
    assert "The team" in cli("workspace", "list", *at).stdout
    cli("certificate", "add", name, "--pfx", tmp_path / "c.pfx", "--password-file",
        tmp_path / "pw", *inside)
    assert identity.sha1 in cli("certificate", "list", *inside).stdout
    assert name not in cli("certificate", "list", *at).stdout
    refused = cli("certificate", "add", "vaulted", "--vault-secret",
                  f"{postern.vault_url}/secrets/none", *inside, expect=1)
    assert "not available in a workspace" in refused.stderr
    cli("backend", "add", name, "--url", nginx.url("good"), "--certificate", name, *inside)
    cli("api", "add", name, "--path", name, "--backend", name, *inside)
    cli("subscription", "add", name, *inside)
    key = cli("subscription", "keys", name, "--query", "/primaryKey", *inside).stdout.strip()
    answer = postern.call(f"/{name}/x", headers={"Ocp-Apim-Subscription-Key": key})
    assert answer.json()["sha1"].upper() == identity.sha1
    assert postern.call(f"/{name}/x").status == 401
    assert f"/apis/{name}" in cli("certificate", "usage", name, *inside).stdout
    unknown = cli("certificate", "list", "--workspace", "nowhere", *at, expect=1)
    assert "Workspace not found" in unknown.stderr
    full = cli("workspace", "delete", team, *at, expect=1)
    assert "1 apis, 1 backends, 1 certificates, 1 subscriptions" in full.stderr
    cli("workspace", "update", team, "--description", "gone soon", *at)
    assert "gone soon" in cli("workspace", "show", team, *at).stdout
    cli("workspace", "delete", team, "--with-contents", *at)
    assert postern.call(f"/{name}/x").status == 404
    assert "--workspace NAME" in cli("backend", "add", "--help").stdout
    assert "did you mean --workspace" in cli("api", "list", "--workspac", "x", *at, expect=2).stderr


def test_named_values_and_fragments_by_the_cli(postern, cli, at, echo, tmp_path):
    name = service.unique("cli-nv")
    (tmp_path / "key").write_text("k1\n")
    cli("named-value", "add", name, "--secret", "--value-file", tmp_path / "key", "--tag", "a", *at)
    assert "k1" not in cli("named-value", "show", name, *at).stdout
    assert cli("named-value", "value", name, *at).stdout == "k1\n"
    assert name in cli("named-value", "list", *at).stdout
    (tmp_path / "f.xml").write_text(
        '<fragment><set-header name="x-seen"><value>{{%s}}</value></set-header></fragment>' % name)
    assert "good policy fragment" in cli("policy", "check", tmp_path / "f.xml").stdout
    cli("fragment", "set", name, tmp_path / "f.xml", "--description", "mine", *at)
    assert "mine" in cli("fragment", "list", *at).stdout
    cli("fragment", "set", name, tmp_path / "f.xml", *at)
    assert "mine" in cli("fragment", "list", *at).stdout, "the description stays"
    assert "{{%s}}" % name in cli("fragment", "show", name, *at).stdout
    postern.make_api(name, echo.url, policy('<include-fragment fragment-id="%s" />' % name))
    assert f"/apis/{name}/policies/policy" in cli("fragment", "usage", name, *at).stdout
    cli("named-value", "update", name, "--value", "k2", *at)
    assert ["x-seen", "k2"] in postern.call(f"/{name}/x").json()["headers"]
    refused = cli("named-value", "delete", name, *at, expect=1)
    assert f"/policyFragments/{name}" in refused.stderr
    assert "not from a key vault" in cli("named-value", "refresh", name, *at, expect=1).stderr
    cli("named-value", "add", name, *at, "--value", "a", "--vault-secret", "b", expect=2)
    cli("named-value", "update", name, *at, expect=2)
    postern.delete(f"/apis/{name}")
    cli("fragment", "delete", name, *at)
    cli("named-value", "delete", name, *at)
    cli("named-value", "show", name, *at, expect=1)
    (tmp_path / "p.xml").write_text(policy(backend='<forward-request timeout="{{t}}" />'))
    assert "named values" in cli("policy", "check", tmp_path / "p.xml", expect=1).stderr
