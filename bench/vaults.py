# SPDX-License-Identifier: Apache-2.0
"""V1: many vaults and secrets in one Postern. What one get and one page of a list cost on a kept
connection, in a small Postern (ten vaults) and in a large one, in turns: the ratio says
whether the number of things that are stored matters. Nobody else does this job, so there is no peer."""
import random
import statistics
import threading
import time
import urllib.parse

from lab import service, web

FILLERS = 8
CALLS = 300  # of one kind in one repetition
VERSION = "api-version=7.4"
TARGETS = (("get", 1.5), ("list", 1.5))
LIMITS = ["--limit", "vault-reads=0", "--limit", "vault-writes=0"]


class House:
    def __init__(self, stage, name, vaults, secrets):
        self.vaults, self.each = vaults, max(1, secrets // vaults)
        self.postern = service.Postern(stage.folder / name, LIMITS).start()
        self.token = self.postern.token(self.postern.vault_audience)
        self.port = urllib.parse.urlsplit(self.postern.vault_url).port
        began = time.monotonic()
        self.fill()
        took = time.monotonic() - began
        print(f"    {name}: {vaults} vaults, {vaults * self.each} secrets: filled in {took:.0f} s, "
              f"{vaults * (self.each + 1) / took:.0f} changes/s", flush=True)
        self.session = None

    def call(self, session, method, path, body=None):
        answer = session.call(method, f"{path}{'&' if '?' in path else '?'}{VERSION}", body,
                              {"Authorization": "Bearer " + self.token})
        assert answer.status == 200, answer
        return answer

    def open(self, vault):
        return web.Session(f"https://bench{vault}.vault.localhost:{self.port}",
                           self.postern.ca_file, keep=True)

    def fill(self):
        tenant = self.postern.tenant
        owner = self.postern.arm(
            "GET", f"{self.postern.group}/providers/Microsoft.KeyVault/vaults/local",
            version="2022-07-01").json()["properties"]["accessPolicies"][0]["objectId"]
        properties = {"tenantId": tenant, "sku": {"family": "A", "name": "standard"},
                      "accessPolicies": [{"tenantId": tenant, "objectId": owner, "permissions":
                                          {"secrets": ["all"]}}]}

        def work(number):
            management = web.Session(self.postern.control, self.postern.ca_file, keep=True)
            for vault in range(number, self.vaults, FILLERS):
                answer = management.call(
                    "PUT", f"{self.postern.group}/providers/Microsoft.KeyVault/vaults/bench{vault}"
                    "?api-version=2022-07-01", {"location": "local", "properties": properties},
                    {"Authorization": "Bearer " + self.postern.token()})
                assert answer.status == 201, answer
                session = self.open(vault)
                for secret in range(self.each):
                    self.call(session, "PUT", f"/secrets/s{secret}", {"value": f"value {secret}"})
                session.close()
        threads = [threading.Thread(target=work, args=(n,)) for n in range(FILLERS)]
        self.postern.token()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def times(self, path_of):
        """Milliseconds of calls one after the other, in vaults by chance."""
        chosen = random.Random(1)
        times = []
        for _ in range(10):
            session = self.open(chosen.randrange(self.vaults))
            self.call(session, "GET", "/secrets?maxresults=1")
            for _ in range(CALLS // 10):
                path = path_of(chosen)
                began = time.perf_counter()
                self.call(session, "GET", path)
                times.append(1000 * (time.perf_counter() - began))
            session.close()
        return times


def run(stage, vaults, secrets, repetitions):
    each = max(1, secrets // vaults)  # pages of the same length in both
    houses = [House(stage, "small", 10, 10 * each), House(stage, "large", vaults, secrets)]
    paths = {"get": lambda chosen, house: f"/secrets/s{chosen.randrange(house.each)}/",
             "list": lambda chosen, house: "/secrets?maxresults=25&$skiptoken="
                                           f"s{chosen.randrange(house.each)}"}
    rows = []
    try:
        for name, target in TARGETS:
            ratios, shown = [], []
            for _ in range(repetitions):
                found = [h.times(lambda chosen, h=h: paths[name](chosen, h)) for h in houses]
                ratios.append(statistics.median(found[1]) / statistics.median(found[0]))
                shown.append((statistics.median(found[1]), sorted(found[1])[int(0.99 * CALLS)]))
            median, last = (statistics.median(column) for column in zip(*shown))
            print(f"V1 {name}: {median:.2f} ms, 99th percentile {last:.2f} ms, "
                  f"{statistics.median(ratios):.2f} of that in the small one", flush=True)
            rows.append((f"V1 {name}", f"{vaults} vaults, {secrets} secrets, against 10 vaults",
                         statistics.median(ratios), target))
    finally:
        for house in houses:
            house.postern.stop()
    return rows
