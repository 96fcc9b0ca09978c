"""Requests as HTTP/1.1 sends them: what is read, and everything that smuggles is refused."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.wire.http.messages import RequestHead
from mesh.wire.http1 import errors
from mesh.wire.http1.chunked import OVERHEAD_OCTETS
from mesh.wire.http1.events import ContentReceived, Event, MessageEnded, RequestReceived
from mesh.wire.http1.fields import MAX_FIELDS, MAX_HEAD_OCTETS, MAX_LINE_OCTETS
from mesh.wire.http1.reader import Phase
from mesh.wire.http1.reading import RequestReader

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


def head_of(octets: bytes) -> RequestHead:
    event = RequestReader().receive(octets)[0]
    assert isinstance(event, RequestReceived)
    return event.head


def feed(reader: RequestReader, octets: bytes, step: int) -> None:
    """Give so many octets at a time."""
    for at in range(0, len(octets), step):
        reader.receive(octets[at : at + step])


def plain(events: list[Event]) -> list[object]:
    """Events that can be compared; neighbouring pieces are one."""
    found: list[object] = []
    for event in events:
        match event:
            case ContentReceived(piece=piece):
                if found and isinstance(found[-1], bytes):
                    found[-1] += bytes(piece)
                else:
                    found.append(bytes(piece))
            case MessageEnded(trailers=trailers):
                found.append(("end", trailers))
            case _:
                found.append(event)
    return found


def read_all(reader: RequestReader, octets: bytes) -> list[Event]:
    """As a connection reads that answers at once."""
    events = reader.receive(octets)
    while reader.phase is Phase.COMPLETE:
        events = [*_kept(events), *reader.go_on()]
    return _kept(events)


def _kept(events: list[Event]) -> list[Event]:
    """Pieces are valid during a call only."""
    return [
        ContentReceived(memoryview(bytes(event.piece)))
        if isinstance(event, ContentReceived)
        else event
        for event in events
    ]


def test_a_head_has_what_belongs_to_the_message_and_nothing_else() -> None:
    head = head_of(
        b"GET /a?b=c HTTP/1.1\r\nHost: Shop.example:8080\r\nX-Env: canary \t\r\nCookie: a=b\r\n"
        b"Connection: keep-alive, X-Hop\r\nX-Hop: gone\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n"
        b"TE: trailers\r\nX-Env: two\r\n\r\n"
    )
    assert head == RequestHead(
        b"GET",
        b"/a?b=c",
        b"Shop.example:8080",
        [
            (b"x-env", b"canary"),
            (b"cookie", b"a=b"),
            (b"x-env", b"two"),
            (b"te", b"trailers"),
        ],
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"GET http://b/c?d HTTP/1.1", (b"/c?d", b"b", b"http")),
        (b"GET HTTP://b:80 HTTP/1.1", (b"/", b"b:80", b"http")),
        (b"GET https://b?c HTTP/1.1", (b"/?c", b"b", b"https")),
        (b"OPTIONS http://b HTTP/1.1", (b"*", b"b", b"http")),
        (b"OPTIONS * HTTP/1.1", (b"*", b"a", b"http")),
        (b"CONNECT b:443 HTTP/1.1", (b"", b"b:443", b"http")),
        (b"GET //b/c HTTP/1.1", (b"//b/c", b"a", b"http")),
        (b"GET /a|b{c}\"'<>^` HTTP/1.1", (b"/a|b{c}\"'<>^`", b"a", b"http")),
    ],
)
def test_the_target_has_four_forms_and_an_absolute_one_wins_over_host(
    line: bytes, expected: tuple[bytes, bytes, bytes]
) -> None:
    head = head_of(line + b"\r\nHost: a\r\n\r\n")
    assert (head.target, head.authority, head.scheme) == expected


@pytest.mark.parametrize("host", [b"a", b"a.b:1", b"[::1]:80", b"10.0.0.1", b"a_b-c", b"a:"])
def test_hosts(host: bytes) -> None:
    assert head_of(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").authority == host


@pytest.mark.parametrize(
    ("octets", "lives"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", False),
    ],
)
def test_whether_a_connection_lives_on(octets: bytes, *, lives: bool) -> None:
    reader = RequestReader()
    reader.receive(octets)
    assert reader.lives is lives


SMUGGLING = [
    # Which of two lengths is it?
    (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", errors.FramingError),
    (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", errors.FramingError),
    (POST + b"Content-Length: 1, 1\r\n\r\n", errors.FramingError),
    (POST + b"Content-Length: +1\r\n\r\n", errors.FramingError),
    (POST + b"Content-Length: -1\r\n\r\n", errors.FramingError),
    (POST + b"Content-Length: 0x1\r\n\r\n", errors.FramingError),
    (POST + b"Content-Length: 1 1\r\n\r\n", errors.FramingError),
    (POST + b"Content-Length: 1_0\r\n\r\n", errors.FramingError),
    (POST + b"Content-Length: \r\n\r\n", errors.FramingError),
    (POST + b"Content-Length: 18446744073709551616\r\n\r\n", errors.FramingError),
    # A length, or chunks?
    (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", errors.FramingError),
    (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", errors.FramingError),
    (POST + b"Content-Length: 0\r\nTransfer-Encoding: identity\r\n\r\n", errors.FramingError),
    # Chunks, or not?
    (POST + b"Transfer-Encoding: xchunked\r\n\r\n", errors.FramingError),
    (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n", errors.FramingError),
    (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n", errors.FramingError),
    (POST + b"Transfer-Encoding: identity, chunked\r\n\r\n", errors.CodingUnknownError),
    (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", errors.CodingUnknownError),
    (POST + b"Transfer-Encoding: identity\r\n\r\n", errors.FramingError),
    (POST + b'Transfer-Encoding: "chunked"\r\n\r\n', errors.FramingError),
    (POST + b"Transfer-Encoding: chunked;a=b\r\n\r\n", errors.FramingError),
    (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n", errors.HeadSyntaxError),
    (POST + b"Transfer-Encoding:\xa0chunked\r\n\r\n", errors.FramingError),
    (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", errors.FramingError),
    (POST + b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n", errors.Http1Error),
    (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n", errors.HeadSyntaxError),
    (POST + b"Transfer-Encoding : chunked\r\n\r\n", errors.HeadSyntaxError),
    (POST + b" Transfer-Encoding: chunked\r\n\r\n", errors.HeadSyntaxError),
    (POST + b"Transfer_Encoding\x00: chunked\r\n\r\n", errors.HeadSyntaxError),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", errors.FramingError),
    # Where does a line end?
    (b"GET / HTTP/1.1\nHost: a\n\n", errors.HeadSyntaxError),
    (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", errors.HeadSyntaxError),
    (b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", errors.HeadSyntaxError),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", errors.HeadSyntaxError),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\nX: y\r\n\r\n", errors.HeadSyntaxError),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", errors.HeadSyntaxError),
    (b"GET / HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    # Names and values.
    (b"GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", errors.HeadSyntaxError),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX(: z\r\n\r\n", errors.HeadSyntaxError),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\xff: z\r\n\r\n", errors.HeadSyntaxError),
    (b"GET / HTTP/1.1\r\nHost: a\r\n: z\r\n\r\n", errors.HeadSyntaxError),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", errors.HeadSyntaxError),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", errors.HeadSyntaxError),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", errors.HeadSyntaxError),
    # Which host?
    (b"GET / HTTP/1.1\r\n\r\n", errors.HostError),
    (b"GET http://a/ HTTP/1.1\r\n\r\n", errors.HostError),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", errors.HostError),
    (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", errors.HostError),
    (b"GET / HTTP/1.1\r\nHost: \r\n\r\n", errors.HostError),
    (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", errors.HostError),
    (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", errors.HostError),
    (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", errors.HostError),
    (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", errors.HostError),
    (b"GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n", errors.HostError),
    (b"GET http:///x HTTP/1.1\r\nHost: b\r\n\r\n", errors.Http1Error),
    # Request lines.
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b"GET /\r\n\r\n", errors.HeadSyntaxError),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", errors.MethodUnknownError),
    (b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", errors.MethodUnknownError),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", errors.VersionUnknownError),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", errors.VersionUnknownError),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", errors.VersionUnknownError),
    (b"GET / HTTP/11\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b"\r\n" * 9 + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", errors.HeadSyntaxError),
    (b"\x16\x03\x01\x02\x00", errors.HeadSyntaxError),
    # Limits.
    (POST + b"Expect: 100-continue, x\r\nContent-Length: 1\r\n\r\n", errors.ExpectationError),
    (
        POST + b"Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
        errors.ExpectationError,
    ),
    (
        b"GET / HTTP/1.1\r\n" + b"Host: a\r\n" + b"X: y\r\n" * MAX_FIELDS + b"\r\n",
        errors.HeadTooLargeError,
    ),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * MAX_HEAD_OCTETS + b"\r\n\r\n",
        errors.HeadTooLargeError,
    ),
    (
        b"GET /" + b"a" * MAX_LINE_OCTETS + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        errors.TargetTooLongError,
    ),
    (b"GET /" + b"a" * MAX_LINE_OCTETS * 2, errors.TargetTooLongError),
]


@pytest.mark.parametrize("step", [1 << 30, 1])
@pytest.mark.parametrize(("octets", "kind"), SMUGGLING, ids=lambda v: str(v)[:60])
def test_what_two_parsers_could_understand_differently_is_refused(
    octets: bytes, kind: type[errors.Http1Error], step: int
) -> None:
    if len(octets) > 1000:
        step = max(step, 997)
    reader = RequestReader()
    with pytest.raises(kind):
        feed(reader, octets, step)
    with pytest.raises(kind):
        reader.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (b"0\r\n\r\n", [("end", [])]),
        (b"3\r\nabc\r\n0\r\n\r\n", [b"abc", ("end", [])]),
        (b"0003\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", [b"abc0123456789", ("end", [])]),
        (b'3;a=b;c="d"\r\nabc\r\n0;e\r\n\r\n', [b"abc", ("end", [])]),
        (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", [b"\r\n\r\n", ("end", [])]),
        (
            b"3\r\nabc\r\n0\r\nX-Sum: 1 \r\nY:\r\n\r\n",
            [b"abc", ("end", [(b"x-sum", b"1"), (b"y", b"")])],
        ),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 5, 1 << 30])
def test_chunks(chunks: bytes, expected: list[object], step: int) -> None:
    reader = RequestReader()
    octets = CHUNKED + chunks
    events: list[Event] = []
    for at in range(0, len(octets), step):
        events += _kept(reader.receive(octets[at : at + step]))
    assert plain(events)[1:] == expected
    assert reader.phase is Phase.COMPLETE
    assert reader.kept == 0
    content = sum(len(piece) for piece in expected if isinstance(piece, bytes))
    assert reader.take_spent() == len(octets) - content


@pytest.mark.parametrize(
    "chunks",
    [
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1 \r\na\r\n",
        b"1_0\r\n",
        b"10000000000000000\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3\rabc\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3;a\nabc\r\n0\r\n\r\n",
        b"3;a\rb\r\nabc\r\n0\r\n\r\n",
        b"3;\0\r\nabc\r\n0\r\n\r\n",
        b'3;a="\r\n"\r\nabc\r\n0\r\n\r\n',
        b"0\r\n\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\nX: y\r\n z\r\n\r\n",
        b"0\r\nContent-Length: 3\r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nHost: b\r\n\r\n",
        b"0\r\nConnection: close\r\n\r\n",
    ],
)
@pytest.mark.parametrize("step", [1, 1 << 30])
def test_chunks_that_are_none(chunks: bytes, step: int) -> None:
    reader = RequestReader()
    reader.receive(CHUNKED)
    with pytest.raises(errors.BodySyntaxError):
        feed(reader, chunks, step)


@pytest.mark.parametrize(
    "chunks",
    [
        b"0" * (2 * OVERHEAD_OCTETS),
        b"1;" + b"a" * (2 * OVERHEAD_OCTETS),
        b"0\r\n" + b"a: b\r\n" * MAX_FIELDS + b"a: b\r\n\r\n",
        b"0\r\na: " + b"b" * (2 * OVERHEAD_OCTETS),
    ],
)
def test_what_is_no_content_is_limited(chunks: bytes) -> None:
    reader = RequestReader()
    reader.receive(CHUNKED)
    with pytest.raises(errors.HeadTooLargeError):
        feed(reader, chunks, 4096)


def test_tiny_chunks_are_honest() -> None:
    reader = RequestReader()
    events = reader.receive(CHUNKED + b"1\r\na\r\n" * 50_000 + b"0\r\n\r\n")
    assert len(events) == 50_002


def test_a_message_that_does_not_end_is_truncated() -> None:
    for octets in (b"GET", POST + b"Content-Length: 2\r\n\r\na", CHUNKED + b"1\r\na\r\n"):
        reader = RequestReader()
        reader.receive(octets)
        with pytest.raises(errors.TruncatedError):
            reader.receive_end()
    assert RequestReader().receive_end() == []


def test_empty_lines_in_front_are_skipped() -> None:
    reader = RequestReader()
    assert len(reader.receive(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")) == 1
    assert reader.take_spent() == 4 + 27


HEADS = st.sampled_from(
    (
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\r\nGET /b HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\n",
        POST + b"content-length: 0\r\n\r\n",
        POST + b"content-length: 5\r\n\r\n\r\n\r\nx",
        CHUNKED + b"3\r\nabc\r\n2;x\r\n\r\n\r\n0\r\n\r\n",
        CHUNKED + b"0\r\nx: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    )
)


@given(st.lists(HEADS, max_size=6).map(b"".join), st.lists(st.integers(0, 600), max_size=8))
def test_cuts_do_not_matter(octets: bytes, cuts: list[int]) -> None:
    whole = plain(read_all(RequestReader(), octets))
    reader, seen = RequestReader(), []
    places = sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})
    for start, end in pairwise(places):
        seen += read_all(reader, octets[start:end])
    assert plain(seen) == whole


@given(
    st.lists(st.one_of(HEADS, st.binary(max_size=30)), max_size=5).map(b"".join),
    st.integers(1, 40),
)
def test_garbage_raises_only_our_own_errors(octets: bytes, step: int) -> None:
    reader = RequestReader()
    try:
        for at in range(0, len(octets), step):
            read_all(reader, octets[at : at + step])
        reader.receive_end()
    except MeshError:
        pass
