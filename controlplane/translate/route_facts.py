"""What one route, traffic rule or filter says by itself, its references not yet looked up."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controlplane.translate.targeted_facts import TargetedFacts
from mesh.model.kubernetes import ObjectKey
from mesh.model.routes import (
    NO_FILTERS,
    ExternalAuth,
    FilterProgram,
    Filters,
    RouteKind,
    RouteRule,
    ServiceTraffic,
)

GATEWAY_GROUP: Final = "gateway.networking.k8s.io"
FILTER_GROUP: Final = "sluice.dev"
HOSTNAME: Final = "Hostname"
"""The kind by which a backend is named by its host alone."""


def hostname_key(host: str) -> ObjectKey:
    """The key that stands for whoever has a host; no object has it."""
    return ObjectKey(HOSTNAME, "", host)


class Reason(StrEnum):
    """Reasons in the conditions of routes, as the Gateway API spells them."""

    ACCEPTED = "Accepted"
    NO_MATCHING_PARENT = "NoMatchingParent"
    UNSUPPORTED_VALUE = "UnsupportedValue"
    INCOMPATIBLE_FILTERS = "IncompatibleFilters"
    CONFLICTED = "Conflicted"
    RESOLVED = "ResolvedRefs"
    BACKEND_NOT_FOUND = "BackendNotFound"
    INVALID_KIND = "InvalidKind"
    UNSUPPORTED_PROTOCOL = "UnsupportedProtocol"
    REF_NOT_PERMITTED = "RefNotPermitted"


@dataclass(frozen=True, slots=True)
class Reference:
    """An object that a route names."""

    key: ObjectKey
    group: str
    kind: str
    port: int = 0
    """0: none given."""
    field: str = ""
    """Where it is named, for people."""

    @property
    def is_service(self) -> bool:
        """Whether it means a Service of Kubernetes."""
        return (self.group, self.kind) == ("", "Service")

    @property
    def is_host(self) -> bool:
        """Whether it means whoever has a host: a ServiceEntry, or a Service."""
        return self.key.kind == HOSTNAME

    def __str__(self) -> str:
        group = f".{self.group}" if self.group else ""
        if self.is_host:
            return f"{self.kind}{group} {self.key.name}"
        port = f":{self.port}" if self.port else ""
        return f"{self.kind}{group} {self.key.namespace}/{self.key.name}{port}"


@dataclass(frozen=True, slots=True)
class FilterFacts:
    """Filters, and what they name; `filters` has nothing yet of what is named."""

    filters: Filters = NO_FILTERS
    mirrors: tuple[tuple[Reference, int, int], ...] = ()
    """Whom, and numerator and denominator of the share."""
    auth: tuple[Reference, ExternalAuth] | None = None
    extensions: tuple[Reference, ...] = ()

    def references(self) -> tuple[Reference, ...]:
        """Everything that is named."""
        named = (*(mirror[0] for mirror in self.mirrors), *self.extensions)
        return (*named, self.auth[0]) if self.auth else named


NO_FILTER_FACTS: Final = FilterFacts()


@dataclass(frozen=True, slots=True)
class BackendFacts:
    """One of the backends of a rule."""

    target: Reference
    weight: int
    filters: FilterFacts = NO_FILTER_FACTS


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """A rule; `rule` has neither filters nor backends yet."""

    rule: RouteRule
    filters: FilterFacts = NO_FILTER_FACTS
    backends: tuple[BackendFacts, ...] = ()

    def references(self) -> tuple[Reference, ...]:
        """Everything that is named."""
        of_backends = (
            each
            for backend in self.backends
            for each in (backend.target, *backend.filters.references())
        )
        return (*self.filters.references(), *of_backends)


@dataclass(frozen=True, slots=True)
class ParentFacts:
    """One of the parents of a route, when it is a Service or a ServiceEntry."""

    ref: dict[str, str | int]
    """As it is written."""
    service: ObjectKey
    port: int
    section: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """A rule, or a whole route, that is not in force, and why."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFacts:
    """An HTTPRoute, GRPCRoute, TLSRoute or TCPRoute."""

    key: ObjectKey
    kind: RouteKind
    created: int
    parents: tuple[ParentFacts, ...] = ()
    hostnames: tuple[str, ...] = ()
    rules: tuple[RuleFacts, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    """Rules that are not in force."""
    refused: Dropped | None = None
    """Why the whole route is not."""
    references: frozenset[ObjectKey] = frozenset()
    """Everything that it names, parents too."""
    problems: tuple[str, ...] = ()

    @property
    def services(self) -> frozenset[ObjectKey]:
        """Its parents."""
        return frozenset(parent.service for parent in self.parents)

    @property
    def filters(self) -> frozenset[ObjectKey]:
        """The Python filters that it names."""
        return frozenset(key for key in self.references if key.kind == "Filter")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficFacts:
    """A DestinationRule; without values when it has no effect."""

    key: ObjectKey
    service: ObjectKey | None
    """The Service that its host means; of another host, the key of whoever has it."""
    values: tuple[ServiceTraffic, ...] = ()
    """Without the service's name yet."""
    created: str = ""
    problems: tuple[str, ...] = ()

    @property
    def references(self) -> frozenset[ObjectKey]:
        """Everything that it names."""
        return frozenset((self.service,) if self.service else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramFacts:
    """A Filter; its source may be in a ConfigMap."""

    key: ObjectKey
    program: FilterProgram
    config_map: ObjectKey | None = None
    config_map_key: str = ""
    problems: tuple[str, ...] = ()

    @property
    def references(self) -> frozenset[ObjectKey]:
        """Everything that it names."""
        return frozenset((self.config_map,) if self.config_map else ())


RoutingFacts = RouteFacts | TrafficFacts | ProgramFacts | TargetedFacts
