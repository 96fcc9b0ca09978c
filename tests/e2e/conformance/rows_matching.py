"""Rows about which rule a request follows."""

from tests.e2e.conformance.row import (
    V1,
    V2,
    Case,
    Row,
    Shares,
    exact,
    header,
    prefix,
    query,
    route,
    rule,
    to,
)


def case(target: str, backend: str, **headers: str) -> Case:
    """A request that a backend answers; without one nobody does."""
    return Case(
        url=f"http://echo{target}",
        headers=headers,
        status=200 if backend else 404,
        backend=backend,
    )


BASIC = Row(name="MeshBasic", cases=(Case(backend="echo"),))

SIMPLE = Row(
    name="MeshHTTPRouteSimpleSameNamespace",
    routes=(route("simple", rule(to(V1))),),
    cases=(Case(backend=V1),),
)

SPLIT = Row(
    name="MeshTrafficSplit",
    routes=(
        route(
            "split",
            rule(to(V1), matches=[exact("/v1")]),
            rule(to(V2), matches=[exact("/v2")]),
        ),
    ),
    cases=(case("/v1", V1), case("/v2", V2), case("/v3", ""), case("/v1/", "")),
)

MATCHING = Row(
    name="MeshHTTPRouteMatching",
    routes=(
        route(
            "matching",
            rule(to(V1), matches=[prefix("/"), header("edition", "first")]),
            rule(to(V2), matches=[prefix("/v2"), header("edition", "second")]),
        ),
    ),
    cases=(
        case("/", V1),
        case("/book", V1),
        case("/", V1, Edition="first"),
        case("/v2", V2),
        case("/v2/", V2),
        case("/v2/book", V2),
        case("/", V2, Edition="second"),
        case("/v2book", V1),
        case("/shelf/v2/book", V1),
    ),
)

NAMED = Row(
    name="MeshHTTPRouteNamedRule",
    routes=(
        route(
            "named",
            rule(to(V1), matches=[prefix("/named")], name="with-a-name"),
            rule(to(V2), matches=[prefix("/unnamed")]),
        ),
    ),
    cases=(case("/named", V1), case("/unnamed", V2)),
)

QUERY = Row(
    name="MeshHTTPRouteQueryParamMatching",
    routes=(
        route(
            "query",
            rule(to(V1), matches=[query(fruit="apple")]),
            rule(to(V2), matches=[query(fruit="pear"), query(fruit="pear", colour="green")]),
            rule(
                to(V1),
                matches=[
                    prefix("/orchard") | query(fruit="apple"),
                    prefix("/cellar") | query(fruit="plum"),
                    prefix("/attic") | query(fruit="fig") | header("season", "autumn"),
                ],
            ),
            rule(to(V2), matches=[query(fruit="apple") | header("season", "spring")]),
            rule(to(V1), matches=[prefix("/market")]),
            rule(to(V2), matches=[query(fruit="grape")]),
        ),
    ),
    cases=(
        case("/?fruit=apple", V1),
        case("/?fruit=pear", V2),
        case("/?fruit=apple&other=thing", V1),
        case("/?fruit=pear&colour=green", V2),
        case("/?colour=green", ""),
        case("/?fruit=cherry", ""),
        case("/?fruit=applepear", ""),
        case("/", ""),
        case("/orchard?fruit=apple", V1),
        case("/?fruit=apple", V2, season="spring"),
        case("/cellar?fruit=plum", V1),
        case("/attic?fruit=fig", V1, season="autumn"),
        case("/?fruit=plum", ""),
        case("/attic?fruit=fig", ""),
        case("/market?fruit=grape", V1),
    ),
)

WEIGHT = Row(
    name="MeshHTTPRouteWeight",
    routes=(route("weight", rule(to(V1, weight=70), to(V2, weight=30))),),
    shares=(Shares(url="http://echo/", shares={V1: 0.7, V2: 0.3}),),
)

ROWS = (BASIC, SIMPLE, SPLIT, MATCHING, NAMED, QUERY, WEIGHT)
