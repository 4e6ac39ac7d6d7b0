# SPDX-License-Identifier: Apache-2.0
"""A busy gateway thread rests so that several packets arrive meanwhile (limit busy-rest); one that has
time does not, and neither does one that may not."""
import re
import subprocess

import pytest

from lab import backends, service

LOAD_TRIES = 10  # on a crowded machine a second of load may not keep the thread busy


@pytest.fixture(scope="module")
def backend(tmp_path_factory, ca):
    running = backends.Nginx(tmp_path_factory.mktemp("nginx")).add("a", ca.server()).start()
    yield running
    running.stop()


def start(folder, trust, backend, *options):
    postern = service.Postern(folder, ["--threads", "1", *options], trust)
    postern.start()
    postern.make_api("a", backend.url("a"))
    return postern


def load(postern, connections, seconds=1):
    """Every answer is a 200."""
    done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", postern.gateway + "/a/x"],
                          capture_output=True, text=True, timeout=60)
    assert re.search(r"[1-9]\d* requests in", done.stdout), done.stdout + done.stderr
    assert "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout, done.stdout


def rests(postern):
    return postern.metric("postern_rests_total")


def test_a_thread_with_many_requests_rests_and_answers_them_all(tmp_path, trust, backend):
    postern = start(tmp_path, trust, backend)
    try:
        load(postern, 1)
        for _ in range(LOAD_TRIES):
            load(postern, 64)
            if rests(postern) > 0:
                return
        pytest.fail("64 busy connections, and no rest")
    finally:
        postern.stop()


def test_a_thread_that_may_not_rest_does_not(tmp_path, trust, backend):
    postern = start(tmp_path, trust, backend, "--limit", "busy-rest=0")
    try:
        load(postern, 64, 2)
        assert rests(postern) == 0
    finally:
        postern.stop()


def test_requests_one_by_one_never_wait_for_a_rest(tmp_path, trust, backend):
    postern = start(tmp_path, trust, backend)
    try:
        for _ in range(50):
            assert postern.call("/a/x").status == 200
        assert rests(postern) == 0
    finally:
        postern.stop()


def test_a_rest_is_a_short_time(tmp_path):
    done = subprocess.run([service.BIN / "postern", "serve", "--data", tmp_path, "--limit",
                           "busy-rest=1s"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "limit busy-rest wants a time in us (also ms, s) from 0 to 10ms, not '1s'" in done.stderr
