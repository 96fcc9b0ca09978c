"""Routes and requests for tests, in one line each."""

from mesh.model.routes import (
    Attachment,
    Backend,
    MethodMatch,
    PathMatch,
    PathMatchKind,
    RequestMatch,
    Route,
    RouteKind,
    RouteRule,
    ValueMatch,
    ValueMatchKind,
)
from mesh.routing.http.table import RouteTable
from mesh.wire.http.messages import RequestHead

SERVICE = "shop/web.shop.svc.cluster.local"


def request(
    target: str = "/", method: str = "GET", host: str = "web", **headers: str | list[str]
) -> RequestHead:
    """A request; underscores of header names are dashes, a list repeats the field."""
    fields = [
        (name.replace("_", "-").encode(), each.encode())
        for name, value in headers.items()
        for each in ([value] if isinstance(value, str) else value)
    ]
    return RequestHead(method.encode(), target.encode(), host.encode(), fields)


def exact(path: str) -> PathMatch:
    return PathMatch(PathMatchKind.EXACT, path)


def prefix(path: str) -> PathMatch:
    return PathMatch(PathMatchKind.PREFIX, path)


def regex(path: str) -> PathMatch:
    return PathMatch(PathMatchKind.REGEX, path)


def values(kind: ValueMatchKind = ValueMatchKind.EXACT, **named: str) -> tuple[ValueMatch, ...]:
    return tuple(ValueMatch(name.replace("_", "-"), kind, value) for name, value in named.items())


def match(
    path: PathMatch | None = None,
    method: str = "",
    query: tuple[ValueMatch, ...] = (),
    **headers: str,
) -> RequestMatch:
    """Conditions; headers are compared exactly."""
    return RequestMatch(path=path, method=method, headers=values(**headers), query=query)


def grpc(service: str = "", method: str = "", **headers: str) -> RequestMatch:
    return RequestMatch(
        grpc=MethodMatch(PathMatchKind.EXACT, service, method), headers=values(**headers)
    )


def rule(name: str, *matches: RequestMatch) -> RouteRule:
    """A rule that is told from others by its only backend."""
    return RouteRule(name=name, matches=matches, backends=(Backend(service=name, port=80),))


def route(
    *rules: RouteRule,
    name: str = "r",
    namespace: str = "shop",
    created: int = 0,
    kind: RouteKind = RouteKind.HTTP,
    parents: tuple[Attachment, ...] = (Attachment(SERVICE),),
    hostnames: tuple[str, ...] = (),
) -> Route:
    return Route(
        kind=kind,
        namespace=namespace,
        name=name,
        created=created,
        parents=parents,
        hostnames=hostnames,
        rules=rules,
    )


def table(*routes: Route) -> RouteTable:
    made = RouteTable()
    for each in routes:
        made.put(f"{each.namespace}/{each.name}", each)
    return made


def chosen(routes: RouteTable, asked: RequestHead) -> str | None:
    """The name of the rule that a request goes by."""
    found = routes.match(asked)
    return None if found is None else found.rule.name
