"""Header lists of HTTP/2 to heads and back (RFC 9113 section 8).

The connection has refused what makes any message malformed (`headers`): pseudo-headers, names,
fields of one connection. Here is what a request must be so that HTTP/1.1 can carry it, too.
"""

import re
from typing import ClassVar, Final

from mesh.errors import PeerError
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead
from mesh.wire.http1.fields import MAX_FIELDS
from mesh.wire.http1.targets import is_authority
from mesh.wire.http2.events import Headers

_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Z]+")
"""Not in lower case: no method is, HTTP/1.1 refuses it here, and servers that take `delete` for
`DELETE` would do what a policy or a route has not seen."""
_PATH: Final = re.compile(rb"/[^\x00-\x20\x7f#]*")
_SPECIAL: Final = frozenset((b"cookie", b"content-length", b"expect", b"host"))


class RequestFaultError(PeerError):
    """A request that HTTP/2 can carry and nobody should serve."""

    code = "http2_request_fault"
    status: ClassVar[int] = 400


class TooManyFieldsError(RequestFaultError):
    """The request has too many fields."""

    code = "http2_too_many_fields"
    status = 431


class ExpectationFaultError(RequestFaultError):
    """The request expects something else than 100-continue."""

    code = "http2_expectation"
    status = 417


def read_request(headers: Headers) -> RequestHead:
    """A request's head.

    Raises:
        RequestFaultError: the status for the client is its own.
    """
    pseudo: dict[bytes, bytes] = {}
    special: Fields = []
    fields: Fields = []
    for field in headers:
        name, value = field
        if name[:1] == b":":
            pseudo[name] = value
        elif name in _SPECIAL:
            special.append(field)
        else:
            fields.append(field)
    head = RequestHead(
        pseudo[b":method"],
        pseudo.get(b":path", b""),
        pseudo.get(b":authority", b""),
        fields,
        pseudo.get(b":scheme", b"http"),
        version=20,
    )
    _check_target(head, _take_special(head, special) if special else None)
    if len(fields) > MAX_FIELDS:
        raise TooManyFieldsError(f"more than {MAX_FIELDS} fields")
    return head


def _take_special(head: RequestHead, special: Fields) -> bytes | None:
    """Put these fields where they belong; give the host."""
    host: bytes | None = None
    cookies: list[bytes] = []
    for name, value in special:
        if name == b"cookie":
            cookies.append(value)
        elif name == b"content-length":
            head.length = int(value)  # the connection has checked it
        elif name == b"expect":
            if value.lower() != b"100-continue":
                raise ExpectationFaultError("an expectation that is not 100-continue")
            head.expects_continue = True
        elif host is not None:
            raise RequestFaultError("several hosts")
        else:
            host = value
    if cookies:
        # Crumbs become one field again (section 8.2.3).
        head.fields.append((b"cookie", b"; ".join([crumb for crumb in cookies if crumb])))
    return host


def _check_target(head: RequestHead, host: bytes | None) -> None:
    if host is not None:
        if head.authority and head.authority.lower() != host.lower():
            raise RequestFaultError(":authority and host differ")  # section 8.3.1
        head.authority = head.authority or host
    if not is_authority(head.authority):
        raise RequestFaultError("an authority that is none")
    if not _METHOD.fullmatch(head.method):
        raise RequestFaultError("a method that is none")
    if head.method == b"CONNECT":
        return
    if head.scheme not in (b"http", b"https"):
        raise RequestFaultError("a scheme that is not HTTP's")
    if not _PATH.fullmatch(head.target) and (head.target, head.method) != (b"*", b"OPTIONS"):
        raise RequestFaultError("a path that is none")


def request_headers(head: RequestHead) -> Headers:
    """What is sent for a request."""
    own: list[tuple[bytes, bytes]] = [(b":method", head.method)]
    if head.method != b"CONNECT":
        own += [(b":scheme", head.scheme), (b":path", head.target)]
    own.append((b":authority", head.authority))
    if head.length is not None:
        own.append((b"content-length", b"%d" % head.length))
    if head.expects_continue:
        own.append((b"expect", b"100-continue"))
    return (*own, *head.fields)


def read_response(headers: Headers) -> ResponseHead:
    """A response's head; the connection has checked it."""
    head = ResponseHead(200)
    fields = head.fields
    for name, value in headers:
        if name == b":status":
            head.status = int(value)
        elif name == b"content-length":
            head.length = int(value)
        else:
            fields.append((name, value))
    return head


def response_headers(head: ResponseHead) -> Headers:
    """What is sent for a response."""
    status = (b":status", b"%d" % head.status)
    if head.length is not None and head.status >= 200 and head.status != 204:
        return (status, (b"content-length", b"%d" % head.length), *head.fields)
    return (status, *head.fields)
