"""One spelling for each path, so that no other spelling goes round a route or a policy.

Istio's options (MeshConfig `pathNormalization`), each with all that those above it do:

| option | makes |
|---|---|
| NONE | nothing |
| BASE (Istio's default) | `%41` to `A` (letters, digits, `-._~`); backslash to `/`; no `.`, `..` |
| MERGE_SLASHES | `//` to `/` |
| DECODE_AND_MERGE_SLASHES | `%2f` and `%5c` to `/`, before the others |

1. Decoding happens once: `%252f` stays. A `%` that begins no escape becomes `%25`, since what is
   decoded behind it could otherwise make one.
2. Octets outside ASCII are escaped, and escapes are written in capitals.
3. What is compared is what is forwarded. The query is left alone.
4. `%00`, control characters, spaces and `#` are refused, whatever the option.
"""

import re
from enum import IntEnum
from typing import Final

from mesh.errors import PeerError

_ORDINARY: Final = re.compile(rb"/[!$&-;=@-\[\]_a-z|~]*\Z")
"""Nothing in it that any option changes but for slashes and dots, and nothing refused."""
_REFUSED: Final = re.compile(rb"%00|[\x00-\x20\x7f#]")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})|[%\x80-\xff]")
_SLASH_ESCAPE: Final = re.compile(rb"%(?:2[Ff]|5[Cc])")
_SLASHES: Final = re.compile(rb"//+")
_PARAMETERS: Final = re.compile(rb"(?:;|%3[Bb])[^/]*")
_UNRESERVED: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)


class PathNormalisation(IntEnum):
    """How far paths are brought to one spelling; each does what is below it too."""

    NONE = 0
    BASE = 1
    MERGE_SLASHES = 2
    DECODE_AND_MERGE_SLASHES = 3


class PathInvalidError(PeerError):
    """A request whose path is none: it is answered with 400."""

    code = "http_path_invalid"

    def __init__(self, target: bytes) -> None:
        """Keep the target as it was asked for."""
        super().__init__(f"no path: {target[:80]!r}")
        self.target = target


def normalise_path(target: bytes, how: PathNormalisation = PathNormalisation.BASE) -> bytes:
    """A request's target with its path in one spelling; `*` and nothing stay as they are.

    Raises:
        PathInvalidError: it does not begin with `/`, or has what no path has.
    """
    path, mark, query = target.partition(b"?")
    if _ORDINARY.match(path):
        if b"/." not in path and (b"//" not in path or how < PathNormalisation.MERGE_SLASHES):
            return target
    elif target in {b"*", b""}:
        return target
    elif not path.startswith(b"/") or _REFUSED.search(path):
        raise PathInvalidError(target)
    if how is PathNormalisation.NONE:
        return target
    return _normalised(path, how) + mark + query


def spellings(path: bytes) -> tuple[bytes, ...]:
    """Other paths that a server may take a path (without query) for, when it decodes more than we.

    Slashes that are escaped or doubled, and parameters of elements (`;x`, RFC 3986 section 3.3).
    """
    if _ORDINARY.match(path) and not any(odd in path for odd in (b"//", b"/.", b";")):
        return ()
    how = PathNormalisation.DECODE_AND_MERGE_SLASHES
    merged = _normalised(path, how)
    bare = _normalised(_PARAMETERS.sub(b"", _SLASH_ESCAPE.sub(b"/", path)), how)
    return tuple(each for each in dict.fromkeys((merged, bare)) if each != path)


def _normalised(path: bytes, how: PathNormalisation) -> bytes:
    if how >= PathNormalisation.DECODE_AND_MERGE_SLASHES:
        path = _SLASH_ESCAPE.sub(b"/", path)
    path = _ESCAPE.sub(_respelled, path).replace(b"\\", b"/")
    if how >= PathNormalisation.MERGE_SLASHES:
        path = _SLASHES.sub(b"/", path)
    return _without_dots(path) if b"/." in path else path


def _respelled(found: re.Match[bytes]) -> bytes:
    digits: bytes | None = found[1]
    if digits is None:  # an octet outside ASCII, or a % alone
        return b"%%%02X" % found[0][0]
    octet = int(digits, 16)
    return bytes((octet,)) if octet in _UNRESERVED else b"%" + digits.upper()


def _without_dots(path: bytes) -> bytes:
    """Resolve `.` and `..` (RFC 3986 section 5.2.4); above the root there is the root."""
    kept: list[bytes] = []
    elements = path.split(b"/")[1:]
    for element in elements:
        if element == b"..":
            del kept[-1:]
        elif element != b".":
            kept.append(element)
    if elements[-1] in {b".", b".."}:
        kept.append(b"")
    return b"/" + b"/".join(kept)
