# SPDX-License-Identifier: Apache-2.0
"""Debian's azure-cli against a Postern of the tests' own. Not part of `make test`: the package is large."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from lab import service  # noqa: E402

CALL_LIMIT_S = 120


class Az:
    """One person's az: a configuration folder of its own, and no address of Azure in it."""

    def __init__(self, postern, folder):
        self.postern = postern
        self.environment = dict(os.environ, AZURE_CONFIG_DIR=str(folder), AZURE_CORE_NO_COLOR="true",
                                AZURE_CORE_COLLECT_TELEMETRY="false", AZURE_CORE_OUTPUT="json",
                                REQUESTS_CA_BUNDLE=postern.ca_file,
                                NO_PROXY="localhost,.localhost,127.0.0.1")

    def run(self, *arguments):
        return subprocess.run(["az", *arguments, "--only-show-errors"], env=self.environment,
                              capture_output=True, text=True, timeout=CALL_LIMIT_S, check=False)

    def __call__(self, *arguments):
        """What it printed, as JSON; None: nothing."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"az {' '.join(arguments)}: {done.stderr[-2000:]}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refused(self, *arguments):
        """The words of its error."""
        done = self.run(*arguments)
        assert done.returncode != 0, f"az {' '.join(arguments)} was not refused: {done.stdout[-500:]}"
        return done.stderr

    def cloud(self):
        """As docs/operating.md says it."""
        base = self.postern.control
        suffix = self.postern.vault_audience.replace("https://", ".")
        return json.dumps({
            "endpoints": {
                "resourceManager": base, "management": base, "activeDirectory": base + "/adfs",
                "activeDirectoryResourceId": base + "/arm",
                "activeDirectoryGraphResourceId": base + "/graph",
                "microsoftGraphResourceId": base + "/msgraph/"},
            "suffixes": {"keyvaultDns": suffix}})


@pytest.fixture(scope="session")
def postern(tmp_path_factory):
    instance = service.Postern(tmp_path_factory.mktemp("postern"))
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture(scope="session")
def fresh(postern, tmp_path_factory):
    """An az that knows the cloud, and has not signed in."""
    made = Az(postern, tmp_path_factory.mktemp("az"))
    made("cloud", "register", "-n", "Postern", "--cloud-config", made.cloud())
    made("cloud", "set", "-n", "Postern")
    return made


@pytest.fixture(scope="session")
def az(postern, fresh):
    signed_in = fresh("login", "--service-principal", "-u", postern.client_id, "-p",
                      postern.client_secret, "--tenant", postern.tenant)
    assert signed_in[0]["id"] == postern.subscription.rsplit("/", 1)[-1]
    return fresh
