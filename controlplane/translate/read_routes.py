"""HTTPRoute, GRPCRoute, TLSRoute and TCPRoute, each by itself.

1. A rule with a value that cannot be is dropped, and the others are in force: the status says
   which and why. When no rule is left, the route is not accepted.
2. Hostnames mean nothing on routes in the mesh but on a TLSRoute: there they are server names.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Final

from controlplane.translate.read_route_filters import GRPC_FILTERS, HTTP_FILTERS, filters_of
from controlplane.translate.read_route_matches import grpc_match, http_match
from controlplane.translate.read_route_rules import retry_of, session_of, timeouts_of
from controlplane.translate.read_route_targets import service_parents, target_of
from controlplane.translate.route_facts import (
    NO_FILTER_FACTS,
    BackendFacts,
    Dropped,
    FilterFacts,
    Reason,
    RouteFacts,
    RuleFacts,
)
from controlplane.translate.route_fields import (
    checked_hostname,
    incompatible,
    number_at,
    reason_of,
)
from mesh.model.fields import FieldInvalidError, Part
from mesh.model.kubernetes import KubernetesObject
from mesh.model.routes import (
    PathMatchKind,
    PathModifierKind,
    RequestMatch,
    RouteKind,
    RouteRule,
)

MAX_WEIGHT: Final = 1_000_000

_Match = Callable[[Part], RequestMatch]
_KINDS: Final[Mapping[RouteKind, tuple[_Match, frozenset[str]]]] = {
    RouteKind.HTTP: (http_match, HTTP_FILTERS),
    RouteKind.GRPC: (grpc_match, GRPC_FILTERS),
}
ROUTE_KINDS: Final = {
    "HTTPRoute": RouteKind.HTTP,
    "GRPCRoute": RouteKind.GRPC,
    "TLSRoute": RouteKind.TLS,
    "TCPRoute": RouteKind.TCP,
}


def read_route(found: KubernetesObject) -> RouteFacts:
    """A route of any of these kinds.

    Raises:
        FieldInvalidError: its parents or rules are no lists of mappings.
    """
    kind = ROUTE_KINDS[found.key.kind.partition(".")[0]]
    spec = found.at("spec")
    namespace = found.key.namespace
    parents, problems = service_parents(spec, namespace)
    parts = spec.parts("rules")
    if not parts and kind is RouteKind.HTTP:
        parts = [Part(spec.subject, spec.field("rules[0]"), {})]
    rules, dropped = _rules(parts, kind, namespace)
    hostnames, refused = _whole(spec, kind, len(parts))
    if refused is None and not rules:
        refused = dropped[0] if dropped else Dropped(Reason.UNSUPPORTED_VALUE, "It has no rules")
    named = (reference.key for rule in rules for reference in rule.references())
    return RouteFacts(
        key=found.key,
        kind=kind,
        created=created_of(found),
        parents=parents,
        hostnames=hostnames,
        rules=rules,
        dropped=() if refused else dropped,
        refused=refused,
        references=frozenset((*named, *(parent.service for parent in parents))),
        problems=problems,
    )


def created_of(found: KubernetesObject) -> int:
    """Seconds since the epoch; 0 when nobody says."""
    try:
        return max(0, int(dt.datetime.fromisoformat(found.created).timestamp()))
    except (ValueError, OverflowError):
        return 0


def _whole(spec: Part, kind: RouteKind, rules: int) -> tuple[tuple[str, ...], Dropped | None]:
    """The server names of a TLSRoute, and what is wrong with a route beside its rules."""
    if kind in _KINDS:
        return (), None
    try:
        if rules > 1:
            raise spec.invalid("rules", "there can be one only: connections have no parts")
        if kind is RouteKind.TCP:
            return (), None
        hostnames = tuple(
            checked_hostname(spec, f"hostnames[{index}]", text, wildcard=True)
            for index, text in enumerate(spec.texts("hostnames"))
        )
        if not hostnames:
            raise spec.invalid("hostnames", "must hold a server name: write one, or use a TCPRoute")
    except FieldInvalidError as error:
        return (), Dropped(reason_of(error), f"{error.field}: {error.mend}")
    return tuple(dict.fromkeys(hostnames)), None


def _rules(
    parts: list[Part], kind: RouteKind, namespace: str
) -> tuple[tuple[RuleFacts, ...], tuple[Dropped, ...]]:
    rules, dropped = [], []
    for part in parts:
        try:
            rules.append(_rule(part, kind, namespace))
        except FieldInvalidError as error:
            dropped.append(Dropped(reason_of(error), f"{error.field}: {error.mend}"))
    return tuple(rules), tuple(dropped)


def _rule(part: Part, kind: RouteKind, namespace: str) -> RuleFacts:
    if kind not in _KINDS:
        backends = tuple(
            _backend(each, namespace, frozenset()) for each in part.parts("backendRefs")
        )
        return RuleFacts(RouteRule(name=part.text("name")), NO_FILTER_FACTS, backends)
    match, types = _KINDS[kind]
    matches = tuple(match(each) for each in part.parts("matches"))
    filters = filters_of(part, namespace, types)
    backends = tuple(_backend(each, namespace, types) for each in part.parts("backendRefs"))
    if filters.filters.redirect and backends:
        mend = "a redirect answers itself: take them, or the filter, away"
        raise incompatible(part, "backendRefs", mend)
    for each in (filters, *(backend.filters for backend in backends)):
        _check_prefix(part, matches, each)
    if kind is RouteKind.GRPC:
        session = session_of(part)
        rule = RouteRule(name=part.text("name"), matches=matches, session=session)
        return RuleFacts(rule, filters, backends)
    request_s, attempt_s = timeouts_of(part)
    rule = RouteRule(
        name=part.text("name"),
        matches=matches,
        request_s=request_s,
        attempt_s=attempt_s,
        retry=retry_of(part),
        session=session_of(part),
    )
    return RuleFacts(rule, filters, backends)


def _check_prefix(part: Part, matches: tuple[RequestMatch, ...], facts: FilterFacts) -> None:
    """A prefix is replaced only where it is known which one."""
    several = (facts.filters.redirect, facts.filters.rewrite)
    paths = [each.path for each in several if each is not None and each.path is not None]
    if not any(path.kind is PathModifierKind.PREFIX for path in paths):
        return
    of_all = matches or (RequestMatch(),)
    path = of_all[0].path
    if len(of_all) > 1 or (path is not None and path.kind is not PathMatchKind.PREFIX):
        mend = "ReplacePrefixMatch needs a rule with exactly one match, which is a PathPrefix"
        raise incompatible(part, "filters", mend)


def _backend(part: Part, namespace: str, types: frozenset[str]) -> BackendFacts:
    return BackendFacts(
        target_of(part, namespace),
        number_at(part, "weight", 0, MAX_WEIGHT, 1),
        filters_of(part, namespace, types) if types else NO_FILTER_FACTS,
    )
