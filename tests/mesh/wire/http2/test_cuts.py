"""How the network cuts the octets does not matter, and garbage raises only our own errors."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.wire.http2 import frames
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.errors import Http2Error
from mesh.wire.http2.events import DataReceived
from mesh.wire.http2.frames import Role, frame
from mesh.wire.http2.settings import Settings
from tests.mesh.wire.http2.peer import (
    CONNECT,
    GET,
    HELLO,
    OK,
    TRAILERS,
    connection,
    data,
    encoded,
    headers,
    reset,
    words,
)

SETTINGS = Settings(stream_window=70_000, connection_window=100_000, max_concurrent_streams=3)
STREAMS = st.sampled_from((0, 1, 1, 1, 3, 3, 5, 7, 2))
FIELDS = st.sampled_from((CONNECT, GET, OK, TRAILERS, (*OK, (b"content-length", b"3"))))
FLAGS = st.sampled_from((0, 1, 4, 5, 8, 9, 12, 13, 0x20, 0x2C, 0xFF))


def block_of(fields: tuple[tuple[bytes, bytes], ...], cut: int) -> bytes:
    whole = encoded(fields)
    at = cut % (len(whole) + 1)
    return frame(frames.HEADERS, 0, 1, whole[:at]) + frame(frames.CONTINUATION, 4, 1, whole[at:])


ONE_FRAME = st.one_of(
    st.builds(
        data,
        STREAMS,
        st.binary(max_size=40) | st.sampled_from((bytes(5000), bytes(40_000))),
        end=st.booleans(),
        padding=st.none() | st.integers(0, 255),
    ),
    st.builds(headers, STREAMS, FIELDS, end=st.booleans()),
    st.builds(block_of, FIELDS, st.integers(0, 1000)),
    st.builds(frames.window_update, STREAMS, st.integers(0, 2**31 - 1)),
    st.builds(frames.settings, st.dictionaries(st.integers(1, 9), st.integers(0, 2**17))),
    st.builds(frames.ping, st.binary(min_size=8, max_size=8), answer=st.booleans()),
    st.builds(reset, STREAMS),
    st.builds(frame, st.integers(0, 12), FLAGS, STREAMS, st.binary(max_size=30)),
)
CONVERSATION = st.lists(ONE_FRAME, max_size=12).map(b"".join)


def begun(role: Role) -> Connection:
    made = connection(role, SETTINGS)
    made.initiate()
    if role is Role.CLIENT:
        for _ in range(3):
            made.open_stream(GET)
    return made


def play(role: Role, octets: bytes, cuts: list[int]) -> tuple[object, ...]:
    """Events, what is to be sent, and the error, of the octets cut at these places."""
    made = begun(role)
    pieces: list[object] = []
    error: str | None = None
    for start, end in pairwise((0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets))):
        try:
            events = list(made.receive(octets[start:end]))
        except Http2Error as caught:
            pieces += caught.earlier
            error = f"{caught.code} {caught}"
            break
        pieces += events
    return words(pieces), bytes(made.outgoing), error


@given(
    role=st.sampled_from(Role),
    octets=CONVERSATION,
    cuts=st.lists(st.integers(0, 1 << 20), max_size=20),
)
def test_cuts_do_not_matter(role: Role, octets: bytes, cuts: list[int]) -> None:
    whole = HELLO[role] + octets
    assert play(role, whole, cuts) == play(role, whole, [])


@given(role=st.sampled_from(Role), octets=CONVERSATION)
def test_octets_may_come_one_by_one(role: Role, octets: bytes) -> None:
    whole = HELLO[role] + octets[:500]
    assert play(role, whole, list(range(len(whole)))) == play(role, whole, [])


@given(role=st.sampled_from(Role), greeted=st.booleans(), octets=st.binary(max_size=200))
def test_garbage_raises_only_our_own_errors(role: Role, greeted: bool, octets: bytes) -> None:
    made = begun(role)
    try:
        made.receive((HELLO[role] if greeted else b"") + octets)
    except MeshError:
        return


@given(role=st.sampled_from(Role), octets=st.binary(max_size=100))
def test_a_garbage_header_block_raises_only_our_own_errors(role: Role, octets: bytes) -> None:
    made = begun(role)
    try:
        made.receive(HELLO[role] + frame(frames.HEADERS, frames.END_HEADERS, 1, octets))
    except MeshError:
        return


@given(role=st.sampled_from(Role), octets=CONVERSATION)
def test_every_octet_that_was_charged_comes_back(role: Role, octets: bytes) -> None:
    made = begun(role)
    try:
        events = made.receive(HELLO[role] + octets)
    except Http2Error:
        return  # its windows are of no interest any more
    for event in events:
        if isinstance(event, DataReceived):
            made.credit(event.stream, len(event.data))
    for stream in list(made._state.streams.values()):
        made.reset(stream, frames.ErrorCode.CANCEL)
    assert made._state.windows.connection.unread == 0
