"""What is on the wire (RFC 9113 section 4 and 6): numbers, and octets for the frames that we send.

+-----------------+--------+---------+-------------------+=============+
| length, 24 bits | type 8 | flags 8 | 0, stream id (31) | payload ... |
+-----------------+--------+---------+-------------------+=============+
"""

import struct
from enum import Enum, IntEnum
from typing import Final

FRAME_HEADER: Final = struct.Struct(">IBI")
"""Length (24 bits) and type (8) in one word, flags, stream id: quicker than five fields."""
FRAME_HEADER_OCTETS: Final = 9
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_STREAM_ID: Final = 2**31 - 1
MAX_WINDOW_OCTETS: Final = 2**31 - 1
DEFAULT_WINDOW_OCTETS: Final = 65_535
DEFAULT_FRAME_OCTETS: Final = 16_384

# Frame types (RFC 9113 section 6). Plain numbers: they are compared once per frame.
DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

# Flags.
ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

_U32: Final = struct.Struct(">I")
_U64: Final = struct.Struct(">II")
_SETTING: Final = struct.Struct(">HI")
_SHORT_FRAME: Final = struct.Struct(">IBII")


class Role(Enum):
    """Who opened the connection."""

    CLIENT = "client"
    SERVER = "server"


class ErrorCode(IntEnum):
    """Why a stream or a connection ended (RFC 9113 section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


_ERROR_CODES: Final = {int(code): code for code in ErrorCode}


def error_code(number: int) -> ErrorCode:
    """Give the code of this number; unknown ones count as internal (RFC 9113 section 7)."""
    return _ERROR_CODES.get(number, ErrorCode.INTERNAL_ERROR)


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """Build any frame."""
    return FRAME_HEADER.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def rst_stream(stream_id: int, code: ErrorCode) -> bytes:
    """Build RST_STREAM (section 6.4)."""
    return _SHORT_FRAME.pack(4 << 8 | RST_STREAM, 0, stream_id, code)


def window_update(stream_id: int, increment: int) -> bytes:
    """Build WINDOW_UPDATE (section 6.9); stream 0 is the connection."""
    return _SHORT_FRAME.pack(4 << 8 | WINDOW_UPDATE, 0, stream_id, increment)


def settings(values: dict[int, int]) -> bytes:
    """Build SETTINGS (section 6.5)."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values.items()))


def goaway(last_stream_id: int, code: ErrorCode) -> bytes:
    """Build GOAWAY (section 6.8) without debug octets."""
    return frame(GOAWAY, 0, 0, _U64.pack(last_stream_id, code))


def ping(payload: bytes, *, answer: bool = False) -> bytes:
    """Build PING (section 6.7); the payload has eight octets."""
    return frame(PING, ACK if answer else 0, 0, payload)


def header_frames(stream_id: int, block: bytes, *, end_stream: bool, max_octets: int) -> bytes:
    """Build HEADERS and as many CONTINUATION frames as the block needs (section 6.2, 6.10)."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= max_octets:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    pieces = [block[at : at + max_octets] for at in range(0, len(block), max_octets)]
    octets = frame(HEADERS, flags, stream_id, pieces[0])
    for piece in pieces[1:-1]:
        octets += frame(CONTINUATION, 0, stream_id, piece)
    return octets + frame(CONTINUATION, END_HEADERS, stream_id, pieces[-1])


def read_u32(payload: memoryview, at: int = 0) -> int:
    """Read 32 bits without the reserved first one: a stream id or a window increment."""
    return int(_U32.unpack_from(payload, at)[0]) & MAX_STREAM_ID


def read_code(payload: memoryview, at: int = 0) -> ErrorCode:
    """Read an error code."""
    return error_code(_U32.unpack_from(payload, at)[0])


def read_settings(payload: memoryview) -> list[tuple[int, int]]:
    """Read (identifier, value) pairs; the length was found to be a multiple of six."""
    return list(_SETTING.iter_unpack(payload))
