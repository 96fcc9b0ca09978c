"""A request as routes look at it: what they ask for is worked out once, and only when asked for."""

from urllib.parse import unquote_to_bytes

from mesh.wire.http.messages import RequestHead


class RequestView:
    """A request's path, header values and query parameters. The head must not change meanwhile.

    A repeated header is one value, joined by `,` (RFC 9110 section 5.3; cookies by `; `, RFC 9113
    section 8.2.3). Of a repeated query parameter the first counts. Names and values of parameters
    are percent-decoded once, and `+` is a space.
    """

    __slots__ = ("_headers", "_parameters", "_query", "head", "path")

    def __init__(self, head: RequestHead) -> None:
        """Look at a head."""
        self.head = head
        self.path, _, self._query = head.target.partition(b"?")
        self._headers: dict[bytes, bytes] | None = None
        self._parameters: dict[bytes, bytes] | None = None

    def header(self, name: bytes) -> bytes | None:
        """The value of a header, by its name in lower case; None when there is none."""
        if self._headers is None:
            self._headers = _joined(self.head)
        return self._headers.get(name)

    def parameter(self, name: bytes) -> bytes | None:
        """The value of a query parameter; None when there is none."""
        if self._parameters is None:
            self._parameters = _parsed(self._query)
        return self._parameters.get(name)


def _joined(head: RequestHead) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in head.fields:
        if name in found:
            comma = b"; " if name == b"cookie" else b","
            value = found[name] + comma + value  # noqa: PLW2901 - the value so far
        found[name] = value
    if head.authority:
        found[b"host"] = head.authority
    if head.length is not None:
        found[b"content-length"] = b"%d" % head.length
    if head.upgrade:
        found[b"upgrade"] = head.upgrade
    return found


def _parsed(query: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for piece in query.split(b"&"):
        name, _, value = piece.partition(b"=")
        if piece:
            found.setdefault(_decoded(name), _decoded(value))
    return found


def _decoded(text: bytes) -> bytes:
    if b"+" in text:
        text = text.replace(b"+", b" ")
    return unquote_to_bytes(text) if b"%" in text else text
