# SPDX-License-Identifier: Apache-2.0
"""What will break when: days left as metrics, events before the end, a report for CI."""
import http.server
import json
import re
import subprocess
import threading

import pytest
from lab import service
from lab.service import with_certificate


class Receiver:
    """A webhook that notes what comes, and answers what it is told to."""

    def __init__(self):
        self.events, self.types, self.paths, self.answers = [], [], [], []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.answers.pop(0) if receiver.answers else 200
                if status == 200:
                    receiver.events.append(json.loads(body))
                receiver.types.append(self.headers["Content-Type"])
                receiver.paths.append((self.path, status))
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?key=hidden-in-the-url"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def of(self, name):
        return [e for e in self.events if e["subject"] == f"/certificates/{name}"]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    hook = Receiver()
    yield hook
    hook.stop()


@pytest.fixture
def told(tmp_path, trust, receiver):
    config = tmp_path / "postern.yaml"
    config.write_text(f"event-webhook:\n  - {receiver.url}\nexpiry-days: 1,7,14,30\n")
    postern = service.Postern(tmp_path / "postern", environment=trust, options=["--config", str(config)])
    postern.start()
    yield postern
    if postern.process:
        postern.stop()


def upload(postern, ca, name, days_left):
    identity = ca.client(name, begins=-1, days=1 + days_left)
    postern.upload(name, identity)
    return identity


def test_each_threshold_is_told_once_for_each_generation(told, ca, receiver, nginx):
    receiver.answers += [500, 429]
    upload(told, ca, "far", 29.5 + 3)
    soon = upload(told, ca, "soon", 20.5)
    upload(told, ca, "gone", -0.5)
    told.make_api("uses-soon", nginx.url("good"), with_certificate("soon"))
    service.wait_for("both events", lambda: receiver.of("soon") and receiver.of("gone"), 30)
    assert not receiver.of("far")
    event = receiver.of("soon")[0]
    assert event["specversion"] == "1.0" and event["type"] == "Postern.CertificateNearExpiry"
    assert event["source"] == told.service_id and event["datacontenttype"] == "application/json"
    assert re.fullmatch(r"[0-9a-f-]{36}", event["id"]) and event["time"].endswith("Z")
    data = event["data"]
    assert (data["threshold"], data["daysLeft"], data["thumbprint"]) == (30, 20, soon.sha1)
    assert data["generation"] == 1 and data["origin"] == "pfx" and data["id"].endswith("/certificates/soon")
    gone = receiver.of("gone")[0]
    assert gone["type"] == "Postern.CertificateExpired" and gone["data"]["daysLeft"] < 0
    assert set(receiver.types) == {"application/cloudevents+json; charset=utf-8"}
    # what failed was sent again, with the address as it was given
    assert [s for _, s in receiver.paths[:2]] == [500, 429] and receiver.paths[0][0] == "/hook?key=hidden-in-the-url"
    told.upload("soon", ca.client("soon", begins=-1, days=1 + 5.5))
    service.wait_for("that of the next generation", lambda: len(receiver.of("soon")) == 2, 30)
    again = receiver.of("soon")[1]["data"]
    assert (again["threshold"], again["daysLeft"], again["generation"]) == (7, 5, 2)
    assert {u["id"].rsplit("/service/", 1)[1].split("/", 1)[1] for u in again["usage"]} >= {
        "apis/uses-soon/policies/policy", "apis/uses-soon"} and again["usageCount"] == len(again["usage"])
    # not once more after a restart
    ready, count = told.ready, len(receiver.events)
    told.stop()
    told.start(ready)
    upload(told, ca, "later", 0.5)
    service.wait_for("another one", lambda: receiver.of("later"), 30)
    assert len(receiver.events) == count + 1
    assert "hidden-in-the-url" not in told.log()
    stored = b"".join(p.read_bytes() for p in (told.data / "store").iterdir())
    assert b"hidden-in-the-url" not in stored


def test_events_wait_for_a_webhook_that_is_away_also_across_a_restart(told, ca, receiver):
    receiver.answers += [503] * 50
    upload(told, ca, "waits", 3.5)
    service.wait_for("a try", lambda: receiver.paths, 30)
    ready = told.ready
    told.stop()
    receiver.answers.clear()
    told.start(ready)
    service.wait_for("its delivery", lambda: receiver.of("waits"), 30)


def test_days_left_are_metrics(told, ca):
    upload(told, ca, 'odd"name', 10.5)
    upload(told, ca, "old", -0.5)
    text = told.session(told.control).get("/metrics").text
    days = {m[1]: float(m[2]) for m in re.finditer(
        r'^postern_certificate_expiry_days\{certificate="((?:[^"\\]|\\.)*)",generation="1"\} (\S+)$', text, re.M)}
    assert 10.4 < days['odd\\"name'] < 10.6 and -0.6 < days["old"] < -0.4
    within = dict(re.findall(r'^postern_certificates_expiring\{within_days="(\d+)"\} (\d+)$', text, re.M))
    assert within == {"0": "1", "1": "1", "7": "1", "14": "2", "30": "2"}


def report(postern, *arguments):
    return subprocess.run([service.BIN / "postern", "certificate", "expiry", *arguments, "--data", str(postern.data)],
                          capture_output=True, text=True, timeout=60)


def test_the_report_tells_what_breaks_and_ci_by_its_exit_code(own_postern, ca, nginx):
    upload(own_postern, ca, "fine", 25.5)
    upload(own_postern, ca, "soon", 9.5)
    own_postern.make_api("orders", nginx.url("good"), with_certificate("soon"))
    assert report(own_postern, "--days", "5").returncode == 0
    done = report(own_postern)
    assert done.returncode == 1 and "expires in 9 days" in done.stdout, done
    line = next(line for line in done.stdout.splitlines() if line.startswith("soon"))
    assert "/apis/orders" in line, "what breaks"
    assert report(own_postern, "--fail-within", "5").returncode == 0
    assert report(own_postern, "--fail-within", "10").returncode == 1
    assert report(own_postern, "fine", "--fail-within", "10").returncode == 0
    rows = json.loads(report(own_postern, "--output", "json").stdout)
    soon = next(r for r in rows if r["name"] == "soon")
    assert any(u["id"].endswith("/apis/orders") for u in soon["usage"])
    upload(own_postern, ca, "over", -1)
    assert report(own_postern, "--fail-within", "0").returncode == 1
    wrong = report(own_postern, "--fail-within", "soon")
    assert wrong.returncode == 2 and "--fail-within" in wrong.stderr


@pytest.mark.parametrize("options, word", [
    (["--event-webhook", "http://elsewhere.example/x?key=secret"], "event-webhook"),
    (["--event-webhook", "ftp://localhost/x"], "event-webhook"), (["--expiry-days", "0"], "expiry-days"),
    (["--expiry-days", "30,x"], "expiry-days"), (["--compatibility", "azure"], "compatibility"),
    (["--linked-access-check", "maybe"], "linked-access-check")])
def test_a_setting_that_does_not_fit_is_told(tmp_path, options, word):
    done = subprocess.run([service.BIN / "postern", "serve", "--data", str(tmp_path), "--check", *options],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and word in done.stderr and "secret" not in done.stderr, done


def test_host_names_are_in_metrics_events_and_report_with_the_listener_that_breaks(told, ca, receiver):
    shown = ca.server("api.example.com", names=["api.example.com"], begins=-1, days=1 + 5.5)
    answer = told.arm("PATCH", "", {"properties": {"hostnameConfigurations": [
        {"type": "Proxy", "hostName": "api.example.com", "encodedCertificate": shown.pfx_base64("p"),
         "certificatePassword": "p"}]}})
    assert answer.status == 200, answer
    event = service.wait_for("the event", lambda: [
        e for e in receiver.events if e["subject"] == "/hostnames/api.example.com"], 30)[0]
    data = event["data"]
    assert event["source"] == told.service_id and event["type"] == "Postern.CertificateNearExpiry"
    assert (data["name"], data["threshold"], data["daysLeft"], data["thumbprint"]) == (
        "api.example.com", 7, 5, shown.sha1)
    assert [(u["type"], u["by"]) for u in data["usage"]] == [("postern/hostname", "listener")]
    text = told.session(told.control).get("/metrics").text
    days = re.search(r'^postern_certificate_expiry_days\{host="api.example.com",generation="1"\} (\S+)$', text, re.M)
    assert 5.4 < float(days[1]) < 5.6
    assert 'postern_certificates_expiring{within_days="7"} 1\n' in text
    done = report(told)
    line = next(line for line in done.stdout.splitlines() if line.startswith("api.example.com"))
    assert done.returncode == 1 and "expires in 5 days" in line and "listener api.example.com" in line, done
    assert report(told, "api.example.com", "--fail-within", "3").returncode == 0
