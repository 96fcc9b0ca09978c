"""What the statuses of policies say: who enforces them, and what of them is not enforced.

Types and reasons are Istio's. `True` with `UnsupportedValue` means: enforced, but not as it is
written. Policies with targets are waypoints' (`build_targeted.py`).
"""

from typing import Final

from controlplane.translate.conditions import condition
from controlplane.translate.facts import PeerFacts, PolicyFacts
from controlplane.translate.store import Store
from mesh.model.fields import Json
from mesh.policy.peer_authentication import oldest

ZTUNNEL: Final = "ZtunnelAccepted"
ATTACHED: Final = "attached to ztunnel"


def policy_status(facts: PolicyFacts) -> dict[str, Json]:
    """The status of an AuthorizationPolicy without targets."""
    problems = "; ".join(facts.problems)
    if facts.authorization is None:
        return {"conditions": [condition(ZTUNNEL, "False", "UnsupportedValue", problems)]}
    if facts.has_unenforced:
        return {"conditions": [condition(ZTUNNEL, "True", "UnsupportedValue", problems)]}
    return {"conditions": [condition(ZTUNNEL, "True", "Accepted", problems or ATTACHED)]}


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
