"""A raw head to its start line and fields, by `httptools`; and what that library lets pass.

1. `httptools` (llhttp) refuses: bare CR and LF, folded lines, space before the colon, names and
   values with octets that may not be there, content-length that is repeated or no number, both
   content-length and transfer-encoding, codings after chunked.
2. Here are the rest: exactly one space in the start line, versions, limits.
3. A parser gets one whole head and nothing else: its idea of where a head ends must be ours.
"""

from typing import Final

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
    HttpResponseParser,
)

from mesh.wire.http.messages import Fields
from mesh.wire.http1.errors import (
    FramingError,
    HeadSyntaxError,
    HeadTooLargeError,
    MethodUnknownError,
    VersionUnknownError,
)

MAX_HEAD_OCTETS: Final = 60 * 1024
MAX_FIELDS: Final = 100
MAX_LINE_OCTETS: Final = 16 * 1024
"""The request line: method, target, version."""

OWN_NAMES: Final = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"upgrade",
        b"http2-settings",
        b"te",
        b"expect",
    )
)
"""Fields of this connection only (RFC 9110 section 7.6.1), of framing, and `host`, `expect`."""

_FRAMING_WORDS: Final = ("Content-Length", "Transfer-Encoding")


class RawHead:
    """What the library has found; `own` holds the fields in OWN_NAMES, `fields` all others."""

    __slots__ = ("complete", "fields", "own", "target")

    def __init__(self) -> None:
        self.target = b""
        self.fields: Fields = []
        self.own: Fields = []
        self.complete = False

    def on_url(self, piece: bytes) -> None:
        """The request's target."""
        self.target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field."""
        name = name.lower()
        if name in OWN_NAMES:
            self.own.append((name, value.rstrip(b" \t")))
        else:
            self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        """The empty line."""
        self.complete = True


def request_fields(octets: bytes) -> tuple[RawHead, bytes, int]:
    """Read a request's whole head: what was found, the method, the version (10 or 11).

    Raises:
        Http1Error: it is none, with the status for it.
    """
    line = octets[: octets.find(b"\r\n")]
    if line[-8:] == b"HTTP/1.1":
        version = 11
    elif line[-8:] == b"HTTP/1.0":
        version = 10
    else:
        raise _version_error(line)
    if line.count(b" ") != 2:
        raise HeadSyntaxError("a request line has two single spaces")
    raw = RawHead()
    parser = HttpRequestParser(raw)
    _feed(parser, octets)
    _check(raw, octets)
    return raw, parser.get_method(), version


def response_fields(octets: bytes) -> tuple[RawHead, int, int]:
    """Read a response's whole head: what was found, the status, the version (10 or 11).

    Raises:
        Http1Error: it is none.
    """
    prefix = octets[:9]
    if prefix == b"HTTP/1.1 ":
        version = 11
    elif prefix == b"HTTP/1.0 ":
        version = 10
    else:
        raise HeadSyntaxError("a status line begins with HTTP/1.1 or HTTP/1.0")
    raw = RawHead()
    parser = HttpResponseParser(raw)
    _feed(parser, octets)
    _check(raw, octets)
    status = parser.get_status_code()
    if not 100 <= status <= 599:
        raise HeadSyntaxError(f"status {status}")
    return raw, status, version


def _feed(parser: HttpRequestParser | HttpResponseParser, octets: bytes) -> None:
    try:
        parser.feed_data(octets)
    except HttpParserUpgrade as upgrade:
        if upgrade.args[0] != len(octets):
            raise HeadSyntaxError("the head ends elsewhere") from None
    except HttpParserInvalidMethodError as error:
        raise _method_error(octets) from error
    except HttpParserError as error:
        reason = str(error)
        if any(word in reason for word in _FRAMING_WORDS):
            raise FramingError(reason) from error
        raise HeadSyntaxError(reason) from error


def _check(raw: RawHead, octets: bytes) -> None:
    if not raw.complete:
        raise HeadSyntaxError("the head ends elsewhere")
    if len(raw.fields) + len(raw.own) > MAX_FIELDS:
        raise HeadTooLargeError(f"more than {MAX_FIELDS} fields")
    # The library keeps white space behind values, which is not theirs (RFC 9112 section 5.1).
    if b" \r\n" in octets or b"\t\r\n" in octets:
        raw.fields = [(name, value.rstrip(b" \t")) for name, value in raw.fields]
    if b"\0" in octets:
        raise HeadSyntaxError("NUL")


def _version_error(line: bytes) -> HeadSyntaxError | VersionUnknownError:
    _, _, version = line.rpartition(b" ")
    # HTTP-version (RFC 9112 section 2.3).
    if len(version) == 8 and version[:5] == b"HTTP/" and version[5::2].isdigit():
        return VersionUnknownError(version.decode("latin-1"))
    return HeadSyntaxError("a request line ends with HTTP/1.1 or HTTP/1.0")


def _method_error(octets: bytes) -> HeadSyntaxError | MethodUnknownError:
    method, _, _ = octets.partition(b" ")
    if method.isalpha() and len(method) <= 32:
        return MethodUnknownError(method.decode("latin-1"))
    return HeadSyntaxError("not a method")
