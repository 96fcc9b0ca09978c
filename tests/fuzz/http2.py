"""Invariant: any octets give HTTP/2 events or a MeshError, in either role, cut anywhere."""

from mesh.errors import MeshError
from mesh.wire.http2 import frames
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.events import DataReceived, HeadersReceived
from mesh.wire.http2.flow import WindowBudget
from mesh.wire.http2.frames import ErrorCode, Role
from mesh.wire.http2.settings import Settings
from tests.mesh.wire.http2.peer import CONNECT, GET, HELLO, OK, TRAILERS, data, encoded, headers

ANSWERS = (
    headers(1, OK)
    + data(1, b"hello", padding=3)
    + headers(1, TRAILERS, end=True)
    + headers(3, ((b":status", b"103"),))
    + frames.rst_stream(3, ErrorCode.CANCEL)
    + frames.goaway(3, ErrorCode.NO_ERROR)
)
REQUESTS = (
    headers(1, CONNECT)
    + data(1, b"hello", end=True)
    + frames.header_frames(3, encoded(GET), end_stream=True, max_octets=9)
    + frames.window_update(1, 1000)
    + frames.settings({1: 100, 4: 10, 5: 20_000})
    + frames.ping(b"12345678")
)
SEEDS = (
    b"\x00" + HELLO[Role.SERVER] + REQUESTS,
    b"\x01" + HELLO[Role.CLIENT] + ANSWERS,
    b"\x07" + HELLO[Role.SERVER] + REQUESTS,
)


def talk(made: Connection, octets: bytes, step: int) -> None:
    """Take the octets in pieces; read what comes, and answer every request."""
    opened = []
    for at in range(0, len(octets), step):
        for event in made.receive(octets[at : at + step]):
            if isinstance(event, DataReceived):
                made.credit(event.stream, len(event.data))
            elif isinstance(event, HeadersReceived) and not event.stream.answered:
                opened.append(event.stream)
                if not event.stream.local_closed:
                    made.send_headers(event.stream, OK)
    for stream in opened:
        made.reset(stream, ErrorCode.CANCEL)


def one_input(octets: bytes) -> None:
    """The first octet chooses the role (its lowest bit) and the cuts (the others)."""
    first = octets[0] if octets else 0
    role = Role.CLIENT if first & 1 else Role.SERVER
    budget = WindowBudget(1 << 20)
    made = Connection(role, Settings(stream_window=70_000), budget)
    made.initiate()
    mine = []
    if role is Role.CLIENT:
        mine += [made.open_stream(CONNECT), made.open_stream(GET, end_stream=True)]
    try:
        talk(made, octets[1:], (first >> 1) * 3 or len(octets))
    except MeshError:
        pass
    else:
        for stream in mine:
            made.reset(stream, ErrorCode.CANCEL)
        if made.streams:
            raise AssertionError(f"{made.streams} streams are left that nobody has opened")
    made.close()
    if budget.taken:
        raise AssertionError(f"{budget.taken} octets of window were not given back")
