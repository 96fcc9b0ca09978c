"""A waypoint for services that have routes and have asked for none (mesh config `autoWaypoint`).

Without one a route has no effect. The Gateway is as `sluice waypoint apply` would make it; one of
that name that a user has made is used, and left alone.
"""

from typing import Final

from controlplane.translate.facts import ServiceFacts
from controlplane.translate.labels import MANAGED_BY
from controlplane.translate.store import Store
from mesh.model.kubernetes import KubernetesObject
from mesh.model.names import GATEWAY_GROUP, HBONE_PORT, MANAGED, WAYPOINT_CLASS
from mesh.model.routes import RouteKind

AUTO: Final = "waypoint"
"""The Gateway's name."""


def is_routed(store: Store, service: ServiceFacts) -> bool:
    """Whether a service is to have a waypoint because it has routes."""
    if not store.settings.auto_waypoint:
        return False
    return any(any(store.routing.attached(service.key, kind)) for kind in RouteKind)


def auto_gateways(store: Store, namespace: str) -> list[KubernetesObject]:
    """The Gateway that is to be there for such services; none where a user's has its name."""
    found = store.gateways.get(namespace, AUTO)
    if found is not None and found.copied_labels.get(MANAGED_BY) != MANAGED:
        return []
    return [
        KubernetesObject.of(
            {
                "apiVersion": f"{GATEWAY_GROUP}/v1",
                "kind": "Gateway",
                "metadata": {
                    "name": AUTO,
                    "namespace": namespace,
                    "labels": {MANAGED_BY: MANAGED},
                },
                "spec": {
                    "gatewayClassName": WAYPOINT_CLASS,
                    "listeners": [{"name": "mesh", "port": HBONE_PORT, "protocol": "HBONE"}],
                },
            }
        )
    ]
