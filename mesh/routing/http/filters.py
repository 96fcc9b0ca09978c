"""What filters make of heads: changed fields, redirects, rewritten targets.

1. Fields of the connection and of framing are not a route's to change: what is said of them is
   ignored. `host` is the authority.
2. Adding to a field that is there makes one field of both values, joined by `,`; `set-cookie` alone
   cannot be joined (RFC 9110 section 5.3), and is repeated.
3. A replaced prefix is whole elements: what remains begins with `/` or is nothing.
4. The query stays, unless the new path brings its own.
5. Who calls is said by the proxy alone (`TELLING`): a route may take that away, and not say it. Its
   author need not be who the server trusts: clients bring routes of their own.
6. Whatever a manifest says, nothing of it can end a line of a head: in a path it is escaped, in a
   field it becomes a space.
"""

import re
from typing import Final
from urllib.parse import quote

from mesh.model.routes import (
    HeaderChange,
    PathModifier,
    PathModifierKind,
    Redirect,
    Rewrite,
)
from mesh.routing.http.entries import Matched
from mesh.wire.http.messages import TELLING, Fields, RequestHead, ResponseHead

UNTOUCHABLE: Final = frozenset(
    (
        b"host",
        b"connection",
        b"content-length",
        b"expect",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Fields that a change leaves alone: they are the codec's (RFC 9110 sections 7.6.1 and 8.6)."""

UNSAYABLE: Final = UNTOUCHABLE | TELLING
"""Fields that neither a change nor anybody else who is asked may write."""

_LINE_ENDS: Final = re.compile(rb"[\r\n\0]")
_PATH_OCTETS: Final = "".join(map(chr, range(0x21, 0x7F)))

PORTS: Final = {"http": 80, "https": 443}
"""The ports that go without saying."""


def change_request(change: HeaderChange, head: RequestHead) -> None:
    """Set, add and remove fields of a request."""
    for name, value in (*change.put, *change.add):
        if name == "host":
            head.authority = _one_line(value)
    change_fields(change, head.fields)


def change_fields(change: HeaderChange, fields: Fields) -> None:
    """Set, add and remove fields of a response, or of a request but for `host`."""
    gone = {name.encode() for name in change.remove} - UNTOUCHABLE
    gone |= {name.encode() for name, _ in change.put} - UNSAYABLE
    if gone:
        fields[:] = [field for field in fields if field[0] not in gone]
    for text, value in change.put:
        name = text.encode()
        if name not in UNSAYABLE:
            fields.append((name, _one_line(value)))
    for text, value in change.add:
        name = text.encode()
        if name not in UNSAYABLE:
            add_field(fields, name, _one_line(value))


def add_field(fields: Fields, name: bytes, value: bytes) -> None:
    """Add a value to a field, behind those that it has."""
    if name != b"set-cookie":
        for index in range(len(fields) - 1, -1, -1):
            if fields[index][0] == name:
                fields[index] = (name, fields[index][1] + b"," + value)
                return
    fields.append((name, value))


def redirect(asked: Redirect, head: RequestHead, matched: Matched, port: int) -> ResponseHead:
    """The answer that sends a client elsewhere; it has no content.

    Args:
        asked: by the route.
        head: the request's, as it came.
        matched: what it has matched.
        port: that was called: the service's, or the listener's.
    """
    scheme = asked.scheme.lower() or head.scheme.decode()
    target = (
        head.target if asked.path is None else modified(head.target, asked.path, matched.prefix)
    )
    host = asked.hostname.encode() or host_of(head.authority)
    if not host:  # HTTP/1.0: the client itself knows whom it called
        location = b"/" + target.lstrip(b"/")
    else:
        to = asked.port or (PORTS.get(asked.scheme.lower(), 0) if asked.scheme else port)
        if to not in {0, PORTS.get(scheme)}:
            host += b":%d" % to
        location = scheme.encode() + b"://" + host + target
    return ResponseHead(asked.status, [(b"location", location)], length=0)


def rewrite(asked: Rewrite, head: RequestHead, matched: Matched) -> None:
    """Change a request's authority and target."""
    if asked.hostname:
        head.authority = asked.hostname.encode()
    if asked.path is not None:
        head.target = modified(head.target, asked.path, matched.prefix)


def modified(target: bytes, by: PathModifier, prefix: int) -> bytes:
    """A target with its path, or the first `prefix` octets of it, replaced."""
    path, mark, query = target.partition(b"?")
    value = quote(by.value, safe=_PATH_OCTETS).encode()
    match by.kind:
        case PathModifierKind.FULL:
            path = value
        case PathModifierKind.PREFIX:
            # `/` as a prefix has no octets, yet the path `/` is all prefix.
            rest = path[prefix:] if prefix or path != b"/" else b""
            path = value.removesuffix(b"/") + rest
    if not path.startswith(b"/"):
        path = b"/" + path
    return path if b"?" in path else path + mark + query


def host_of(authority: bytes) -> bytes:
    """An authority without its port; an IPv6 address keeps its brackets."""
    host, colon, port = authority.rpartition(b":")
    return host if colon and (not port or port.isdigit()) and not host.endswith(b":") else authority


def _one_line(value: str) -> bytes:
    return _LINE_ENDS.sub(b" ", value.encode())
