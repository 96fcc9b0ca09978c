"""What a proxy knows of the mesh, indexed by every question that a connection asks.

1. One owner changes it, between two connections, never during a decision (docs/decisions/0001).
2. Nothing is ever half there: additions count at once, removals when a version is complete, so
   that no workload is seen without the policies and services that it names.
3. A name or address may have several holders; the index keeps them all, the best first, so that
   the next one takes over when the best goes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mesh.model.address import Ip
from mesh.model.policy import Authorization
from mesh.model.workload import (
    NetworkMode,
    Service,
    TunnelProtocol,
    Workload,
)
from mesh.state.holders import Holders
from mesh.state.policies import Policies
from mesh.state.services import Services
from mesh.wire.feed import StateDelta


@dataclass(slots=True)
class Changes:
    """Names of what was added, changed or removed; an object that came again unchanged is not."""

    workloads: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)
    policies: set[str] = field(default_factory=set)

    @property
    def affects_connections(self) -> bool:
        """Whether a connection that is open might be judged differently now."""
        return bool(self.workloads or self.policies)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is known."""

    workloads: int
    services: int
    policies: int


def _standing(workload: Workload) -> tuple[bool, bool]:
    """Among holders of one address a Pod comes first, then one with a tunnel."""
    return "//Pod/" not in workload.uid, workload.protocol is not TunnelProtocol.HBONE


def _alike(_workload: Workload) -> tuple[bool, bool]:
    return False, False


class World:
    """Workloads, services and policies."""

    def __init__(self) -> None:
        """Know nothing."""
        self.version = 0
        """The last version that is here completely."""
        self._pending_version = 0
        self._pending_addresses: set[str] = set()
        self._pending_policies: set[str] = set()
        self._workloads: dict[str, Workload] = {}
        self._by_ip: dict[str, Holders[Ip, Workload]] = {}
        self._by_name: Holders[str, Workload] = Holders(_alike)
        self._by_hostname: Holders[str, Workload] = Holders(_alike)
        self._endpoints: dict[str, dict[str, Workload]] = {}
        self._services = Services()
        self._policies = Policies()

    # Changing.

    def apply(self, delta: StateDelta) -> Changes:
        """Take one part of a version.

        What a part adds or changes is in force when this returns. What the version removes (after
        a `reset`: everything that it does not name) goes with its last part. An unfinished version
        is forgotten, removals and all, when a part of another comes.
        """
        changes = Changes()
        if delta.reset or delta.version != self._pending_version:
            self._pending_version = delta.version
            self._pending_addresses = self._addresses() if delta.reset else set()
            self._pending_policies = set(self._policies) if delta.reset else set()
        self._pending_addresses.update(delta.removed_addresses)
        self._pending_policies.update(delta.removed_policies)
        for policy in delta.policies:
            self._pending_policies.discard(policy.key)
            if self._policies.put(policy):
                changes.policies.add(policy.key)
        for service in delta.services:
            self._pending_addresses.discard(service.key)
            if self._services.put(service):
                changes.services.add(service.key)
        for workload in delta.workloads:
            self._pending_addresses.discard(workload.uid)
            if self._put(workload):
                changes.workloads.add(workload.uid)
        if delta.last:
            self._sweep(changes)
            self.version = delta.version
        return changes

    def _addresses(self) -> set[str]:
        return {*self._workloads, *self._services}

    def _sweep(self, changes: Changes) -> None:
        for name in self._pending_addresses:
            # A name is a workload's uid or a service's key; what is neither went before.
            if (workload := self._workloads.pop(name, None)) is not None:
                self._unlink(workload)
                changes.workloads.add(name)
            elif self._services.remove(name):
                changes.services.add(name)
        for name in self._pending_policies:
            if self._policies.remove(name):
                changes.policies.add(name)
        self._pending_addresses = set()
        self._pending_policies = set()

    def _put(self, workload: Workload) -> bool:
        old = self._workloads.get(workload.uid)
        if old == workload:
            return False
        if old is not None:
            self._unlink(old)
        self._workloads[workload.uid] = workload
        self._link(workload)
        return True

    def _link(self, workload: Workload) -> None:
        self._by_name.add(workload.name, workload)
        if workload.hostname:
            self._by_hostname.add(f"{workload.namespace}/{workload.hostname}", workload)
        # Pods of the host's network share the node's address: it does not say which is meant.
        if workload.network_mode is NetworkMode.STANDARD and workload.addresses:
            by_ip = self._by_ip.setdefault(workload.network, Holders(_standing))
            for ip in workload.addresses:
                by_ip.add(ip, workload)
        for key in workload.services:
            self._endpoints.setdefault(key, {})[workload.uid] = workload

    def _unlink(self, workload: Workload) -> None:
        self._by_name.remove(workload.name, workload)
        if workload.hostname:
            self._by_hostname.remove(f"{workload.namespace}/{workload.hostname}", workload)
        if workload.network_mode is NetworkMode.STANDARD and workload.addresses:
            by_ip = self._by_ip[workload.network]
            for ip in workload.addresses:
                by_ip.remove(ip, workload)
            if not by_ip:
                del self._by_ip[workload.network]
        for key in workload.services:
            endpoints = self._endpoints[key]
            del endpoints[workload.uid]
            if not endpoints:
                del self._endpoints[key]

    # Asking.

    @property
    def counts(self) -> Counts:
        """How much is known."""
        return Counts(len(self._workloads), len(self._services), len(self._policies))

    def workloads(self) -> Iterator[Workload]:
        """All, in no order; do not change the world meanwhile."""
        return iter(self._workloads.values())

    def services(self) -> Iterator[Service]:
        """All, in no order; do not change the world meanwhile."""
        return self._services.values()

    def policies(self) -> Iterator[Authorization]:
        """All, in no order; do not change the world meanwhile."""
        return self._policies.values()

    def workload(self, uid: str) -> Workload | None:
        """By its name in the workload API."""
        return self._workloads.get(uid)

    def workload_at(self, network: str, ip: Ip) -> Workload | None:
        """Whose address it is. A Pod wins over other kinds, a tunnel over plain TCP."""
        by_ip = self._by_ip.get(network)
        return None if by_ip is None else by_ip.best(ip)

    def workloads_at(self, network: str, ip: Ip) -> tuple[Workload, ...]:
        """Everyone who has the address, the best first."""
        by_ip = self._by_ip.get(network)
        return () if by_ip is None else by_ip.all(ip)

    def workload_named(self, namespace: str, hostname: str) -> Workload | None:
        """By a hostname of its own."""
        return self._by_hostname.best(f"{namespace}/{hostname}")

    def workloads_named(self, namespace: str, hostname: str) -> tuple[Workload, ...]:
        """Everyone who has the hostname, the first to come first."""
        return self._by_hostname.all(f"{namespace}/{hostname}")

    def pod(self, namespace: str, name: str, service_account: str) -> Workload | None:
        """The workload that a pod is, by what its node agent knows of it."""
        return next(
            (
                workload
                for workload in self._by_name.all(name)
                if workload.namespace == namespace and workload.service_account == service_account
            ),
            None,
        )

    def service(self, key: str) -> Service | None:
        """By `namespace/hostname`."""
        return self._services.get(key)

    def service_at(self, network: str, ip: Ip, namespace: str = "") -> Service | None:
        """The service that a client in `namespace` means by a virtual address.

        Of several: one that the client may see; exact before a range, own namespace, longest
        range, canonical.
        """
        return self._services.at(network, ip, namespace)

    def service_named(self, hostname: str, namespace: str = "") -> Service | None:
        """The service that a client in `namespace` means by a hostname."""
        return self._services.named(hostname, namespace)

    def endpoints(self, service: str) -> Iterable[Workload]:
        """The workloads that serve `namespace/hostname`, ready or not, in order of arrival."""
        return self._endpoints.get(service, {}).values()

    def is_endpoint(self, service: str, uid: str) -> bool:
        """Whether a workload serves `namespace/hostname`."""
        return uid in self._endpoints.get(service, {})

    def policy(self, key: str) -> Authorization | None:
        """By `namespace/name`."""
        return self._policies.get(key)

    def policies_for(self, workload: Workload) -> tuple[list[Authorization], list[str]]:
        """The policies that concern a workload, and the names among them that are not known."""
        return self._policies.of(workload)
