"""Which waypoints a service has: who must know how its requests are treated."""

from collections.abc import Iterable
from dataclasses import dataclass

from controlplane.translate.accounts import account_of
from controlplane.translate.auto_waypoints import is_routed
from controlplane.translate.canaries import canary_gateway
from controlplane.translate.facts import ServiceFacts
from controlplane.translate.gateway_classes import is_waypoint
from controlplane.translate.route_facts import RouteFacts
from controlplane.translate.store import Store
from controlplane.translate.waypoints import Name, asked_of, is_a_waypoints, refusal


@dataclass(frozen=True, slots=True)
class ServiceWaypoints:
    """The Gateways of a service, and why it has none that works."""

    names: frozenset[str] = frozenset()
    """`namespace/name`; also those that are not ready yet."""
    reason: str = ""
    """Empty when its requests do go by a waypoint."""
    message: str = ""


def waypoints_of_service(store: Store, service: ServiceFacts) -> ServiceWaypoints:
    """The waypoints of a service, by its labels, its endpoints' account or its namespace."""
    key = service.key
    if is_a_waypoints(store, service.labels, "service"):
        return ServiceWaypoints(reason="NoWaypoint", message=f"{key} is a waypoint's own")
    account = account_of(store, service)
    asked, _ = asked_of(
        store,
        service.labels,
        key.namespace,
        "service",
        account,
        is_routed=is_routed(store, service),
    )
    if asked is None:
        mend = f"{key} has no waypoint: label it istio.io/use-waypoint"
        return ServiceWaypoints(reason="NoWaypoint", message=f"{mend}; the route has no effect")
    found = refusal(store, asked, store.namespace(key.namespace), "service")
    canary = canary_gateway(store, service)
    several = (asked, canary) if canary is not None else (asked,)
    names = frozenset("/".join(each) for each in several if _is_told(store, service, each))
    if found is None:
        return ServiceWaypoints(names)
    return ServiceWaypoints(names, found.reason, f"{found.problem}; until then it has no effect")


def waypoints_of_route(store: Store, route: RouteFacts) -> frozenset[str]:
    """`namespace/name` of every waypoint that a route is for by its parents."""
    names: set[str] = set()
    for parent in route.parents:
        service = store.front(parent.service)
        if service is not None:
            names |= waypoints_of_service(store, service).names
    return frozenset(names)


def at_home(waypoints: Iterable[str], namespace: str) -> frozenset[str]:
    """The waypoints that run in a namespace: whoever owns it may run code there as well."""
    return frozenset(name for name in waypoints if name.startswith(f"{namespace}/"))


def _is_told(store: Store, service: ServiceFacts, asked: Name) -> bool:
    """Whether a waypoint is told of a service: also before it is ready."""
    if store.gateways.get(*asked) is None:
        return False
    found = refusal(store, asked, store.namespace(service.key.namespace), "service")
    return found is None or found.is_passing


def all_waypoints(store: Store) -> frozenset[str]:
    """`namespace/name` of every Gateway that can be somebody's waypoint."""
    return frozenset(
        f"{gateway.key.namespace}/{gateway.key.name}"
        for gateway in store.gateways.all()
        if is_waypoint(store, gateway)
    )
