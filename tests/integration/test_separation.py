# SPDX-License-Identifier: Apache-2.0
"""The link line proves what each executable can do; and what `make install` leaves."""
import os
import subprocess

from lab.service import BIN


def symbols(name):
    """Names that the executable defines or takes from shared libraries."""
    found = set()
    for options in (["-D"], []):
        done = subprocess.run(["nm", *options, str(BIN / name)], capture_output=True, text=True)
        found |= {line.split()[-1].split("@")[0] for line in done.stdout.splitlines() if line}
    assert len(found) > 50, name
    return found


def test_the_gateway_links_no_key_parsing_no_store_and_no_vault():
    names = symbols("postern-gateway")
    bad = [n for n in names if n.startswith((
        "PKCS12_", "d2i_PKCS12", "d2i_PKCS8", "d2i_PrivateKey", "d2i_AutoPrivateKey",
        "d2i_RSAPrivateKey", "d2i_ECPrivateKey", "PEM_read_bio_PrivateKey", "PEM_read_PrivateKey",
        "OSSL_DECODER_", "sqlite3_", "curl_", "pn_pfx_", "pn_store_", "pn_vault_", "pn_arm_"))]
    assert not bad, bad


def test_control_links_no_key_parsing():
    bad = [n for n in symbols("postern-control") if n.startswith((
        "PKCS12_parse", "d2i_PKCS12", "d2i_PrivateKey", "d2i_AutoPrivateKey",
        "PEM_read_bio_PrivateKey", "PEM_read_PrivateKey", "pn_pfx_"))]
    assert not bad, bad


def test_the_keyholder_links_no_http_and_no_pfx_parser():
    bad = [n for n in symbols("postern-keyholder") if n.startswith((
        "pn_h1_", "pn_http_", "SSL_", "curl_", "sqlite3_", "json_loads", "xml", "PKCS12_parse",
        "d2i_PKCS12", "pn_pfx_")) or n in ("socket", "connect", "bind", "listen", "getaddrinfo")]
    assert not bad, bad


def test_make_install_puts_things_where_they_belong(tmp_path):
    done = subprocess.run(["cmake", "--install", str(BIN.parent), "--prefix", "/usr"],
                          env=dict(os.environ, DESTDIR=str(tmp_path)), capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    for path in ("usr/bin/postern", "usr/libexec/postern/postern-gateway",
                 "usr/libexec/postern/postern-control", "usr/libexec/postern/postern-keyholder",
                 "usr/libexec/postern/postern-import", "usr/share/man/man1/postern.1",
                 "usr/lib/systemd/system/postern.service", "usr/lib/sysusers.d/postern.conf",
                 "usr/share/man/man1/postern-certificate.1", "usr/share/man/man1/postern-serve.1",
                 "usr/share/bash-completion/completions/postern",
                 "usr/share/zsh/vendor-completions/_postern",
                 "usr/share/fish/vendor_completions.d/postern.fish"):
        assert (tmp_path / path).is_file(), path
    assert not list(tmp_path.rglob("*sample-backend*"))
    unit = (tmp_path / "usr/lib/systemd/system/postern.service").read_text()
    assert "ExecStart=/usr/bin/postern serve" in unit
    version = subprocess.run([str(tmp_path / "usr/bin/postern"), "--version"],
                             capture_output=True, text=True)
    assert version.returncode == 0 and "postern" in version.stdout.lower()


def test_an_installed_postern_serves(tmp_path, trust):
    """It finds its parts in libexec."""
    from lab import service
    done = subprocess.run(["cmake", "--install", str(BIN.parent), "--prefix",
                           str(tmp_path / "usr")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    instance = service.Postern(tmp_path / "run", environment=trust)
    saved, service.BIN = service.BIN, tmp_path / "usr/bin"
    try:
        instance.start()
    finally:
        service.BIN = saved
    assert instance.arm("GET", "").status == 200
    instance.stop()
