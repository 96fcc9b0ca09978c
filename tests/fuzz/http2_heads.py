"""Invariant: a request that came in HTTP/2 is the same one in HTTP/1.1, or a MeshError."""

import hpack

from mesh.errors import MeshError
from mesh.wire.http1.events import RequestReceived
from mesh.wire.http1.reading import RequestReader
from mesh.wire.http1.writing import request_octets
from mesh.wire.http2.headers import HeaderDecoder, content_length, request_fault
from mesh.wire.http2.heads import read_request

GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/a"), (b":authority", b"a:80")]
SEEDS = tuple(
    hpack.Encoder().encode([*GET, *more], huffman=False)
    for more in (
        [(b"x-env", b"canary"), (b"te", b"trailers")],
        [(b"content-length", b"0"), (b"cookie", b"a=b"), (b"cookie", b"c=d"), (b"host", b"a:80")],
        [(b"expect", b"100-continue"), (b"traceparent", b"00-1-2-00")],
    )
)


def one_input(octets: bytes) -> None:
    """One header block."""
    try:
        headers = HeaderDecoder(64 * 1024).decode(octets)
        if request_fault(headers, connect_protocol=False) or content_length(headers) is None:
            return
        head = read_request(headers)
        written = request_octets(head, chunked=False, length=head.length)
        event, *rest = RequestReader().receive(written)
    except MeshError:
        return
    if not isinstance(event, RequestReceived):
        raise TypeError(f"{written!r} is no request")
    if not head.length and rest:
        raise AssertionError(f"{written!r} is more than one message")
    again = event.head
    if (again.method, again.target, again.authority) != (head.method, head.target, head.authority):
        raise AssertionError(f"{written!r} is another request")
