"""What routes say of matches, filters, timeouts, retries and sessions, field by field."""

from collections.abc import Mapping

import pytest

from mesh.model.routes import (
    Cors,
    Filters,
    HeaderChange,
    MethodMatch,
    PathMatch,
    PathMatchKind,
    PathModifier,
    PathModifierKind,
    Redirect,
    RequestMatch,
    Retry,
    Rewrite,
    Session,
    ValueMatch,
    ValueMatchKind,
)
from tests.controlplane.translate.routing import conditions, routes, rule, translated, with_rules

E, R = ValueMatchKind.EXACT, ValueMatchKind.REGEX


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, RequestMatch()),
        ({"path": {"value": "/a"}}, RequestMatch(path=PathMatch(PathMatchKind.PREFIX, "/a"))),
        (
            {"path": {"type": "Exact", "value": "/a/"}},
            RequestMatch(path=PathMatch(PathMatchKind.EXACT, "/a/")),
        ),
        (
            {"path": {"type": "Exact", "value": "/%c3%a9%41"}},
            RequestMatch(path=PathMatch(PathMatchKind.EXACT, "/%C3%A9A")),
        ),
        (
            {"path": {"type": "RegularExpression", "value": "/[a-z]+"}},
            RequestMatch(path=PathMatch(PathMatchKind.REGEX, "/[a-z]+")),
        ),
        ({"method": "PATCH"}, RequestMatch(method="PATCH")),
        (
            {"headers": [{"name": "X-One", "value": "1"}, {"name": "x-one", "value": "2"}]},
            RequestMatch(headers=(ValueMatch("x-one", E, "1"),)),
        ),
        (
            {"headers": [{"name": "a", "type": "RegularExpression", "value": "x+"}]},
            RequestMatch(headers=(ValueMatch("a", R, "x+"),)),
        ),
        (
            {"queryParams": [{"name": "Q", "value": "1"}, {"name": "q", "value": "2"}]},
            RequestMatch(query=(ValueMatch("Q", E, "1"), ValueMatch("q", E, "2"))),
        ),
    ],
)  # fmt: skip
def test_matches_of_http(match: dict[str, object], expected: RequestMatch) -> None:
    assert rule({"matches": [match]}).matches == (expected,)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, RequestMatch()),
        (
            {"method": {"service": "a.B", "method": "C"}},
            RequestMatch(grpc=MethodMatch(PathMatchKind.EXACT, "a.B", "C")),
        ),
        (
            {"method": {"method": "C"}},
            RequestMatch(grpc=MethodMatch(PathMatchKind.EXACT, "", "C")),
        ),
        (
            {"method": {"type": "RegularExpression", "service": "a.*"}},
            RequestMatch(grpc=MethodMatch(PathMatchKind.REGEX, "a.*", "")),
        ),
        (
            {"headers": [{"name": "V", "value": "1"}]},
            RequestMatch(headers=(ValueMatch("v", E, "1"),)),
        ),
    ],
)
def test_matches_of_grpc(match: dict[str, object], expected: RequestMatch) -> None:
    assert rule({"matches": [match]}, "GRPCRoute").matches == (expected,)


def modifier(**change: object) -> dict[str, object]:
    return {"type": "RequestHeaderModifier", "requestHeaderModifier": change}


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (
            [modifier(set=[{"name": "A", "value": "1"}], add=[{"name": "B", "value": "2"}],
                      remove=["C"])],
            Filters(request_headers=HeaderChange((("a", "1"),), (("b", "2"),), ("c",))),
        ),
        (
            [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["X"]}}],
            Filters(response_headers=HeaderChange(remove=("x",))),
        ),
        ([{"type": "RequestRedirect", "requestRedirect": {}}], Filters(redirect=Redirect())),
        (
            [{"type": "RequestRedirect", "requestRedirect": {
                "scheme": "https", "hostname": "Shop.Example", "port": 8443, "statusCode": 308,
                "path": {"type": "ReplaceFullPath", "replaceFullPath": "/new"}}}],
            Filters(redirect=Redirect(
                scheme="https", hostname="shop.example", port=8443, status=308,
                path=PathModifier(PathModifierKind.FULL, "/new"))),
        ),
        (
            [{"type": "URLRewrite", "urlRewrite": {"hostname": "a.b", "path": {
                "type": "ReplacePrefixMatch", "replacePrefixMatch": ""}}}],
            Filters(rewrite=Rewrite("a.b", PathModifier(PathModifierKind.PREFIX, ""))),
        ),
        (
            [{"type": "CORS", "cors": {
                "allowOrigins": ["https://Shop.Example:443", "https://*.x.example", "*"],
                "allowMethods": ["GET"], "allowHeaders": ["*"], "exposeHeaders": ["X-A"],
                "allowCredentials": True, "maxAge": 60}}],
            Filters(cors=Cors(
                origins=("https://shop.example", "https://*.x.example", "*"), methods=("GET",),
                headers=("*",), expose=("x-a",), credentials=True, max_age_s=60)),
        ),
        ([{"type": "CORS", "cors": {}}], Filters(cors=Cors(max_age_s=5))),
    ],
)  # fmt: skip
def test_filters(listed: list[object], expected: Filters) -> None:
    assert rule({"filters": listed}).filters == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (None, None)),
        ({"request": "1m30s", "backendRequest": "1h"}, None),
        ({"request": "1m30s", "backendRequest": "500ms"}, (90.0, 0.5)),
        ({"request": "0s", "backendRequest": "3s"}, (0.0, 3.0)),
        ({"request": "3s", "backendRequest": "0s"}, (3.0, 0.0)),
    ],
)
def test_timeouts(
    fields: dict[str, str], expected: tuple[float | None, float | None] | None
) -> None:
    found = routes(translated(with_rules("HTTPRoute", {"timeouts": fields})))
    times = [(only.request_s, only.attempt_s) for route in found for only in route.rules]
    assert times == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Retry(2, (), 0.025)),
        ({"codes": [500, 503], "attempts": 5, "backoff": "1s"}, Retry(5, (500, 503), 1.0)),
        ({"attempts": 0}, Retry(0, (), 0.025)),
    ],
)
def test_retries(fields: dict[str, object], expected: Retry) -> None:
    assert rule({"retry": fields}).retry == expected
    assert rule({}).retry is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sessionName": "s"}, Session(in_cookie=True, name="s")),
        ({"type": "Header", "sessionName": "X-S"}, Session(in_cookie=False, name="x-s")),
        (
            {"sessionName": "s", "absoluteTimeout": "1h", "idleTimeout": "5m",
             "cookieConfig": {"lifetimeType": "Permanent", "path": "/shop"}},
            Session(in_cookie=True, name="s", path="/shop", lasts_s=3600.0, idle_s=300.0),
        ),
    ],
)  # fmt: skip
def test_sessions(fields: dict[str, object], expected: Session) -> None:
    assert rule({"sessionPersistence": fields}).session == expected


def test_sessions_without_a_name_are_not_shared_by_rules() -> None:
    [route] = routes(
        translated(with_rules("HTTPRoute", *[{"sessionPersistence": {}} for _ in range(2)]))
    )
    names = {only.session.name for only in route.rules if only.session is not None}
    assert len(names) == 2


def test_a_rule_keeps_its_name_and_a_route_without_rules_takes_everything() -> None:
    assert rule({"name": "first"}).name == "first"
    [route] = routes(translated(with_rules("HTTPRoute")))
    assert [only.matches for only in route.rules] == [()]


PREFIX = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/x"}
REWRITE = {"type": "URLRewrite", "urlRewrite": {"path": PREFIX}}
REDIRECT: Mapping[str, object] = {"type": "RequestRedirect", "requestRedirect": {}}
MIRROR = {"name": "web", "port": 80}


@pytest.mark.parametrize(
    "bad",
    [
        {"matches": [{"path": {"type": "Glob", "value": "/"}}]},
        {"matches": [{"path": {"value": "a"}}]},
        {"matches": [{"path": {"value": "/a//b"}}]},
        {"matches": [{"path": {"value": "/a/../b"}}]},
        {"matches": [{"path": {"value": "/a/.."}}]},
        {"matches": [{"path": {"value": "/a%2Fb"}}]},
        {"matches": [{"path": {"value": "/a#b"}}]},
        {"matches": [{"path": {"value": "/" + "a" * 1024}}]},
        {"matches": [{"path": {"type": "RegularExpression", "value": "(?=a)"}}]},
        {"matches": [{"path": {"type": "RegularExpression", "value": "("}}]},
        {"matches": [{"path": 7}]},
        {"matches": [{"method": "BREW"}]},
        {"matches": [{"headers": [{"name": "a b", "value": "1"}]}]},
        {"matches": [{"headers": [{"name": "a", "value": ""}]}]},
        {"matches": [{"headers": [{"name": "a", "type": "Fuzzy", "value": "1"}]}]},
        {"matches": [{"headers": [{"name": "a", "type": "RegularExpression", "value": "["}]}]},
        {"matches": [{"queryParams": [{"name": "", "value": "1"}]}]},
        {"filters": [{"type": "Teleport"}]},
        {"filters": [{"type": "URLRewrite"}]},
        {"filters": [modifier(set=[{"name": "A", "value": "1\n2"}])]},
        {"filters": [modifier(set=[{"name": "Content-Length", "value": "1"}])]},
        {"filters": [modifier(set=[{"name": "Host", "value": "a"}])]},
        {"filters": [modifier(set=[{"name": "A", "value": "1"}], remove=["a"])]},
        {"filters": [{"type": "RequestRedirect", "requestRedirect": {"statusCode": 200}}]},
        {"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "ftp"}}]},
        {"filters": [{"type": "RequestRedirect", "requestRedirect": {"port": 0}}]},
        {"filters": [{"type": "RequestRedirect", "requestRedirect": {"hostname": "*.a"}}]},
        {"filters": [{"type": "URLRewrite", "urlRewrite": {"path": {"type": "Other"}}}]},
        {"filters": [{"type": "URLRewrite", "urlRewrite": {"path": {
            "type": "ReplaceFullPath", "replacePrefixMatch": "/"}}}]},
        {"filters": [{"type": "CORS", "cors": {"allowOrigins": ["shop"]}}]},
        {"filters": [{"type": "CORS", "cors": {"allowMethods": ["GET", "*"]}}]},
        {"filters": [{"type": "CORS", "cors": {"maxAge": 0}}]},
        {"filters": [{"type": "RequestMirror", "requestMirror": {
            "backendRef": MIRROR, "percent": 101}}]},
        {"filters": [{"type": "RequestMirror", "requestMirror": {
            "backendRef": MIRROR, "percent": 1, "fraction": {"numerator": 1}}}]},
        {"filters": [{"type": "RequestMirror", "requestMirror": {
            "backendRef": MIRROR, "fraction": {"numerator": 3, "denominator": 2}}}]},
        {"filters": [{"type": "ExternalAuth", "externalAuth": {
            "protocol": "SMTP", "backendRef": MIRROR}}]},
        {"timeouts": {"request": "1 s"}},
        {"timeouts": {"request": "1.5s"}},
        {"timeouts": {"request": "1s", "backendRequest": "2s"}},
        {"retry": {"codes": [200]}},
        {"retry": {"attempts": -1}},
        {"sessionPersistence": {"type": "Query"}},
        {"sessionPersistence": {"cookieConfig": {"lifetimeType": "Permanent"}}},
        {"backendRefs": [{"name": "web", "port": 80, "weight": 1_000_001}]},
        {"backendRefs": [{"name": "web", "port": 80, "weight": -1}]},
        {"backendRefs": [{"port": 80}]},
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_drops_its_rule_and_no_other(bad: Mapping[str, object]) -> None:
    alone = translated(with_rules("HTTPRoute", bad))
    assert routes(alone) == []
    assert conditions(alone)["Accepted"] == ("False", "UnsupportedValue")
    assert "PartiallyInvalid" not in conditions(alone)

    beside = translated(with_rules("HTTPRoute", {"name": "good"}, bad))
    assert [only.name for route in routes(beside) for only in route.rules] == ["good"]
    assert conditions(beside)["Accepted"] == ("True", "Accepted")
    assert conditions(beside)["PartiallyInvalid"] == ("True", "UnsupportedValue")


@pytest.mark.parametrize(
    "bad",
    [
        {"filters": [REDIRECT, {"type": "URLRewrite", "urlRewrite": {"hostname": "a"}}]},
        {"filters": [REDIRECT, REDIRECT]},
        {"filters": [modifier(remove=["a"]), modifier(remove=["b"])]},
        {"filters": [REDIRECT], "backendRefs": [{"name": "web", "port": 80}]},
        {"filters": [REWRITE], "matches": [{"path": {"type": "Exact", "value": "/a"}}]},
        {"filters": [REWRITE], "matches": [{}, {"path": {"value": "/a"}}]},
        {"backendRefs": [{"name": "web", "port": 80, "filters": [REWRITE]}],
         "matches": [{}, {}]},
    ],
)  # fmt: skip
def test_filters_that_cannot_be_together_are_not_accepted(bad: Mapping[str, object]) -> None:
    found = translated(with_rules("HTTPRoute", bad))
    assert routes(found) == []
    assert conditions(found)["Accepted"] == ("False", "IncompatibleFilters")


def test_a_prefix_is_replaced_where_the_only_match_is_one() -> None:
    assert rule({"filters": [REWRITE], "matches": [{"path": {"value": "/a"}}]}).filters.rewrite
    assert rule({"filters": [REWRITE], "matches": [{}]}).filters.rewrite
    assert rule({"filters": [REWRITE]}).filters.rewrite


@pytest.mark.parametrize("kind", ["CORS", "RequestRedirect", "URLRewrite", "ExternalAuth"])
def test_grpc_routes_have_fewer_filters(kind: str) -> None:
    found = translated(with_rules("GRPCRoute", {"filters": [{"type": kind}]}))
    assert conditions(found, "GRPCRoute")["Accepted"] == ("False", "UnsupportedValue")


@pytest.mark.parametrize(
    ("method", "is_good"),
    [
        ({"service": "a b"}, False),
        ({"method": "a/b"}, False),
        ({}, False),
        ({"service": "A"}, True),
    ],
)
def test_grpc_methods_are_names(method: dict[str, str], is_good: bool) -> None:
    found = translated(with_rules("GRPCRoute", {"matches": [{"method": method}]}))
    assert bool(routes(found)) == is_good


@pytest.mark.parametrize(
    ("kind", "spec", "hostnames"),
    [
        ("TLSRoute", {"hostnames": ["A.example", "*.b.example"]}, ("a.example", "*.b.example")),
        ("TLSRoute", {}, None),
        ("TLSRoute", {"hostnames": ["a..b"]}, None),
        ("TCPRoute", {}, ()),
        ("HTTPRoute", {"hostnames": ["shop.example"]}, ()),
    ],
)
def test_hostnames_are_server_names_and_mean_nothing_else(
    kind: str, spec: dict[str, object], hostnames: tuple[str, ...] | None
) -> None:
    backends = {"backendRefs": [{"name": "web-v2", "port": 80}]}
    found = routes(translated(with_rules(kind, backends, **spec)))
    assert [route.hostnames for route in found] == ([] if hostnames is None else [hostnames])


@pytest.mark.parametrize("kind", ["TLSRoute", "TCPRoute"])
def test_routes_of_connections_have_one_rule(kind: str) -> None:
    two = translated(with_rules(kind, {}, {}, hostnames=["a.example"]))
    assert conditions(two, kind)["Accepted"] == ("False", "UnsupportedValue")
