"""Policies with targets among the others: for which waypoints, and what their status says.

1. A waypoint is told of a policy before it is ready, and of one that cannot be enforced, too: that
   one refuses what it might have refused.
2. Targets that are missing or have no waypoint do not take the others' protection away.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from controlplane.translate.built import Built, Told
from controlplane.translate.conditions import condition
from controlplane.translate.gateway_classes import is_waypoint
from controlplane.translate.service_waypoints import waypoints_of_service
from controlplane.translate.store import Store
from controlplane.translate.targeted_facts import TargetedFacts
from mesh.model.fields import Json
from mesh.model.kubernetes import ObjectKey
from mesh.model.problems import POLICY_PROVIDER
from mesh.model.request_policy import RequestPolicy, TokenPolicy
from mesh.model.routes import Attachment

WAYPOINT: Final = "WaypointAccepted"


@dataclass(slots=True)
class _Found:
    """What the targets of a policy are."""

    missing: list[str] = field(default_factory=list)
    unbound: list[str] = field(default_factory=list)
    services: list[Attachment] = field(default_factory=list)
    gateways: set[str] = field(default_factory=set)
    """Those that are targets themselves."""
    told: set[str] = field(default_factory=set)
    """Every waypoint that has to know."""


def build_targeted(store: Store, facts: TargetedFacts, built: Built) -> None:
    """The policy for the waypoints that it concerns, and its status."""
    found = _Found()
    for target in facts.targets:
        _look(store, target, found)
    policy, problems = _with_provider(store, facts)
    built.problems += problems
    mend = "make it, or name another"
    built.problems += [f"spec.targetRefs: {what}: {mend}" for what in found.missing]
    built.problems += [f"spec.targetRefs: {what}" for what in found.unbound]
    reasons = "; ".join((*facts.problems, *problems))
    built.status = {"conditions": [_status(policy.problem, reasons, found)]}
    if found.told:
        value = replace(
            policy, targets=tuple(found.services), waypoints=tuple(sorted(found.gateways))
        )
        built.values.append(Told(value, frozenset(found.told)))


def _look(store: Store, target: ObjectKey, found: _Found) -> None:
    match target.kind:
        case "Service" | "ServiceEntry":
            _service(store, target, found)
        case "Gateway":
            gateway = store.gateways.get(target.namespace, target.name)
            if gateway is None:
                found.missing.append(f"{target} was not found")
            elif is_waypoint(store, gateway):
                found.gateways.add(f"{target.namespace}/{target.name}")
                found.told.add(f"{target.namespace}/{target.name}")
            else:
                found.unbound.append(f"{target} is no waypoint, and nothing else enforces policies")
        case "GatewayClass":
            if store.classes.get("", target.name) is None:
                found.missing.append(f"{target} was not found")
            of_class = {
                f"{gateway.key.namespace}/{gateway.key.name}"
                for gateway in store.gateways.all()
                if gateway.class_name == target.name and is_waypoint(store, gateway)
            }
            if not of_class:
                found.unbound.append(f"{target} has no waypoint")
            found.gateways |= of_class
            found.told |= of_class
        case kind:
            found.missing.append(f"{target} was not found: {kind} is not read yet")


def _service(store: Store, target: ObjectKey, found: _Found) -> None:
    service = store.front(target)
    if service is None:
        found.missing.append(f"{target} was not found")
        return
    if service.service is None:
        found.unbound.append(f"{target} is an ExternalName: no waypoint can stand before it")
        return
    waypoints = waypoints_of_service(store, service)
    if waypoints.names:
        found.services += [Attachment(each.key) for each in store.served(service)]
        found.told |= waypoints.names
    else:
        found.unbound.append(f"{target} has no waypoint: label it istio.io/use-waypoint")


def _status(problem: str, reasons: str, found: _Found) -> Json:
    if found.missing:
        return condition(WAYPOINT, "False", "TargetNotFound", "; ".join(found.missing))
    if problem:
        what = "it cannot be enforced as written, so it refuses whatever it might refuse"
        return condition(WAYPOINT, "False", "Invalid", f"{what}: {reasons}")
    unbound = "; ".join((*found.unbound, *((reasons,) if reasons else ())))
    if not found.told:
        return condition(WAYPOINT, "False", "AncestorNotBound", unbound or "it has no target")
    return condition(WAYPOINT, "True", "Accepted", unbound or "bound to a waypoint")


def _with_provider(
    store: Store, facts: TargetedFacts
) -> tuple[RequestPolicy | TokenPolicy, list[str]]:
    """The policy with the service of whom it asks; without one, it cannot be enforced."""
    policy = facts.policy
    if not isinstance(policy, RequestPolicy) or policy.provider is None or facts.asks is None:
        return policy, []
    service = store.services.get(facts.asks.namespace, facts.asks.name)
    auth = policy.provider
    if service is None or service.service is None:
        problem = f"there is no {facts.asks}, which the provider names: make it"
    elif all(each.number != auth.port for each in service.ports):
        problem = f"{facts.asks} has no port {auth.port}, which the provider names"
    else:
        return replace(policy, provider=replace(auth, service=service.service.key)), []
    return replace(policy, provider=None, problem=POLICY_PROVIDER), [f"spec.provider: {problem}"]
