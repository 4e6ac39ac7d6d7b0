# SPDX-License-Identifier: Apache-2.0
"""An HTTP/2 backend by hand (h2c): it says whatever a test wants, right or wrong."""
import struct

import hpack

from lab import raw
from lab.h2frames import (ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, block,
                          frame, settings)


class Server(raw.Script):
    """Sends `data(stream)` for the first request, 200 and "ok" for all others; keeps the codes of the
    GOAWAY and RST_STREAM frames that it was told."""

    def __init__(self, data, piecewise=False):
        self.data = data
        self.piecewise = piecewise
        self.asked = 0
        self.goaways = []
        self.resets = {}
        self.sock = None  # of the last connection
        super().__init__(self._serve)

    def _serve(self, sock, _):
        received = b""
        self.sock = sock
        sock.sendall(settings())
        while len(received) < len(PREFACE):
            received += sock.recv(65536)
        received = received[len(PREFACE):]
        while True:
            while len(received) >= 9 and len(received) >= (end := 9 + int.from_bytes(received[:3], "big")):
                self._on(sock, received[:end])
                received = received[end:]
            piece = sock.recv(65536)
            if not piece:
                return
            received += piece

    def _on(self, sock, taken):
        kind, flags, stream = taken[3], taken[4], struct.unpack(">I", taken[5:9])[0]
        if kind == GOAWAY:
            self.goaways.append(struct.unpack(">II", taken[9:17])[1])
        elif kind == RST_STREAM:
            self.resets[stream] = struct.unpack(">I", taken[9:13])[0]
        elif kind == SETTINGS and not flags & ACK:
            raw.send(sock, frame(SETTINGS, ACK))
        elif kind == HEADERS:
            self.asked += 1
            if self.asked == 1:
                raw.send(sock, self.data(stream), self.piecewise)
            else:
                # The gateway may have ended the connection, and its GOAWAY is still to be read.
                raw.send(sock, frame(HEADERS, END_HEADERS, stream, block((":status", "200"))) +
                         frame(DATA, END_STREAM, stream, b"ok"))


class Answers(raw.Script):
    """Leaves each request to `on_request(sock, stream, path)`; `on_open(sock)` hears of each connection."""

    def __init__(self, on_request, on_open=lambda sock: None, context=None, first=settings()):
        self.on_request, self.on_open, self.first = on_request, on_open, first
        super().__init__(self._serve, context)

    def _serve(self, sock, _):
        decoder = hpack.Decoder()
        self.on_open(sock)
        sock.sendall(self.first)
        received = b""
        while len(received) < len(PREFACE):
            received += sock.recv(65536)
        received = received[len(PREFACE):]
        while True:
            while len(received) >= 9 and len(received) >= (end := 9 + int.from_bytes(received[:3], "big")):
                kind, flags, stream = received[3], received[4], struct.unpack(">I", received[5:9])[0]
                if kind == SETTINGS and not flags & ACK:
                    sock.sendall(frame(SETTINGS, ACK))
                elif kind == HEADERS:
                    path = dict(decoder.decode(received[9:end]))[":path"]
                    self.on_request(sock, stream, path)
                received = received[end:]
            piece = sock.recv(65536)
            if not piece:
                return
            received += piece
