"""The server name that a TLS client asks for, read off its first message.

RFC 8446 section 4.1.2, RFC 6066 section 3. Only looked at: the octets go on as they came. Reading
is bounded; what is no ClientHello says so.
"""

from typing import Final

from mesh.errors import PeerError

MAX_HELLO_OCTETS: Final = 16 * 1024
"""Post-quantum key shares and long session tickets take a few thousand."""

MOST_RECORDS: Final = 64
"""Records that one message may be cut into: each piece that comes is read from the beginning."""

_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_RECORD_HEAD: Final = 5
_MAX_RECORD: Final = 16 * 1024 + 256


class ClientHelloInvalidError(PeerError):
    """A connection that should be TLS does not begin with a ClientHello."""

    code = "client_hello_invalid"

    def __init__(self, what: str) -> None:
        """Say what is wrong."""
        super().__init__(f"no ClientHello: {what}")
        self.what = what


class _Cursor:
    """Reads within bounds."""

    __slots__ = ("_at", "_octets")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at >= len(self._octets)

    def take(self, size: int) -> bytes:
        taken = self._octets[self._at : self._at + size]
        if len(taken) != size:
            raise ClientHelloInvalidError("a length exceeds what holds it")
        self._at += size
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> "_Cursor":
        return _Cursor(self.take(self.number(size)))


def server_name(octets: bytes | bytearray) -> str | None:
    """The name of a connection that has begun with these octets.

    Returns:
        The name in lower case; empty when the client names none; None: more octets are needed.

    Raises:
        ClientHelloInvalidError: it is none, or is larger than MAX_HELLO_OCTETS.
    """
    message = _message(bytes(octets))
    return None if message is None else _named(_Cursor(message))


def _message(octets: bytes) -> bytes | None:
    """The handshake message without its head, once all its records have come."""
    joined = bytearray()
    at = 0
    for _ in range(MOST_RECORDS + 1):
        wanted = int.from_bytes(joined[1:4], "big") if len(joined) >= 4 else None
        if joined and joined[0] != _CLIENT_HELLO:
            raise ClientHelloInvalidError("another message")
        if wanted is not None:
            if wanted > MAX_HELLO_OCTETS:
                raise ClientHelloInvalidError(f"{wanted} octets")
            if len(joined) >= 4 + wanted:
                return bytes(joined[4 : 4 + wanted])
        head = octets[at : at + _RECORD_HEAD]
        if (head and head[0] != _HANDSHAKE) or (len(head) > 1 and head[1] != 3):
            raise ClientHelloInvalidError("no handshake record")
        if len(head) < _RECORD_HEAD:
            return None
        size = int.from_bytes(head[3:5], "big")
        if not 0 < size <= _MAX_RECORD:
            raise ClientHelloInvalidError(f"a record of {size} octets")
        at += _RECORD_HEAD
        joined += octets[at : at + size]
        if len(octets) < at + size and not _holds_whole(joined):
            return None
        at += size
    raise ClientHelloInvalidError(f"more than {MOST_RECORDS} records")


def _holds_whole(joined: bytearray) -> bool:
    return len(joined) >= 4 and len(joined) >= 4 + int.from_bytes(joined[1:4], "big")


def _named(hello: _Cursor) -> str:
    hello.take(2 + 32)
    hello.vector(1)
    hello.vector(2)
    hello.vector(1)
    if hello.is_at_end:
        return ""
    extensions = hello.vector(2)
    while not extensions.is_at_end:
        kind = extensions.number(2)
        content = extensions.vector(2)
        if kind == _SERVER_NAME:
            return _host_name(content.vector(2))
    return ""


def _host_name(names: _Cursor) -> str:
    while not names.is_at_end:
        kind = names.number(1)
        name = names.vector(2)._octets  # noqa: SLF001 - the cursor is this module's own
        if kind == 0:
            try:
                return name.decode("ascii").lower()
            except UnicodeDecodeError:
                raise ClientHelloInvalidError("a name that is not ASCII") from None
    return ""
