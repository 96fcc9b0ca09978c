"""The fields that belong to one connection only, and those that frame its messages."""

from typing import Final

from mesh.wire.http.messages import Fields
from mesh.wire.http1.errors import CodingUnknownError, FramingError, HostError
from mesh.wire.http1.fields import RawHead

_ORDINARY: Final = frozenset((b"", b"close", b"keep-alive", b"upgrade", b"te"))
"""Connection options that name no other field."""
NO_TRAILERS: Final = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"upgrade",
        b"te",
        b"expect",
        b"trailer",
    )
)
"""Fields that may not be among trailers (RFC 9110 section 6.5.1)."""


class Own:
    """What such fields of one head say together."""

    __slots__ = ("_options", "_version", "chunked", "expects", "host", "length", "upgrade")

    def __init__(self, raw: RawHead, version: int) -> None:
        """Read them; fields that `connection` names are taken out of `raw.fields`.

        Raises:
            Http1Error: they contradict each other, or are not known.
        """
        self._version = version
        self._options: frozenset[bytes] | None = None
        self.length: int | None = None
        self.chunked = False
        self.host: bytes | None = None
        self.upgrade = b""
        self.expects = b""
        for name, value in raw.own:
            if name == b"host":
                if self.host is not None:
                    raise HostError("several hosts")
                self.host = value
            elif name == b"content-length":
                self.length = int(value)  # the library lets nothing pass but digits, and few
            elif name == b"transfer-encoding":
                self._take_coding(value)
            elif name == b"te":
                if value == b"trailers":
                    raw.fields.append((name, value))
            else:
                self._take_other(name, value)
        self._finish(raw)

    @property
    def lives(self) -> bool:
        """Whether the sender lets the connection live on."""
        options = self._options
        if options is None:
            return self._version == 11
        return b"close" not in options and (self._version == 11 or b"keep-alive" in options)

    def _take_coding(self, value: bytes) -> None:
        if self._version == 10:
            raise FramingError("transfer-encoding in HTTP/1.0")  # RFC 9112 section 6.1
        if value.lower() != b"chunked":
            raise CodingUnknownError("a transfer coding other than chunked")
        self.chunked = True

    def _take_other(self, name: bytes, value: bytes) -> None:
        if name == b"connection":
            # White space around an option is not its own; inside, it is no option at all.
            options = frozenset(option.strip() for option in value.lower().split(b","))
            self._options = options if self._options is None else self._options | options
        elif name == b"upgrade":
            self.upgrade = self.upgrade or value.partition(b",")[0].strip().lower()
        elif name == b"expect":
            self.expects = b"several" if self.expects else value.lower()

    def _finish(self, raw: RawHead) -> None:
        options = self._options
        if options is None:
            self.upgrade = b""
            return
        # h2c by upgrade is obsolete (RFC 9113 section 3.1), and refused by not heeding it.
        if b"upgrade" not in options or self._version == 10 or self.upgrade == b"h2c":
            self.upgrade = b""
        named = options - _ORDINARY
        if named:
            raw.fields = [field for field in raw.fields if field[0] not in named]


def forbidden_trailer(fields: Fields) -> bytes | None:
    """The name of a field that may not be among trailers (RFC 9110 section 6.5.1); or None."""
    return next((name for name, _ in fields if name in NO_TRAILERS), None)
