"""Header lists to heads and back; what HTTP/2 carries is the same message in HTTP/1.1, or none."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.wire.http.messages import RequestHead, ResponseHead
from mesh.wire.http1.events import RequestReceived
from mesh.wire.http1.reading import RequestReader
from mesh.wire.http1.writing import request_octets
from mesh.wire.http2.events import Headers
from mesh.wire.http2.headers import content_length, request_fault
from mesh.wire.http2.heads import (
    RequestFaultError,
    read_request,
    read_response,
    request_headers,
    response_headers,
)

GET: Headers = (
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":path", b"/a?b"),
    (b":authority", b"a:80"),
)


def test_a_request_is_read_and_written() -> None:
    head = read_request(
        (*GET, (b"content-length", b"3"), (b"expect", b"100-continue"), (b"x-env", b"canary"))
    )
    assert head == RequestHead(
        b"GET",
        b"/a?b",
        b"a:80",
        [(b"x-env", b"canary")],
        scheme=b"https",
        length=3,
        expects_continue=True,
        version=20,
    )
    assert read_request(request_headers(head)) == head


def test_connect_has_an_authority_only() -> None:
    head = read_request(((b":method", b"CONNECT"), (b":authority", b"a:80")))
    assert (head.target, head.authority) == (b"", b"a:80")
    assert request_headers(head) == ((b":method", b"CONNECT"), (b":authority", b"a:80"))


@pytest.mark.parametrize(("status", "length"), [(200, 3), (204, None), (304, 7), (103, None)])
def test_a_response_is_read_and_written(status: int, length: int | None) -> None:
    head = ResponseHead(status, [(b"a", b"b")], length)
    assert read_response(response_headers(head)) == head


def test_a_length_that_may_not_be_there_is_not_written() -> None:
    assert response_headers(ResponseHead(204, [], 0)) == ((b":status", b"204"),)
    assert response_headers(ResponseHead(100, [], 0)) == ((b":status", b"100"),)


VALUES = st.one_of(
    st.sampled_from(
        (
            *(b"/", b"/a", b"/a b", b"/\r\nx: y", b"*", b"", b"a", b"a:80", b"a b", b"u@a"),
            *(b"GET", b"POST", b"CONNECT", b"G T", b"http", b"https", b"chunked", b"5", b"close"),
            *(b"/ HTTP/1.1\r\nhost: b", b"trailers", b"100-continue", b"\x01", b"\xff", b"a\tb"),
        )
    ),
    st.binary(max_size=8),
)
NAMES = st.sampled_from(
    (
        *(b":method", b":scheme", b":path", b":authority", b"host", b"cookie", b"content-length"),
        *(b"te", b"transfer-encoding", b"connection", b"expect", b"x", b"X", b"x y", b"x\n"),
    )
)
LISTS = st.builds(
    lambda base, more: (*base, *more),
    st.sampled_from(((), GET, GET[:3], GET[1:])),
    st.lists(st.tuples(NAMES, VALUES), max_size=5),
)


@given(LISTS)
def test_a_request_is_the_same_one_in_http_1_1_or_none(headers: Headers) -> None:
    if request_fault(headers, connect_protocol=False) or content_length(headers) is None:
        return  # the connection has refused it before
    try:
        head = read_request(headers)
        octets = request_octets(head, chunked=False, length=head.length)
        (event, *rest) = RequestReader().receive(octets)
    except MeshError:
        return
    assert isinstance(event, RequestReceived)
    again = event.head
    assert rest == []
    assert (again.method, again.target, again.authority, again.length) == (
        head.method,
        head.target,
        head.authority,
        head.length,
    )
    assert sorted(again.fields) == sorted((name, value) for name, value in head.fields)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6).map(tuple))
def test_garbage_raises_only_our_own_errors(headers: Headers) -> None:
    if request_fault(headers, connect_protocol=False) or content_length(headers) is None:
        return
    with suppress(RequestFaultError):
        read_request(headers)


@pytest.mark.parametrize("method", [b"get", b"Delete", b"pOST"])
def test_a_method_in_lower_case_is_none(method: bytes) -> None:
    with pytest.raises(RequestFaultError):
        read_request((
            (b":method", method), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a"),
        ))  # fmt: skip
