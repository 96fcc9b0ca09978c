"""What the statuses of policies say: who enforces them, and what of them is not enforced.

Types and reasons are Istio's. `True` with `UnsupportedValue` means: enforced, but not as it is
written. An AuthorizationPolicy with targets is a waypoint's, any other the node proxies'.
"""

from typing import Final

from controlplane.translate.conditions import condition
from controlplane.translate.facts import PeerFacts, PolicyFacts
from controlplane.translate.service_waypoints import waypoints_of_service
from controlplane.translate.store import Store
from mesh.model.fields import Json
from mesh.model.kubernetes import ObjectKey
from mesh.policy.peer_authentication import oldest

ZTUNNEL: Final = "ZtunnelAccepted"
WAYPOINT: Final = "WaypointAccepted"
ATTACHED: Final = "attached to ztunnel"


def policy_status(store: Store, facts: PolicyFacts) -> dict[str, Json]:
    """The status of an AuthorizationPolicy."""
    if facts.targets:
        return {"conditions": [_of_waypoint(store, facts)]}
    problems = "; ".join(facts.problems)
    if facts.authorization is None:
        return {"conditions": [condition(ZTUNNEL, "False", "UnsupportedValue", problems)]}
    if facts.has_unenforced:
        return {"conditions": [condition(ZTUNNEL, "True", "UnsupportedValue", problems)]}
    return {"conditions": [condition(ZTUNNEL, "True", "Accepted", problems or ATTACHED)]}


def _of_waypoint(store: Store, facts: PolicyFacts) -> dict[str, Json]:
    missing = [str(target) for target in facts.targets if not is_there(store, target)]
    if missing:
        message = f"{', '.join(missing)} was not found"
        return condition(WAYPOINT, "False", "TargetNotFound", message)
    unbound = [problem for t in facts.targets if (problem := _unbound(store, t))]
    if len(unbound) == len(facts.targets):
        return condition(WAYPOINT, "False", "AncestorNotBound", "; ".join(unbound))
    return condition(WAYPOINT, "True", "Accepted", "; ".join(("bound to a waypoint", *unbound)))


def _unbound(store: Store, target: ObjectKey) -> str:
    """Why no waypoint enforces a policy for a target."""
    if target.kind != "Service":
        return ""
    service = store.services.get(target.namespace, target.name)
    if service is None or waypoints_of_service(store, service).names:
        return ""
    return f"{target} has no waypoint: label it istio.io/use-waypoint"


def is_there(store: Store, target: ObjectKey) -> bool:
    """Whether the target of a policy exists; of a kind that is not read nobody knows."""
    match target.kind:
        case "Service":
            return store.services.get(target.namespace, target.name) is not None
        case "Gateway":
            return store.gateways.get(target.namespace, target.name) is not None
        case _:
            return True


def peer_status(store: Store, facts: PeerFacts) -> dict[str, Json]:
    """The status of a PeerAuthentication."""
    problems = "; ".join(facts.problems)
    namespace = facts.key.namespace
    if facts.selector:
        if namespace == store.settings.root_namespace:
            return {"conditions": [condition(ZTUNNEL, "False", "UnsupportedValue", problems)]}
    else:
        peers = (other.peer for other in store.peers.of(namespace) if not other.selector)
        first = oldest(peers)
        if first is not None and first is not facts.peer:
            message = f"{first.key} is older, and the only one that counts for all of {namespace}"
            return {"conditions": [condition(ZTUNNEL, "False", "Conflicted", message)]}
    reason = "UnsupportedValue" if problems else "Accepted"
    return {"conditions": [condition(ZTUNNEL, "True", reason, problems or ATTACHED)]}
