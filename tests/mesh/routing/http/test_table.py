import random
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.model.routes import (
    MethodMatch,
    PathMatchKind,
    RequestMatch,
    Route,
    RouteKind,
    RouteRule,
    ValueMatch,
    ValueMatchKind,
)
from mesh.routing.http.patterns import PatternInvalidError
from mesh.routing.http.table import RouteTable
from mesh.wire.http.messages import RequestHead
from tests.mesh.routing.http.given import (
    chosen,
    exact,
    grpc,
    match,
    prefix,
    regex,
    request,
    route,
    rule,
    table,
    values,
)
from tests.mesh.routing.http.naive import naive_match

REGEX = ValueMatchKind.REGEX

PREFIX_OR_HEADER = table(
    route(
        rule("v1", match(prefix("/")), match(version="one")),
        rule("v2", match(prefix("/v2")), match(version="two")),
    )
)


@pytest.mark.parametrize(
    ("target", "version", "name"),
    [
        ("/", None, "v1"),
        ("/example", None, "v1"),
        ("/", "one", "v1"),
        ("/v2", None, "v2"),
        ("/v2/", None, "v2"),
        ("/v2?x=1", None, "v2"),
        ("/v2/example", None, "v2"),
        ("/v2/example", "one", "v2"),
        ("/", "two", "v2"),
        ("/v2example", None, "v1"),
        ("/foo/v2/example", None, "v1"),
        ("/V2", None, "v1"),
    ],
)
def test_a_prefix_is_whole_elements_and_matches_are_alternatives(
    target: str, version: str | None, name: str
) -> None:
    asked = request(target, **({"version": version} if version else {}))
    assert chosen(PREFIX_OR_HEADER, asked) == name


EXACT_PATHS = table(route(rule("one", match(exact("/one"))), rule("two", match(exact("/two")))))


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/one", "one"),
        ("/two", "two"),
        ("/two?q", "two"),
        ("/", None),
        ("/one/example", None),
        ("/two/", None),
        ("/Two", None),
        ("//two", None),
    ],
)
def test_an_exact_path_is_the_whole_path_and_nothing_else_matches(
    target: str, name: str | None
) -> None:
    assert chosen(EXACT_PATHS, request(target)) == name


ORDER = (
    rule("p1", match(prefix("/match"))),
    rule("p2", match(prefix("/match/prefix"))),
    rule("p3", match(prefix("/match/prefix/one"))),
    rule("e1", match(exact("/match/exact"))),
    rule("e2", match(exact("/match/exact/one"))),
    rule("p4", match(prefix("/match/exact/"))),
    rule("x", match(regex("/(match|other)/[a-z]+"))),
    rule("any", match()),
)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/match/exact/one", "e2"),
        ("/match/exact", "e1"),
        ("/match/exact/", "p4"),
        ("/match/prefix/one", "p3"),
        ("/match/prefix/one/any", "p3"),
        ("/match/prefix/any", "p2"),
        ("/match/any", "p1"),
        ("/other/any", "x"),
        ("/other/any/more", "any"),
    ],
)
def test_exact_comes_before_the_longest_prefix_before_a_pattern_before_any(
    target: str, name: str, seed: int
) -> None:
    rules = list(ORDER)
    random.Random(seed).shuffle(rules)
    assert chosen(table(route(*rules)), request(target)) == name


HEADERS = table(
    route(
        rule("v1", match(version="one")),
        rule("v2", match(version="two")),
        rule("both", match(version="two", color="orange")),
        rule("cold", match(color="blue"), match(color="green")),
        rule("warm", match(color="red"), match(color="yellow")),
    )
)


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"version": "one"}, "v1"),
        ({"version": "two"}, "v2"),
        ({"version": "two", "color": "orange"}, "both"),
        ({"color": "blue"}, "cold"),
        ({"color": "green"}, "cold"),
        ({"color": "red"}, "warm"),
        ({"color": "yellow"}, "warm"),
        ({"color": "orange"}, None),
        ({"color": "Blue"}, None),
        ({"some": "thing"}, None),
        ({}, None),
        ({"version": ["one", "two"]}, None),
        ({"version": "one", "color": "blue"}, "v1"),
    ],
)
def test_headers_must_all_be_equal_and_the_match_with_most_of_them_wins(
    headers: dict[str, str], name: str | None
) -> None:
    assert chosen(HEADERS, request("/", **headers)) == name


METHODS = table(
    route(
        rule("post", match(method="POST")),
        rule("get", match(method="GET")),
        rule("path-get", match(prefix("/path1"), "GET")),
        rule("header-put", match(method="PUT", version="one")),
        rule("path-header-post", match(prefix("/path2"), "POST", version="two")),
        rule("path-patch", match(prefix("/path3"), "PATCH"), match(method="DELETE", version="3")),
        rule("path5", match(prefix("/path5"))),
        rule("patch", match(method="PATCH")),
        rule("version", match(version="four")),
    )
)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (request("/", "POST"), "post"),
        (request("/", "GET"), "get"),
        (request("/", "HEAD"), None),
        (request("/path1", "GET"), "path-get"),
        (request("/", "PUT", version="one"), "header-put"),
        (request("/path2", "POST", version="two"), "path-header-post"),
        (request("/path3", "PATCH"), "path-patch"),
        (request("/path4", "DELETE", version="3"), "path-patch"),
        (request("/path3", "DELETE"), None),
        (request("/path5", "PATCH"), "path5"),  # a prefix is before a method
        (request("/", "PATCH", version="four"), "patch"),  # a method is before a header
        (request("/", "get"), None),
    ],
)
def test_the_method_counts_after_the_path_and_before_headers(
    asked: RequestHead, name: str | None
) -> None:
    assert chosen(METHODS, asked) == name


QUERIES = table(
    route(
        rule("whale", match(query=values(animal="whale"))),
        rule("dolphin", match(query=values(animal="dolphin"))),
        rule("both", match(query=values(animal="dolphin", color="blue"))),
        rule("shark", match(query=values(ANIMAL="Whale"))),
        rule("path", match(prefix("/path1"), query=values(animal="whale"))),
        rule("header", match(query=values(animal="whale"), version="one")),
        rule("path-header", match(prefix("/path2"), query=values(animal="w"), version="two")),
        rule("either", match(prefix("/path3"), query=values(animal="shark")), match(version="5")),
        rule("path5", match(prefix("/path5"))),
        rule("spaced", match(query=values(name="a b&c"))),
        rule("like", match(query=values(REGEX, like="[a-c]+"))),
        rule("bare", match(query=values(bare=""))),
    )
)


@pytest.mark.parametrize(
    ("target", "headers", "name"),
    [
        ("/?animal=whale", {}, "whale"),
        ("/?animal=dolphin", {}, "dolphin"),
        ("/?animal=whale&animal=dolphin", {}, "whale"),
        ("/?animal=dolphin&color=blue", {}, "both"),
        ("/?color=blue&x&animal=dolphin", {}, "both"),
        ("/?animal=whale&otherparam=irrelevant", {}, "whale"),
        ("/?ANIMAL=Whale", {}, "shark"),
        ("/?Animal=whale", {}, None),
        ("/?animal=Whale", {}, None),
        ("/?animal=whal", {}, None),
        ("/?color=blue", {}, None),
        ("/?animal", {}, None),
        ("/?", {}, None),
        ("/", {}, None),
        ("/path1?animal=whale", {}, "path"),
        ("/?animal=whale", {"version": "one"}, "header"),
        ("/path2?animal=w", {"version": "two"}, "path-header"),
        ("/path3/x?animal=shark", {}, "either"),
        ("/path4", {"version": "5"}, "either"),
        ("/path3?animal=other", {}, None),
        ("/path5?animal=whale", {}, "path5"),  # a prefix is before parameters
        ("/?anim%61l=wh%61le", {}, "whale"),
        ("/?name=a+b%26c", {}, "spaced"),
        ("/?name=a%20b%26c", {}, "spaced"),
        ("/?name=a%2520b", {}, None),  # decoded once
        ("/?like=abc", {}, "like"),
        ("/?like=abcd", {}, None),
        ("/?bare", {}, "bare"),
        ("/?bare=", {}, "bare"),
        ("/?animal=whale%", {}, None),
    ],
)
def test_query_parameters_are_decoded_once_and_the_first_of_a_name_counts(
    target: str, headers: dict[str, str], name: str | None
) -> None:
    assert chosen(QUERIES, request(target, **headers)) == name


def test_repeated_headers_are_compared_joined() -> None:
    routes = table(
        route(
            rule("joined", match(version="one,two")),
            rule("like", RequestMatch(headers=values(REGEX, color="red,.*"))),
            rule("cookie", RequestMatch(headers=values(REGEX, cookie="(.*; )?beta=1(; .*)?"))),
        )
    )
    assert chosen(routes, request(version=["one", "two"])) == "joined"
    assert chosen(routes, request(color=["red", "blue"])) == "like"
    assert chosen(routes, request(cookie=["a=1", "beta=1"])) == "cookie"
    assert chosen(routes, request(color="red")) is None


def test_what_a_head_does_not_keep_among_its_fields_can_be_matched_all_the_same() -> None:
    routes = table(
        route(
            rule("host", match(host="echo:80")),
            rule("length", match(content_length="5")),
            rule("upgrade", match(upgrade="websocket")),
        )
    )
    asked = request(host="echo:80")
    assert chosen(routes, asked) == "host"
    asked = request(host="")
    asked.length = 5
    assert chosen(routes, asked) == "length"
    asked.length, asked.upgrade = None, b"websocket"
    assert chosen(routes, asked) == "upgrade"


def test_of_several_conditions_on_one_name_the_first_counts() -> None:
    twice = (
        ValueMatch("version", ValueMatchKind.EXACT, "one"),
        ValueMatch("version", ValueMatchKind.EXACT, "two"),
    )
    routes = table(
        route(
            rule("twice", RequestMatch(headers=twice, query=twice)),
            rule("two", match(version="one", color="red")),
        )
    )
    assert chosen(routes, request("/?version=one", version="one")) == "twice"
    both = request("/?version=one", version="one", color="red")
    assert chosen(routes, both) == "two"  # two headers are more than one told twice


def test_equal_matches_go_to_the_older_route_then_by_name_then_by_order() -> None:
    old = route(rule("old", match(prefix("/a"))), name="z", created=1)
    new = route(rule("new", match(prefix("/a"))), name="a", created=2)
    assert chosen(table(new, old), request("/a")) == "old"
    other = route(rule("other", match(prefix("/a"))), name="a", created=1, namespace="shoq")
    assert chosen(table(other, old), request("/a")) == "old"
    first = route(rule("first", match(prefix("/a"))), rule("second", match(prefix("/a/"))))
    assert chosen(table(first), request("/a")) == "first"


def test_precedence_is_by_match_not_by_rule_across_routes() -> None:
    """Of a rule with several matches, only the one that holds says how specific it is."""
    one = route(
        rule("one", match(prefix("/")), match(exact("/one")), match(version="two")), name="a"
    )
    two = route(rule("two", match(prefix("/v2")), match(prefix("/"), "GET")), name="b")
    routes = table(one, two)
    assert chosen(routes, request("/one")) == "one"
    assert chosen(routes, request("/v2")) == "two"
    assert chosen(routes, request("/other")) == "two"
    assert chosen(routes, request("/other", "POST")) == "one"
    assert chosen(routes, request("/v2", version="two")) == "two"


def test_a_match_tells_what_it_was_and_how_much_a_prefix_took() -> None:
    routes = table(route(rule("a", match(exact("/x"))), rule("b", match(prefix("/foo/")))))
    found = routes.match(request("/foo/bar"))
    assert found is not None
    assert (found.rule.name, found.rule_index, found.prefix) == ("b", 1, len("/foo"))
    assert found.match == match(prefix("/foo/"))
    assert found.route.name == "r"
    found = routes.match(request("/x"))
    assert found is not None
    assert found.prefix == 0


def test_a_route_without_matches_takes_everything_whatever_the_target() -> None:
    routes = table(route(rule("all")))
    for target in ("/", "*", "", "/a//b/", "/" * 5000):
        assert chosen(routes, request(target)) == "all"


PATTERNS = table(
    route(
        rule("users", match(regex("/v[0-9]+/users/[0-9]+"))),
        rule("user", match(regex("/v1/users/.*"))),
        rule("anything", match(regex(".*/wanted"))),
        rule("no path", match(regex("a/b"))),
    )
)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/v2/users/17", "users"),
        ("/v1/users/17", "users"),  # the longer text
        ("/v1/users/x", "user"),
        ("/v1/users/17/more", "user"),
        ("/v1/users", None),
        ("/a/wanted", "anything"),
        ("/a/wanted?x", "anything"),
        ("/v2/users/x", None),
    ],
)
def test_a_pattern_takes_the_whole_path_and_the_longer_text_comes_first(
    target: str, name: str | None
) -> None:
    assert chosen(PATTERNS, request(target)) == name


GRPC = table(
    route(
        rule("echo", grpc("pkg.Echo", "Echo")),
        rule("echo-red", grpc("pkg.Echo", "Echo", color="red")),
        rule("service", grpc("pkg.Echo")),
        rule("method", grpc("", "Ping")),
        rule(
            "pattern",
            RequestMatch(grpc=MethodMatch(PathMatchKind.REGEX, "pkg[.].*", "Get.*")),
        ),
        rule("blue", RequestMatch(headers=values(color="blue"))),
        kind=RouteKind.GRPC,
    )
)


@pytest.mark.parametrize(
    ("target", "color", "name"),
    [
        ("/pkg.Echo/Echo", None, "echo"),
        ("/pkg.Echo/Echo", "red", "echo-red"),
        ("/pkg.Echo/Echo", "blue", "echo"),
        ("/pkg.Echo/EchoTwo", None, "service"),
        ("/pkg.Echo/Ping", None, "service"),
        ("/pkg.Other/Ping", None, "method"),
        ("/pkg.Other/GetIt", None, "pattern"),
        ("/pkg.Other/PutIt", None, None),
        ("/pkg.Other/PutIt", "blue", "blue"),
        ("/pkg.echo/echo", None, None),
        ("/", None, None),
    ],
)
def test_grpc_methods_are_matched_by_service_then_method_then_headers(
    target: str, color: str | None, name: str | None
) -> None:
    asked = request(target, "POST", **({"color": color} if color else {}))
    assert chosen(GRPC, asked) == name


def test_a_routes_path_is_spelled_like_a_requests() -> None:
    routes = table(
        route(
            rule("café", match(prefix("/café"))),
            rule("admin", match(exact("/%61dmin"))),
            rule("never", match(prefix("/a b"))),
        )
    )
    found = routes.match(request("/caf%C3%A9/x"))
    assert found is not None
    assert (found.rule.name, found.prefix) == ("café", len("/caf%C3%A9"))
    assert chosen(routes, request("/admin")) == "admin"


def test_a_bad_pattern_changes_nothing() -> None:
    routes = table(route(rule("good", match(prefix("/a")))))
    with pytest.raises(PatternInvalidError):
        routes.put("shop/r", route(rule("new", match(prefix("/a"))), rule("x", match(regex("(")))))
    assert chosen(routes, request("/a")) == "good"


PATHS = st.sampled_from(["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/a//b", "/b", "/b/a"])
NAMES = st.sampled_from(["x", "y"])
VALUES = st.sampled_from(["1", "2"])
CONDITIONS = st.lists(
    st.builds(ValueMatch, NAMES, st.just(ValueMatchKind.EXACT), VALUES)
    | st.builds(ValueMatch, NAMES, st.just(REGEX), st.sampled_from(["1|2", "[12,]+", ".*"])),
    max_size=2,
).map(tuple)
PATH_MATCHES = (
    st.builds(exact, PATHS)
    | st.builds(prefix, PATHS.filter(lambda path: "//" not in path))
    | st.builds(regex, st.sampled_from(["/a.*", "/a/[bc]", ".*", "/a/b/.*|/a/b", "/a//b.*"]))
)
MATCHES = st.builds(
    RequestMatch,
    path=st.none() | PATH_MATCHES,
    headers=CONDITIONS,
    query=CONDITIONS,
    method=st.sampled_from(["", "GET", "POST"]),
)
METHOD_MATCHES = st.builds(
    RequestMatch,
    grpc=st.none()
    | st.builds(
        MethodMatch,
        st.just(PathMatchKind.EXACT),
        st.sampled_from(["", "a", "b"]),
        st.sampled_from(["", "a", "b"]),
    )
    | st.builds(
        MethodMatch,
        st.just(PathMatchKind.REGEX),
        st.sampled_from(["", "a|b", ".*"]),
        st.sampled_from(["", "[ab]", "b"]),
    ),
    headers=CONDITIONS,
)
REQUESTS = st.builds(
    lambda method, path, query, fields: RequestHead(
        method, f"{path}{query}".encode(), b"web", fields
    ),
    st.sampled_from([b"GET", b"POST"]),
    PATHS,
    st.sampled_from(["", "?", "?x=1", "?x=2&y=1", "?x=1&x=2", "?y=%31"]),
    st.lists(st.tuples(st.sampled_from([b"x", b"y"]), st.sampled_from([b"1", b"2"])), max_size=3),
)


def _routes(kind: RouteKind, matches: st.SearchStrategy[RequestMatch]) -> st.SearchStrategy[Route]:
    rules = st.builds(RouteRule, matches=st.lists(matches, max_size=3).map(tuple))
    return st.builds(
        lambda rules, created, namespace, name: route(
            *rules, kind=kind, created=created, namespace=namespace, name=name
        ),
        st.lists(rules, max_size=3),
        st.integers(0, 1),
        st.sampled_from(["m", "n"]),
        st.sampled_from(["r", "s", "t"]),
    )


def _agrees(routes: list[Route], built: RouteTable, asked: RequestHead) -> None:
    expected = naive_match(routes, asked)
    found = built.match(asked)
    got = None if found is None else (found.route, found.rule, found.match)
    assert got == expected


def _by_name(routes: list[Route]) -> list[Route]:
    return list({(each.namespace, each.name): each for each in routes}.values())


@pytest.mark.slow
@given(st.data(), st.sampled_from([RouteKind.HTTP, RouteKind.GRPC]))
def test_the_index_gives_what_sorting_every_match_gives(
    data: st.DataObject, kind: RouteKind
) -> None:
    matches = MATCHES if kind is RouteKind.HTTP else METHOD_MATCHES
    routes = _by_name(data.draw(st.lists(_routes(kind, matches), max_size=4)))
    built = table(*routes)
    for asked in data.draw(st.lists(REQUESTS, min_size=1, max_size=5)):
        _agrees(routes, built, asked)


@pytest.mark.slow
@given(
    st.lists(_routes(RouteKind.HTTP, MATCHES) | st.sampled_from(["m/r", "n/s"]), max_size=8),
    st.lists(REQUESTS, min_size=1, max_size=5),
)
def test_a_table_that_was_changed_is_like_one_that_was_built_anew(
    steps: list[Route | str], requests: list[RequestHead]
) -> None:
    held: dict[str, Route] = {}
    changed = RouteTable()
    for step in steps:
        if isinstance(step, str):
            held.pop(step, None)
            changed.remove(step)
        else:
            name = f"{step.namespace}/{step.name}"
            held[name] = step
            changed.put(name, step)
    assert len(changed) == len(held)
    for asked in requests:
        _agrees(list(held.values()), changed, asked)
    for name in held:
        changed.remove(name)
    assert not len(changed)
    assert all(changed.match(asked) is None for asked in requests)


def _many(count: int) -> RouteTable:
    return table(
        *(
            route(
                *(rule(f"{n}.{i}", match(prefix(f"/r{n}/{i}"), x=f"{n}")) for i in range(10)),
                name=f"r{n}",
            )
            for n in range(count)
        )
    )


def _calls(work: object) -> int:
    """How many functions, of Python and of C, some work calls."""
    count = 0

    def called(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    assert callable(work)
    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.slow
def test_a_change_and_a_request_cost_the_same_however_many_routes_there_are() -> None:
    few, many = _many(2), _many(1000)
    new = route(*(rule(f"n{i}", match(prefix(f"/r1/{i}"), x="1")) for i in range(10)), name="r1")
    asked = request("/r1/5/more", x="1")
    for work in (
        lambda routes: routes.match(asked),
        lambda routes: routes.put("shop/r1", new),
        lambda routes: routes.remove("shop/r1"),
    ):
        assert _calls(lambda: work(many)) == _calls(lambda: work(few))  # noqa: B023


@pytest.mark.slow
def test_routes_that_differ_in_a_header_only_cost_no_more_for_being_many() -> None:
    routes = table(
        *(route(rule(f"{n}", match(user=f"{n}", env="live")), name=f"r{n}") for n in range(1000))
    )
    asked = request("/", user="999", env="live")
    assert chosen(routes, asked) == "999"
    assert _calls(lambda: routes.match(asked)) < 40


@pytest.mark.slow
def test_a_route_of_a_thousand_is_changed_in_a_few_milliseconds() -> None:
    routes = _many(1000)
    new = route(*(rule(f"n{i}", match(prefix(f"/r1/{i}"))) for i in range(10)), name="r1")
    start = time.perf_counter()
    routes.put("shop/r1", new)
    assert time.perf_counter() - start < 0.05
    assert chosen(routes, request("/r1/5")) == "n5"


def test_a_path_of_many_elements_costs_no_more_than_the_deepest_route() -> None:
    routes = table(route(rule("a", match(prefix("/a/b")))))
    deep = request("/a" * 4000)
    assert _calls(lambda: routes.match(deep)) < 40
