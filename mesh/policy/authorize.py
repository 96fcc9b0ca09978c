"""Whether a connection may be served: the verdict of all policies that concern its destination.

Order (Istio's): a DENY that matches refuses; without any ALLOW policy all is permitted; an ALLOW
that matches permits; else refused. Dry-run policies are only told of. One rule is ours: a policy
that the workload names and that is not known refuses, since it might be a DENY (fail closed).

STRICT needs nothing of its own: the control plane sends it as a DENY policy that matches
connections without a principal, and names it in each workload that it concerns.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mesh.model.address import SocketAddress
from mesh.model.policy import Action, Authorization
from mesh.model.workload import Workload
from mesh.policy.matching import ConnectionFacts, matching_rule
from mesh.state.world import World

__all__ = ["ConnectionFacts", "SocketAddress", "Verdict", "authorize", "judge"]

ALLOWED: Final = "policy_allowed"
"""An ALLOW policy matches the connection, and no DENY does."""

NO_POLICY: Final = "policy_none"
"""No ALLOW policy concerns the workload, and no DENY matches: all may connect."""

DENIED: Final = "policy_denied"
"""A DENY policy matches the connection; the verdict names it."""

NOT_ALLOWED: Final = "policy_not_allowed"
"""ALLOW policies concern the workload, and none of them matches the connection."""

MISSING: Final = "policy_missing"
"""The workload names a policy that the control plane has not sent: it might be a DENY."""

NO_WORKLOAD: Final = "policy_workload_unknown"
"""The called workload is not known, so nobody can say which policies concern it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Allowed or not, and because of which policy."""

    allowed: bool
    code: str
    policy: str = ""
    """`namespace/name`; empty when no single policy decided."""
    rule: int | None = None
    """Which rule of the policy matched, counted from 0."""
    dry_run: tuple[str, ...] = ()
    """Policies that are only tried out, and matched."""

    @property
    def reason(self) -> str:
        """A refusal in the words that Istio's node proxy logs; empty when allowed."""
        match self.code:
            case "policy_denied":
                return f"{REJECTED}: explicitly denied by: {self.policy}"
            case "policy_not_allowed":
                return f"{REJECTED}: allow policies exist, but none allowed"
            case "policy_missing":
                return f"{REJECTED}: not known yet: {self.policy}"
            case "policy_workload_unknown":
                return f"{REJECTED}: destination workload unknown"
            case _:
                return ""


REJECTED: Final = "connection closed due to policy rejection"


def authorize(world: World, workload: Workload | None, facts: ConnectionFacts) -> Verdict:
    """Judge a connection to a workload, by the state of this moment."""
    if workload is None:
        return Verdict(allowed=False, code=NO_WORKLOAD)
    policies, missing = world.policies_for(workload)
    return judge(policies, missing, facts)


def judge(
    policies: Iterable[Authorization], missing: Iterable[str], facts: ConnectionFacts
) -> Verdict:
    """The verdict of these policies; `missing` are names that should be among them."""
    matches: list[tuple[Authorization, int]] = []
    may_allow = False
    for policy in policies:
        may_allow = may_allow or (policy.action is Action.ALLOW and not policy.dry_run)
        if (rule := matching_rule(policy, facts)) is not None:
            matches.append((policy, rule))
    tried = tuple(policy.key for policy, _ in matches if policy.dry_run)
    for policy, rule in matches:
        if policy.action is Action.DENY and not policy.dry_run:
            return Verdict(False, DENIED, policy.key, rule, tried)
    for name in missing:
        return Verdict(False, MISSING, name, None, tried)
    if not may_allow:
        return Verdict(True, NO_POLICY, "", None, tried)
    for policy, rule in matches:
        if policy.action is Action.ALLOW and not policy.dry_run:
            return Verdict(True, ALLOWED, policy.key, rule, tried)
    return Verdict(False, NOT_ALLOWED, "", None, tried)
