"""Header blocks, and what RFC 9113 section 8 demands of header lists."""

import re
from collections.abc import Iterable
from typing import Final

from hpack import Decoder, Encoder, HPACKError
from hpack.table import HeaderTable

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

_UNREPEATED: Final = frozenset(
    (
        b"forwarded",
        b"traceparent",
        b"tracestate",
        b"x-request-id",
        b":path",
        b"content-length",
        b"date",
        b"etag",
        b"grpc-timeout",
    )
)
"""What differs in each message would only push out of the table what repeats, and the library
would compare each with all of it: sent as literals that are never indexed."""
_NEVER_INDEXED: Final = b"\x10"  # with a new name (RFC 7541 section 6.2.3)
_SHORT_STRING_OCTETS: Final = 126
"""Lengths up to this are one octet (RFC 7541 section 5.1)."""

MAX_SIZE_UPDATES: Final = 2
"""At most two are useful at the start of a block (RFC 7541 section 4.2); more is a flood."""


KNOWN_BLOCKS: Final = 8
"""Blocks, or lists, whose other form is remembered."""
KNOWN_OCTETS: Final = 512
KNOWN_LIST_OCTETS: Final = 4096
"""Longer ones are not remembered: a short block can stand for a long list."""


class _Table:
    """Whether a dynamic table has changed since we looked: then nothing that is known holds."""

    __slots__ = ("_first", "_length", "_table")

    def __init__(self, table: HeaderTable) -> None:
        self._table = table
        self._first: object = None
        self._length = 0

    def has_changed(self) -> bool:
        """Since the last call."""
        entries = self._table.dynamic_entries
        length = len(entries)
        first = entries[0] if length else None
        # What is put in goes to the front, as an object of its own.
        changed = first is not self._first or length != self._length
        self._first, self._length = first, length
        return changed


class HeaderDecoder:
    """Blocks of one connection to header lists.

    A client that asks again and again in the same words sends the same block: the library needs 15
    to 20 us for each, a look into `_known` a fraction of one.
    """

    __slots__ = ("_decoder", "_known", "_table", "is_known")

    def __init__(self, max_list_octets: int) -> None:
        # Above the announced limit only that stream is refused; a decoder that stops midway has
        # lost the dynamic table, and then the connection has to go.
        self._decoder = Decoder(max_header_list_size=2 * max_list_octets)
        self._table = _Table(self._decoder.header_table)
        self._known: dict[bytes, Headers] = {}
        self.is_known = False
        """The last block was known: its list is the very tuple that was given before."""

    def decode(self, block: bytes) -> Headers:
        """Decode one whole block.

        Raises:
            CompressionViolationError: not HPACK, or far beyond the limit.
        """
        known = self._known
        if (headers := known.get(block)) is not None:
            self.is_known = True
            return headers
        self.is_known = False
        leading = block[: MAX_SIZE_UPDATES + 1]
        if len(leading) > MAX_SIZE_UPDATES and all(octet & 0xE0 == 0x20 for octet in leading):
            raise CompressionViolationError("too many table size updates")
        try:
            headers = tuple(
                [(bytes(f[0]), bytes(f[1])) for f in self._decoder.decode(block, raw=True)]
            )
        except HPACKError as error:
            raise CompressionViolationError(str(error)) from error
        if self._table.has_changed() or _resizes(block):
            known.clear()
        elif len(block) <= KNOWN_OCTETS and list_octets(headers) <= KNOWN_LIST_OCTETS:
            if len(known) >= KNOWN_BLOCKS:
                known.clear()
            known[block] = headers
        return headers


class HeaderEncoder:
    """Header lists to blocks of one connection."""

    __slots__ = ("_encoder", "_known", "_table")

    def __init__(self) -> None:
        self._encoder = Encoder()
        self._table = _Table(self._encoder.header_table)
        self._known: dict[Headers, bytes] = {}

    def limit_table(self, octets: int) -> None:
        """Follow the peer's HEADER_TABLE_SIZE; we never use more than the default."""
        self._encoder.header_table_size = min(octets, 4096)
        self._known.clear()

    def encode(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Encode one list; names are lower case, pseudo-headers come first."""
        repeated: list[tuple[bytes, bytes]] = []
        block = b""
        for field in headers:
            name, value = field
            # The first is the library's in any case: a new table size stands before all fields.
            if name in _UNREPEATED and len(value) <= _SHORT_STRING_OCTETS and (block or repeated):
                if repeated:
                    block += self._flushed(repeated)
                    repeated = []
                block += b"%b%c%b%c%b" % (_NEVER_INDEXED, len(name), name, len(value), value)
            else:
                repeated.append(field)
        return block + self._flushed(repeated) if repeated else block

    def _flushed(self, fields: list[tuple[bytes, bytes]]) -> bytes:
        known = self._known
        key = tuple(fields)
        if (octets := known.get(key)) is not None:
            return octets
        block: bytes = self._encoder.encode(fields, huffman=False)
        if self._table.has_changed() or _resizes(block):
            known.clear()
        elif len(block) <= KNOWN_OCTETS:
            if len(known) >= KNOWN_BLOCKS:
                known.clear()
            known[key] = block
        return block


def _resizes(block: bytes) -> bool:
    """Whether it begins with a table size update, which is no part of the list."""
    return block[:1] != b"" and block[0] & 0xE0 == 0x20


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
