# SPDX-License-Identifier: Apache-2.0
"""`postern demo`: the main job by itself, through the REST API."""
import os
import re
import signal
import subprocess
import time

from lab.service import BIN


def run_demo(folder, *options):
    return [str(BIN / "postern"), "demo", "--data", str(folder / "data"), *options]


def test_demo_once_shows_what_the_backend_saw_of_both_certificates(tmp_path):
    done = subprocess.run(run_demo(tmp_path, "--once"), capture_output=True, text=True,
                          timeout=180, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(set(re.findall(r"\b[0-9A-F]{40}\b", done.stdout))) >= 2, done.stdout
    assert len(set(re.findall(r"CN ?= ?[\w -]+", done.stdout))) >= 2, done.stdout
    assert "curl " in done.stdout


def test_demo_serves_until_ctrl_c_and_ends_cleanly(tmp_path):
    log = (tmp_path / "out").open("w+")
    process = subprocess.Popen(run_demo(tmp_path), stdout=log, stderr=log,
                               stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        end = time.monotonic() + 120
        text = ""
        while "Ctrl-C" not in text and process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
            text = (tmp_path / "out").read_text()
        assert "Ctrl-C" in text and process.poll() is None, text
        lines = re.findall(r"^\s*(curl .*)$", text, re.M)
        assert lines, text
        again = subprocess.run(["bash", "-c", lines[0]], capture_output=True, text=True,
                               timeout=30)
        assert again.returncode == 0, again.stderr
        assert re.search(r"CN ?= ?", again.stdout), again.stdout
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(40) == 0, (tmp_path / "out").read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()
