"""Which routes, traffic rules and filters a change touches, and no more.

Routes of one kind never look at one another; a route of another kind may have its ports.
"""

from collections.abc import Iterator

from controlplane.translate.facts import Facts
from controlplane.translate.route_facts import ParentFacts, RouteFacts, TrafficFacts
from controlplane.translate.store import Store
from mesh.model.kubernetes import ObjectKey
from mesh.model.routes import RouteKind


def named(store: Store, key: ObjectKey) -> Iterator[ObjectKey]:
    """Who names an object, and the filters of routes that do: these go where the routes go."""
    for name in store.routing.naming(key):
        yield name
        route = store.routing.route(name)
        if route is not None:
            yield from route.filters


def of_routing(store: Store, old: Facts | None, new: Facts | None) -> Iterator[ObjectKey]:
    """Who looked at a route, a traffic rule or a filter."""
    for facts in (old, new):
        match facts:
            case RouteFacts():
                yield from facts.filters
                if store.settings.auto_waypoint:
                    yield from facts.services
            case TrafficFacts(service=service) if service is not None:
                yield from (each.key for each in store.routing.traffic_of(service))
            case _:
                pass
    changed = new or old
    if changed is not None and (old is None or new is None):
        yield from store.routing.naming(changed.key)  # routes that name a filter
    before, now = _claims(old), _claims(new)
    if before != now and isinstance(changed, RouteFacts):
        for service in {parent.service for parent in (*before, *now)}:
            for kind in RouteKind:
                if kind > changed.kind:
                    yield from (each.key for each in store.routing.attached(service, kind))


def _claims(facts: Facts | None) -> tuple[ParentFacts, ...]:
    """What a route takes from those of later kinds."""
    if isinstance(facts, RouteFacts) and facts.refused is None:
        return facts.parents
    return ()
