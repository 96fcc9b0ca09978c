import pytest

from mesh.model.routes import HeaderChange, PathModifier, PathModifierKind, Redirect, Rewrite
from mesh.routing.http.entries import Matched
from mesh.routing.http.filters import (
    change_fields,
    change_request,
    host_of,
    modified,
    redirect,
    rewrite,
)
from mesh.wire.http.messages import RequestHead, values
from tests.mesh.routing.http.given import match, prefix, request, route, rule, table

FULL, PREFIX = PathModifierKind


def matched(asked: RequestHead, path: str = "/") -> Matched:
    found = table(route(rule("r", match(prefix(path))))).match(asked)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (HeaderChange(put=(("x-set", "new"),)), {}, {"x-set": ["new"]}),
        (HeaderChange(put=(("x-set", "new"),)), {"x_set": ["a", "b"]}, {"x-set": ["new"]}),
        (HeaderChange(add=(("x-add", "new"),)), {}, {"x-add": ["new"]}),
        (HeaderChange(add=(("x-add", "new"),)), {"x_add": "old"}, {"x-add": ["old,new"]}),
        (HeaderChange(add=(("x-add", "c"),)), {"x_add": ["a", "b"]}, {"x-add": ["a", "b,c"]}),
        (
            HeaderChange(remove=("x-gone",)),
            {"x_gone": ["a", "b"], "x_stays": "c"},
            {"x-stays": ["c"]},
        ),
        (HeaderChange(remove=("x-none",)), {"x_stays": "c"}, {"x-stays": ["c"]}),
        (
            HeaderChange((("x-set", "s"),), (("x-add", "a"), ("x-two", "t")), ("x-gone", "x-too")),
            {"x_set": "old", "x_gone": "g", "x_too": "t", "x_two": "one"},
            {"x-set": ["s"], "x-add": ["a"], "x-two": ["one,t"]},
        ),
        (
            HeaderChange(add=(("set-cookie", "b=2"),)),
            {"set_cookie": "a=1"},
            {"set-cookie": ["a=1", "b=2"]},
        ),
        (
            HeaderChange(
                (("content-length", "9"),), (("connection", "x"),), ("transfer-encoding",)
            ),
            {"x": "y"},
            {"x": ["y"]},
        ),
        (HeaderChange(put=(("x", "a\r\nevil: b\0"),)), {}, {"x": ["a  evil: b "]}),
        (HeaderChange(put=(("x", "é"),)), {}, {"x": ["é"]}),
        (HeaderChange(), {"x": "y"}, {"x": ["y"]}),
    ],
)
def test_fields_are_set_added_to_and_removed(
    change: HeaderChange, before: dict[str, str], after: dict[str, list[str]]
) -> None:
    for asked in (request(**before), request(**before)):
        change_request(change, asked)
        found = {
            name: [each.decode() for each in values(asked.fields, name.encode())]
            for name in {name.decode() for name, _ in asked.fields}
        }
        assert found == after
        assert asked.authority == b"web"


def test_a_route_does_not_say_who_calls_but_may_keep_it_to_itself() -> None:
    asked = request(forwarded="for=1.2.3.4")
    said = (("forwarded", "for=boss"), ("x-forwarded-client-cert", "URI=boss"))
    change_fields(HeaderChange(put=said, add=said), asked.fields)
    assert list(values(asked.fields, b"forwarded")) == [b"for=1.2.3.4"]
    assert list(values(asked.fields, b"x-forwarded-client-cert")) == []
    change_fields(HeaderChange(remove=("forwarded",)), asked.fields)
    assert list(values(asked.fields, b"forwarded")) == []


def test_a_change_of_host_is_the_authority() -> None:
    asked = request(host="web")
    change_request(HeaderChange(put=(("host", "other.example"),), remove=("host",)), asked)
    assert asked.authority == b"other.example"
    assert asked.fields == []


def test_a_response_has_no_host() -> None:
    fields = [(b"x", b"1")]
    change_fields(HeaderChange(put=(("host", "h"),), remove=("x",)), fields)
    assert fields == []


@pytest.mark.parametrize(
    ("scheme", "called", "asked", "location"),
    [
        # scheme and port of the call, what the route says, where it leads
        ("http", 80, Redirect(hostname="e.org"), "http://e.org/"),
        ("http", 80, Redirect(scheme="http", hostname="e.org"), "http://e.org/"),
        ("http", 80, Redirect(scheme="https", hostname="e.org"), "https://e.org/"),
        ("http", 80, Redirect(port=80, hostname="e.org"), "http://e.org/"),
        ("http", 80, Redirect(port=8080, hostname="e.org"), "http://e.org:8080/"),
        ("http", 80, Redirect(scheme="https", port=443, hostname="e.org"), "https://e.org/"),
        ("http", 80, Redirect(scheme="https", port=8443, hostname="e.org"), "https://e.org:8443/"),
        ("http", 8080, Redirect(hostname="e.org"), "http://e.org:8080/"),
        ("http", 8080, Redirect(scheme="http", hostname="e.org"), "http://e.org/"),
        ("http", 8080, Redirect(port=80, hostname="e.org"), "http://e.org/"),
        ("http", 8080, Redirect(scheme="https", hostname="e.org"), "https://e.org/"),
        ("http", 8080, Redirect(scheme="https", port=443, hostname="e.org"), "https://e.org/"),
        ("http", 8080, Redirect(scheme="https", port=80, hostname="e.org"), "https://e.org:80/"),
        ("https", 443, Redirect(hostname="e.org"), "https://e.org/"),
        ("https", 443, Redirect(scheme="https", hostname="e.org"), "https://e.org/"),
        ("https", 443, Redirect(port=443, hostname="e.org"), "https://e.org/"),
        ("https", 443, Redirect(port=8443, hostname="e.org"), "https://e.org:8443/"),
        ("https", 443, Redirect(scheme="http", hostname="e.org"), "http://e.org/"),
        ("https", 443, Redirect(scheme="http", port=80, hostname="e.org"), "http://e.org/"),
        ("https", 443, Redirect(scheme="http", port=8080, hostname="e.org"), "http://e.org:8080/"),
        ("https", 8443, Redirect(), "https://web:8443/"),
        ("http", 80, Redirect(scheme="HTTPS"), "https://web/"),
        ("http", 80, Redirect(scheme="ftp"), "ftp://web/"),
    ],
)
def test_a_redirect_says_a_port_only_where_it_does_not_go_without_saying(
    scheme: str, called: int, asked: Redirect, location: str
) -> None:
    head = request("/", host="web:9999")
    head.scheme = scheme.encode()
    answer = redirect(asked, head, matched(head), called)
    assert (answer.status, answer.length) == (302, 0)
    assert answer.fields == [(b"location", location.encode())]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_has_the_status_that_the_route_says(status: int) -> None:
    head = request("/a?x=1")
    answer = redirect(Redirect(status=status), head, matched(head), 80)
    assert answer.status == status
    assert answer.fields == [(b"location", b"http://web/a?x=1")]


def test_a_redirect_may_change_the_path_too() -> None:
    head = request("/original-prefix/lemon?x=1")
    found = matched(head, "/original-prefix")
    by_prefix = Redirect(path=PathModifier(PREFIX, "/replacement-prefix"))
    assert redirect(by_prefix, head, found, 80).fields == [
        (b"location", b"http://web/replacement-prefix/lemon?x=1")
    ]
    whole = Redirect(path=PathModifier(FULL, "/full"), hostname="e.org", status=301)
    assert redirect(whole, head, found, 80).fields == [(b"location", b"http://e.org/full?x=1")]


def test_a_redirect_of_a_request_without_host_stays_at_the_server() -> None:
    head = request("/a", host="")
    assert redirect(Redirect(), head, matched(head), 80).fields == [(b"location", b"/a")]
    head = request("/foo//evil.example", host="")
    away = Redirect(path=PathModifier(PREFIX, "/"))
    answer = redirect(away, head, matched(head, "/foo"), 80)
    assert answer.fields == [(b"location", b"/evil.example")]


@pytest.mark.parametrize(
    ("prefix_of", "value", "target", "result"),
    [
        ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz", "/foo", "/xyz"),
        ("/foo", "/xyz/", "/foo", "/xyz"),
        ("/foo", "/xyz", "/foo/", "/xyz/"),
        ("/foo/", "/xyz", "/foo", "/xyz"),
        ("/foo", "", "/foo/bar", "/bar"),
        ("/foo", "/", "/foo/bar", "/bar"),
        ("/foo", "", "/foo", "/"),
        ("/foo", "/", "/foo", "/"),
        ("/foo", "", "/foo/", "/"),
        ("/foo", "/", "/foo/", "/"),
        ("/foo", "/xyz", "/foo?a=/b", "/xyz?a=/b"),
        ("/foo", "/xyz", "/foo//bar", "/xyz//bar"),
        ("/", "/xyz", "/", "/xyz"),
        ("/", "/xyz", "/bar", "/xyz/bar"),
        ("/", "/", "/bar", "/bar"),
        ("/foo/bar", "/x/y/z", "/foo/bar/baz", "/x/y/z/baz"),
    ],
)
def test_a_prefix_is_replaced_by_elements(
    prefix_of: str, value: str, target: str, result: str
) -> None:
    head = request(target)
    rewrite(Rewrite(path=PathModifier(PREFIX, value)), head, matched(head, prefix_of))
    assert head.target == result.encode()


@pytest.mark.parametrize(
    ("value", "target", "result"),
    [
        ("/one", "/full/rewrite", "/one"),
        ("/one", "/x?a=b", "/one?a=b"),
        ("/one?c=d", "/x?a=b", "/one?c=d"),
        ("one", "/x", "/one"),
        ("", "/x", "/"),
        ("/a b\r\nx: é", "/x", "/a%20b%0D%0Ax:%20%C3%A9"),
    ],
)
def test_a_whole_path_is_replaced_and_the_query_stays(value: str, target: str, result: str) -> None:
    assert modified(target.encode(), PathModifier(FULL, value), 0) == result.encode()


def test_a_rewrite_may_change_the_host_alone() -> None:
    head = request("/a?b", host="rewrite.example:80")
    rewrite(Rewrite(hostname="one.example.org"), head, matched(head))
    assert (head.authority, head.target) == (b"one.example.org", b"/a?b")


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("web", "web"),
        ("web:80", "web"),
        ("web:", "web"),
        ("10.0.0.1:80", "10.0.0.1"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("", ""),
    ],
)
def test_a_host_is_an_authority_without_its_port(authority: str, host: str) -> None:
    assert host_of(authority.encode()) == host.encode()
