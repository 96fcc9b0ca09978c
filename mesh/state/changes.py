"""What a part of a state version changed, as those need it who must act on it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mesh.model.policy import Authorization, PolicyScope
from mesh.model.workload import Workload


@dataclass(slots=True)
class Changes:
    """Names of what was added, changed or removed; an object that came again unchanged is not."""

    workloads: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)
    policies: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    """Workloads that were known before and are gone, or are reached otherwise now (address,
    identity, tunnel): whatever is open to them must not serve anybody new."""

    namespaces: set[str] = field(default_factory=set)
    """Where a policy for a whole namespace came, changed, or went."""

    everywhere: bool = False
    """Whether a policy for the whole mesh came, changed, or went."""

    @property
    def affects_connections(self) -> bool:
        """Whether a connection that is open might be judged differently now."""
        return bool(self.workloads or self.policies)

    def concerns(self, workload: Workload) -> bool:
        """Whether connections to a workload (as it is now) may be judged differently now."""
        return (
            self.everywhere
            or workload.uid in self.workloads
            or workload.namespace in self.namespaces
            or not self.policies.isdisjoint(workload.authorization_policies)
        )

    def add(self, other: "Changes") -> None:
        """These, too."""
        self.workloads |= other.workloads
        self.services |= other.services
        self.policies |= other.policies
        self.moved |= other.moved
        self.namespaces |= other.namespaces
        self.everywhere |= other.everywhere

    def note_policy(self, key: str, versions: Iterable[Authorization | None]) -> None:
        """A policy has changed; `versions` are the old one and the new one, as far as they are."""
        self.policies.add(key)
        for policy in versions:
            match policy.scope if policy is not None else None:
                case PolicyScope.GLOBAL:
                    self.everywhere = True
                case PolicyScope.NAMESPACE if policy is not None:
                    self.namespaces.add(policy.namespace)
                case _:
                    pass  # only the workloads that name it are concerned

    def note_workload(self, uid: str, old: Workload | None, new: Workload | None) -> None:
        """A workload has come, changed or gone."""
        self.workloads.add(uid)
        if old is not None and (new is None or _has_moved(old, new)):
            self.moved.add(uid)


def _has_moved(old: Workload, new: Workload) -> bool:
    return (
        old.addresses != new.addresses
        or old.service_account != new.service_account
        or old.namespace != new.namespace
        or old.trust_domain != new.trust_domain
        or old.protocol is not new.protocol
        or old.network != new.network
        or old.hostname != new.hostname
    )
