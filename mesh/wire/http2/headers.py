"""Header blocks, and what RFC 9113 section 8 demands of header lists."""

import re
from collections.abc import Iterable
from typing import Final

from hpack import Decoder, Encoder, HPACKError

from mesh.wire.http2.errors import CompressionViolationError
from mesh.wire.http2.events import Headers
from mesh.wire.http2.streams import UNKNOWN

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_BAD_VALUE: Final = re.compile(rb"[\x00\r\n]|\A[ \t]|[ \t]\Z")
_CONNECTION_SPECIFIC: Final = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade")
)
_REQUEST_PSEUDO: Final = frozenset((b":method", b":scheme", b":authority", b":path", b":protocol"))
_MOST_DIGITS: Final = 19
_ENTRY_OVERHEAD_OCTETS: Final = 32  # RFC 9113 section 6.5.2

_UNREPEATED: Final = frozenset((b"forwarded", b"traceparent"))
"""What differs in each request would only push out of the table what repeats, and the library
would compare each with all of it: sent as literals that are never indexed."""
_NEVER_INDEXED: Final = b"\x10"  # with a new name (RFC 7541 section 6.2.3)
_SHORT_STRING_OCTETS: Final = 126
"""Lengths up to this are one octet (RFC 7541 section 5.1)."""

MAX_SIZE_UPDATES: Final = 2
"""At most two are useful at the start of a block (RFC 7541 section 4.2); more is a flood."""


class HeaderDecoder:
    """Blocks of one connection to header lists."""

    __slots__ = ("_decoder",)

    def __init__(self, max_list_octets: int) -> None:
        # Above the announced limit only that stream is refused; a decoder that stops midway has
        # lost the dynamic table, and then the connection has to go.
        self._decoder = Decoder(max_header_list_size=2 * max_list_octets)

    def decode(self, block: bytes) -> Headers:
        """Decode one whole block.

        Raises:
            CompressionViolationError: not HPACK, or far beyond the limit.
        """
        leading = block[: MAX_SIZE_UPDATES + 1]
        if len(leading) > MAX_SIZE_UPDATES and all(octet & 0xE0 == 0x20 for octet in leading):
            raise CompressionViolationError("too many table size updates")
        try:
            return tuple(
                [(bytes(f[0]), bytes(f[1])) for f in self._decoder.decode(block, raw=True)]
            )
        except HPACKError as error:
            raise CompressionViolationError(str(error)) from error


class HeaderEncoder:
    """Header lists to blocks of one connection."""

    __slots__ = ("_encoder",)

    def __init__(self) -> None:
        self._encoder = Encoder()

    def limit_table(self, octets: int) -> None:
        """Follow the peer's HEADER_TABLE_SIZE; we never use more than the default."""
        self._encoder.header_table_size = min(octets, 4096)

    def encode(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Encode one list; names are lower case, pseudo-headers come first."""
        repeated: list[tuple[bytes, bytes]] = []
        block = b""
        for name, value in headers:
            # The first is the library's in any case: a new table size stands before all fields.
            is_own = name in _UNREPEATED and len(value) <= _SHORT_STRING_OCTETS
            if is_own and (block or repeated):
                block += self._flushed(repeated)
                block += b"%b%c%b%c%b" % (_NEVER_INDEXED, len(name), name, len(value), value)
            else:
                repeated.append((name, value))
        return block + self._flushed(repeated)

    def _flushed(self, fields: list[tuple[bytes, bytes]]) -> bytes:
        if not fields:
            return b""
        block: bytes = self._encoder.encode(fields, huffman=False)
        fields.clear()
        return block


def list_octets(headers: Headers) -> int:
    """Give the size of a list as MAX_HEADER_LIST_SIZE counts it."""
    return sum(len(name) + len(value) + _ENTRY_OVERHEAD_OCTETS for name, value in headers)


def _fields_fault(headers: Headers, pseudo: dict[bytes, bytes]) -> str:
    """Check every field; fill `pseudo`. Return "" or what is wrong."""
    regular = False
    for name, value in headers:
        if name[:1] == b":":
            if regular or name in pseudo:
                return "pseudo-header out of place"
            pseudo[name] = value
        else:
            regular = True
            if not _NAME.fullmatch(name):
                return "bad header name"
            if name in _CONNECTION_SPECIFIC or (name == b"te" and value != b"trailers"):
                return "connection-specific header"
        if _BAD_VALUE.search(value):
            return "bad header value"
    return ""


def request_fault(headers: Headers, *, connect_protocol: bool) -> str:  # noqa: PLR0911 - a list
    """Say what makes this request malformed (RFC 9113 section 8.3.1, 8.5; RFC 8441), or ""."""
    pseudo: dict[bytes, bytes] = {}
    if fault := _fields_fault(headers, pseudo):
        return fault
    if not pseudo.keys() <= _REQUEST_PSEUDO:
        return "unknown pseudo-header"
    extended = b":protocol" in pseudo
    if extended and (pseudo.get(b":method") != b"CONNECT" or not connect_protocol):
        return ":protocol without extended CONNECT"
    if pseudo.get(b":method") == b"CONNECT" and not extended:
        if len(pseudo) != 2 or not pseudo.get(b":authority"):
            return "CONNECT takes :method and :authority only"
        return ""
    if not (pseudo.get(b":method") and pseudo.get(b":scheme") and pseudo.get(b":path")):
        return "pseudo-header missing"
    return ""


def response_status(headers: Headers) -> int:
    """Give the status of a well-formed response (section 8.3.2), or 0 for a malformed one."""
    pseudo: dict[bytes, bytes] = {}
    if _fields_fault(headers, pseudo) or len(pseudo) != 1:
        return 0
    status = pseudo.get(b":status", b"")
    return int(status) if len(status) == 3 and status.isdigit() else 0


def trailers_fault(headers: Headers) -> str:
    """Say what makes these trailers malformed (section 8.1), or ""."""
    pseudo: dict[bytes, bytes] = {}
    return _fields_fault(headers, pseudo) or ("pseudo-header in trailers" if pseudo else "")


def content_length(headers: Headers) -> int | None:
    """Give the value of content-length: UNKNOWN when absent, None when it is no one number."""
    found = UNKNOWN
    for name, value in headers:
        if name == b"content-length":
            # Digits only (RFC 9110 section 8.6), and few of them: int() of millions takes seconds.
            if (
                len(value) > _MOST_DIGITS
                or not value.isdigit()
                or found not in (UNKNOWN, int(value))
            ):
                return None
            found = int(value)
    return found
