"""GatewayClasses: which there are, whose they are, and what Gateways of them are for."""

from enum import Enum
from typing import Final

from controlplane.translate.facts import ClassFacts, GatewayFacts
from controlplane.translate.labels import MANAGED_BY, WAYPOINT_FOR
from controlplane.translate.store import Store
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.names import (
    EAST_WEST_CLASS,
    GATEWAY_CONTROLLER,
    GATEWAY_GROUP,
    INGRESS_CLASS,
    MANAGED,
    REMOTE_CLASS,
    WAYPOINT_CLASS,
)


class Role(Enum):
    """What the Gateways of a class are for."""

    INGRESS = "ingress"
    WAYPOINT = "waypoint"
    EAST_WEST = "east-west"
    REMOTE = "remote"


ROLES: Final = {
    INGRESS_CLASS: Role.INGRESS,
    WAYPOINT_CLASS: Role.WAYPOINT,
    EAST_WEST_CLASS: Role.EAST_WEST,
    REMOTE_CLASS: Role.REMOTE,
}
"""The classes that are made when they are absent."""

_NEVER_WAYPOINTS: Final = frozenset({"istio", "istio-east-west"})
"""Classes of Istio's whose Gateways may have a listener for the tunnel, and are something else."""


def role_of(store: Store, class_name: str) -> Role | None:
    """What Gateways of a class of ours are for; None for a class of somebody else."""
    found = store.classes.get("", class_name)
    if found is not None and found.controller != GATEWAY_CONTROLLER:
        return None
    if found is None or class_name in ROLES:
        return ROLES.get(class_name)
    # Under a name of the user's: whoever says what its waypoints accept means waypoints.
    return Role.WAYPOINT if found.waypoint_for else Role.INGRESS


def is_waypoint(store: Store, gateway: GatewayFacts) -> bool:
    """Whether a Gateway, ours or another controller's, can be somebody's waypoint."""
    if gateway.hbone is None or gateway.class_name in _NEVER_WAYPOINTS:
        return False
    if gateway.class_name == REMOTE_CLASS:
        return False
    return role_of(store, gateway.class_name) in (Role.WAYPOINT, None)


def accepts(store: Store, gateway: GatewayFacts) -> str:
    """Which traffic a waypoint is for: `service`, `workload`, `all` or `none`."""
    if gateway.waypoint_for:
        return gateway.waypoint_for
    of_class = store.classes.get("", gateway.class_name)
    if of_class is not None and of_class.waypoint_for:
        return of_class.waypoint_for
    return "all" if gateway.for_account else "service"


def missing_classes(store: Store) -> list[KubernetesObject]:
    """The classes that there ought to be, save those that somebody else has made."""
    return [_class(name) for name in ROLES if _may_make(store.classes.get("", name))]


def _may_make(found: ClassFacts | None) -> bool:
    return found is None or found.is_managed


def _class(name: str) -> KubernetesObject:
    key = ObjectKey("GatewayClass", "", name)
    version = f"{GATEWAY_GROUP}/v1"
    return KubernetesObject(
        key,
        version,
        {
            "apiVersion": version,
            "kind": key.kind,
            "metadata": {"name": name, "labels": {MANAGED_BY: MANAGED}},
            "spec": {
                "controllerName": GATEWAY_CONTROLLER,
                "description": _DESCRIPTIONS[ROLES[name]],
            },
        },
    )


_DESCRIPTIONS: Final = {
    Role.INGRESS: "An ingress gateway.",
    Role.WAYPOINT: f"The layer 7 proxy of a namespace; the label {WAYPOINT_FOR} says for what.",
    Role.EAST_WEST: "A gateway through which other networks come in.",
    Role.REMOTE: "The gateway of another network: nothing is made for it.",
}
