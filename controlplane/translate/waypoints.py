"""Which waypoint an object gets (Istio's rules, and one for each service account), or why none.

1. The object's own label decides, if it has one; else the Gateway that is for the service account
   as which it runs; else its namespace's label. `none` is a decision.
2. Who asks for a waypoint that is not there or not ready yet names it already, so that proxies
   refuse connections until it is; with `Settings.goes_direct` they go direct, as Istio has it.
3. Who asks for one that is for other traffic, or that does not admit it, has none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from controlplane.translate.accounts import account_gateway
from controlplane.translate.auto_waypoints import AUTO
from controlplane.translate.conditions import condition
from controlplane.translate.facts import GatewayFacts, NamespaceFacts
from controlplane.translate.gateway_classes import Role, accepts, is_waypoint, role_of
from controlplane.translate.labels import (
    GATEWAY_CLASS,
    GATEWAY_NAME,
    MANAGED_BY,
    USE_WAYPOINT,
    USE_WAYPOINT_NAMESPACE,
    matches,
)
from controlplane.translate.store import Store
from controlplane.translate.waypoint_names import address_of, future_address, is_addressed
from mesh.model.fields import FieldInvalidError, Json
from mesh.model.names import MANAGED
from mesh.model.workload import GatewayAddress

FIELD: Final = f"metadata.labels[{USE_WAYPOINT}]"
BOUND: Final = "istio.io/WaypointBound"

_MESH_CONTROLLERS: Final = frozenset({"istio.io-mesh-controller", "istio.io-eastwest-controller"})
"""Who makes the services of waypoints: those have no waypoint themselves."""

Name = tuple[str, str]
"""Namespace and name of a Gateway."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The waypoint of an object; `problem` may say why it has none, or none that works yet."""

    address: GatewayAddress | None = None
    problem: str = ""
    is_own: bool = False
    """Whether the object's own label asked for it."""
    condition: dict[str, Json] | None = None
    """What its status says about this."""
    asked: Name | None = None
    """The Gateway."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a waypoint does not serve an object."""

    reason: str
    message: str
    """Both in Istio's words."""
    problem: str
    is_passing: bool = False
    """Whether it may serve it later, with nothing about the object changed."""


NONE: Final = Choice()


def wanted(labels: Mapping[str, str], namespace: str) -> Name | None:
    """The Gateway that labels ask for; None when they say nothing, or `none`.

    Args:
        labels: of an object, or of a namespace.
        namespace: where the Gateway is unless the labels say otherwise.
    """
    name = labels.get(USE_WAYPOINT, "")
    if name in ("", "none"):
        return None
    return labels.get(USE_WAYPOINT_NAMESPACE) or namespace, name


def wanted_by(store: Store, labels: Mapping[str, str], namespace: str) -> tuple[Name | None, bool]:
    """The Gateway that labels ask for, and whether they are the object's own."""
    if labels.get(USE_WAYPOINT):
        return wanted(labels, namespace), True
    return wanted(store.namespace(namespace).labels, namespace), False


def waypoint_of(
    store: Store,
    labels: Mapping[str, str],
    namespace: str,
    traffic: str,
    account: str = "",
    *,
    is_routed: bool = False,
) -> Choice:
    """The waypoint for traffic to an object.

    Args:
        store: all facts.
        labels: of the object.
        namespace: of the object.
        traffic: `service` or `workload`.
        account: the service account as which it runs, of a service: as which all of its endpoints
            run; empty when there is no one such.
        is_routed: whether it is to have a waypoint without asking for one (`is_routed`).
    """
    if is_a_waypoints(store, labels, traffic):
        return NONE
    asked, is_own = asked_of(store, labels, namespace, traffic, account, is_routed=is_routed)
    if asked is None:
        return NONE
    return choose(store, asked, store.namespace(namespace), traffic, is_own=is_own)


def asked_of(
    store: Store,
    labels: Mapping[str, str],
    namespace: str,
    traffic: str,
    account: str,
    *,
    is_routed: bool = False,
) -> tuple[Name | None, bool]:
    """The Gateway that stands before an object, and whether its own labels ask for it.

    Arguments as those of `waypoint_of`.
    """
    asked, is_own = wanted_by(store, labels, namespace)
    if not is_own and account:
        of_account = account_gateway(store, namespace, account, traffic)
        asked = (namespace, of_account.key.name) if of_account else asked
    if asked is None and is_routed and not (is_own or USE_WAYPOINT in _labels(store, namespace)):
        asked = (namespace, AUTO)
    return asked, is_own


def _labels(store: Store, namespace: str) -> Mapping[str, str]:
    return store.namespace(namespace).labels


def waypoint_of_account(
    store: Store, labels: Mapping[str, str], namespace: str, account: str
) -> GatewayAddress | None:
    """The waypoint of a pod's account, for calls to services whose endpoints run as several."""
    gateway = account_gateway(store, namespace, account, "service")
    if gateway is None or is_a_waypoints(store, labels, "workload"):
        return None
    asked = (namespace, gateway.key.name)
    return choose(store, asked, store.namespace(namespace), "service", is_own=False).address


def is_a_waypoints(store: Store, labels: Mapping[str, str], traffic: str) -> bool:
    """Whether an object belongs to a waypoint itself: then it has none."""
    if traffic == "workload":
        return GATEWAY_NAME in labels
    managed_by = labels.get(MANAGED_BY)
    if managed_by == MANAGED:
        return role_of(store, labels.get(GATEWAY_CLASS, "")) is not Role.INGRESS
    return managed_by in _MESH_CONTROLLERS


def choose(
    store: Store, asked: Name, namespace: NamespaceFacts, traffic: str, *, is_own: bool
) -> Choice:
    """What comes of asking for a Gateway; `is_own`: by the object's own label."""
    gateway = store.gateways.get(*asked)
    found = refusal(store, asked, namespace, traffic)
    if found is None and gateway is not None:
        message = f"Successfully attached to waypoint {'/'.join(asked)}"
        bound = condition(BOUND, "True", "WaypointAccepted", message)
        return Choice(address_of(store, gateway), "", is_own, bound, asked)
    if found is None:
        return NONE
    address = None
    # Of a Gateway that is not there nobody knows what it will be for: unless told otherwise,
    # waypoints are for services.
    expects = gateway is not None or is_own or traffic == "service"
    if found.is_passing and expects and not store.settings.goes_direct:
        address = future_address(store, gateway, asked)
    meanwhile = "are refused" if address else "go direct"
    return Choice(
        address,
        f"{FIELD}: {found.problem}; until then connections {meanwhile}",
        is_own,
        condition(BOUND, "False", found.reason, found.message),
        asked,
    )


def refusal(store: Store, asked: Name, namespace: NamespaceFacts, traffic: str) -> Refusal | None:
    """Why a waypoint does not serve a namespace's objects; None when it does.

    Args:
        store: all facts.
        asked: the waypoint's Gateway.
        namespace: of the objects.
        traffic: `service`, `workload`, or empty: then its kind of traffic is not looked at.
    """
    gateway = store.gateways.get(*asked)
    name = "/".join(asked)
    absent = _absent(store, gateway, name)
    if gateway is None:
        return absent
    of = accepts(store, gateway)
    lasting = None
    if traffic and of not in (traffic, "all"):
        lasting = Refusal(
            "UnsupportedTrafficType",
            f'attempting to bind to traffic type "{traffic}" which the waypoint "{name}" does not '
            "support",
            f"Gateway {name} is for {of}, not for {traffic}: label it istio.io/waypoint-for",
        )
    elif not _admits(gateway, namespace):
        lasting = Refusal(
            "AttachmentDenied",
            f'we are not permitted to attach to waypoint "{name}" (missing allowedRoutes?)',
            f"Gateway {name} does not admit this namespace: see allowedRoutes of its listener",
        )
    if absent is not None and lasting is not None:
        return replace(absent, is_passing=False)
    return absent or lasting


def _absent(store: Store, gateway: GatewayFacts | None, name: str) -> Refusal | None:
    message = f'waypoint "{name}" is not ready'
    if gateway is None:
        problem = f"there is no Gateway {name}: make it, or take the label away"
        return Refusal("WaypointIsNotReady", message, problem, is_passing=True)
    if not is_waypoint(store, gateway):
        problem = f"Gateway {name} is no waypoint: give it the class and the listener of one"
        message = f'gateway "{name}" is no waypoint (class or listener)'
        return Refusal("NotAWaypoint", message, problem, is_passing=True)
    if not is_addressed(gateway):
        problem = f"Gateway {name} has no address yet: see its status"
        return Refusal("WaypointIsNotReady", message, problem, is_passing=True)
    return None


def _admits(gateway: GatewayFacts, namespace: NamespaceFacts) -> bool:
    if gateway.key.namespace == namespace.key.name:
        return True
    if gateway.hbone is None:
        return False
    allowed = gateway.hbone.allowed
    try:
        match allowed.text("from", "Same"):
            case "All":
                return True
            case "Selector":
                return matches(allowed.at("selector"), namespace.labels)
            case _:
                return False
    except FieldInvalidError:
        return False
