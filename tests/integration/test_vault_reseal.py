# SPDX-License-Identifier: Apache-2.0
"""The master key sealed by a key or passphrase outside of the data folder, and sealed anew."""
import subprocess

import pytest
from lab import service


def reseal(postern, *options, expect=0):
    done = subprocess.run([str(service.BIN / "postern"), "vault", "reseal", "--data",
                           str(postern.data), *map(str, options)], capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == expect, (done.stdout, done.stderr)
    return done.stderr


def test_a_vault_is_sealed_anew_and_opens_with_the_new_source_only(own_postern, tmp_path):
    postern = own_postern
    words, key = tmp_path / "words", tmp_path / "key"
    words.write_text("correct horse battery staple\n")
    key.write_bytes(bytes(range(40)))
    assert postern.vault("PUT", "/secrets/s", {"value": "kept"}).status == 200
    assert postern.vault("POST", "/keys/k/create", {"kty": "EC"}).status == 200
    assert "stop it first" in reseal(postern, "--to", f"file:{key}", expect=1)
    postern.stop()
    folder = postern.data / "keyholder"
    reseal(postern, "--to", f"passphrase-file:{words}")
    assert (folder / "master.wrapped").exists() and not (folder / "master.key").exists()
    with pytest.raises(AssertionError, match="--master-key"):
        postern.start(postern.ready)
    assert "correct horse" not in postern.log()
    postern.options = ["--master-key", f"passphrase-file:{words}"]
    postern.start(postern.ready)
    assert postern.vault("GET", "/secrets/s/").json()["value"] == "kept"
    postern.stop()
    assert "another key or passphrase" in reseal(postern, "--master-key", f"file:{key}", "--to",
                                                 "none", expect=1)
    reseal(postern, "--master-key", f"passphrase-file:{words}", "--to", f"file:{key}")
    with pytest.raises(AssertionError, match="another key or passphrase"):
        postern.start(postern.ready)
    postern.options = ["--master-key", f"file:{key}"]
    postern.start(postern.ready)
    assert postern.vault("GET", "/secrets/s/").json()["value"] == "kept"
    body = {"alg": "ES256", "value": "A" * 43}
    assert postern.vault("POST", "/keys/k/sign", body).status == 200
