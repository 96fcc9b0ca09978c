"""A route among the others: attached to which ports, for which waypoints, and what its status says.

1. Only one kind of route has a port of a service: GRPCRoute before HTTPRoute before TLSRoute before
   TCPRoute, among routes of the service's own namespace, and among those of each other one.
2. A route in another namespace than its service's is for clients of its own namespace only: the
   waypoint tells by the client who asks.
3. A parent that does not exist gets no entry in the status.
"""

from collections.abc import Iterator
from itertools import chain

from controlplane.translate.built import Built, Told
from controlplane.translate.conditions import condition
from controlplane.translate.facts import ServiceFacts
from controlplane.translate.resolve_routes import Unresolved, resolved_rules
from controlplane.translate.route_facts import Dropped, ParentFacts, Reason, RouteFacts
from controlplane.translate.service_waypoints import (
    ServiceWaypoints,
    at_home,
    waypoints_of_route,
    waypoints_of_service,
)
from controlplane.translate.store import Store
from mesh.model.fields import Json
from mesh.model.kubernetes import ObjectKey
from mesh.model.names import GATEWAY_CONTROLLER
from mesh.model.routes import Attachment, Route, RouteKind

WAYPOINT_MISSING = "sluice.dev/WaypointMissing"


def build_route(store: Store, facts: RouteFacts, built: Built) -> None:
    """The route for waypoints, and its status."""
    everywhere = waypoints_of_route(store, facts) if facts.filters else frozenset()
    abroad = everywhere - at_home(everywhere, facts.key.namespace)
    rules, unresolved = resolved_rules(store, facts, abroad)
    attachments: list[Attachment] = []
    waypoints: set[str] = set()
    entries: list[Json] = []
    for parent in facts.parents:
        service = store.front(parent.service)
        if service is None:
            mend = "make it, or name another"
            built.problems.append(f"spec.parentRefs: there is no {parent.service}: {mend}")
            continue
        found, refusal = _attach(store, facts, parent, service)
        theirs = waypoints_of_service(store, service)
        attachments += found
        if found:
            waypoints |= theirs.names
        entries.append(_entry(facts, parent, refusal, unresolved, theirs))
        built.problems.extend(_said(refusal, theirs))
    built.problems.extend(f"Dropped Rule: {each.message}" for each in facts.dropped)
    built.problems.extend(each.message for each in unresolved)
    if entries:
        built.status = {"parents": entries}
    if attachments:
        route = Route(
            kind=facts.kind,
            namespace=facts.key.namespace,
            name=facts.key.name,
            created=facts.created,
            parents=tuple(dict.fromkeys(attachments)),
            hostnames=facts.hostnames,
            rules=rules,
        )
        built.values.append(Told(route, frozenset(waypoints)))


def _said(refusal: Dropped | None, waypoints: ServiceWaypoints) -> Iterator[str]:
    if refusal is not None:
        yield f"spec: {refusal.reason}: {refusal.message}"
    elif waypoints.reason:
        yield f"spec.parentRefs: {waypoints.message}"


# Attaching.


def _attach(
    store: Store, facts: RouteFacts, parent: ParentFacts, service: ServiceFacts
) -> tuple[list[Attachment], Dropped | None]:
    """The ports that a route has of one parent, or why it has none."""
    if facts.refused is not None:
        return [], facts.refused
    ports = _ports(parent, service)
    if service.service is None or not ports:
        return [], Dropped(Reason.NO_MATCHING_PARENT, _no_port(parent, service))
    taken = _taken(store, facts, service)
    left = ports - taken
    names = [each.key for each in store.served(service)]
    if not names:
        return [], Dropped(Reason.NO_MATCHING_PARENT, f"{service.key} has none of its hosts")
    if not left:
        message = "A route of a kind that comes before this one has the same ports of the Service"
        return [], Dropped(Reason.CONFLICTED, message)
    if left == ports and not parent.port and not parent.section:
        return [Attachment(name) for name in names], None
    return [Attachment(name, port) for name in names for port in sorted(left)], None


def _ports(parent: ParentFacts, service: ServiceFacts) -> frozenset[int]:
    return frozenset(
        port.number
        for port in service.ports
        if port.protocol == "TCP"
        and parent.port in (0, port.number)
        and parent.section in ("", port.name)
    )


def _no_port(parent: ParentFacts, service: ServiceFacts) -> str:
    if service.service is None:
        return f"{service.key} is an ExternalName: it has no address that could be called"
    wanted = [f"number {parent.port}"] if parent.port else []
    wanted += [f"name {parent.section!r}"] if parent.section else []
    words = f" of the {' and the '.join(wanted)}" if wanted else ""
    return f"{service.key} has no TCP port{words}"


def _taken(store: Store, facts: RouteFacts, service: ServiceFacts) -> frozenset[int]:
    """The ports of a service that routes of a kind before this one have."""
    taken: set[int] = set()
    before = (kind for kind in RouteKind if kind < facts.kind)
    for other in chain.from_iterable(store.routing.attached(service.key, kind) for kind in before):
        if other.refused is None and _meet(facts, other, service.key):
            for parent in other.parents:
                if parent.service == service.key:
                    taken |= _ports(parent, service)
    return frozenset(taken)


def _meet(one: RouteFacts, other: RouteFacts, service: ObjectKey) -> bool:
    """Whether the same clients meet both: no other namespace takes a service's own routes away."""
    own = service.namespace
    return _group(one, own) == _group(other, own)


def _group(route: RouteFacts, own: str) -> str:
    return "" if route.key.namespace == own else route.key.namespace


# The status.


def _entry(
    facts: RouteFacts,
    parent: ParentFacts,
    refusal: Dropped | None,
    unresolved: tuple[Unresolved, ...],
    waypoints: ServiceWaypoints,
) -> dict[str, Json]:
    conditions: list[Json] = [_accepted(refusal), _resolved(unresolved)]
    if facts.dropped and refusal is None:
        message = "; ".join(each.message for each in facts.dropped)
        reason = Reason.UNSUPPORTED_VALUE
        conditions.append(condition("PartiallyInvalid", "True", reason, f"Dropped Rule: {message}"))
    if waypoints.reason:
        conditions.append(condition(WAYPOINT_MISSING, "True", waypoints.reason, waypoints.message))
    return {
        "parentRef": {**parent.ref},
        "controllerName": GATEWAY_CONTROLLER,
        "conditions": conditions,
    }


def _accepted(refusal: Dropped | None) -> Json:
    if refusal is None:
        return condition("Accepted", "True", Reason.ACCEPTED, "The route is in force")
    return condition("Accepted", "False", refusal.reason, refusal.message)


def _resolved(unresolved: tuple[Unresolved, ...]) -> Json:
    if not unresolved:
        return condition("ResolvedRefs", "True", Reason.RESOLVED, "Everything it names exists")
    message = "; ".join(dict.fromkeys(each.message for each in unresolved))
    return condition("ResolvedRefs", "False", unresolved[0].reason, message)
