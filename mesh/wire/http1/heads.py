"""What a head means: where it goes, where its message ends, whether the connection lives on."""

from typing import Final

from mesh.wire.http.messages import RequestHead, ResponseHead
from mesh.wire.http1.errors import ExpectationError, HeadSyntaxError, HostError
from mesh.wire.http1.fields import request_fields, response_fields
from mesh.wire.http1.own import Own
from mesh.wire.http1.targets import read_target

CHUNKED: Final = -1
"""The content is in chunks."""
UNTIL_END: Final = -2
"""A response's content is all that comes until the connection ends."""
RAW: Final = -3
"""What follows the head is another protocol's."""

_WITHOUT_CONTENT: Final = (204, 304)


def read_request(octets: bytes) -> tuple[RequestHead, int, bool]:
    """Read a request's whole head.

    Returns:
        The head; the octets of its content, or CHUNKED; whether the connection may live on.

    Raises:
        Http1Error: the status for the client is its own.
    """
    raw, method, version = request_fields(octets)
    own = Own(raw, version)
    target, authority, scheme = read_target(raw.target, method, own.host)
    # Even where an absolute target says it, HTTP/1.1 demands the field (RFC 9112 section 3.2).
    if own.host is None and version == 11:
        raise HostError("no host")
    content = CHUNKED if own.chunked else own.length or 0
    head = RequestHead(method, target, authority or b"", raw.fields, scheme, own.length)
    head.version = version
    if own.upgrade and not content:
        head.upgrade = own.upgrade
    if own.expects and version == 11:
        if own.expects != b"100-continue":
            raise ExpectationError("an expectation that is not 100-continue")
        head.expects_continue = content != 0
    return head, content, own.lives


def read_response(octets: bytes, method: bytes, upgrade: bytes) -> tuple[ResponseHead, int, bool]:
    """Read a response's whole head.

    Args:
        octets: With its empty line.
        method: The request's.
        upgrade: What the request wanted to change to.

    Returns:
        The head; the octets of its content, CHUNKED, UNTIL_END or RAW; whether the connection may
        live on.

    Raises:
        Http1Error: it is none, or no answer to this request.
    """
    raw, status, version = response_fields(octets)
    own = Own(raw, version)
    head = ResponseHead(status, raw.fields)
    if status == 101:
        if not upgrade:
            raise HeadSyntaxError("101, and nobody wanted to change the protocol")
        head.upgrade = own.upgrade or upgrade
        return head, RAW, False
    if method == b"CONNECT" and 200 <= status < 300:
        return head, RAW, False
    if status >= 200 and status != 204:
        head.length = own.length
    if is_without_content(status, method):
        return head, 0, own.lives
    if own.chunked:
        return head, CHUNKED, own.lives
    if own.length is not None:
        return head, own.length, own.lives
    return head, UNTIL_END, False


def is_without_content(status: int, method: bytes) -> bool:
    """Whether no response to this method with this status has content, whatever its fields say."""
    return status < 200 or status in _WITHOUT_CONTENT or method == b"HEAD"
