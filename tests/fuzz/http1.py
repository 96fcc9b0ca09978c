"""Invariant: any octets give HTTP/1.1 events or a MeshError, as requests and as answers."""

from mesh.errors import MeshError
from mesh.wire.http1.events import Event, RequestReceived
from mesh.wire.http1.reader import Phase, Reader
from mesh.wire.http1.reading import RequestReader, ResponseReader
from mesh.wire.http1.writing import request_octets

REQUESTS = (
    b"POST /a?b HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n"
    b"3;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
    b"GET http://b/ HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    b"PUT / HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc"
)
ANSWERS = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\nConnection: close\r\n\r\nabc",
)
SEEDS = (
    b"\x00" + REQUESTS,
    b"\x06" + REQUESTS,
    *(b"\x01" + answer for answer in ANSWERS),
    b"\x07" + ANSWERS[1],
)


def check(events: list[Event]) -> None:
    """What was read can be sent on."""
    for event in events:
        if isinstance(event, RequestReceived):
            request_octets(event.head, chunked=False, length=event.head.length)


def go_on(reader: Reader) -> None:
    """Read what is kept, or expect the next answer."""
    if isinstance(reader, ResponseReader):
        reader.expect(b"GET", b"")
        return
    while reader.phase is Phase.COMPLETE:
        check(reader.go_on())


def one_input(octets: bytes) -> None:
    """The first octet chooses the role (its lowest bit) and the cuts (the others)."""
    first = octets[0] if octets else 0
    reader: Reader = ResponseReader() if first & 1 else RequestReader()
    go_on(reader)
    step = (first >> 1) * 3 or len(octets)
    try:
        for at in range(1, len(octets), step):
            check(reader.receive(octets[at : at + step]))
            go_on(reader)
        reader.receive_end()
    except MeshError:
        pass
