"""Which waypoint an object gets (Istio's rules), or why none.

1. The object's own label decides, if it has one; else its namespace's. `none` is a decision.
2. A waypoint that cannot be used is none at all: connections go direct, and the problem says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from controlplane.translate.facts import GatewayFacts, NamespaceFacts
from controlplane.translate.labels import (
    GATEWAY_NAME,
    MANAGED_BY,
    USE_WAYPOINT,
    USE_WAYPOINT_NAMESPACE,
    matches,
)
from controlplane.translate.store import Store
from mesh.model.fields import FieldInvalidError
from mesh.model.names import HBONE_PORT
from mesh.model.workload import (
    ApplicationTunnel,
    GatewayAddress,
    NamespacedHostname,
    NetworkAddress,
    TunnelHeader,
)

FIELD: Final = f"metadata.labels[{USE_WAYPOINT}]"

_MESH_CONTROLLERS: Final = frozenset(
    {"istio.io-mesh-controller", "istio.io-eastwest-controller", "sluice.dev-mesh-controller"}
)
"""Who makes the services of waypoints: those have no waypoint themselves."""

_DIRECT: Final = "until then connections go direct"


@dataclass(frozen=True, slots=True)
class Choice:
    """The waypoint of an object; without an address, `problem` may say why."""

    address: GatewayAddress | None = None
    problem: str = ""
    is_own: bool = False
    """Whether the object's own label asked for it."""


NONE: Final = Choice()


def wanted(labels: Mapping[str, str], namespace: str) -> tuple[str, str] | None:
    """(namespace, name) of the Gateway that labels ask for; None when they say nothing, or `none`.

    Args:
        labels: of an object, or of a namespace.
        namespace: where the Gateway is unless the labels say otherwise.
    """
    name = labels.get(USE_WAYPOINT, "")
    if name in ("", "none"):
        return None
    return labels.get(USE_WAYPOINT_NAMESPACE) or namespace, name


def wanted_by(
    store: Store, labels: Mapping[str, str], namespace: str
) -> tuple[tuple[str, str] | None, bool]:
    """The Gateway that an object asks for, and whether its own labels do."""
    if labels.get(USE_WAYPOINT):
        return wanted(labels, namespace), True
    return wanted(store.namespace(namespace).labels, namespace), False


def waypoint_of(store: Store, labels: Mapping[str, str], namespace: str, traffic: str) -> Choice:
    """The waypoint for `traffic` (`service` or `workload`) to an object with these labels."""
    if traffic == "workload" and GATEWAY_NAME in labels:
        return NONE
    if traffic == "service" and labels.get(MANAGED_BY) in _MESH_CONTROLLERS:
        return NONE
    asked, is_own = wanted_by(store, labels, namespace)
    if asked is None:
        return NONE
    gateway = store.gateways.get(*asked)
    problem = refusal(store, gateway, asked, store.namespace(namespace), traffic)
    if gateway is None or problem:
        return Choice(None, problem, is_own)
    return Choice(_address(gateway, store.network), "", is_own)


def refusal(
    store: Store,
    gateway: GatewayFacts | None,
    asked: tuple[str, str],
    namespace: NamespaceFacts,
    traffic: str,
) -> str:
    """Why a waypoint does not serve a namespace's objects; empty when it does.

    `traffic` is `service`, `workload`, or empty: then its kind of traffic is not looked at.
    """
    name = "/".join(asked)
    if gateway is None:
        return f"{FIELD}: there is no Gateway {name}: make it, or take the label away; {_DIRECT}"
    if not (gateway.ips or gateway.hostname):
        mend = f"Gateway {name} has no address yet: see its status; {_DIRECT}"
        return f"{FIELD}: {mend}"
    accepts = _accepts(store, gateway)
    if traffic and accepts not in (traffic, "all"):
        mend = f"Gateway {name} is for {accepts}, not for {traffic}: label it istio.io/waypoint-for"
        return f"{FIELD}: {mend}; {_DIRECT}"
    if not _admits(gateway, namespace):
        mend = f"Gateway {name} does not admit this namespace: see allowedRoutes of its listener"
        return f"{FIELD}: {mend}; {_DIRECT}"
    return ""


def _accepts(store: Store, gateway: GatewayFacts) -> str:
    if gateway.waypoint_for:
        return gateway.waypoint_for
    of_class = store.classes.get("", gateway.class_name)
    return (of_class.waypoint_for if of_class else "") or "service"


def _admits(gateway: GatewayFacts, namespace: NamespaceFacts) -> bool:
    if gateway.key.namespace == namespace.key.name:
        return True
    try:
        match gateway.allowed.text("from", "Same"):
            case "All":
                return True
            case "Selector":
                return matches(gateway.allowed.at("selector"), namespace.labels)
            case _:
                return False
    except FieldInvalidError:
        return False


def _address(gateway: GatewayFacts, network: str) -> GatewayAddress:
    if gateway.hostname:
        named = NamespacedHostname(gateway.key.namespace, gateway.hostname)
        return GatewayAddress(named, HBONE_PORT)
    return GatewayAddress(NetworkAddress(network, gateway.ips[0][0]), HBONE_PORT)


def application_tunnel(
    store: Store, labels: Mapping[str, str], namespace: str
) -> tuple[ApplicationTunnel | None, str]:
    """What the node proxy writes before the payload for a waypoint's own pod, and a problem."""
    name = labels.get(GATEWAY_NAME)
    gateway = store.gateways.get(namespace, name) if name else None
    if gateway is None:
        return None, ""
    of_class = store.classes.get("", gateway.class_name)
    binding = gateway.inbound_binding or (of_class.inbound_binding if of_class else "")
    if not binding:
        return None, ""
    word, _, port = binding.partition("/")
    if word not in TunnelHeader.__members__ or not (not port or _is_port(port)):
        mend = f"{binding!r} of Gateway {gateway.key.name} is none: write PROXY/PORT or NONE/PORT"
        return None, f"metadata.labels[{GATEWAY_NAME}]: waypoint-inbound-binding {mend}"
    return ApplicationTunnel(TunnelHeader[word], int(port or 0)), ""


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) <= 65535
