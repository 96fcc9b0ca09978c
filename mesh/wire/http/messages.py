"""The heads of requests and responses (RFC 9110), whichever HTTP version carries them.

1. Field names are lower case. What belongs to one connection only (RFC 9110 section 7.6.1), `host`
   and the framing are not among `fields`: the version's own codec reads and writes them.
2. Mutable, and made for one message: filters change a head in place.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Final, TypeAlias

Fields: TypeAlias = list[tuple[bytes, bytes]]

TELLING: Final = frozenset(
    (
        b"forwarded",
        *(b"x%bforwarded%bclient%bcert" % marks for marks in product((b"-", b"_"), repeat=3)),
    )
)
"""Fields by which a proxy of the mesh says who calls; nobody else may. Many servers take `_` for
`-` (CGI's variables)."""


@dataclass(slots=True)
class RequestHead:
    """A request's head."""

    method: bytes
    target: bytes
    """Origin form: the path with its query; `*` of OPTIONS; empty for CONNECT."""
    authority: bytes
    fields: Fields = field(default_factory=list)
    scheme: bytes = b"http"
    length: int | None = None
    """Octets of content, when the head says so."""
    upgrade: bytes = b""
    """The protocol that the client wants to change to, in lower case: `websocket`."""
    expects_continue: bool = False
    version: int = 11
    """10, 11, or 20."""


@dataclass(slots=True)
class ResponseHead:
    """A response's head, final or informational."""

    status: int
    fields: Fields = field(default_factory=list)
    length: int | None = None
    upgrade: bytes = b""
    """With 101: the protocol that both speak from here on."""


def first(fields: Fields, name: bytes) -> bytes | None:
    """The first value of a field; None when there is none."""
    for key, value in fields:
        if key == name:
            return value
    return None


def values(fields: Fields, name: bytes) -> Iterator[bytes]:
    """Every value of a field, in order."""
    return (value for key, value in fields if key == name)


def joined(fields: Fields, name: bytes) -> bytes | None:
    """All values of a field as one (RFC 9110 section 5.3); None when there is none."""
    found = [value for key, value in fields if key == name]
    return b",".join(found) if found else None
