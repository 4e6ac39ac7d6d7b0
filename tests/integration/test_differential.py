# SPDX-License-Identifier: Apache-2.0
"""Postern and an independent strict reader are given the same bytes, by chance (lab/hostile.py,
lab/strict.py): they must agree on how many requests there are, where they end and which answer is
whose; and what a backend sees must have one reading and one spelling. PN_MUTATIONS and
PN_MUTATIONS_SEED for more, and for others."""
import os
import random
import re
import select
import socket
import time

import pytest
from lab import h2frames, hostile, service, strict
from lab.raw import connect, head_of, read_all, request
from lab.service import policy

SEED = int(os.environ.get("PN_MUTATIONS_SEED", "1"))
COUNT = int(os.environ.get("PN_MUTATIONS", "1500"))
MARK = re.compile(rb"/(m\d+-\w+)")
REFUSALS = {400, 404, 413, 414, 417, 431, 501, 505}


def talk(postern, pieces, limit_s):
    """Sends the pieces while it reads. Returns what came until the end, and whether there was one; without
    an end, until nothing has come for so long."""
    got, at, last = b"", 0, time.monotonic()
    with connect(postern, 10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        while time.monotonic() - last < limit_s:
            readable, writable, _ = select.select([sock], [sock] if at < len(pieces) else [], [], limit_s)
            try:
                if writable:
                    sent = sock.send(pieces[at])
                    pieces[at] = pieces[at][sent:]
                    at += not pieces[at]
                if readable:
                    data = sock.recv(1 << 20)
                    if not data:
                        return got, True
                    got += data
            except BlockingIOError:
                continue
            except OSError:
                if at == len(pieces):
                    return got, True
                at = len(pieces)  # it takes no more, but may have answered
            last = time.monotonic() if readable or writable else last
    return got, False


def mark_of(target):
    found = None if b".." in target else MARK.search(target)
    return found[1] if found else None


def check(expected, how, answers, seen, is_closed):
    """Why the two do not agree; None: they do."""
    served = [a.get(b"x-mark") for a in answers]
    for i, (answer, mark) in enumerate(zip(answers, served)):
        if mark is not None and i >= len(expected):
            return f"an answer to no request: {mark}"
        own = mark_of(expected[i].target) if mark is not None else None
        if own and own not in mark:
            return f"the answer of {mark} went to {expected[i].target}"
        if mark is not None and answer.body and answer.body != b"<" + mark + b">":
            return f"the body of another answer: {answer.body[:200]}"
    at = 0
    for one in seen:
        while at < len(expected) and (expected[at].method != one.method or expected[at].body != one.body or (
                mark_of(expected[at].target) or b"") not in one.target):
            at += 1
        if at == len(expected):
            return f"a request that nobody sent: {one.method} {one.target}"
        at += 1
    if len(seen) != len([m for m in served if m is not None]):
        return f"{len(seen)} requests at the backend, of which {served} came back"
    if not is_closed and how not in ("more", "end"):
        return "the connection goes on"
    ends = any(a.get(b"connection") == b"close" or a.status in REFUSALS for a in answers[-1:])
    if how in ("close", "end") and len(answers) < len(expected) and not ends:
        return f"{len(answers)} answers to {len(expected)} requests"
    return None


def test_requests_in_a_row_are_to_postern_what_they_are_to_a_strict_reader(postern):
    """Lawful ones in all their spellings, half of the rows with one that is changed; in pieces."""
    name = service.unique("row").encode()
    accepted = refused = 0
    with strict.Backend() as backend:
        postern.make_api(name.decode(), backend.url)
        for i in range(COUNT):
            chance = random.Random(f"{SEED} {i}")
            count, before = chance.choice([1, 1, 2, 3, 5]), len(backend.requests)
            row = [hostile.request(chance, b"/%s/m%d-%d" % (name, i, k), k == count - 1) for k in range(count)]
            if chance.random() < 0.6:
                at = chance.randrange(count)
                row[at] = hostile.mutated(chance, row[at])
                row.append(request("GET", f"/{name.decode()}/m{i}-last", "Connection: close"))
            data = b"".join(row)
            expected, how = strict.read_requests(data)
            got, is_closed = talk(postern, hostile.pieces(chance, data), 0.2 if how == "more" else 5)
            answers = strict.read_answers(got, [one.method for one in expected])
            problem = check(expected, how, answers, backend.requests[before:], is_closed)
            assert not problem and not backend.doubts, (
                f"seed {SEED}, number {i}: {problem} {backend.doubts}\n{data}\nends as {how!r}; came back:\n{got}")
            accepted += len(backend.requests) - before
            refused += how == "bad"
    assert accepted > COUNT / 2 and refused > COUNT / 10


@pytest.mark.parametrize("fault", ["Host: a b", "Content-Length: +1", "X : y", "Expect: x", "Transfer-Encoding: x, chunked"])
def test_a_refused_head_request_is_answered_without_a_body(postern, fault):
    """As soon as the method is known: RFC 9110 section 9.3.2."""
    head = ("HEAD /x HTTP/1.1", *(() if "Host" in fault else ("Host: x",)), fault, "", "")
    with connect(postern) as sock:
        sock.sendall("\r\n".join(head).encode())
        answer, body = head_of(sock)
        assert answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.1 501"), answer
        assert body + read_all(sock) == b""
    with h2frames.Connection(postern.gateway) as connection:
        connection.send(connection.request(1, method="HEAD", path="/x", fields=[("x-a", "b\nc")]))
        connection.expect_answer(1, 400)
        connection.settle()
        assert not connection.find(h2frames.DATA, 1) or not connection.find(h2frames.DATA, 1).payload


# --- HTTP/2

def is_lawful(fields, body, trailers):
    """RFC 9113 section 8, as a strict reader has it. None: it is served or not, as one likes."""
    pseudo, plain = {}, {}
    for name, value in fields:
        if name[:1] == b":":
            if plain or name in pseudo or name not in (b":method", b":scheme", b":path", b":authority"):
                return False
            pseudo[name] = value
            continue
        if not strict.TOKEN.match(name) or name.lower() != name or not strict.TRIMMED.match(value) or \
                name in strict.OF_CONNECTION or (name == b"te" and value.lower() != b"trailers") or \
                (name == b"expect" and value != b"100-continue") or \
                (name in plain and name in (b"host", b"content-length")):
            return False
        plain[name] = value
    authority = pseudo.get(b":authority") or plain.get(b"host") or b""
    length = plain.get(b"content-length", b"%d" % len(body))
    if any(n[:1] == b":" or not strict.TOKEN.match(n) or n.lower() != n or not strict.TRIMMED.match(v) or
           n in strict.OF_CONNECTION for n, v in trailers):
        return False
    return bool(
        strict.TOKEN.match(pseudo.get(b":method", b"")) and pseudo.get(b":scheme", b"").lower() in (b"http", b"https") and
        re.fullmatch(rb"/[!-\"$-~]*", pseudo.get(b":path", b"")) and strict.HOST.match(authority) and
        plain.get(b"host", authority) == authority and re.fullmatch(b"[0-9]+", length) and int(length) == len(body) and
        len(pseudo[b":method"]) <= strict.METHOD_MAX) or False


def is_over(connection, stream):
    return any(f.stream == stream and (f.kind == h2frames.RST_STREAM or (
        f.kind in (h2frames.DATA, h2frames.HEADERS) and f.flags & h2frames.END_STREAM)) for f in connection.frames)


def interleaved(chance, requests):
    """All frames, streams begun in order; in between what any client may send."""
    queues, data, begun = [list(frames) for frames, *_ in requests], b"", 0
    while any(queues):
        at = chance.choice([k for k in range(len(queues)) if queues[k] and k <= begun])
        data += queues[at].pop(0)
        begun = max(begun, at + 1)
        if chance.random() < 0.1:
            data += chance.choice([
                h2frames.frame(h2frames.PING, 0, 0, b"12345678"), h2frames.window(0, 10), h2frames.settings((4, 70000)),
                h2frames.frame(h2frames.PRIORITY, 0, 2 * at + 1, b"\0\0\0\0\5"), h2frames.frame(0xbb, 3, 1, b"?")])
    return data


@pytest.mark.parametrize("kind", ["1", "2"])
def test_streams_are_to_postern_what_they_are_to_a_strict_reader(postern, kind):
    """In front of a backend of either version: what is not lawful is refused or reset by itself, its
    neighbours on the connection are served, and nothing of one is in another."""
    name = service.unique("streams").encode()
    served = refused = 0
    with (strict.Backend if kind == "1" else strict.H2Backend)() as backend:
        postern.make_api(name.decode(), backend.url, policy("", f'<forward-request http-version="{kind}" />'))
        authority = postern.gateway.partition("//")[2].encode()
        for i in range(COUNT // 3):
            chance, before = random.Random(f"{SEED} {kind} {i}"), len(backend.requests)
            requests = [hostile.h2_request(chance, 2 * k + 1, b"/%s/m%d-%d" % (name, i, k), authority)
                        for k in range(chance.choice([1, 2, 3, 6]))]
            data = h2frames.PREFACE + h2frames.settings() + interleaved(chance, requests)
            with h2frames.Connection(postern.gateway, greets=False) as connection:
                for piece in hostile.pieces(chance, data):
                    connection.send(piece)
                connection.read(lambda: connection.goaway or all(
                    is_over(connection, 2 * k + 1) for k in range(len(requests))), 10)
                case = f"seed {SEED}, HTTP/{kind}, number {i}"
                assert not backend.doubts, f"{case}: {backend.doubts}"
                assert not connection.goaway, f"{case}: {connection.goaway}"
                answered = 0
                for k, (_, fields, body, trailers) in enumerate(requests):
                    stream, what = 2 * k + 1, f"{case}, stream {2 * k + 1}: {fields} {body[:100]} {trailers}"
                    assert is_over(connection, stream), what
                    heads = [f for f in connection.frames
                             if f.kind == h2frames.HEADERS and f.stream == stream and (f.status or 0) >= 200]
                    back = b"".join(f.payload for f in connection.frames if f.kind == h2frames.DATA and f.stream == stream)
                    mark = dict(heads[0].fields).get("x-mark", "").encode() if heads else b""
                    assert len(heads) <= 1, what
                    if not mark:
                        refused += 1
                        assert not is_lawful(fields, body, trailers) or heads[0].status != 400 or not back or \
                            b"path" in back, f"{what}: {back}"
                        continue
                    answered += 1
                    assert is_lawful(fields, body, trailers), f"{what} was served"
                    own = MARK.search(dict(fields)[b":path"])
                    assert not own or own[1] in mark, f"{what} got the answer of {mark}"
                    assert back in (b"", b"<" + mark + b">"), f"{what} got {back}"
                    assert [r for r in backend.requests[before:] if r.target == mark and r.body == body], what
                assert len(backend.requests) - before == answered, case
                served += answered
    assert served > COUNT / 6 and refused > COUNT / 6
    assert postern.call("/healthz").status == 200
