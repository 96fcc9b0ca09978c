"""The order of precedence told in the dullest way: sort every match, take the first that holds."""

import re
from urllib.parse import parse_qsl

from mesh.model.routes import (
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
from mesh.wire.http.messages import RequestHead

Found = tuple[Route, RouteRule, RequestMatch]


def naive_match(routes: list[Route], request: RequestHead) -> Found | None:
    every = [
        (_precedence(route, match), (route.created, f"{route.namespace}/{route.name}", i, j), found)
        for route in routes
        for i, rule in enumerate(route.rules)
        for j, match in enumerate(rule.matches or (RequestMatch(),))
        for found in [(route, rule, match)]
    ]
    every.sort(key=lambda each: each[:2])
    return next((found for *_, found in every if _holds(found[0], found[2], request)), None)


def _precedence(route: Route, match: RequestMatch) -> tuple[int, ...]:
    counts = (-len({h.name for h in match.headers}), -len({q.name for q in match.query}))
    if route.kind is RouteKind.GRPC:
        return (*_method_precedence(match.grpc), *counts)
    return (*_path_precedence(match.path), 0 if match.method else 1, *counts)


def _path_precedence(path: PathMatch | None) -> tuple[int, int]:
    if path is None or (path.kind is PathMatchKind.PREFIX and path.value == "/"):
        return (4, 0)
    if path.kind is PathMatchKind.EXACT:
        return (1, 0)
    if path.kind is PathMatchKind.PREFIX:
        return (2, -len(path.value.removesuffix("/")))
    return (3, -len(path.value))


def _method_precedence(method: MethodMatch | None) -> tuple[int, int, int]:
    if method is None or not (method.service or method.method):
        return (4, 0, 0)
    chars = (-len(method.service), -len(method.method))
    if method.kind is PathMatchKind.REGEX or not method.service:
        return (3, *chars)
    return (1 if method.method else 2, *chars)


def _holds(route: Route, match: RequestMatch, request: RequestHead) -> bool:
    target = request.target.decode()
    path, _, query = target.partition("?")
    headers: dict[str, str] = {}
    for name, value in request.fields:
        key = name.decode()
        headers[key] = f"{headers[key]},{value.decode()}" if key in headers else value.decode()
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters.setdefault(name, value)
    if route.kind is RouteKind.GRPC:
        said = _method_holds(match.grpc, path)
    else:
        said = _path_holds(match.path, path)
        said = said and match.method in {"", request.method.decode()}
    return said and _values_hold(match.headers, headers) and _values_hold(match.query, parameters)


def _path_holds(path: PathMatch | None, asked: str) -> bool:
    if path is None:
        return True
    if path.kind is PathMatchKind.EXACT:
        return asked == path.value
    if path.kind is PathMatchKind.REGEX:
        return re.fullmatch(path.value, asked) is not None
    prefix = path.value.removesuffix("/")
    return not prefix or asked == prefix or asked.startswith(prefix + "/")


def _method_holds(method: MethodMatch | None, asked: str) -> bool:
    if method is None:
        return True
    service, _, name = asked[1:].partition("/")
    pairs = ((method.service, service), (method.method, name))
    if method.kind is PathMatchKind.REGEX:
        return all(not want or re.fullmatch(want, is_) for want, is_ in pairs)
    return all(want in {"", is_} for want, is_ in pairs)


def _values_hold(conditions: tuple[ValueMatch, ...], values: dict[str, str]) -> bool:
    seen: set[str] = set()
    for each in conditions:
        if each.name in seen:
            continue
        seen.add(each.name)
        if each.name not in values:
            return False
        if each.kind is ValueMatchKind.EXACT:
            if values[each.name] != each.value:
                return False
        elif re.fullmatch(each.value, values[each.name]) is None:
            return False
    return True
