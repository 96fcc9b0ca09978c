"""Numbers and names that are fixed because other programs type them."""

from typing import Final

OUTBOUND_PORT: Final = 15001
INBOUND_PLAINTEXT_PORT: Final = 15006
HBONE_PORT: Final = 15008
DNS_PORT: Final = 15053
ADMIN_PORT: Final = 15000
METRICS_PORT: Final = 15020
READINESS_PORT: Final = 15021
DISCOVERY_PORT: Final = 15012

OWN_PORTS: Final = frozenset({OUTBOUND_PORT, INBOUND_PLAINTEXT_PORT, HBONE_PORT})
"""An original destination with one of these ports would be a proxy calling itself."""

PACKET_MARK: Final = 0x539
"""SO_MARK of every socket that a node proxy opens in a pod: not to be captured again."""

CONNECTION_MARK: Final = 0x111
"""Mark of connections from the proxy to the application, whose replies must come back to it."""

MARK_MASK: Final = 0xFFF
ROUTE_TABLE: Final = 100
RULE_PRIORITY: Final = 32764
PROBE_SOURCE_V4: Final = "169.254.7.127"
PROBE_SOURCE_V6: Final = "fd16:9254:7127:1337:ffff:ffff:ffff:ffff"

DATAPLANE_MODE_LABEL: Final = "istio.io/dataplane-mode"
REDIRECTION_ANNOTATION: Final = "ambient.istio.io/redirection"

GATEWAY_GROUP: Final = "gateway.networking.k8s.io"
GATEWAY_CONTROLLER: Final = "sluice.dev/gateway-controller"
"""Whose the GatewayClasses are that we serve; routes' statuses name it too."""
MANAGED: Final = GATEWAY_CONTROLLER.replace("/", "-")
"""What the label MANAGED_LABEL of everything says that we make."""
MANAGED_LABEL: Final = "gateway.istio.io/managed"
GATEWAY_NAME_LABEL: Final = "gateway.networking.k8s.io/gateway-name"
GATEWAY_CLASS_LABEL: Final = "gateway.networking.k8s.io/gateway-class-name"
INGRESS_CLASS: Final = "sluice"
WAYPOINT_CLASS: Final = "sluice-waypoint"
EAST_WEST_CLASS: Final = "sluice-east-west"
REMOTE_CLASS: Final = "istio-remote"
OWN_CLASSES: Final = (INGRESS_CLASS, WAYPOINT_CLASS, EAST_WEST_CLASS, REMOTE_CLASS)
"""The GatewayClasses that are made when they are absent."""
