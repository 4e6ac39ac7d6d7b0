# SPDX-License-Identifier: Apache-2.0
"""A name server on loopback (RFC 1035): answers A and AAAA from a dictionary that may be changed at
any time, or does not answer at all."""
import contextlib
import ipaddress
import socket
import struct
import threading

A, AAAA = 1, 28


class NameServer:
    def __init__(self):
        self.names, self.ttl, self.is_silent = {}, 1, False
        self.questions = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.sock.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def asked(self, name):
        return sum(1 for n, kind in self.questions if n == name and kind == A)

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                query, peer = self.sock.recvfrom(4096)
                if not self.is_silent:
                    with contextlib.suppress(ValueError, IndexError, struct.error):
                        self.sock.sendto(self._answer(query), peer)

    def _answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        end = at + 5
        kind = struct.unpack("!H", query[at + 1:at + 3])[0]
        name = ".".join(labels).lower()
        self.questions.append((name, kind))
        known = self.names.get(name)
        wanted = {A: 4, AAAA: 6}.get(kind)
        found = [ipaddress.ip_address(a) for a in known or ()]
        found = [a.packed for a in found if a.version == wanted]
        records = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, self.ttl, len(a)) + a
                           for a in found)
        flags = 0x8180 if known is not None else 0x8183
        return (query[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0) + query[12:end]
                + records)

    def stop(self):
        self.sock.close()
