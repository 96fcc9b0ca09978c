"""A second waypoint beside a service's first, for a share of its connections (Istio 1.31).

The namespace's labels and weight count only where the service does not choose its first waypoint
itself. A canary that cannot be used leaves everything to the first, and the status says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from controlplane.translate.facts import ServiceFacts
from controlplane.translate.labels import (
    CANARY_WEIGHT,
    USE_CANARY,
    USE_CANARY_NAMESPACE,
    USE_WAYPOINT,
)
from controlplane.translate.store import Store
from controlplane.translate.waypoint_names import address_of
from controlplane.translate.waypoints import Choice, Name, refusal
from mesh.model.fields import Json
from mesh.model.workload import WeightedWaypoint

WHOLE: Final = 100


@dataclass(frozen=True, slots=True)
class Canary:
    """The shares of both waypoints, when there are two."""

    waypoints: tuple[WeightedWaypoint, ...] = ()
    condition: dict[str, Json] | None = None
    """What the status says about both."""
    problem: str = ""


def canary_of(store: Store, service: ServiceFacts, first: Choice) -> Canary:
    """The second waypoint of a service, beside the first that was chosen."""
    namespace = store.namespace(service.key.namespace)
    weight = service.canary_weight
    if not service.labels.get(USE_WAYPOINT):
        weight = weight or namespace.canary_weight
    asked = canary_gateway(store, service)
    if asked is None or first.address is None or first.problem:
        return Canary(condition=first.condition)
    problem = _bad_weight(weight)
    if not problem:
        found = refusal(store, asked, namespace, "service")
        problem = found.message if found else ""
    gateway = store.gateways.get(*asked)
    if problem or gateway is None:
        return Canary((), _noted(first, problem), f"metadata.labels[{USE_CANARY}]: {problem}")
    share = int(weight)
    shares = (
        WeightedWaypoint(first.address, WHOLE - share),
        WeightedWaypoint(address_of(store, gateway), share),
    )
    return Canary(shares, first.condition)


def canary_gateway(store: Store, service: ServiceFacts) -> Name | None:
    """The Gateway that a service asks for beside its first, whether or not it can be used."""
    labels = service.labels
    if not labels.get(USE_WAYPOINT):
        labels = {**_only_canary(store.namespace(service.key.namespace).labels), **labels}
    return _asked(labels, service.key.namespace)


def _only_canary(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: labels[name] for name in (USE_CANARY, USE_CANARY_NAMESPACE) if name in labels}


def _asked(labels: Mapping[str, str], namespace: str) -> Name | None:
    name = labels.get(USE_CANARY, "")
    if name in ("", "none"):
        return None
    return labels.get(USE_CANARY_NAMESPACE) or namespace, name


def _bad_weight(written: str) -> str:
    if written.isascii() and written.isdecimal() and len(written) < 4 and int(written) <= WHOLE:
        return ""
    return f"annotation {CANARY_WEIGHT} must be a whole number from 0 to 100, is {written!r}"


def _noted(first: Choice, problem: str) -> dict[str, Json] | None:
    if first.condition is None:
        return None
    return {**first.condition, "message": f"{first.condition['message']}; no canary: {problem}"}
