# SPDX-License-Identifier: Apache-2.0
"""Load over HTTP/2 that does what GOAWAY says, and knows of each request what became of it."""
import threading

from lab.h2peer import Peer


class Http2Load:
    """Clients of HTTP/2 with several requests under way on each connection. After a GOAWAY they open
    another one, as RFC 9113 section 6.8 says; what is above its last stream was not processed. Whoever is
    refused ends. `connect`: makes a connection; else to the plain listener."""

    WIDTH = 4

    def __init__(self, postern, path, clients=3, connect=None):
        self.connect, self.path = connect or (lambda: Peer(postern.gateway)), path
        self.failures, self.count, self.goaways, self.is_over = [], 0, 0, False
        self.refused = 0
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        while not self.is_over:
            try:
                self._connection()
            except ConnectionRefusedError:
                self.refused += 1
                return
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))

    def _connection(self):
        with self.connect() as peer:
            while not peer.goaways and not self.is_over:
                numbers = [peer.request("GET", self.path) for _ in range(self.WIDTH)]
                for number in numbers:
                    stream = peer.streams[number]
                    peer.until(lambda s=stream, n=number: s.ended or s.reset is not None or
                               n > min((g[0] for g in peer.goaways), default=1 << 31))
                    last = min((g[0] for g in peer.goaways), default=1 << 31)
                    if number <= last and not (stream.ended and stream.status == 200):
                        self.failures.append((number, stream.head, stream.reset, peer.goaways))
                    self.count += number <= last
            self.goaways += len(peer.goaways) > 0

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()
        assert not self.failures, f"{len(self.failures)} of {self.count}: {self.failures[:5]}"
        return self.count
