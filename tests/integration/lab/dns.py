# SPDX-License-Identifier: Apache-2.0
"""A name server on loopback (RFC 1035): answers A and AAAA from a dictionary that may be changed at
any time, over UDP and TCP, or does not answer at all."""
import contextlib
import ipaddress
import socket
import struct
import threading

A, CNAME, AAAA = 1, 5, 28


def encoded(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(owner, kind, data, ttl=1):
    """`owner`: a name, or b"\xc0\x0c" for that of the question."""
    owner = owner if isinstance(owner, bytes) else encoded(owner)
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def response(query, records, flags=0x8180, id_=None, name=None):
    """To the question of `query`, or as if it had been for `name`."""
    end = query.index(b"\0", 12) + 5
    question = query[12:end] if name is None else encoded(name) + query[end - 4:end]
    return ((query[:2] if id_ is None else id_) + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) +
            question + b"".join(records))


class NameServer:
    def __init__(self):
        self.names, self.ttl, self.is_silent = {}, 1, False
        self.replies = {}  # name: what makes the datagrams, (query, kind) -> [bytes], in place of `names`
        self.truncated = set()  # names of which a datagram says nothing
        self.questions, self.streams = [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", self.port))
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, daemon=True).start()
        threading.Thread(target=self._accept, daemon=True).start()

    def asked(self, name):
        return sum(1 for n, kind in self.questions if n == name and kind == A)

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                query, peer = self.sock.recvfrom(4096)
                if not self.is_silent:
                    with contextlib.suppress(ValueError, IndexError, struct.error):
                        for datagram in self._answers(query):
                            self.sock.sendto(datagram, peer)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                self.streams += 1
                threading.Thread(target=self._stream, args=(sock,), daemon=True).start()

    def _stream(self, sock):
        with sock, contextlib.suppress(OSError, ValueError, IndexError, struct.error):
            while head := sock.recv(2, socket.MSG_WAITALL):
                query = sock.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
                answer = self._known(query, *self._question(query))
                sock.sendall(len(answer).to_bytes(2, "big") + answer)

    def _question(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        return ".".join(labels).lower(), struct.unpack("!H", query[at + 1:at + 3])[0]

    def _answers(self, query):
        name, kind = self._question(query)
        self.questions.append((name, kind))
        if name in self.replies:
            return self.replies[name](query, kind)
        if name in self.truncated:
            return [response(query, [], 0x8380)]
        return [self._known(query, name, kind)]

    def _known(self, query, name, kind):
        known = self.names.get(name)
        wanted = {A: 4, AAAA: 6}.get(kind)
        found = [ipaddress.ip_address(a) for a in known or ()]
        return response(query, [record(b"\xc0\x0c", kind, a.packed, self.ttl) for a in found if a.version == wanted],
                        0x8180 if known is not None else 0x8183)

    def stop(self):
        self.sock.close()
        self.listener.close()
