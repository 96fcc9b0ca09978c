"""Against `h2`, which shares no code with us: the same octets give the same events, in order.

The conversations are random and legal (what each library calls a violation, and how hard it
punishes it, is its own affair: test_violations.py has ours). A script of turns drives both roles:
what the peer sends is made of raw frames and a compressing encoder; what our side does is done
to both implementations.
"""

import random
from dataclasses import dataclass, field

import pytest
from h2 import events as h2_events
from h2.config import H2Configuration
from h2.connection import H2Connection
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from mesh.wire.http2 import events as happened
from mesh.wire.http2 import frames
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.events import Event, Headers
from mesh.wire.http2.frames import PREFACE, ErrorCode, Role, frame
from mesh.wire.http2.settings import Settings
from mesh.wire.http2.streams import Stream
from tests.mesh.wire.http2.peer import (
    CONNECT,
    GET,
    OK,
    SETTINGS,
    TRAILERS,
    connection,
    data,
    reset,
    sent,
)

Word = tuple[object, ...]
OURS = Settings(stream_window=65_535, connection_window=65_535, max_frame=16_384)


def our_words(events: list[Event]) -> list[Word]:  # noqa: C901, PLR0912 - a table
    found: list[Word] = []
    for event in events:
        match event:
            case happened.DataReceived(stream=stream, data=piece, end_stream=end):
                if len(piece) or not end:
                    found.append(("data", stream.stream_id, bytes(piece)))
                if end:
                    found.append(("end", stream.stream_id))
            case happened.HeadersReceived(stream=stream, headers=fields, end_stream=end):
                found.append(("headers", stream.stream_id, fields))
                if end:
                    found.append(("end", stream.stream_id))
            case happened.InformationalReceived(stream=stream, headers=fields):
                found.append(("interim", stream.stream_id, fields))
            case happened.TrailersReceived(stream=stream, headers=fields):
                found += [("trailers", stream.stream_id, fields), ("end", stream.stream_id)]
            case happened.StreamReset(stream=stream, code=code, by_peer=True):
                found.append(("reset", stream.stream_id, int(code)))
            case happened.SettingsReceived():
                found.append(("settings",))
            case happened.SettingsAcknowledged():
                found.append(("settings acknowledged",))
            case happened.PingReceived(payload=payload):
                found.append(("ping", payload))
            case happened.PingAcknowledged(payload=payload):
                found.append(("ping acknowledged", payload))
            case happened.GoAwayReceived(last=last, code=code, debug=debug):
                found.append(("goaway", last, int(code), debug))
            case happened.WindowOpened():
                pass  # h2 tells each update; the windows themselves are compared
            case _:
                found.append((event,))
    return found


def fields_of(event: object) -> Headers:
    listed = getattr(event, "headers", ())
    return tuple((bytes(name), bytes(value)) for name, value in listed)


def their_words(events: list[h2_events.Event]) -> list[Word]:  # noqa: C901, PLR0912 - a table
    found: list[Word] = []
    for event in events:
        match event:
            case h2_events.DataReceived():
                if event.data or not event.stream_ended:
                    found.append(("data", event.stream_id, event.data))
            case h2_events.StreamEnded():
                found.append(("end", event.stream_id))
            case h2_events.RequestReceived() | h2_events.ResponseReceived():
                found.append(("headers", event.stream_id, fields_of(event)))
            case h2_events.InformationalResponseReceived():
                found.append(("interim", event.stream_id, fields_of(event)))
            case h2_events.TrailersReceived():
                found.append(("trailers", event.stream_id, fields_of(event)))
            case h2_events.StreamReset():
                found.append(("reset", event.stream_id, int(event.error_code or 0)))
            case h2_events.RemoteSettingsChanged():
                found.append(("settings",))
            case h2_events.SettingsAcknowledged():
                found.append(("settings acknowledged",))
            case h2_events.PingReceived():
                found.append(("ping", event.ping_data))
            case h2_events.PingAckReceived():
                found.append(("ping acknowledged", event.ping_data))
            case h2_events.ConnectionTerminated():
                found.append(
                    (
                        "goaway",
                        event.last_stream_id,
                        int(event.error_code or 0),
                        event.additional_data or b"",
                    )
                )
            case h2_events.WindowUpdated() | h2_events.PriorityUpdated():
                pass
            case h2_events.UnknownFrameReceived():
                pass
            case _:
                found.append((event,))
    return found


@dataclass
class Seen:
    """A stream as the script knows it."""

    mine: Stream
    peer_answered: bool = False
    peer_ended: bool = False
    we_answered: bool = False
    we_ended: bool = False
    gone: bool = False
    peer_gone: bool = False


@dataclass
class Script:
    """Both implementations in one role, and a legal peer."""

    role: Role
    chance: random.Random
    streams: dict[int, Seen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ours: Connection = connection(self.role, OURS)
        configuration = H2Configuration(client_side=self.role is Role.CLIENT, header_encoding=None)
        self.theirs = H2Connection(configuration)
        self.ours.initiate()
        self.theirs.initiate_connection()
        self.encoder = Encoder()
        self.pings = 0
        self.newest = -1
        self.goaway = False
        self.feed((PREFACE if self.role is Role.SERVER else b"") + SETTINGS)
        self.feed(frame(frames.SETTINGS, frames.ACK, 0, b""))

    def feed(self, octets: bytes) -> None:
        """Both take the octets and must say the same; then what was read is credited."""
        mine = self.ours.receive(octets)
        others = self.theirs.receive_data(octets)
        assert our_words(mine) == their_words(others)
        for event in mine:
            if isinstance(event, happened.HeadersReceived) and self.role is Role.SERVER:
                self.streams[event.stream.stream_id] = Seen(event.stream)
            if isinstance(event, happened.DataReceived) and len(event.data):
                self.ours.credit(event.stream, len(event.data))
        for other in others:
            if isinstance(other, h2_events.DataReceived) and other.flow_controlled_length:
                self.theirs.acknowledge_received_data(
                    other.flow_controlled_length, other.stream_id or 0
                )
        for stream_id, seen in self.streams.items():
            if not (seen.gone or seen.we_ended):
                allowed = max(0, self.theirs.local_flow_control_window(stream_id))
                assert self.ours.sendable(seen.mine) == min(
                    allowed, self.theirs.max_outbound_frame_size
                )

    # What the peer may do now.

    def turn(self) -> None:
        turns = [self.peer_ping, self.peer_settings, self.peer_window, self.our_ping]
        turns += [self.peer_noise] + [self.peer_opens] * 3
        turns += [self.peer_headers, self.peer_headers, self.peer_trailers]
        turns += [self.peer_data] * 4
        turns += [self.our_data] * 3
        turns += [self.our_answer, self.our_end, self.peer_resets, self.we_reset]
        self.chance.choice(turns)()

    def pick(self, **wanted: bool) -> tuple[int, Seen] | None:
        fit = [
            (stream_id, seen)
            for stream_id, seen in self.streams.items()
            if all(getattr(seen, name) == value for name, value in wanted.items())
        ]
        return self.chance.choice(fit) if fit else None

    def block(self, stream_id: int, fields: Headers, *, end: bool) -> bytes:
        octets = self.encoder.encode(fields)
        flags = frames.END_STREAM if end else 0
        start = b""
        if self.chance.random() < 0.3:
            flags |= frames.HAS_PRIORITY
            start = bytes((0, 0, 0, 0, 9))
        if self.chance.random() < 0.3:
            at = self.chance.randrange(len(octets) + 1)
            return frame(frames.HEADERS, flags, stream_id, start + octets[:at]) + frame(
                frames.CONTINUATION, frames.END_HEADERS, stream_id, octets[at:]
            )
        return frame(frames.HEADERS, flags | frames.END_HEADERS, stream_id, start + octets)

    def peer_opens(self) -> None:
        if self.role is Role.CLIENT:
            if self.goaway or len(self.streams) > 20:
                return
            mine = self.ours.open_stream(GET)
            self.theirs.send_headers(mine.stream_id, GET)
            self.streams[mine.stream_id] = Seen(mine)
            return
        self.newest += 2
        fields = self.chance.choice(
            (CONNECT, GET, (*GET, (b"x", b"y" * self.chance.randrange(300))))
        )
        end = fields is not CONNECT and self.chance.random() < 0.3
        self.feed(self.block(self.newest, fields, end=end))
        self.streams[self.newest].peer_answered = True
        self.streams[self.newest].peer_ended = end

    def peer_headers(self) -> None:
        if self.role is Role.SERVER or not (
            found := self.pick(peer_answered=False, peer_ended=False, gone=False)
        ):
            return
        stream_id, seen = found
        if self.chance.random() < 0.3:
            self.feed(self.block(stream_id, ((b":status", b"103"), (b"x", b"y")), end=False))
            return
        seen.peer_answered = True
        seen.peer_ended = self.chance.random() < 0.2
        self.feed(self.block(stream_id, OK, end=seen.peer_ended))

    def peer_trailers(self) -> None:
        if self.chance.random() < 0.5 and (
            found := self.pick(peer_answered=True, peer_ended=False, gone=False)
        ):
            stream_id, seen = found
            seen.peer_ended = True
            self.feed(self.block(stream_id, TRAILERS, end=True))

    def peer_data(self) -> None:
        if found := self.pick(peer_answered=True, peer_ended=False, gone=False):
            stream_id, seen = found
            seen.peer_ended = self.chance.random() < 0.2
            octets = self.chance.randbytes(self.chance.choice((0, 1, 100, 5000)))
            if not octets and not seen.peer_ended:
                return
            padding = self.chance.choice((None, None, 0, 7, 255))
            self.feed(data(stream_id, octets, end=seen.peer_ended, padding=padding))

    def peer_resets(self) -> None:
        if self.chance.random() < 0.3 and (found := self.pick(gone=False, peer_gone=False)):
            stream_id, seen = found
            if seen.we_ended and seen.peer_ended:
                return  # closed: a late reset, which h2 reports and we do not
            seen.gone = seen.peer_gone = True
            self.feed(reset(stream_id, self.chance.choice(list(ErrorCode))))

    def peer_ping(self) -> None:
        self.feed(frames.ping(self.chance.randbytes(8)))

    def peer_settings(self) -> None:
        window = self.chance.choice((0, 1000, 65_535, 200_000))
        self.feed(frames.settings({frames.WINDOW_UPDATE: 0, 4: window, 5: 16_384 + window}))

    def peer_window(self) -> None:
        if found := self.pick(gone=False, we_ended=False, peer_ended=False):
            stream_id = self.chance.choice((0, found[0]))
            self.feed(frames.window_update(stream_id, self.chance.choice((300, 70_000))))

    def peer_noise(self) -> None:
        stream_id = self.chance.choice([1, *self.streams])
        self.feed(
            frame(frames.PRIORITY, 0, stream_id, bytes((0, 0, 0, 0, 1)))
            + frame(0x42, 1, 0, b"unknown")
        )

    # What our side does.

    def our_ping(self) -> None:
        self.pings += 1
        payload = self.pings.to_bytes(8, "big")
        self.ours.ping(payload)
        self.theirs.ping(payload)
        self.feed(frames.ping(payload, answer=True))

    def our_answer(self) -> None:
        if self.role is Role.SERVER and (found := self.pick(we_answered=False, gone=False)):
            stream_id, seen = found
            seen.we_answered = True
            self.ours.send_headers(seen.mine, OK)
            self.theirs.send_headers(stream_id, OK)

    def our_data(self) -> None:
        answered = {"we_answered": True} if self.role is Role.SERVER else {}
        if found := self.pick(gone=False, we_ended=False, **answered):
            stream_id, seen = found
            length = min(self.ours.sendable(seen.mine), self.chance.choice((1, 3000, 40_000)))
            self.ours.write_data_header(bytearray(9), 0, seen.mine, length, end_stream=False)
            self.theirs.send_data(stream_id, bytes(length))

    def our_end(self) -> None:
        answered = {"we_answered": True} if self.role is Role.SERVER else {}
        if found := self.pick(gone=False, we_ended=False, **answered):
            stream_id, seen = found
            seen.we_ended = True
            self.ours.send_end(seen.mine)
            self.theirs.end_stream(stream_id)

    def we_reset(self) -> None:
        """Reset a stream; what was on its way meanwhile is nobody's."""
        found = self.pick(gone=False)
        if self.chance.random() < 0.5 or not found or found[1].mine.is_closed:
            return
        stream_id, seen = found
        seen.gone = True
        self.ours.reset(seen.mine, ErrorCode.CANCEL)
        self.theirs.reset_stream(stream_id, ErrorCode.CANCEL)
        if seen.peer_answered and not seen.peer_ended:
            self.feed(data(stream_id, b"late") + self.block(stream_id, TRAILERS, end=True))
        self.theirs.data_to_send()
        sent(self.ours)

    def end(self) -> None:
        self.feed(frame(frames.GOAWAY, 0, 0, bytes((0x7F, 255, 255, 255, 0, 0, 0, 2)) + b"bye"))


@given(role=st.sampled_from(Role), seed=st.integers(0, 2**64), turns=st.integers(0, 120))
def test_both_see_the_same(role: Role, seed: int, turns: int) -> None:
    script = Script(role, random.Random(seed))
    for _ in range(turns):
        script.turn()
        sent(script.ours)
        script.theirs.data_to_send()
    script.end()


@pytest.mark.parametrize("seed", range(4))
def test_a_long_conversation_is_the_same(seed: int) -> None:
    script = Script(Role.SERVER if seed % 2 else Role.CLIENT, random.Random(seed))
    for _ in range(400):
        script.turn()
        sent(script.ours)
        script.theirs.data_to_send()
    script.end()


# A live exchange: what one implementation sends, the other one reads.


class Talk:
    """Our side in one role, h2 in the other, one stream."""

    def __init__(self, role: Role, chance: random.Random) -> None:
        self.chance = chance
        self.ours = connection(role)
        self.theirs = H2Connection(
            H2Configuration(client_side=role is Role.SERVER, header_encoding=None)
        )
        self.ours.initiate()
        self.theirs.initiate_connection()
        self.we_got = bytearray()
        self.they_got = bytearray()
        self.stream: Stream | None = None
        self.carry()
        if role is Role.CLIENT:
            self.stream = self.ours.open_stream(CONNECT)
        else:
            self.theirs.send_headers(1, CONNECT)
        self.carry()

    def carry(self) -> None:
        """Until both are silent."""
        while octets := self.theirs.data_to_send():
            for event in self.ours.receive(octets):
                self.we_see(event)
            self.they_read()
        self.they_read()

    def they_read(self) -> None:
        for event in self.theirs.receive_data(sent(self.ours)):
            match event:
                case h2_events.RequestReceived():
                    self.theirs.send_headers(1, OK)
                case h2_events.DataReceived():
                    self.they_got += event.data
                    self.theirs.acknowledge_received_data(event.flow_controlled_length, 1)

    def we_see(self, event: Event) -> None:
        match event:
            case happened.HeadersReceived(stream=stream):
                self.stream = stream
                if not stream.answered:
                    self.ours.send_headers(stream, OK)
            case happened.DataReceived(stream=stream, data=piece):
                self.we_got += piece
                self.ours.credit(stream, len(piece))

    def we_send(self, octets: bytes) -> bytes:
        """Send some of it; what is left."""
        assert self.stream is not None
        allowed = min(self.ours.sendable(self.stream), self.chance.choice((1, 1000, 65_536)))
        piece = octets[:allowed]
        if piece:
            buffer = bytearray(9) + piece
            self.ours.write_data_header(buffer, 0, self.stream, len(piece), end_stream=False)
            self.ours.outgoing += buffer
        return octets[len(piece) :]

    def they_send(self, octets: bytes) -> bytes:
        window = self.theirs.local_flow_control_window(1)
        piece = octets[: min(window, self.chance.choice((1, 1000, 16_000)))]
        padding = self.chance.choice((None, 10)) if window > len(piece) + 20 else None
        if piece:
            self.theirs.send_data(1, piece, pad_length=padding)
        return octets[len(piece) :]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("seed", range(3))
def test_each_reads_what_the_other_sends(role: Role, seed: int) -> None:
    chance = random.Random(seed)
    talk = Talk(role, chance)
    from_us = whole_of_us = chance.randbytes(300_000)
    from_them = whole_of_them = chance.randbytes(300_000)
    while from_us or from_them:
        from_us = talk.we_send(from_us)
        from_them = talk.they_send(from_them)
        talk.carry()
    stream = talk.stream
    assert stream is not None
    talk.ours.send_end(stream)
    talk.theirs.end_stream(1)
    talk.carry()
    assert talk.they_got == whole_of_us
    assert talk.we_got == whole_of_them
    assert stream.is_closed
