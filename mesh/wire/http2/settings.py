"""What each side announces (RFC 9113 section 6.5.2), and how far our windows may grow."""

from dataclasses import dataclass
from typing import Final

from mesh.wire.http2.errors import FlowControlViolationError, ProtocolViolationError
from mesh.wire.http2.frames import (
    DEFAULT_FRAME_OCTETS,
    DEFAULT_WINDOW_OCTETS,
    MAX_WINDOW_OCTETS,
    Role,
)

HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6
ENABLE_CONNECT_PROTOCOL: Final = 0x8  # RFC 8441

ASSUMED_PEER_STREAMS: Final = 100
"""How many streams we open before the peer has said how many it takes (RFC 9113 section 6.5.2)."""

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Our side. Sizes in octets; the `max_*_window` values bound growth and are not announced."""

    max_concurrent_streams: int = 200
    stream_window: int = 256 * KIB
    connection_window: int = 1 * MIB
    """Four times a stream's: one reader that stops leaves room for the others."""
    max_stream_window: int = 4 * MIB
    max_connection_window: int = 16 * MIB
    max_frame: int = 1 * MIB
    max_header_list: int = 64 * KIB
    enable_connect_protocol: bool = False

    def on_wire(self, role: Role) -> dict[int, int]:
        """Give what this role announces."""
        values = {
            INITIAL_WINDOW_SIZE: self.stream_window,
            MAX_FRAME_SIZE: self.max_frame,
            MAX_HEADER_LIST_SIZE: self.max_header_list,
        }
        if role is Role.CLIENT:
            values[ENABLE_PUSH] = 0
        else:
            values[MAX_CONCURRENT_STREAMS] = self.max_concurrent_streams
            if self.enable_connect_protocol:
                values[ENABLE_CONNECT_PROTOCOL] = 1
        return values


class PeerSettings:
    """What the peer has announced so far; starts with the defaults of the standard."""

    __slots__ = (
        "connect_protocol",
        "header_table",
        "max_concurrent_streams",
        "max_frame",
        "max_header_list",
        "stream_window",
    )

    def __init__(self) -> None:
        self.header_table = 4096
        self.max_concurrent_streams = ASSUMED_PEER_STREAMS
        self.stream_window = DEFAULT_WINDOW_OCTETS
        self.max_frame = DEFAULT_FRAME_OCTETS
        self.max_header_list = MAX_WINDOW_OCTETS
        self.connect_protocol = False

    def apply(self, identifier: int, value: int) -> None:
        """Take one value; unknown identifiers are ignored.

        Raises:
            ProtocolViolationError, FlowControlViolationError: a value out of its range.
        """
        match identifier:
            case 0x1:  # HEADER_TABLE_SIZE
                self.header_table = value
            case 0x2 if value > 1:  # ENABLE_PUSH
                raise ProtocolViolationError(f"ENABLE_PUSH is {value}")
            case 0x3:  # MAX_CONCURRENT_STREAMS
                self.max_concurrent_streams = value
            case 0x4:  # INITIAL_WINDOW_SIZE
                if value > MAX_WINDOW_OCTETS:
                    raise FlowControlViolationError(f"INITIAL_WINDOW_SIZE is {value}")
                self.stream_window = value
            case 0x5:  # MAX_FRAME_SIZE
                if not DEFAULT_FRAME_OCTETS <= value < 2**24:
                    raise ProtocolViolationError(f"MAX_FRAME_SIZE is {value}")
                self.max_frame = value
            case 0x6:  # MAX_HEADER_LIST_SIZE
                self.max_header_list = value
            case 0x8:  # ENABLE_CONNECT_PROTOCOL
                self._connect_protocol(value)
            case _:
                pass

    def _connect_protocol(self, value: int) -> None:
        # RFC 8441 section 3: 0 or 1, and never back to 0.
        if value > 1 or (self.connect_protocol and not value):
            raise ProtocolViolationError(f"ENABLE_CONNECT_PROTOCOL is {value}")
        self.connect_protocol = bool(value)
