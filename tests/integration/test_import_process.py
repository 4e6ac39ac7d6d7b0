# SPDX-License-Identifier: Apache-2.0
"""The process that opens an uploaded file: one for each file, started ahead of it."""
import base64
import os
import signal

import pytest
from lab import pki, service
from lab.service import wait_for


@pytest.fixture(scope="module")
def authority():
    return pki.Authority()


def waiting_import(postern):
    """The pid of the import process that has no file yet."""
    return wait_for("an import process", lambda: postern.pid("import"))


def test_each_file_gets_a_process_of_its_own(postern, authority):
    seen = set()
    for _ in range(3):
        ahead = waiting_import(postern)
        assert ahead not in seen
        seen.add(ahead)
        postern.upload(service.unique("ahead"), authority.client("ahead"))
        wait_for("the used process is gone", lambda: not service.executable_of(ahead))


@pytest.mark.parametrize("bad", [b"", b"\x30\x80" * 2000, bytes(range(256)) * 16],
                         ids=["empty", "nested", "noise"])
def test_a_hostile_file_does_not_hurt_the_next(postern, authority, bad):
    waiting_import(postern)
    answer = postern.arm("PUT", "/certificates/" + service.unique("bad"), {
        "properties": {"data": base64.b64encode(bad).decode(), "password": "x"}})
    assert answer.status == 400, answer
    postern.upload(service.unique("good"), authority.client("good"))
    waiting_import(postern)
    postern.upload(service.unique("good"), authority.client("good"))


def test_one_that_dies_before_its_file_came_hurts_nobody(postern, authority):
    os.kill(waiting_import(postern), signal.SIGKILL)
    postern.upload(service.unique("good"), authority.client("good"))
