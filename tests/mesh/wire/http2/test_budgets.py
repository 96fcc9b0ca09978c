"""Each budget and limit: what an honest peer does passes, and one above the limit is a flood."""

from collections.abc import Callable

import pytest

from mesh.wire.http2 import frames
from mesh.wire.http2.budgets import MAX_CONTINUATIONS, MAX_UNSENT_ANSWERS_OCTETS, Budget
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.errors import FloodError
from mesh.wire.http2.frames import ErrorCode, Role, frame
from mesh.wire.http2.settings import Settings
from mesh.wire.http2.windows import GROWTH_PING
from tests.mesh.wire.http2.peer import (
    ACK,
    CONNECT,
    GET,
    OK,
    Pair,
    codes_of,
    data,
    greeted,
    headers,
    reset,
    sent,
)

Frames = Callable[[int], bytes]
"""The n-th frame of a flood, from 0."""


def odd(n: int) -> int:
    return 2 * n + 1


FLOODS: list[tuple[str, int, bytes, Frames]] = [
    ("rapid reset", 400, b"", lambda n: headers(odd(n), CONNECT) + reset(odd(n))),
    (
        "streams that we have to reset",
        400,
        b"",
        lambda n: headers(odd(n), CONNECT) + frames.window_update(odd(n), 0),
    ),
    ("malformed requests", 400, b"", lambda n: headers(odd(n), GET[:3])),
    (
        "streams above the limit",
        400,
        b"".join(headers(odd(n), CONNECT) for n in range(200)),
        lambda n: headers(odd(n + 200), CONNECT),
    ),
    ("SETTINGS", 63, b"", lambda _: frames.settings({4: 1000})),  # one has been the greeting
    ("GOAWAY", 63, b"", lambda _: frames.goaway(0, ErrorCode.NO_ERROR)),
    ("PING", 256, b"", lambda _: frames.ping(bytes(8))),
    ("empty DATA", 256, headers(1, CONNECT), lambda _: data(1, b"")),
    ("PRIORITY", 2048, b"", lambda _: frame(frames.PRIORITY, 0, 1, bytes(5))),
    ("unknown frames", 2048, b"", lambda _: frame(0x42, 0, 0, b"")),
    ("late frames", 2048, headers(1, CONNECT) + reset(1), lambda _: frames.window_update(1, 1)),
    ("answers to no PING", 2048, b"", lambda _: frames.ping(b"nobodys!", answer=True)),
    ("answers to no probe", 2048, b"", lambda _: frames.ping(GROWTH_PING, answer=True)),
    ("WINDOW_UPDATE", 4096, b"", lambda _: frames.window_update(0, 1000)),
]


@pytest.mark.parametrize(
    ("burst", "before", "one"), [row[1:] for row in FLOODS], ids=[row[0] for row in FLOODS]
)
def test_a_burst_passes_and_one_more_is_a_flood(burst: int, before: bytes, one: Frames) -> None:
    server = greeted(Role.SERVER)
    server.receive(before)
    for n in range(burst):
        server.receive(one(n))
        sent(server)
    with pytest.raises(FloodError):
        server.receive(one(burst))
    assert codes_of(sent(server), frames.GOAWAY) == [ErrorCode.ENHANCE_YOUR_CALM]


def test_tiny_increments_of_an_exhausted_window_are_a_flood() -> None:
    server = greeted(Role.SERVER)
    server.receive(headers(1, CONNECT))
    stream = server._state.streams[1]
    server.send_headers(stream, OK)

    def dribble(times: int) -> None:
        for _ in range(times):
            allowed = server.sendable(stream)
            server.write_data_header(bytearray(9), 0, stream, allowed, end_stream=False)
            server.receive(frames.window_update(1, 1))

    stream.send_window = 0
    dribble(256)
    with pytest.raises(FloodError):
        dribble(2)


def test_continuations_of_one_block_are_counted() -> None:
    begin = headers(1, (), flags=0)

    def receive(count: int) -> Connection:
        server = greeted(Role.SERVER)
        server.receive(begin + frame(frames.CONTINUATION, 0, 1, b"") * count)
        return server

    receive(MAX_CONTINUATIONS)
    with pytest.raises(FloodError):
        receive(MAX_CONTINUATIONS + 1)


def test_answers_that_nobody_reads_are_limited() -> None:
    server = greeted(Role.SERVER)
    octets = frames.ping(bytes(8))
    fits = MAX_UNSENT_ANSWERS_OCTETS - len(octets)
    server.outgoing += bytes(fits)
    server.receive(octets)
    with pytest.raises(FloodError):
        server.receive(octets)


def test_streams_that_are_answered_give_resets_back() -> None:
    server = greeted(Role.SERVER)
    for n in range(2000):
        server.receive(headers(odd(n), CONNECT))
        if n % 2:
            server.send_headers(server._state.streams[odd(n)], OK)
        server.receive(reset(odd(n)))
        sent(server)


def test_a_client_that_gets_answers_gets_resets_back() -> None:
    client = greeted(Role.CLIENT)
    for n in range(0, 2000, 2):
        client.open_stream(CONNECT)
        client.receive(headers(odd(n), OK) + reset(odd(n)))
        client.open_stream(CONNECT)
        client.receive(reset(odd(n + 1)))
        sent(client)


def test_octets_that_move_give_tokens_back() -> None:
    pair = Pair(server=Settings(stream_window=1 << 20, connection_window=1 << 20))
    mine, _ = pair.open()
    for _ in range(20):
        pair.server.receive(frames.ping(bytes(8)) * 100)
        sent(pair.server)
        pair.send(pair.client, mine, 51_200)


def test_an_answer_to_our_keepalive_is_the_clock() -> None:
    server = greeted(Role.SERVER)
    for _ in range(20):
        server.receive(frames.ping(bytes(8)) * 64)
        sent(server)
        server.ping(b"keptlive")
        server.receive(frames.ping(b"keptlive", answer=True))


def test_the_answer_to_a_growth_probe_is_no_clock() -> None:
    budget = Budget("things", 8, 1 << 62)
    for _ in range(8):
        budget.spend(0)
    with pytest.raises(FloodError):
        budget.spend(0)
    budget.tick()
    budget.spend(0)
    budget.spend(0)
    with pytest.raises(FloodError):
        budget.spend(0)
    server = greeted(Role.SERVER)

    def ping_and_answer(times: int) -> None:
        for _ in range(times):
            server.receive(frames.ping(bytes(8)) + frames.ping(GROWTH_PING, answer=True))
            sent(server)

    ping_and_answer(256)
    with pytest.raises(FloodError):
        ping_and_answer(1)


def test_an_honest_peer_of_many_short_streams_meets_no_limit() -> None:
    pair = Pair()
    for _ in range(5000):
        mine, theirs = pair.open()
        pair.client.send_end(mine)
        pair.server.send_end(theirs)
        pair.exchange()
    assert ACK not in pair.client.outgoing
    assert len(pair.server._state.ended) == 100
