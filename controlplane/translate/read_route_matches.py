"""Matches of HTTPRoutes and GRPCRoutes."""

import re
from collections.abc import Iterable
from typing import Final

from controlplane.translate.route_fields import header_name_at, member_at, path_at, value_at
from mesh.model.fields import Part
from mesh.model.routes import (
    MethodMatch,
    PathMatch,
    PathMatchKind,
    RequestMatch,
    ValueMatch,
    ValueMatchKind,
)
from mesh.routing.http.paths import PathInvalidError, normalise_path
from mesh.routing.http.patterns import PatternInvalidError, compile_pattern

METHODS: Final = (
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
)  # fmt: skip
_PATHS: Final = {
    "Exact": PathMatchKind.EXACT,
    "PathPrefix": PathMatchKind.PREFIX,
    "RegularExpression": PathMatchKind.REGEX,
}
_METHODS: Final = {"Exact": PathMatchKind.EXACT, "RegularExpression": PathMatchKind.REGEX}
_VALUES: Final = {"Exact": ValueMatchKind.EXACT, "RegularExpression": ValueMatchKind.REGEX}
_SERVICE: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*", re.ASCII)
_METHOD: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*", re.ASCII)
MAX_PARAMETER_LENGTH: Final = 1024


def http_match(part: Part) -> RequestMatch:
    """One match of an HTTPRoute.

    Raises:
        FieldInvalidError: it says what cannot be.
    """
    method = part.text("method")
    if method and method not in METHODS:
        raise part.invalid("method", f"{method!r:.40} is no method: write {', '.join(METHODS)}")
    return RequestMatch(
        path=_path(part.at("path")) if part.has("path") else None,
        headers=_headers(part),
        query=_first_of_each(_parameter(each) for each in part.parts("queryParams")),
        method=method,
    )


def grpc_match(part: Part) -> RequestMatch:
    """One match of a GRPCRoute.

    Raises:
        FieldInvalidError: it says what cannot be.
    """
    return RequestMatch(
        grpc=_grpc_method(part.at("method")) if part.has("method") else None,
        headers=_headers(part),
    )


def _path(part: Part) -> PathMatch:
    kind = member_at(part, "type", _PATHS, "PathPrefix")
    text = part.text("value", "/")
    if kind is PathMatchKind.REGEX:
        return PathMatch(kind, _pattern(part, "value", text))
    checked = path_at(part, "value", text)
    try:  # requests are compared in this spelling
        spelt = normalise_path(checked.encode()).decode()
    except PathInvalidError:
        raise part.invalid("value", f"{text!r:.60} is no path that a request may have") from None
    return PathMatch(kind, spelt)


def _grpc_method(part: Part) -> MethodMatch:
    kind = member_at(part, "type", _METHODS, "Exact")
    service, method = part.text("service"), part.text("method")
    if not (service or method):
        raise part.invalid("service", "must be given, or method: else leave method out")
    if kind is PathMatchKind.REGEX:
        for name in ("service", "method"):
            if text := part.text(name):
                _pattern(part, name, text)
    elif service and not _SERVICE.fullmatch(service):
        raise part.invalid("service", f"{service!r:.60} is no service: write package.Service")
    elif method and not _METHOD.fullmatch(method):
        raise part.invalid("method", f"{method!r:.60} is no method of a service")
    return MethodMatch(kind, service, method)


def _headers(part: Part) -> tuple[ValueMatch, ...]:
    return _first_of_each(_header(each) for each in part.parts("headers"))


def _header(part: Part) -> ValueMatch:
    return _value_match(part, header_name_at(part), value_at(part))


def _parameter(part: Part) -> ValueMatch:
    name, value = part.text("name"), part.text("value")
    if not name or len(name) > MAX_PARAMETER_LENGTH:
        raise part.invalid("name", "must be the name of a parameter")
    if not value or len(value) > MAX_PARAMETER_LENGTH:
        raise part.invalid("value", f"must be 1 to {MAX_PARAMETER_LENGTH} characters")
    return _value_match(part, name, value)


def _value_match(part: Part, name: str, value: str) -> ValueMatch:
    kind = member_at(part, "type", _VALUES, "Exact")
    if kind is ValueMatchKind.REGEX:
        _pattern(part, "value", value)
    return ValueMatch(name, kind, value)


def _first_of_each(matches: Iterable[ValueMatch]) -> tuple[ValueMatch, ...]:
    """Of several with one name only the first counts."""
    first: dict[str, ValueMatch] = {}
    for match in matches:
        first.setdefault(match.name, match)
    return tuple(first.values())


def _pattern(part: Part, name: str, text: str) -> str:
    """A regular expression that the data plane takes."""
    try:
        compile_pattern(text)
    except PatternInvalidError as error:
        raise part.invalid(name, f"no regular expression: {error.reason}") from None
    return text
