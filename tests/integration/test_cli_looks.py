# SPDX-License-Identifier: Apache-2.0
"""How the commands look and feel: at 80 columns, in colours, piped, mistyped, and completed by shells."""
import codecs
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

import pytest
from lab import service
from lab.service import BIN

POSTERN = str(BIN / "postern")


@pytest.fixture
def at(postern):
    return ["--data", str(postern.data)]


def run(*arguments, expect=0, environment=None):
    done = subprocess.run([POSTERN, *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, env=dict(os.environ, **(environment or {})))
    assert done.returncode == expect, (arguments, done.stdout, done.stderr)
    return done


class Terminal:
    """A program at a terminal of so many columns."""

    def __init__(self, *arguments, columns=80, environment=None):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.fd = master
        self.text = ""
        # A character may come in two pieces.
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.process = subprocess.Popen(
            list(map(str, arguments)), stdin=slave, stdout=slave, stderr=slave, close_fds=True,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "TERM": "xterm",
                 **(environment or {})})
        os.close(slave)

    def read(self, condition, limit=20):
        end = time.monotonic() + limit
        while not condition(self.text) and time.monotonic() < end:
            if not select.select([self.fd], [], [], 0.2)[0]:
                continue
            try:
                part = os.read(self.fd, 65536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            self.text += self.decoder.decode(part)
        return self.text

    def type(self, text):
        self.text = ""
        os.write(self.fd, text.encode())

    def end(self):
        """All that was printed."""
        self.read(lambda text: False)
        code = self.process.wait(20)
        os.close(self.fd)
        return code, self.text.replace("\r\n", "\n")

    def kill(self):
        self.process.kill()
        self.process.wait(20)
        os.close(self.fd)


def on_terminal(*arguments, **more):
    return Terminal(POSTERN, *arguments, **more).end()


# ---- help


def every_command():
    lines = run("help", "commands").stdout.splitlines()
    return [line.split("  ")[1].removeprefix("postern ") for line in lines if line.startswith("  postern ")]


def test_help_fits_into_80_columns_and_is_reached_by_every_habit():
    commands = every_command()
    assert len(commands) > 90
    general = run("--help").stdout
    assert general == run("help").stdout == run("-h").stdout
    assert len(general.splitlines()) < 75, "two screens at most"
    texts = [general, run("help", "commands").stdout, run("vault", "--help").stdout]
    for command in commands:
        text = run(*command.split(), "--help").stdout
        if command.endswith(" list"):
            assert text == run("help", *command.split()).stdout == run(*command.split(), "-h").stdout
        assert re.match(rf"usage: postern {command}( |$)", text)
        texts.append(re.sub(r"^(usage|Example): .*$", "", text, flags=re.M))  # a line to be copied
    for text in texts:
        assert max(len(line) for line in text.splitlines()) <= 80, text
    for group in ("certificate", "vault", "vault secret"):
        assert run(group.split()[0], *group.split()[1:], "help").stdout == run(
            *group.split(), "--help").stdout
    for name in ("certificate", "serve", "demo"):
        assert re.search(rf"^  {name} ", general, re.M)
    assert re.fullmatch(r"postern \d+\.\d+\.\d+\n", run("version").stdout)
    assert run("-V").stdout == run("--version").stdout == run("version").stdout


def test_help_is_as_wide_as_the_terminal_but_not_wider_than_one_reads():
    for columns, most in ((50, 50), (100, 100), (400, 120)):
        _, text = on_terminal("help", columns=columns)
        widest = max(len(line) for line in text.splitlines())
        assert most - 20 < widest <= most


@pytest.mark.parametrize("words,told", [
    ("certficate list", "did you mean: postern certificate list"),
    ("certificate lst", "did you mean: postern certificate list"),
    ("vault secrt get", "did you mean: postern vault secret get"),
    ("audit list", "postern audit show"),  # nothing is near: what the group has, not another group's
    ("vault secret", "postern vault secret get"),
    ("certificate", "postern certificate list"),
    ("frobnicate", "see: postern --help"),
    ("--frobnicate", "is no command"),
    ("help frobnicate", "see: postern --help"),
    ("certificate list --outptu json", "did you mean --output?"),
    ("certificate list -x", "unknown option -x"),
    ("certificate list --output yaml", "must be json, table or tsv"),
    ("certificate list --query name", "JSON pointer"),
    ("certificate list more", 'unexpected argument "more"'),
    ("certificate show", "missing argument: postern certificate show NAME"),
    ("backend add x --url", "--url needs URL"),
    ("backend add x --url --title y", "--url needs URL"),
    ("backend add x --url=", "refused"),
    ("certificate list --workspace", "--workspace needs NAME"),
    ("token --help=yes", "--help takes no value"),
    ("certificate add x --password y", "not taken from the command line"),
    ("completion tcsh", "none of bash, zsh and fish"),
    ("subscription renew-key x third", "neither"),
    ("policy set /nowhere", "/nowhere"),
])
def test_what_is_mistyped_is_told_with_the_way_out(postern, at, words, told):
    arguments = words.split()
    is_refused = told == "refused"
    done = run(*arguments, *(at if is_refused else []), expect=1 if is_refused else 2)
    assert told in done.stderr, done.stderr
    assert done.stdout == "", "messages go to standard error"
    assert "postern" in done.stderr


def test_refusals_have_the_servers_words_and_exit_code_1(postern, at, tmp_path):
    (tmp_path / "no.pfx").write_bytes(b"no PFX")
    for arguments, told in (
            (["certificate", "show", "nowhere"], "Certificate not found"),
            (["certificate", "show", "a/b"], "encoded slash"),  # plain text, not JSON
            (["certificate", "add", "x", "--pfx", tmp_path / "no.pfx"], "neither a PKCS#12"),
            (["backend", "add", "x", "--url", "nonsense"], "absolute http or https URL"),
            (["vault", "secret", "get", "nowhere"], "not found"),
            (["role", "assign", "nobody", "Owner"], "must be a UUID")):
        done = run(*arguments, *at, expect=1)
        assert told.lower() in done.stderr.lower(), done.stderr
        assert done.stdout == ""
    assert "no service is running" in run("status", "--data", tmp_path, expect=3).stderr
    gone = run("status", environment={"POSTERN_URL": "https://127.0.0.1:1", "POSTERN_TOKEN": "x"}, expect=3)
    assert "127.0.0.1:1" in gone.stderr


# ---- tables


@pytest.fixture
def long_names(postern, ca):
    name = service.unique("a-certificate-with-quite-a-long-name")
    postern.upload(name, ca.client(name))
    postern.arm("PUT", f"/backends/{name}", {"properties": {
        "url": "https://localhost:9", "protocol": "http",
        "credentials": {"certificateIds": [f"{postern.service_id}/certificates/{name}"]}}})
    yield name
    postern.delete(f"/backends/{name}")
    postern.delete(f"/certificates/{name}")


def test_a_table_fits_into_the_terminal_and_is_whole_in_a_pipe(postern, at, long_names):
    for command in ("certificate list", "backend list", "api list", "subscription list", "audit show",
                    "role list", "role definitions", "identity list", "certificate expiry",
                    f"certificate usage {long_names}", f"certificate generations {long_names}"):
        code, text = on_terminal(*command.split(), *at)
        assert code in (0, 1), text
        plain = re.sub(r"\x1b\[\d*m", "", text)
        assert max(len(line) for line in plain.splitlines()) <= 80, (command, plain)
        assert all(line == line.rstrip() for line in plain.splitlines()), (command, plain)
    piped = run("certificate", "list", *at).stdout
    row = next(line for line in piped.splitlines() if line.startswith(long_names))
    assert "…" not in piped and re.search(r" [0-9A-F]{40}  \d{4}-\d\d-\d\dT[\d:]+Z  -  +CN=", row)
    # What people read names resources from the service on, and says the defaults.
    assert re.search(rf"^/backends/{long_names}  reference .* /certificates/{long_names}$", run(
        "certificate", "usage", long_names, *at).stdout, re.M)
    assert re.search(rf"^{long_names} +https://localhost:9 +true +true$", run("backend", "list", *at).stdout, re.M)
    shown = run("backend", "show", long_names, *at).stdout
    assert re.search(rf"^certificates +/certificates/{long_names}$", shown, re.M)
    assert re.search(rf"^id +{postern.service_id}/backends/{long_names}$", shown, re.M)
    # What scripts read is as the server says.
    assert f"{postern.service_id}/backends/{long_names}\treference" in run(
        "certificate", "usage", long_names, "-o", "tsv", *at).stdout
    assert postern.service_id in run("certificate", "usage", long_names, "-o", "json", *at).stdout


def test_colours_are_for_terminals_that_want_them(postern, at):
    assert "\x1b[1mNAME" in on_terminal("certificate", "list", *at)[1]
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in on_terminal("certificate", "list", *at, environment=environment)[1]
    assert "\x1b" not in run("certificate", "list", *at).stdout
    assert "\x1b" not in on_terminal("certificate", "list", "-o", "json", *at)[1]
    assert "\x1b" in on_terminal("certificate", "list", *at, environment={"NO_COLOR": ""})[1]


def test_an_empty_list_says_so_to_people_only(postern, at):
    team = service.unique("empty")
    run("workspace", "add", team, *at)
    inside = ["--workspace", team, *at]
    assert on_terminal("certificate", "list", *inside)[1].splitlines()[-1] == "(none)"
    assert "(none)" not in run("certificate", "list", *inside).stdout
    assert run("certificate", "list", "-o", "tsv", *inside).stdout == ""
    assert json.loads(run("certificate", "list", "-o", "json", *inside).stdout) == []
    run("workspace", "delete", team, *at)


def test_a_new_api_says_how_it_is_called(postern, at, echo):
    name = service.unique("called")
    told = run("api", "add", name, "--url", echo.url, *at).stdout
    curl = re.search(r"^to call it +(curl .*)$", told, re.M).group(1)
    key = re.search(r"^its key +(KEY=.*)$", told, re.M).group(1)
    done = subprocess.run(["bash", "-ec", f'{key}\n{curl} -s -o /dev/null -w "%{{http_code}}"'],
                          capture_output=True, text=True, timeout=30,
                          env=dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}", XDG_STATE_HOME="/nowhere",
                                   POSTERN_URL=postern.control, POSTERN_TOKEN=postern.token(),
                                   POSTERN_CA_FILE=str(postern.ca_file)))
    assert done.stdout == "200", (told, done.stderr)
    assert "to call it" not in run("api", "add", name, "--url", echo.url, "-o", "tsv", *at).stdout
    open_one = run("api", "add", name, "--url", echo.url, "--no-key", *at).stdout
    assert "its key" not in open_one and "Subscription" not in open_one


def test_long_values_are_whole_for_scripts(postern, at, tmp_path):
    name = service.unique("long")
    (tmp_path / "value").write_text("x" * 9000)
    run("vault", "secret", "set", name, "--value-file", tmp_path / "value", *at)
    assert run("vault", "secret", "get", name, *at).stdout.strip() == "x" * 9000
    run("workspace", "add", name, "--description", "y" * 900, *at)
    assert f"\t{'y' * 900}\n" in run("workspace", "list", "-o", "tsv", *at).stdout
    assert "…" in on_terminal("workspace", "list", *at)[1]
    run("workspace", "delete", name, *at)


# ---- shells


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        (folder / f"postern.{shell}").write_text(run("completion", shell).stdout)
    return folder


WANTED = [("postern certif", "certificate"), ("postern certificate li", "list"),
          ("postern vault secret se", "set"), ("postern certificate add x --pf", "--pfx"),
          ("postern api list --output ts", "tsv"), ("postern serve --x-forwarded rep", "replace"),
          ("postern backend add x --chain-check of", "off"),
          ("postern certificate list --works", "--workspace")]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_that_sourced_the_script_completes_on_tab(scripts, shell):
    """A person at a terminal, who types and presses Tab."""
    arguments = ["bash", "--norc", "--noprofile", "-i"] if shell == "bash" else ["zsh", "-f", "-i"]
    terminal = Terminal(*arguments, columns=200, environment={
        "PS1": "READY>", "PROMPT": "READY>", "HISTFILE": "", "ZDOTDIR": str(scripts), "HOME": str(scripts)})
    try:
        terminal.read(lambda text: "READY>" in text)
        if shell == "zsh":
            terminal.type("autoload -U compinit && compinit -u -D && zle_highlight=(none) && echo L''OADED\n")
            terminal.read(lambda text: "LOADED" in text)
        terminal.type(f"source {scripts}/postern.{shell} && echo S''OURCED\n")
        assert "SOURCED" in terminal.read(lambda text: re.search(r"SOURCED\s+.*READY>", text, re.S))
        for typed, whole in WANTED:
            want = " ".join([*typed.split()[:-1], whole])
            terminal.type(typed + "\t")
            text = terminal.read(lambda text: want in re.sub(r"\x1b\[[\d;?]*[a-zA-Z]|[\x07\x08]", "", text), 15)
            assert want in re.sub(r"\x1b\[[\d;?]*[a-zA-Z]|[\x07\x08]", "", text), (typed, text)
            terminal.type("\x15\n")  # wipe the line
            terminal.read(lambda text: "READY>" in text)
    finally:
        terminal.kill()


def test_fish_completes(scripts):
    for typed, whole in WANTED:
        done = subprocess.run(["fish", "--no-config", "-c",
                               f"source {scripts}/postern.fish; complete -C '{typed}'"],
                              capture_output=True, text=True, timeout=30, env=dict(os.environ, HOME=str(scripts)))
        assert done.returncode == 0 and done.stderr == "", done.stderr
        assert whole in [line.split("\t")[0] for line in done.stdout.splitlines()], (typed, done.stdout)


def test_manual_pages_are_clean_and_read_as_help_does(tmp_path):
    run("manual", tmp_path)
    for page in tmp_path.iterdir():
        done = subprocess.run(["groff", "-k", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True,
                              timeout=30)
        assert done.returncode == 0 and done.stderr == "", (page.name, done.stderr)
