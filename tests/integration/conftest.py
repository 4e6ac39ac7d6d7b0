# SPDX-License-Identifier: Apache-2.0
"""Fixtures. One Postern serves most tests; a test that kills, stops or scans takes one of its own."""
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import backends, pki, service  # noqa: E402

LOG_TAIL = 20000


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the end of the logs of every Postern that a failed test used."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, service.Postern):
                report.sections.append((f"log of {name}", value.log()[-LOG_TAIL:]))
            elif isinstance(value, backends.Nginx):
                report.sections.append((f"error log of {name}", value.log()[-3000:]))


@pytest.fixture(scope="session")
def ca():
    return pki.Authority()


@pytest.fixture(scope="session")
def other_ca():
    """An authority that nobody trusts."""
    return pki.Authority("Nobody's CA")


@pytest.fixture(scope="session")
def clients(ca):
    """A client identity of each key type."""
    return {kind: ca.client(f"client-{kind}", kind) for kind in pki.KEY_TYPES}


@pytest.fixture(scope="session")
def trust(ca, tmp_path_factory):
    """The environment in which Postern's gateway trusts the tests' authority as a system CA."""
    folder = tmp_path_factory.mktemp("trust")
    bundle = folder / "ca.crt"
    bundle.write_bytes(ca.certificate_pem)
    return {"SSL_CERT_FILE": str(bundle), "SSL_CERT_DIR": str(folder)}


@pytest.fixture(scope="session")
def postern(tmp_path_factory, trust):
    """The one that most tests share."""
    instance = service.Postern(tmp_path_factory.mktemp("postern"), environment=trust)
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture
def own_postern(tmp_path, trust):
    """One for this test alone, which it may kill."""
    instance = service.Postern(tmp_path, environment=trust)
    instance.start()
    yield instance
    if instance.process:
        instance.stop()


@pytest.fixture(scope="session")
def nginx(tmp_path_factory, ca, other_ca):
    """Debian's nginx, several servers: good, tls12, tls13, and the bad ones."""
    server = backends.Nginx(tmp_path_factory.mktemp("nginx"))
    good = ca.server()
    server.add("good", good, ca)
    server.add("second", good, ca)
    server.add("tls12", good, ca, "TLSv1.2")
    server.add("tls13", good, ca, "TLSv1.3")
    server.add("rsa", ca.server(kind="rsa2048"), ca)
    server.add("open", good)
    server.add("strangers", good, other_ca)
    server.add("expired", ca.server(begins=-20, days=10), ca)
    server.add("wrongname", ca.server("elsewhere", names=("elsewhere.test",), addresses=()), ca)
    server.add("unknownca", other_ca.server(), ca)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def echo():
    """A plain HTTP backend that answers with what it received."""
    server = backends.Python()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def uploaded(postern, clients):
    """Names of certificates in the shared Postern, by key type."""
    names = {}
    for kind, identity in clients.items():
        names[kind] = f"shared-{kind}"
        postern.upload(names[kind], identity)
    return names


@pytest.fixture
def curl(postern):
    """Runs curl against the shared Postern; returns its output."""
    def run(*arguments, check=True):
        done = subprocess.run(["curl", "-sS", "--max-time", "30", "--cacert", postern.ca_file,
                               *map(str, arguments)], capture_output=True, text=True)
        if check:
            assert done.returncode == 0, done.stderr
        return done.stdout
    return run
