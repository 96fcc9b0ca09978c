"""What the node proxy writes before the payload for a waypoint's own pod."""

from collections.abc import Mapping

from controlplane.translate.labels import GATEWAY_NAME
from controlplane.translate.store import Store
from mesh.model.workload import ApplicationTunnel, TunnelHeader


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
