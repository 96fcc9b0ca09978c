"""What to do about a refusal, by its code."""

from collections.abc import Mapping
from typing import Final

_MENDS: Final[Mapping[str, str]] = {
    "policy_denied": "change the policy, or call as somebody whom it does not name",
    "policy_not_allowed": "add a rule that allows this caller to an ALLOW policy",
    "policy_missing": "wait until the control plane has sent it; see its log if it does not",
    "policy_unenforceable": "see what is wrong with the policy in its status",
    "route_waypoint_unknown": "make the waypoint ready (`sluice waypoint status`), or take the "
    "label istio.io/use-waypoint away",
    "route_no_endpoint": "look whether the service selects pods that are ready, and has this port",
    "route_no_gateway": "tell the control plane of a gateway to that network",
    "route_no_port": "call a port that the service has",
    "http_no_route": "add a rule that matches, or call as the routes say",
    "http_no_backend": "give the rule a backend with a weight",
    "http_no_endpoint": "look whether the backend selects pods that are ready, and has this port",
    "name_unknown": "look for a slip in the name, and for the namespace",
    "self_call": "call the application's port: these are the node proxy's own",
}
PLAIN_TEXT: Final = (
    "bring the caller into the mesh (label its namespace istio.io/dataplane-mode=ambient), "
    "or let plain text in (PeerAuthentication, PERMISSIVE)"
)


def mend_of(code: str) -> str:
    """What to do; empty when the code's own page has to do."""
    return _MENDS.get(code, "")
