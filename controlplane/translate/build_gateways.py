"""What becomes of Gateways and their classes: what is made for them, and what their status says."""

from typing import Final

from controlplane.translate.built import Built, Told
from controlplane.translate.conditions import condition
from controlplane.translate.facts import ClassFacts, GatewayFacts
from controlplane.translate.gateway_classes import Role, role_of
from controlplane.translate.gateway_status import (
    Verdict,
    judge_remote,
    judge_waypoint,
    not_served,
    status_of,
)
from controlplane.translate.store import Store
from controlplane.translate.waypoint_names import is_manual, told_waypoint
from controlplane.translate.waypoint_objects import taken, waypoint_objects
from mesh.model.fields import Json
from mesh.model.names import GATEWAY_CONTROLLER

_SERVED: Final = "of our classes, Gateways of sluice-waypoint and istio-remote are served"


def build_class(facts: ClassFacts, built: Built) -> None:
    """The status of a class of ours."""
    if facts.controller != GATEWAY_CONTROLLER:
        return
    conditions: list[Json] = [
        condition("Accepted", "True", "Accepted", "its Gateways are served by this control plane")
    ]
    if facts.has_parameters:
        mend = "spec.parametersRef: is not read: remove it"
        built.problems.append(mend)
        conditions = [condition("Accepted", "False", "InvalidParameters", mend)]
    built.status = {"conditions": conditions}


def build_gateway(store: Store, facts: GatewayFacts, built: Built) -> None:
    """The status of a Gateway of a class of ours, and the objects that are made for it."""
    role = role_of(store, facts.class_name)
    if role is None:
        return
    if role is Role.WAYPOINT:
        name = f"{facts.key.namespace}/{facts.key.name}"
        built.values.append(Told(told_waypoint(store, facts), frozenset((name,))))
    verdict = _verdict(store, facts, role, built)
    built.problems.extend(verdict.problems)
    built.status = status_of(facts, verdict)


def _verdict(store: Store, facts: GatewayFacts, role: Role, built: Built) -> Verdict:
    match role:
        case Role.WAYPOINT:
            return _waypoint(store, facts, built)
        case Role.REMOTE:
            return judge_remote(facts)
        case Role.INGRESS:
            return not_served(f"ingress gateways come later; {_SERVED}")
        case Role.EAST_WEST:
            return not_served(f"gateways between networks come later; {_SERVED}")


def _waypoint(store: Store, facts: GatewayFacts, built: Built) -> Verdict:
    if is_manual(facts):
        return judge_waypoint(store, facts, [])
    obstacles = [*taken(store, facts)]
    verdict = judge_waypoint(store, facts, [str(key) for key in obstacles])
    if verdict.accepted.is_met:
        objects = waypoint_objects(store, facts)
        built.objects += [each for each in objects if each.key not in obstacles]
    return verdict
