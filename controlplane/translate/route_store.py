"""Routes, traffic rules and filters, and who names whom."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from controlplane.translate.route_facts import (
    ProgramFacts,
    RouteFacts,
    RoutingFacts,
    TrafficFacts,
)
from mesh.model.kubernetes import ObjectKey
from mesh.model.routes import RouteKind

KeyT = TypeVar("KeyT")


class RouteStore:
    """Held by `Store`, which alone changes it."""

    def __init__(self) -> None:
        """Know nothing."""
        self._facts: dict[ObjectKey, RoutingFacts] = {}
        self._naming: dict[ObjectKey, set[ObjectKey]] = {}
        self._attached: dict[tuple[ObjectKey, RouteKind], set[ObjectKey]] = {}
        self._traffic: set[ObjectKey] = set()

    def put(self, facts: RoutingFacts) -> None:
        """Hold these; nothing is held under their key."""
        self._facts[facts.key] = facts
        for named in facts.references:
            self._naming.setdefault(named, set()).add(facts.key)
        if isinstance(facts, TrafficFacts):
            self._traffic.add(facts.key)
        elif isinstance(facts, RouteFacts):
            for service in facts.services:
                self._attached.setdefault((service, facts.kind), set()).add(facts.key)

    def drop(self, facts: RoutingFacts) -> None:
        """Forget these, which are held."""
        del self._facts[facts.key]
        for named in facts.references:
            discard(self._naming, named, facts.key)
        if isinstance(facts, RouteFacts):
            for service in facts.services:
                discard(self._attached, (service, facts.kind), facts.key)
        self._traffic.discard(facts.key)

    def naming(self, key: ObjectKey) -> Iterable[ObjectKey]:
        """Who names an object, whatever for."""
        return self._naming.get(key, ())

    def route(self, key: ObjectKey) -> RouteFacts | None:
        """A route by its key."""
        facts = self._facts.get(key)
        return facts if isinstance(facts, RouteFacts) else None

    def program(self, key: ObjectKey) -> ProgramFacts | None:
        """A filter by its key."""
        facts = self._facts.get(key)
        return facts if isinstance(facts, ProgramFacts) else None

    def routes_naming(self, key: ObjectKey) -> Iterator[RouteFacts]:
        """The routes among those who name an object."""
        for name in self.naming(key):
            facts = self._facts[name]
            if isinstance(facts, RouteFacts):
                yield facts

    def attached(self, service: ObjectKey, kind: RouteKind) -> Iterator[RouteFacts]:
        """The routes of a kind that have a service as a parent."""
        for name in self._attached.get((service, kind), ()):
            facts = self._facts[name]
            if isinstance(facts, RouteFacts):
                yield facts

    def traffic_of(self, service: ObjectKey) -> Iterator[TrafficFacts]:
        """The traffic rules for a service."""
        for name in self.naming(service):
            facts = self._facts[name]
            if isinstance(facts, TrafficFacts):
                yield facts

    def traffic(self) -> Iterable[ObjectKey]:
        """All traffic rules."""
        return self._traffic


def discard(index: dict[KeyT, set[ObjectKey]], at: KeyT, key: ObjectKey) -> None:
    """Take a key out of a set of an index, and the set when nothing is left in it."""
    index[at].discard(key)
    if not index[at]:
        del index[at]
