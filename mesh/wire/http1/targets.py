"""Where a request goes: the forms of its target, and `host` (RFC 9112 section 3.2)."""

import re
from typing import Final

from mesh.wire.http1.errors import HeadSyntaxError, HostError

_AUTHORITY: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%!$&'()*+,;=]+)(?::[0-9]{0,5})?"
)
_ABSOLUTE: Final = re.compile(rb"(https?)://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)


def is_authority(octets: bytes) -> bool:
    """Whether this is a host, perhaps with a port (RFC 3986 section 3.2.2, without user)."""
    return _AUTHORITY.fullmatch(octets) is not None


def read_target(
    target: bytes, method: bytes, host: bytes | None
) -> tuple[bytes, bytes | None, bytes]:
    """Give the path with its query, the authority (None: nobody named one), and the scheme.

    Raises:
        HeadSyntaxError: a form that this method does not take.
        HostError: what should be an authority is none.
    """
    if host is not None and not is_authority(host):
        raise HostError("a host that is none")
    if b"#" in target:
        raise HeadSyntaxError("a fragment in the target")
    if method == b"CONNECT":
        if b":" not in target or not is_authority(target):
            raise HeadSyntaxError("CONNECT to what is no host and port")
        return b"", target, b"http"
    if target[:1] == b"/" or (target == b"*" and method == b"OPTIONS"):
        return target, host, b"http"
    return _absolute(target, method)


def _absolute(target: bytes, method: bytes) -> tuple[bytes, bytes, bytes]:
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise HeadSyntaxError("a target of no known form")
    scheme, authority, path = found.groups()
    if not is_authority(authority):
        raise HostError("an authority that is none")
    if not path:
        path = b"*" if method == b"OPTIONS" else b"/"
    elif path[:1] == b"?":
        path = b"/" + path
    # What the target says wins over `host` (section 3.2.2).
    return path, authority, scheme.lower()
