"""A peer made of raw frames, and two connections that talk to each other."""

from collections.abc import Sequence

from hpack import Encoder

from mesh.wire.http2 import events as happened
from mesh.wire.http2 import frames
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.events import Event, Headers
from mesh.wire.http2.flow import WindowBudget
from mesh.wire.http2.frames import PREFACE, ErrorCode, Role, frame
from mesh.wire.http2.settings import Settings
from mesh.wire.http2.streams import Stream

CONNECT: Headers = ((b":method", b"CONNECT"), (b":authority", b"10.0.0.1:80"))
GET: Headers = (
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"shop"),
    (b":path", b"/"),
)
OK: Headers = ((b":status", b"200"),)
TRAILERS: Headers = ((b"grpc-status", b"0"),)
PLENTY = 1 << 40
SETTINGS = frames.settings({})
ACK = frame(frames.SETTINGS, frames.ACK, 0, b"")
HELLO = {Role.CLIENT: SETTINGS + ACK, Role.SERVER: PREFACE + SETTINGS + ACK}
"""How the peer of this role begins, and lets ours begin."""


def connection(role: Role, settings: Settings | None = None) -> Connection:
    """A connection that has said nothing yet."""
    return Connection(role, settings or Settings(), WindowBudget(PLENTY))


def greeted(role: Role, settings: Settings | None = None) -> Connection:
    """A connection past the greetings, with nothing to send."""
    made = connection(role, settings)
    made.initiate()
    made.receive(HELLO[role])
    made.outgoing.clear()
    return made


def block(headers: Headers) -> bytes:
    """A header block that leaves no trace in the tables."""
    return b"".join(
        bytes((0x10, len(name))) + name + bytes((len(value),)) + value for name, value in headers
    )


def headers(
    stream_id: int, fields: Headers, *, end: bool = False, flags: int = frames.END_HEADERS
) -> bytes:
    """A HEADERS frame."""
    return frame(
        frames.HEADERS, flags | (frames.END_STREAM if end else 0), stream_id, block(fields)
    )


def data(stream_id: int, octets: bytes, *, end: bool = False, padding: int | None = None) -> bytes:
    """A DATA frame."""
    flags = frames.END_STREAM if end else 0
    if padding is not None:
        flags |= frames.PADDED
        octets = bytes((padding,)) + octets + bytes(padding)
    return frame(frames.DATA, flags, stream_id, octets)


def reset(stream_id: int, code: ErrorCode = ErrorCode.CANCEL) -> bytes:
    """An RST_STREAM frame."""
    return frames.rst_stream(stream_id, code)


def sent(made: Connection) -> bytes:
    """Everything that the connection has to send."""
    octets = bytes(made.outgoing)
    made.outgoing.clear()
    return octets


def frames_of(octets: bytes) -> list[tuple[int, int, int, bytes]]:
    """(type, flags, stream id, payload) of each frame."""
    found = []
    while octets:
        word, flags, stream_id = frames.FRAME_HEADER.unpack_from(octets)
        end = frames.FRAME_HEADER_OCTETS + (word >> 8)
        found.append((word & 0xFF, flags, stream_id, octets[frames.FRAME_HEADER_OCTETS : end]))
        octets = octets[end:]
    return found


def codes_of(octets: bytes, kind: int) -> list[ErrorCode]:
    """The codes of all RST_STREAM or GOAWAY frames."""
    at = 0 if kind == frames.RST_STREAM else 4
    return [
        frames.read_code(memoryview(payload), at)
        for found, _, _, payload in frames_of(octets)
        if found == kind
    ]


def words(events: Sequence[object]) -> list[tuple[object, ...]]:
    """Events as values that can be compared, with neighbouring pieces of DATA as one."""
    found: list[tuple[object, ...]] = []
    for event in events:
        match event:
            case happened.DataReceived(stream=stream, data=piece, end_stream=end):
                octets = bytes(piece)
                last = found[-1] if found else ()
                if last[:2] == ("data", stream.stream_id) and not last[3]:
                    before = last[2]
                    octets = (before if isinstance(before, bytes) else b"") + octets
                    found.pop()
                found.append(("data", stream.stream_id, octets, end))
            case happened.HeadersReceived(stream=stream, headers=fields, end_stream=end):
                found.append(("headers", stream.stream_id, fields, end))
            case happened.InformationalReceived(stream=stream, headers=fields):
                found.append(("informational", stream.stream_id, fields))
            case happened.TrailersReceived(stream=stream, headers=fields):
                found.append(("trailers", stream.stream_id, fields))
            case happened.StreamReset(stream=stream, code=code, by_peer=by_peer):
                found.append(("reset", stream.stream_id, code, by_peer))
            case happened.WindowOpened(stream=stream):
                found.append(("window", stream.stream_id if stream else 0))
            case _:
                found.append((event,))
    return found


class Pair:
    """A client and a server, joined without a network."""

    def __init__(
        self,
        client: Settings | None = None,
        server: Settings | None = None,
        budget: WindowBudget | None = None,
    ) -> None:
        self.budget = budget or WindowBudget(PLENTY)
        self.client = Connection(Role.CLIENT, client or Settings(), self.budget)
        self.server = Connection(Role.SERVER, server or Settings(), self.budget)
        self.client.initiate()
        self.server.initiate()
        self.exchange()

    def exchange(self) -> tuple[list[Event], list[Event]]:
        """Carry everything until both are silent: what client and server saw."""
        at_client: list[Event] = []
        at_server: list[Event] = []
        while self.client.outgoing or self.server.outgoing:
            at_server += self.server.receive(sent(self.client))
            at_client += self.client.receive(sent(self.server))
        return at_client, at_server

    def open(self, fields: Headers = CONNECT) -> tuple[Stream, Stream]:
        """One stream, answered: the client's view and the server's."""
        mine = self.client.open_stream(fields)
        _, seen = self.exchange()
        event = seen[-1]
        assert isinstance(event, happened.HeadersReceived)
        self.server.send_headers(event.stream, OK)
        self.exchange()
        return mine, event.stream

    def send(self, sender: Connection, stream: Stream, octets: int) -> int:
        """Send as much of so many octets as the windows let: how much that was."""
        total = 0
        receiver = self.server if sender is self.client else self.client
        while total < octets and (allowed := sender.sendable(stream)):
            length = min(allowed, octets - total)
            buffer = bytearray(frames.FRAME_HEADER_OCTETS + length)
            receiver.receive(sent(sender))
            sender.write_data_header(buffer, 0, stream, length, end_stream=False)
            receiver.receive(buffer)
            total += length
        return total


def encoded(fields: Headers) -> bytes:
    """A header block as a first one, with the usual compression."""
    return Encoder().encode(fields)
