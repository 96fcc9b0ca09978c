"""What filters give back is checked as a stranger's message is."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.wire.http.messages import Fields, RequestHead, ResponseHead
from mesh.wire.http1.fields import request_fields, response_fields
from mesh.wire.http1.targets import read_target
from mesh.wire.http1.writing import request_octets, response_octets
from mesh.wire.pack import Packed
from waypoint.filters.failures import FilterFailedError
from waypoint.filters.given import (
    MAX_CHANGED_OCTETS,
    Reply,
    shown,
    take_piece,
    take_request,
    take_response,
)

FORWARDED = (b"forwarded", b'for=10.0.0.1;identity="spiffe://td/ns/a/sa/b"')


def asked(method: bytes = b"GET", fields: Fields | None = None) -> RequestHead:
    return RequestHead(method, b"/", b"shop", list(fields or []))


def test_a_filters_head_takes_the_place_of_the_requests() -> None:
    head = asked(fields=[(b"x-old", b"1")])
    results = ("POST", "/new?x=1", "other:8080", (("X-New", " 2 "), ("x-new", "3")), None)
    assert take_request(results, head) is None
    assert head == RequestHead(
        b"POST", b"/new?x=1", b"other:8080", [(b"x-new", b"2"), (b"x-new", b"3")]
    )


def test_filters_see_no_field_of_the_connection_and_set_none() -> None:
    head = asked(fields=[(b"te", b"trailers"), (b"x-a", b"1")])
    assert shown(head.fields) == (("x-a", "1"),)
    own = (("transfer-encoding", "chunked"), ("Content-Length", "9"), ("connection", "x-a"))
    take_request(("GET", "/", "shop", (*own, ("host", "evil"), ("te", "gzip")), None), head)
    assert head.fields == [(b"te", b"trailers")]
    assert head.authority == b"shop"


def test_who_called_is_shown_to_filters_and_not_theirs_to_say() -> None:
    head = asked(fields=[FORWARDED])
    assert shown(head.fields) == (tuple(each.decode() for each in FORWARDED),)
    lies = (("forwarded", "for=boss"), ("x-forwarded-client-cert", "URI=spiffe://boss"))
    take_request(("GET", "/", "shop", lies, None), head)
    assert head.fields == [FORWARDED]


@pytest.mark.parametrize(
    "results",
    [
        (),
        ("GET", "/", "shop", (), None, None),
        ("GET", "/", "shop", None, None),
        (1, "/", "shop", (), None),
        ("", "/", "shop", (), None),
        ("GET /x", "/", "shop", (), None),
        ("CONNECT", "/", "shop", (), None),
        ("HEAD", "/", "shop", (), None),
        ("head", "/", "shop", (), None),
        ("GET", "", "shop", (), None),
        ("GET", "*", "shop", (), None),
        ("GET", "no-slash", "shop", (), None),
        ("GET", "http://evil/", "shop", (), None),
        ("GET", "/a b", "shop", (), None),
        ("GET", "/a\r\nx: y", "shop", (), None),
        ("GET", "/a\u010a", "shop", (), None),
        ("GET", "/a#b", "shop", (), None),
        ("GET", "/", "", (), None),
        ("GET", "/", "user@shop", (), None),
        ("GET", "/", "shop/x", (), None),
        ("GET", "/" + "x" * 17_000, "shop", (), None),
        ("GET", "/", "shop", (("x",),), None),
        ("GET", "/", "shop", (("x", 1),), None),
        ("GET", "/", "shop", ((":path", "/evil"),), None),
        ("GET", "/", "shop", (("x y", "1"),), None),
        ("GET", "/", "shop", (("", "1"),), None),
        ("GET", "/", "shop", (("x\u0131", "1"),), None),
        ("GET", "/", "shop", (("x", "1\r\ny: 2"),), None),
        ("GET", "/", "shop", (("x", "1\0"),), None),
        ("GET", "/", "shop", (("x", "\u2713"),), None),
        ("GET", "/", "shop", (("x", "1"),) * 101, None),
        ("GET", "/", "shop", (("x", "1" * 62_000),), None),
        ("GET", "/", "shop", (), (200, ())),
        ("GET", "/", "shop", (), (100, (), b"")),
        ("GET", "/", "shop", (), (600, (), b"")),
        ("GET", "/", "shop", (), (True, (), b"")),
        ("GET", "/", "shop", (), (204, (), b"content")),
        ("GET", "/", "shop", (), (200, (("x", "\n"),), b"")),
    ],
    ids=lambda results: repr(results)[:60],
)
def test_a_wrong_head_fails_and_changes_nothing(results: tuple[Packed, ...]) -> None:
    head = asked(fields=[(b"x-old", b"1")])
    with pytest.raises(FilterFailedError):
        take_request(results, head)
    assert head == asked(fields=[(b"x-old", b"1")])


def test_a_request_of_head_stays_one() -> None:
    with pytest.raises(FilterFailedError):
        take_request(("GET", "/", "shop", (), None), asked(b"HEAD"))
    assert take_request(("HEAD", "/x", "shop", (), None), asked(b"HEAD")) is None


def test_an_answer_of_the_filters_own_is_without_framing() -> None:
    answer = (418, (("x-a", "1"), ("content-length", "99")), b"short")
    reply = take_request(("GET", "/", "shop", (), answer), asked())
    assert reply == Reply(418, [(b"x-a", b"1")], b"short")


def test_an_answers_head_is_changed() -> None:
    head = ResponseHead(200, [(b"x-old", b"1"), (b"trailer", b"x-sum")])
    take_response((503, (("X-New", "2"), ("trailer", "evil"))), head)
    assert head == ResponseHead(503, [(b"trailer", b"x-sum"), (b"x-new", b"2")])


@pytest.mark.parametrize(
    ("before", "results"),
    [
        (200, (204, ())),
        (304, (200, ())),
        (204, (304, ())),
        (200, (101, ())),
        (200, (True, ())),
        (200, ("200", ())),
        (200, (200, (("a:b", "1"),))),
        (200, (200,)),
    ],
)
def test_a_wrong_answers_head_fails_and_changes_nothing(
    before: int, results: tuple[Packed, ...]
) -> None:
    head = ResponseHead(before)
    with pytest.raises(FilterFailedError):
        take_response(results, head)
    assert head == ResponseHead(before)


@pytest.mark.parametrize("results", [(), ("text",), (b"a", b"b"), (bytes(MAX_CHANGED_OCTETS + 1),)])
def test_a_piece_is_octets_and_not_too_many(results: tuple[Packed, ...]) -> None:
    assert take_piece((b"abc",)) == b"abc"
    with pytest.raises(FilterFailedError):
        take_piece(results)


NEAR_HTTP = st.text(st.sampled_from(" \t\r\n\0\x7f:/?#*@,;[]aAzZ09\u00e9\u0131\u2713"), max_size=6)
PAIRS = st.lists(st.tuples(NEAR_HTTP, NEAR_HTTP), max_size=3).map(tuple)


@given(NEAR_HTTP, NEAR_HTTP, NEAR_HTTP, PAIRS)
def test_whatever_is_let_through_is_read_back_as_one_request(
    method: str, target: str, authority: str, pairs: tuple[tuple[str, str], ...]
) -> None:
    head = asked(b"GET")
    with suppress(FilterFailedError):
        take_request((method or "GET", "/" + target, authority or "shop", pairs, None), head)
        head.method = b"GET"  # the library knows the registered methods only
        octets = request_octets(head, chunked=False, length=None)
        raw, _, _ = request_fields(octets)
        assert raw.fields == head.fields
        assert raw.own == [(b"host", head.authority)]
        assert read_target(raw.target, b"GET", head.authority)[0] == head.target


@given(st.integers(-1, 700), PAIRS)
def test_whatever_is_let_through_is_read_back_as_one_answer(
    status: int, pairs: tuple[tuple[str, str], ...]
) -> None:
    head = ResponseHead(200)
    with suppress(FilterFailedError):
        take_response((status, pairs), head)
        octets = response_octets(head, chunked=False, length=0, connection=b"")
        raw, read, _ = response_fields(octets)
        assert (raw.fields, read) == (head.fields, head.status)


PACKED = st.recursive(
    st.none() | st.booleans() | st.integers(0, 999) | st.binary(max_size=4) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=5).map(tuple),
)


@given(st.lists(PACKED, max_size=6).map(tuple))
def test_garbage_only_fails(results: tuple[Packed, ...]) -> None:
    for take in (
        lambda: take_request(results, asked()),
        lambda: take_response(results, ResponseHead(200)),
        lambda: take_piece(results),
    ):
        with suppress(FilterFailedError):
            take()
