# SPDX-License-Identifier: Apache-2.0
"""How often a limit was hit, as /metrics tells it."""
import re

from lab import service


def hits(postern, limit):
    text = postern.session(postern.control).get("/metrics").text
    found = re.search(r'postern_limit_hits_total\{limit="%s"\} (\d+)' % limit, text)
    return int(found[1]) if found else 0


class Counted:
    """Within it, the limit is hit."""

    def __init__(self, postern, limit):
        self.postern, self.limit = postern, limit

    def __enter__(self):
        self.before = hits(self.postern, self.limit)

    def __exit__(self, kind, *_):
        if kind is None:
            service.wait_for(f"a hit of {self.limit}",
                             lambda: hits(self.postern, self.limit) > self.before, 10)
