"""Messages to octets: heads, chunks, trailers."""

from http import HTTPStatus
from typing import Final

from mesh.wire.http.messages import Fields, RequestHead, ResponseHead
from mesh.wire.http1.errors import FieldInjectionError

LAST_CHUNK: Final = b"0\r\n\r\n"
CONTENT_METHODS: Final = frozenset((b"POST", b"PUT", b"PATCH"))
"""Methods with which a request without content says so (RFC 9110 section 8.6)."""

_REASONS: Final = {int(status): status.phrase.encode() for status in HTTPStatus}
_TE: Final = (b"te", b"trailers")


def request_octets(head: RequestHead, *, chunked: bool, length: int | None) -> bytes:
    """A request's head.

    Args:
        head: What is asked.
        chunked: Chunks follow.
        length: Otherwise: what content-length says; None: no content-length.

    Raises:
        FieldInjectionError: a line break in what came as one line.
    """
    target = head.target
    if not target:
        target = head.authority  # CONNECT
    if b" " in target or b" " in head.method:
        raise FieldInjectionError("a space in the target")
    lines = [b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (head.method, target, head.authority)]
    lines += [b"%b: %b\r\n" % field for field in head.fields]
    breaks = 2 + len(head.fields)
    own = b""
    if chunked:
        own = b"transfer-encoding: chunked\r\n"
        breaks += 1
    elif length is not None:
        own = b"content-length: %d\r\n" % length
        breaks += 1
    if head.expects_continue:
        own += b"expect: 100-continue\r\n"
        breaks += 1
    if head.upgrade:
        own += b"connection: upgrade\r\nupgrade: %b\r\n" % head.upgrade
        breaks += 2
    elif _TE in head.fields:
        own += b"connection: te\r\n"
        breaks += 1
    return _whole(lines, own, breaks)


def response_octets(
    head: ResponseHead, *, chunked: bool, length: int | None, connection: bytes
) -> bytes:
    """A response's head.

    Args:
        head: What is answered.
        chunked: Chunks follow.
        length: Otherwise: what content-length says; None: no content-length.
        connection: `close`, `keep-alive`, or empty: no such field.

    Raises:
        FieldInjectionError: a line break in what came as one line.
    """
    status = head.status
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, _REASONS.get(status, b""))]
    lines += [b"%b: %b\r\n" % field for field in head.fields]
    breaks = 1 + len(head.fields)
    own = b""
    if chunked:
        own = b"transfer-encoding: chunked\r\n"
        breaks += 1
    elif length is not None:
        own = b"content-length: %d\r\n" % length
        breaks += 1
    if head.upgrade:
        own += b"connection: upgrade\r\nupgrade: %b\r\n" % head.upgrade
        breaks += 2
    elif connection:
        own += b"connection: %b\r\n" % connection
        breaks += 1
    return _whole(lines, own, breaks)


def chunk_head(octets: int) -> bytes:
    """What stands before so many octets of content; CR LF follows them."""
    return b"%x\r\n" % octets


def trailer_octets(trailers: Fields) -> bytes:
    """The last chunk, with trailers.

    Raises:
        FieldInjectionError: a line break in one.
    """
    if not trailers:
        return LAST_CHUNK
    lines = [b"0\r\n"]
    lines += [b"%b: %b\r\n" % field for field in trailers]
    return _whole(lines, b"", 1 + len(trailers))


def _whole(lines: list[bytes], own: bytes, breaks: int) -> bytes:
    lines.append(own)
    lines.append(b"\r\n")
    octets = b"".join(lines)
    # What filters and other HTTP versions let through must not become a field or a message here.
    if octets.count(b"\n") != breaks + 1 or octets.count(b"\r") != breaks + 1:
        raise FieldInjectionError("a line break in a head")
    return octets
