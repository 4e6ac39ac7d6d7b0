# SPDX-License-Identifier: Apache-2.0
"""Promises 6 and 8: what is in the memory of each process and in the data folder after uploads."""
import base64
import json
import os
import pathlib

import pytest
from lab import service
from lab.service import policy, with_certificate

WINDOW = 16


def memory_of(pid):
    """Yields the readable private pieces of a process's memory."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            area, rights = line.split()[:2]
            if "r" not in rights or line.rstrip().endswith(("[vvar]", "[vsyscall]")):
                continue
            begin, end = (int(x, 16) for x in area.split("-"))
            try:
                memory.seek(begin)
                yield memory.read(end - begin)
            except (OSError, ValueError, OverflowError):
                continue


def windows(numbers):
    """Every 16-byte window of each number, in both byte orders (OpenSSL keeps words little-endian)."""
    found = set()
    for number in numbers:
        for order in (number, number[::-1]):
            found |= {order[i:i + WINDOW] for i in range(len(order) - WINDOW + 1)}
    return found


def count_hits(data, needles):
    """How many of the needles are in data. A first look for anchors at steps keeps it quick."""
    return sum(1 for n in needles if n in data)


def anchors(numbers):
    """Windows at every WINDOW-th place: any 31-byte run of a number contains one; with the windows
    at both ends, every run that matters is found."""
    found = set()
    for number in numbers:
        for order in (number, number[::-1]):
            places = list(range(0, len(order) - WINDOW + 1, WINDOW)) + [len(order) - WINDOW]
            found |= {order[i:i + WINDOW] for i in places}
        for shift in range(3):  # as base64 text, in PEM or JSON, wherever in a group it begins
            text = base64.b64encode(number[shift:]).rstrip(b"=")[:-2]
            found |= {text[i:i + 20] for i in range(0, len(text) - 19, 20)}
    return found


class Held:
    def __init__(self, postern, ca, nginx):
        self.password = "scan-password-8f1e2d7c"
        self.vault_value = "vault-value-5a0c77e1d9b3"
        self.identities = {kind: ca.client(f"scan-{kind}", kind) for kind in ("rsa2048", "p256")}
        self.numbers = [n for i in self.identities.values() for n in i.secret_numbers()]
        for kind, identity in self.identities.items():
            postern.upload(f"scan-{kind}", identity, self.password)
            postern.make_api(f"scan-{kind}", nginx.url("good"), with_certificate(f"scan-{kind}"))
            assert postern.call(f"/scan-{kind}/x").json()["sha1"].upper() == identity.sha1
        data = self.identities["p256"].pfx_base64(self.password)
        postern.vault("POST", "/certificates/scanned/import",
                      {"value": data, "pwd": self.password})
        postern.put("/certificates/scan-kv", {"keyVault": {
            "secretIdentifier": postern.vault_url + "/secrets/scanned"}})
        postern.make_api("scan-kv", nginx.url("good"), with_certificate("scan-kv"))
        assert postern.call("/scan-kv/x").status == 200
        postern.make_api("scan-body", nginx.url("good"), policy(
            f'<authentication-certificate body="{data}" password="{self.password}" />'))
        assert postern.call("/scan-body/x").status == 200
        answer = postern.vault("PUT", "/secrets/pem", {
            "value": self.identities["rsa2048"].pem.decode(),
            "contentType": "application/x-pem-file"})
        assert answer.status == 200, answer
        postern.put("/certificates/scan-pem", {"keyVault": {
            "secretIdentifier": postern.vault_url + "/secrets/pem"}})
        # other work, so that what was freed could be shown by what came after
        for i in range(20):
            postern.put(f"/backends/scan-{i}", {"url": "http://localhost:1", "protocol": "http"})
            postern.call("/scan-rsa2048/x")
        postern.vault("PUT", "/secrets/plain", {"value": self.vault_value})
        self.upload_texts = [i.pfx_base64(self.password) for i in self.identities.values()]


@pytest.fixture(scope="module")
def scanned(tmp_path_factory, trust, ca, nginx):
    if os.geteuid() != 0:
        pytest.fail("the memory scan reads /proc/PID/mem and needs root")
    postern = service.Postern(tmp_path_factory.mktemp("scan"), environment=trust)
    postern.start()
    held = Held(postern, ca, nginx)
    yield postern, held
    postern.stop()


@pytest.mark.parametrize("role", ["gateway", "control", "supervisor"])
def test_no_private_key_and_no_password_is_in_the_memory_of(scanned, role):
    postern, held = scanned
    needles = anchors(held.numbers)
    password = held.password.encode()
    found_keys, found_passwords, bytes_seen = 0, 0, 0
    for piece in memory_of(postern.pid(role)):
        bytes_seen += len(piece)
        found_keys += count_hits(piece, needles)
        found_passwords += piece.count(password) + piece.count(held.password.encode("utf-16-be"))
    assert bytes_seen > 1 << 20, "nothing was read"
    assert (found_keys, found_passwords) == (0, 0), \
        f"{found_keys} pieces of keys, {found_passwords} passwords"


def test_the_keyholder_does_hold_the_keys(scanned):
    """The positive control: the same search finds them where they belong."""
    postern, held = scanned
    needles = anchors(held.numbers)
    assert sum(count_hits(piece, needles) for piece in memory_of(postern.pid("keyholder"))) > 0


def test_the_keyholder_forgets_passwords(scanned):
    postern, held = scanned
    assert not sum(piece.count(held.password.encode())
                   for piece in memory_of(postern.pid("keyholder")))


def test_the_secret_of_traces_is_in_no_environment(scanned):
    """What the supervisor gives to control and gateway is taken out of what /proc shows of them; the
    keyholder is not given it."""
    postern, _ = scanned
    for role in ("gateway", "control", "keyholder"):
        environment = pathlib.Path(f"/proc/{postern.pid(role)}/environ").read_bytes()
        assert b"PN_LOG_LEVEL=" in environment, "it can be read by the tests"
        found = [x for x in environment.split(b"\0") if x.startswith(b"PN_TRACE_SECRET=")]
        assert not found or found == [b"PN_TRACE_SECRET="] and role != "keyholder", role


def test_the_console_is_still_told_what_the_backend_got(scanned):
    postern, held = scanned
    answer = postern.arm("POST", "/apis/scan-p256/test",
                         {"properties": {"method": "GET", "path": "/x"}})
    assert answer.status == 200, answer
    assert held.identities["p256"].sha1 in json.dumps(answer.json()["backend"]).upper(), answer.text


def test_nothing_is_in_clear_in_the_data_folder(scanned):
    postern, held = scanned
    needles = windows(held.numbers) | {held.password.encode(), held.vault_value.encode()}
    needles |= {n.hex().encode()[:32] for n in held.numbers}
    for path in sorted(postern.data.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        hits = [n for n in needles if n in data]
        assert not hits, f"{path.relative_to(postern.data)}: {len(hits)} secrets in clear"
        for text in held.upload_texts:
            assert text[200:300].encode() not in data, f"{path}: the uploaded PFX"


def test_nothing_is_in_the_log(scanned):
    postern, held = scanned
    text = postern.log()
    assert held.password not in text and held.vault_value not in text
    assert "BEGIN PRIVATE KEY" not in text and "PRIVATE KEY" not in text
    assert postern.client_secret not in text


def test_the_data_folder_is_closed_to_others(scanned):
    postern, _ = scanned
    for path in [postern.data, *postern.data.rglob("*")]:
        if path.is_symlink() or path.suffix == ".pem" or path.name == "ready.json":
            continue
        reachable = path.stat().st_mode & 0o077
        parents_closed = postern.data.stat().st_mode & 0o077 == 0
        assert reachable == 0 or parents_closed, path
    assert (postern.data / "keyholder").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("role", ["gateway", "control", "keyholder", "supervisor"])
def test_rights_are_given_up_by(scanned, role):
    postern, _ = scanned
    pid = postern.pid(role)
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"], core
    if role != "supervisor":
        assert fields["NoNewPrivs"].strip() == "1"
        assert fields["Seccomp"].strip() == "2"


def test_the_keyholder_has_no_network_and_locked_memory(scanned):
    postern, _ = scanned
    pid = postern.pid("keyholder")
    for fd in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{fd}")
        if target.startswith("socket:["):
            inode = target[8:-1]
            for table in ("tcp", "tcp6", "udp", "udp6"):
                text = pathlib.Path(f"/proc/{pid}/net/{table}").read_text()
                assert not [x for x in text.splitlines()[1:] if x.split()[9] == inode], \
                    f"the keyholder holds a {table} socket"
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert int(status.split("VmLck:")[1].split()[0]) > 0
