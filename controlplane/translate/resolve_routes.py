"""Whom a route's rules name, looked up: what cannot be used keeps its place, and says why."""

from dataclasses import dataclass, field, replace
from typing import Final

from controlplane.translate.facts import ServiceFacts, ServicePort
from controlplane.translate.route_facts import (
    BackendFacts,
    FilterFacts,
    Reason,
    Reference,
    RouteFacts,
    RuleFacts,
)
from controlplane.translate.store import Store
from mesh.model.problems import (
    BACKEND_KIND,
    BACKEND_PROTOCOL,
    BACKEND_UNKNOWN,
    FILTER_FOREIGN,
    FILTER_KIND,
    FILTER_UNKNOWN,
)
from mesh.model.routes import Backend, Filters, Mirror, RouteKind, RouteRule
from mesh.model.workload import Visibility

_ENCRYPTED: Final = frozenset({"https", "tls", "kubernetes.io/wss"})
_NOT_HTTP: Final = _ENCRYPTED | {"tcp", "udp", "mongo", "mysql", "redis", "hbone"}
"""What ports may say of themselves (`appProtocol`) that no request can be sent to."""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Something that a route names and that cannot be used."""

    reason: Reason
    message: str
    problem: str
    """The stable code that the route carries."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A service's port; or nothing, and why."""

    service: str = ""
    port: int = 0
    problem: str = ""


@dataclass(slots=True)
class _Resolver:
    """Looks up for one route, and keeps what it has not found."""

    store: Store
    kind: RouteKind
    namespace: str
    """The route's."""
    abroad: frozenset[str]
    """The route's waypoints in other namespaces: no filter of its own runs there."""
    unresolved: list[Unresolved] = field(default_factory=list)

    def rule(self, facts: RuleFacts) -> RouteRule:
        """A rule with all that it names."""
        return replace(
            facts.rule,
            filters=self._filters(facts.filters),
            backends=tuple(self._backend(each) for each in facts.backends),
        )

    def _backend(self, facts: BackendFacts) -> Backend:
        target = self._target(facts.target)
        return Backend(
            service=target.service,
            port=target.port,
            weight=facts.weight,
            filters=self._filters(facts.filters),
            problem=target.problem,
        )

    def _filters(self, facts: FilterFacts) -> Filters:
        filters = facts.filters
        if not (facts.mirrors or facts.auth or facts.extensions):
            return filters
        mirrors = []
        for reference, numerator, denominator in facts.mirrors:
            target = self._target(reference)
            if not target.problem and numerator:
                mirror = Mirror(
                    service=target.service,
                    port=target.port,
                    numerator=numerator,
                    denominator=denominator,
                )
                mirrors.append(mirror)
        auth = None
        if facts.auth is not None:
            target = self._target(facts.auth[0])
            auth = replace(
                facts.auth[1], service=target.service, port=target.port, problem=target.problem
            )
        problems = [problem for each in facts.extensions if (problem := self._extension(each))]
        return replace(
            filters,
            mirrors=tuple(mirrors),
            external_auth=auth,
            extensions=tuple(f"{e.key.namespace}/{e.key.name}" for e in facts.extensions),
            problem=problems[0] if problems else "",
        )

    def _extension(self, reference: Reference) -> str:
        if reference.key.kind != "Filter":
            mend = f"{reference.field}: {reference} is no filter: name a Filter of sluice.dev"
            return self._keep(Reason.INVALID_KIND, mend, FILTER_KIND)
        if self.store.routing.program(reference.key) is None:
            mend = f"{reference.field}: there is no {reference}: make it, or take the filter away"
            return self._keep(Reason.BACKEND_NOT_FOUND, mend, FILTER_UNKNOWN)
        if self.abroad:
            where = ", ".join(sorted(self.abroad))
            mend = f"{reference.field}: {reference} may not run at the waypoint {where}"
            mend = f"{mend} of another namespace: use a waypoint of your own"
            return self._keep(Reason.REF_NOT_PERMITTED, mend, FILTER_FOREIGN)
        return ""

    def _target(self, reference: Reference) -> _Target:
        if not (reference.is_service or reference.is_host):
            mend = f"{reference.field}: {reference} is no Service: name one"
            return _Target(problem=self._keep(Reason.INVALID_KIND, mend, BACKEND_KIND))
        found = self._front(reference)
        if found is None or found.service is None:
            what = "there is no" if found is None else "requests cannot be sent to the ExternalName"
            mend = f"{reference.field}: {what} {reference}: make it, or name another"
            return _Target(problem=self._keep(Reason.BACKEND_NOT_FOUND, mend, BACKEND_UNKNOWN))
        port = next((each for each in found.ports if each.number == reference.port), None)
        if port is None:
            numbers = ", ".join(str(each.number) for each in found.ports) or "none"
            mend = f"{reference.field}.port: {found.key} has no port {reference.port or 'unnamed'}"
            mend = f"{mend}: its ports are {numbers}"
            return _Target(problem=self._keep(Reason.BACKEND_NOT_FOUND, mend, BACKEND_UNKNOWN))
        host = reference.key.name if reference.is_host else found.service.hostname
        name = f"{found.key.namespace}/{host}"
        return _Target(name, port.number, self._protocol(reference, found, port))

    def _front(self, reference: Reference) -> ServiceFacts | None:
        if not reference.is_host:
            return self.store.front(reference.key)
        host = reference.key.name
        key = self.store.owner(host, self.namespace) or self.store.owner(host)
        found = self.store.front(key) if key is not None else None
        if found is None or found.service is None or found.key.namespace == self.namespace:
            return found
        return found if found.service.visibility is Visibility.PUBLIC else None

    def _protocol(self, reference: Reference, found: ServiceFacts, port: ServicePort) -> str:
        refused = _NOT_HTTP if self.kind in (RouteKind.HTTP, RouteKind.GRPC) else frozenset[str]()
        if port.protocol == "TCP" and port.says.lower() not in refused:
            return ""
        says = port.says if port.protocol == "TCP" else port.protocol
        mend = f"{reference.field}: port {port.number} of {found.key} speaks {says}, which no"
        mend = f"{mend} {self.kind.name} route can: name another port"
        return self._keep(Reason.UNSUPPORTED_PROTOCOL, mend, BACKEND_PROTOCOL)

    def _keep(self, reason: Reason, message: str, problem: str) -> str:
        self.unresolved.append(Unresolved(reason, message, problem))
        return problem


def resolved_rules(
    store: Store, facts: RouteFacts, abroad: frozenset[str]
) -> tuple[tuple[RouteRule, ...], tuple[Unresolved, ...]]:
    """The rules of a route with all that they name, and what was not found.

    Args:
        store: everything.
        facts: of the route.
        abroad: its waypoints in other namespaces.
    """
    resolver = _Resolver(store, facts.kind, facts.key.namespace, abroad)
    rules = tuple(resolver.rule(rule) for rule in facts.rules)
    return rules, tuple(resolver.unresolved)
