# SPDX-License-Identifier: Apache-2.0
"""An HTTP/2 client by hand: every frame is seen, nothing is acknowledged unless a test says so."""
import contextlib
import socket
import ssl
import struct
import time
import urllib.parse

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Stream:
    def __init__(self):
        self.head = {}
        self.fields = []
        self.informational = []
        self.body = b""
        self.trailers = None
        self.ended = False
        self.reset = None

    @property
    def status(self):
        return int(self.head[":status"])


class Peer:
    """One connection; `sock`: one that is there already. With `acknowledge`, window is given back as
    data comes."""

    def __init__(self, origin, ca_file=None, acknowledge=True, timeout=20, settings=None, sock=None):
        url = urllib.parse.urlsplit(origin)
        self.authority = url.netloc
        self.scheme = url.scheme
        self.sock = sock or socket.create_connection((url.hostname, url.port), timeout)
        if self.sock.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=str(ca_file))
            context.set_alpn_protocols(["h2", "http/1.1"])
            self.sock = context.wrap_socket(self.sock, server_hostname=url.hostname)
            assert self.sock.selected_alpn_protocol() == "h2"
        self.acknowledge = acknowledge
        self.timeout = timeout
        self.streams = {}
        self.goaways = []
        self.eof = False
        self.received = b""
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False,
            normalize_outbound_headers=False))
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings(settings)
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def send(self, data):
        """Bytes as they are."""
        self.sock.sendall(data)

    def request(self, method, path, fields=(), body=None, end=True):
        """Begins a stream; with `end` false its body may follow."""
        number = self.h2.get_next_available_stream_id()
        self.streams[number] = Stream()
        head = [(":method", method), (":scheme", self.scheme), (":authority", self.authority),
                (":path", path), *fields]
        self.h2.send_headers(number, head, end_stream=end and body is None)
        if body is not None:
            self.h2.send_data(number, body, end_stream=end)
        self.flush()
        return number

    def data(self, number, piece, end=False):
        """Sends all of `piece`, waiting for window."""
        while piece or end:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if room <= 0 and piece:
                self.turn()
                continue
            self.h2.send_data(number, piece[:room], end_stream=end and len(piece) <= room)
            piece = piece[room:]
            self.flush()
            if not piece:
                return

    def turn(self, limit_s=None):
        """Takes what comes next. False: nothing came in time, or the end."""
        self.sock.settimeout(self.timeout if limit_s is None else limit_s)
        try:
            data = self.sock.recv(65536)
        except (socket.timeout, TimeoutError, ssl.SSLWantReadError):
            return False
        except ConnectionResetError:
            data = b""
        if not data:
            self.eof = True
            return False
        for event in self.h2.receive_data(self._without_goaway(data)):
            self._on(event)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.flush()
        return True

    def _without_goaway(self, data):
        """Whole frames. GOAWAY is noted here: the library would take nothing more after it, though
        streams go on (RFC 9113 section 6.8)."""
        self.received += data
        whole = b""
        while len(self.received) >= 9:
            end = 9 + int.from_bytes(self.received[:3], "big")
            if len(self.received) < end:
                break
            frame, self.received = self.received[:end], self.received[end:]
            if frame[3] == 7:
                self.goaways.append(struct.unpack(">II", frame[9:17]))
            else:
                whole += frame
        return whole

    def _on(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.head, stream.fields = dict(event.headers), event.headers
        elif isinstance(event, h2.events.InformationalResponseReceived):
            stream.informational.append(dict(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if self.acknowledge and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = dict(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = event.error_code

    def until(self, condition, limit_s=20):
        """Takes turns until condition() holds; False: it never did."""
        end = time.monotonic() + limit_s
        while not condition():
            left = end - time.monotonic()
            if left <= 0 or not self.turn(min(left, 1)) and self.eof:
                return condition()
        return True

    def answer(self, number, limit_s=20):
        """The whole answer."""
        stream = self.streams[number]
        done = self.until(lambda: stream.ended or stream.reset is not None, limit_s)
        assert done, (stream.head, len(stream.body), self.goaways, self.eof)
        return stream

    def call(self, method, path, fields=(), body=None):
        return self.answer(self.request(method, path, fields, body))
