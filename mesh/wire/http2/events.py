"""What happened on a connection; most frequent first."""

from dataclasses import dataclass
from typing import TypeAlias

from mesh.wire.http2.frames import ErrorCode
from mesh.wire.http2.streams import Stream

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Name (lower case) and value, in order, pseudo-headers first."""


@dataclass(slots=True)
class DataReceived:
    """A piece of the stream's octets, without padding.

    `data` is a slice of what was given to `receive`, valid until the next call. It may be empty
    when `end_stream` is set. Not frozen, for speed: there is one per frame.
    """

    stream: Stream
    data: memoryview
    end_stream: bool


@dataclass(frozen=True, slots=True)
class WindowOpened:
    """More may be sent on this stream, or (None) on any stream: ask `sendable`."""

    stream: Stream | None


@dataclass(frozen=True, slots=True)
class HeadersReceived:
    """A request (server; the stream is new) or a final response (client)."""

    stream: Stream
    headers: Headers
    end_stream: bool


@dataclass(frozen=True, slots=True)
class InformationalReceived:
    """A 1xx response; the final one follows."""

    stream: Stream
    headers: Headers


@dataclass(frozen=True, slots=True)
class TrailersReceived:
    """Headers after DATA: the peer's direction has ended."""

    stream: Stream
    headers: Headers


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The stream is gone both ways.

    `by_peer` is False when we had to reset it, since the peer broke a rule on it.
    """

    stream: Stream
    code: ErrorCode
    by_peer: bool = True


@dataclass(frozen=True, slots=True)
class SettingsReceived:
    """The peer's SETTINGS were applied and acknowledged."""


@dataclass(frozen=True, slots=True)
class SettingsAcknowledged:
    """The peer has applied our oldest unacknowledged SETTINGS."""


@dataclass(frozen=True, slots=True)
class PingReceived:
    """The peer's PING was answered."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class PingAcknowledged:
    """The peer has answered our PING."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class GoAwayReceived:
    """The peer takes no new streams.

    Our streams above `last` were not processed and may be tried elsewhere: a `StreamReset` with
    REFUSED_STREAM follows for each of them.
    """

    last: int
    code: ErrorCode
    debug: bytes


Event: TypeAlias = (
    DataReceived
    | WindowOpened
    | HeadersReceived
    | InformationalReceived
    | TrailersReceived
    | StreamReset
    | SettingsReceived
    | SettingsAcknowledged
    | PingReceived
    | PingAcknowledged
    | GoAwayReceived
)
