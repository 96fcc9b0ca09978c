"""Rows about what is changed on the way to the backend."""

from tests.e2e.conformance.row import V1, Case, Json, Row, exact, prefix, route, rule, to


def listed(values: dict[str, str]) -> list[Json]:
    return [{"name": name, "value": value} for name, value in values.items()]


def modifier(
    *,
    sets: dict[str, str] | None = None,
    adds: dict[str, str] | None = None,
    removes: tuple[str, ...] = (),
) -> dict[str, Json]:
    """A filter of requests' headers."""
    parts: dict[str, Json] = {
        "set": listed(sets or {}),
        "add": listed(adds or {}),
        "remove": list(removes),
    }
    return {
        "type": "RequestHeaderModifier",
        "requestHeaderModifier": {key: value for key, value in parts.items() if value},
    }


FILTERS: dict[str, dict[str, Json]] = {
    "/set": modifier(sets={"X-Set": "new"}),
    "/add": modifier(adds={"X-Add": "more"}),
    "/remove": modifier(removes=("X-Remove",)),
    "/many": modifier(
        sets={"X-Set-1": "one", "X-Set-2": "two"},
        adds={"X-Add-1": "one", "X-Add-2": "two", "X-Add-3": "three"},
        removes=("X-Remove-1", "X-Remove-2"),
    ),
    "/case": modifier(
        sets={"X-SET": "new"}, adds={"X-ADD": "more", "x-lower-add": "more"}, removes=("x-ReMoVe",)
    ),
}

CASES = (
    Case(
        url="http://echo/set",
        headers={"Other": "stays", "X-Set": "old"},
        backend=V1,
        seen={"Other": "stays", "X-Set": "new"},
    ),
    Case(url="http://echo/set", backend=V1, seen={"X-Set": "new"}),
    Case(
        url="http://echo/add",
        headers={"Other": "stays", "X-Add": "old"},
        backend=V1,
        seen={"Other": "stays", "X-Add": "old,more"},
    ),
    Case(url="http://echo/add", backend=V1, seen={"X-Add": "more"}),
    Case(
        url="http://echo/remove",
        headers={"X-Remove": "old", "Other": "stays"},
        backend=V1,
        seen={"Other": "stays"},
        not_seen=("X-Remove",),
    ),
    Case(
        url="http://echo/many",
        headers={
            "X-Set-2": "old",
            "X-Add-2": "old",
            "X-Remove-2": "old",
            "Other": "stays",
        },
        backend=V1,
        seen={
            "X-Set-1": "one",
            "X-Set-2": "two",
            "X-Add-1": "one",
            "X-Add-2": "old,two",
            "X-Add-3": "three",
            "Other": "stays",
        },
        not_seen=("X-Remove-1", "X-Remove-2"),
    ),
    Case(
        url="http://echo/case",
        headers={"x-set": "old", "x-Add": "old", "X-LOWER-ADD": "old", "X-Remove": "old"},
        backend=V1,
        seen={"X-Set": "new", "X-Add": "old,more", "X-Lower-Add": "old,more"},
        not_seen=("X-Remove",),
    ),
)

REQUEST = Row(
    name="MeshHTTPRouteRequestHeaderModifier",
    routes=(
        route(
            "request-headers",
            *(rule(to(V1), matches=[exact(path)], filters=[f]) for path, f in FILTERS.items()),
        ),
    ),
    cases=CASES,
)

BACKEND = Row(
    name="MeshHTTPRouteBackendRequestHeaderModifier",
    routes=(
        route(
            "backend-headers",
            *(rule(to(V1, filters=[f]), matches=[exact(path)]) for path, f in FILTERS.items()),
        ),
    ),
    cases=CASES,
)


def rewrite(**path: Json) -> dict[str, Json]:
    """A filter that rewrites paths."""
    return {"type": "URLRewrite", "urlRewrite": {"path": dict(path)}}


def new_prefix(path: str) -> dict[str, Json]:
    return rewrite(type="ReplacePrefixMatch", replacePrefixMatch=path)


def new_path(path: str) -> dict[str, Json]:
    return rewrite(type="ReplaceFullPath", replaceFullPath=path)


CHANGES = modifier(
    sets={"X-Set": "new"}, adds={"X-Add": "more", "X-Append": "more"}, removes=("X-Remove",)
)
BEFORE = {"X-Set": "old", "X-Append": "old", "X-Remove": "old"}
AFTER = {"X-Set": "new", "X-Add": "more", "X-Append": "old,more"}

REWRITE = Row(
    name="MeshHTTPRouteRewritePath",
    routes=(
        route(
            "rewrite",
            rule(to(V1), matches=[prefix("/long/part")], filters=[new_prefix("/part")]),
            rule(to(V1), matches=[prefix("/gone")], filters=[new_prefix("/")]),
            rule(to(V1), matches=[prefix("/whole/one")], filters=[new_path("/one")]),
            rule(
                to(V1),
                matches=[prefix("/whole/changed")],
                filters=[new_path("/other"), CHANGES],
            ),
            rule(
                to(V1),
                matches=[prefix("/begins/changed")],
                filters=[new_prefix("/begins"), CHANGES],
            ),
        ),
    ),
    cases=(
        Case(url="http://echo/long/part/two", backend=V1, path="/part/two"),
        Case(url="http://echo/gone/three", backend=V1, path="/three"),
        Case(url="http://echo/gone", backend=V1, path="/"),
        Case(url="http://echo/whole/one/two", backend=V1, path="/one"),
        Case(
            url="http://echo/whole/changed/x",
            headers=BEFORE,
            backend=V1,
            path="/other",
            seen=AFTER,
            not_seen=("X-Remove",),
        ),
        Case(
            url="http://echo/begins/changed/x",
            headers=BEFORE,
            backend=V1,
            path="/begins/x",
            seen=AFTER,
            not_seen=("X-Remove",),
        ),
    ),
)

ROWS = (REQUEST, BACKEND, REWRITE)
