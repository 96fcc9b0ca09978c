"""Why a connection goes nowhere: stable words for logs, each with its line in the codes page."""

from typing import Final

SELF_CALL: Final = "route_self_call"
"""The destination is a port of the node proxy itself."""

WAYPOINT_UNKNOWN: Final = "route_waypoint_unknown"
"""The destination has a waypoint, and there is none of that name or address, or none is ready."""

NO_ENDPOINT: Final = "route_no_endpoint"
"""The service has no endpoint that is ready and near enough, or not the port that was called."""

NO_ADDRESS: Final = "route_no_address"
"""The chosen workload has no address of a family that its service allows."""

NOT_BY_SERVICE: Final = "route_remote_without_service"
"""A workload of another network can be called by a service's address only."""

NO_GATEWAY: Final = "route_no_gateway"
"""The chosen workload is in another network, and no gateway to that network is known."""

GATEWAY_UNKNOWN: Final = "route_gateway_unknown"
"""There is no network gateway of that name or address, or none is ready."""

NO_IDENTITY: Final = "route_remote_identity_unknown"
"""Nobody says who the service's endpoints in another network are: they could not be verified."""

NOT_CONNECT: Final = "route_not_connect"
"""A request in the tunnel that is no plain CONNECT."""

AUTHORITY_INVALID: Final = "route_authority_invalid"
"""A CONNECT whose authority is neither `address:port` nor `hostname:port`."""

WORKLOAD_UNKNOWN: Final = "route_workload_unknown"
"""A CONNECT to a pod that the control plane has not told of."""

MISMATCH: Final = "route_ip_mismatch"
"""A CONNECT for another address than the pod's, whose waypoint this pod is not."""

NOT_OFFERED: Final = "route_not_offered"
"""A CONNECT to the node proxy itself, for another port than that of its metrics."""

NO_SERVICE: Final = "route_no_service"
"""A CONNECT for a hostname that no service has (that this pod may see)."""

NO_PORT: Final = "route_no_port"
"""A CONNECT for a service's port that neither the service nor this pod knows."""

NO_VIP: Final = "route_no_vip"
"""The application wants to be told which address was called, and the service has none."""

DESTINATION_UNKNOWN: Final = "route_destination_unknown"
"""A CONNECT to a waypoint for an address that neither a service nor a workload has."""

NOT_OURS: Final = "route_not_this_waypoint"
"""A CONNECT to a waypoint for a destination that another waypoint (or none) stands before."""

WAYPOINT_UNTOLD: Final = "route_waypoint_untold"
"""A CONNECT to a waypoint that the control plane has not told which destinations are its own."""

OFF_LIMITS: Final = "route_off_limits"
"""An endpoint at an address that is nobody's in the mesh: loopback, link-local, multicast."""
