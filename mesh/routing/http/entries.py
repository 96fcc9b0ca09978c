"""A route's matches, one by one, with their place in the order of precedence.

1. Each match is an entry of its own: of a rule with several, the most specific that holds counts.
2. Precedence of HTTPRoute: exact path, longest prefix, regular expression (the longer text first),
   any path; then a method, more headers, more query parameters. A regular expression thus comes
   before what matches every path, and after each prefix that says more.
3. Precedence of GRPCRoute: exact service, regular expression or a method of any service, any; then
   more characters of the service, of the method, more headers.
4. What is still equal: the older route, `namespace/name`, the rule and the match that come first.
5. Of several conditions on one header or parameter the first counts.
6. Paths of EXACT and PREFIX are spelled as `mesh.routing.http.paths` spells a request's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

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
from mesh.routing.http.paths import PathInvalidError, normalise_path
from mesh.routing.http.patterns import Pattern, compile_pattern
from mesh.routing.http.view import RequestView

Rank: TypeAlias = tuple[int, int, int, int, int, int, str, int, int]
"""The place in the order of precedence: the least comes first."""

EXACT, PREFIX, REGEX, ANY = range(4)
"""What an entry says of the path: the first number of its rank."""

EVERY_REQUEST: Final = RequestMatch()


@dataclass(frozen=True, slots=True)
class Matched:
    """What a request has matched."""

    route: Route
    rule: RouteRule
    match: RequestMatch
    prefix: int
    """Octets of the path that a PREFIX has matched, without its last slash; else 0."""
    rule_index: int
    rank: Rank


@dataclass(frozen=True, slots=True)
class Shape:
    """Which values of a request are compared for equality."""

    has_method: bool
    headers: tuple[bytes, ...]
    parameters: tuple[bytes, ...]

    def read(self, view: RequestView) -> tuple[bytes, ...] | None:
        """These values of a request; None when it lacks one."""
        found = [view.head.method] if self.has_method else []
        for name in self.headers:
            value = view.header(name)
            if value is None:
                return None
            found.append(value)
        for name in self.parameters:
            value = view.parameter(name)
            if value is None:
                return None
            found.append(value)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class HeaderCheck:
    """A header must match a pattern."""

    name: bytes
    pattern: Pattern

    def holds(self, view: RequestView) -> bool:
        """Whether it does."""
        value = view.header(self.name)
        return value is not None and self.pattern.matches(value)


@dataclass(frozen=True, slots=True)
class ParameterCheck:
    """A query parameter must match a pattern."""

    name: bytes
    pattern: Pattern

    def holds(self, view: RequestView) -> bool:
        """Whether it does."""
        value = view.parameter(self.name)
        return value is not None and self.pattern.matches(value)


@dataclass(frozen=True, slots=True)
class PathCheck:
    """The path must match a pattern."""

    pattern: Pattern

    def holds(self, view: RequestView) -> bool:
        """Whether it does."""
        return self.pattern.matches(view.path)


@dataclass(frozen=True, slots=True)
class MethodCheck:
    """A gRPC method must match a pattern, or a text; None: any."""

    service: Pattern | None
    method: Pattern | bytes | None

    def holds(self, view: RequestView) -> bool:
        """Whether it does."""
        service, _, method = view.path[1:].partition(b"/")
        return _agrees(self.service, service) and _agrees(self.method, method)


Check: TypeAlias = HeaderCheck | ParameterCheck | PathCheck | MethodCheck


@dataclass(frozen=True, slots=True)
class Entry:
    """One match: where it is looked for, what must be equal there, and what else must hold."""

    matched: Matched
    rank: Rank
    """The matched one's."""
    where: int
    """EXACT, PREFIX, REGEX or ANY."""
    path: bytes
    """EXACT: the path. PREFIX: without its last slash. REGEX: elements that each path has."""
    shape: Shape
    values: tuple[bytes, ...]
    checks: tuple[Check, ...]

    def holds(self, view: RequestView) -> bool:
        """Whether its checks hold."""
        return all(check.holds(view) for check in self.checks)


@dataclass(frozen=True, slots=True)
class _Place:
    """What an entry says of the path."""

    where: int
    path: bytes = b""
    specificity: tuple[int, int] = (0, 0)
    check: Check | None = None


def entries_of(route: Route) -> tuple[Entry, ...]:
    """The entries of an HTTP or gRPC route.

    Raises:
        PatternInvalidError: a regular expression of it is none.
    """
    return tuple(
        _entry(route, rule_index, match_index, match)
        for rule_index, rule in enumerate(route.rules)
        for match_index, match in enumerate(rule.matches or (EVERY_REQUEST,))
    )


def _entry(route: Route, rule_index: int, match_index: int, match: RequestMatch) -> Entry:
    is_grpc = route.kind is RouteKind.GRPC
    place = _method_place(match.grpc) if is_grpc else _path_place(match.path)
    headers = _first_of_each(match.headers)
    parameters = _first_of_each(match.query)
    equal = [each for each in headers if each.kind is ValueMatchKind.EXACT]
    equal_parameters = [each for each in parameters if each.kind is ValueMatchKind.EXACT]
    rank = (
        place.where,
        -place.specificity[0],
        -place.specificity[1] if is_grpc else 0 if match.method else 1,
        -len(headers),
        -len(parameters),
        route.created,
        f"{route.namespace}/{route.name}",
        rule_index,
        match_index,
    )
    prefix = len(place.path) if place.where == PREFIX and not is_grpc else 0
    return Entry(
        Matched(route, route.rules[rule_index], match, prefix, rule_index, rank),
        rank,
        place.where,
        place.path,
        Shape(
            bool(match.method),
            tuple(each.name.encode() for each in equal),
            tuple(each.name.encode() for each in equal_parameters),
        ),
        (
            *((match.method.encode(),) if match.method else ()),
            *(each.value.encode() for each in (*equal, *equal_parameters)),
        ),
        tuple(_checks(place, headers, parameters)),
    )


def _first_of_each(conditions: tuple[ValueMatch, ...]) -> list[ValueMatch]:
    """Without those whose name came before, ordered by name so that equal shapes are equal."""
    firsts: dict[str, ValueMatch] = {}
    for each in conditions:
        firsts.setdefault(each.name, each)
    return [firsts[name] for name in sorted(firsts)]


def _checks(
    place: _Place, headers: list[ValueMatch], parameters: list[ValueMatch]
) -> Iterator[Check]:
    for each in headers:
        if each.kind is ValueMatchKind.REGEX:
            yield HeaderCheck(each.name.encode(), compile_pattern(each.value))
    for each in parameters:
        if each.kind is ValueMatchKind.REGEX:
            yield ParameterCheck(each.name.encode(), compile_pattern(each.value))
    if place.check is not None:
        yield place.check


def _path_place(path: PathMatch | None) -> _Place:
    if path is None:
        return _Place(ANY)
    match path.kind:
        case PathMatchKind.PREFIX:
            text = path.value.removesuffix("/")
            return _Place(PREFIX, _spelled(text), (len(text), 0)) if text else _Place(ANY)
        case PathMatchKind.EXACT:
            return _Place(EXACT, _spelled(path.value))
        case PathMatchKind.REGEX:
            pattern = compile_pattern(path.value)
            elements = pattern.beginning.rpartition(b"/")[0]
            if not elements.startswith(b"/"):  # then no path of a request begins so
                elements = b""
            return _Place(REGEX, elements, (len(path.value), 0), PathCheck(pattern))


def _spelled(path: str) -> bytes:
    """As requests come, whose paths are normalised: `/caf%c3%a9` and `/café` are one path."""
    try:
        return normalise_path(path.encode())
    except PathInvalidError:  # no request has such a path
        return path.encode()


def _method_place(method: MethodMatch | None) -> _Place:
    if method is None or not (method.service or method.method):
        return _Place(ANY)
    specificity = (len(method.service), len(method.method))
    if method.kind is PathMatchKind.REGEX:
        check = MethodCheck(_pattern(method.service), _pattern(method.method))
        return _Place(REGEX, b"", specificity, check)
    if not method.service:
        return _Place(REGEX, b"", specificity, MethodCheck(None, method.method.encode()))
    path = f"/{method.service}".encode()
    if not method.method:
        return _Place(PREFIX, path, specificity)
    return _Place(EXACT, path + b"/" + method.method.encode(), specificity)


def _pattern(text: str) -> Pattern | None:
    return compile_pattern(text) if text else None


def _agrees(wanted: Pattern | bytes | None, text: bytes) -> bool:
    if wanted is None:
        return True
    return wanted == text if isinstance(wanted, bytes) else wanted.matches(text)
