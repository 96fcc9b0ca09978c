"""What a proxy knows of the mesh, indexed by every question that a connection asks.

1. One owner changes it, between two connections, never during a decision (docs/decisions/0001).
2. Nothing is ever half there: additions count at once, removals when a version is complete, so
   that no workload is seen without the policies and services that it names.
3. A name or address may have several holders; the index keeps them all, the best first, so that
   the next one takes over when the best goes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mesh.model.address import Ip
from mesh.model.policy import Authorization
from mesh.model.workload import (
    NetworkMode,
    Service,
    TunnelProtocol,
    Workload,
)
from mesh.state.changes import Changes
from mesh.state.holders import Holders
from mesh.state.pending import Pending
from mesh.state.policies import Policies
from mesh.state.services import Services
from mesh.state.shards import Shards
from mesh.state.shortlists import Shortlists
from mesh.wire.feed import StateDelta

__all__ = ["Changes", "Counts", "World"]


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


def _pod_uid(cluster: str, namespace: str, name: str) -> str:
    return f"{cluster}//Pod/{namespace}/{name}"


class World:
    """Workloads, services and policies."""

    def __init__(self) -> None:
        """Know nothing."""
        self.version = 0
        """The last version that is here completely."""
        self.shortlists = Shortlists()
        """What deciders keep about services, as long as it holds."""
        self._pending = Pending(0)
        self._workloads: Shards[str, Workload] = Shards()
        self._by_ip: dict[str, Holders[Ip, Workload]] = {}
        self._by_hostname: Holders[str, Workload] = Holders(_alike)
        self._clusters: dict[str, int] = {}
        self._by_name: Holders[str, Workload] = Holders(_alike)
        """Only those whose uid is not that of a pod: a pod's can be written down."""
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
        for step in self.steps(delta):
            changes.add(step)
        return changes

    def steps(self, delta: StateDelta) -> Iterator[Changes]:
        """The same as `apply` with pauses, for who may not be stopped for long.

        Take every step before the next part; whoever asks the world between two steps finds all
        that was added, and not all that goes gone yet: first workloads and services go, then the
        policies that they named.
        """
        if delta.reset or delta.version != self._pending.version:
            self._pending = Pending(delta.version, reset=delta.reset)
        yield self._add(delta)
        if delta.last:
            yield from self._sweep()
            self.version = delta.version
            self._pending = Pending(delta.version)

    def _add(self, delta: StateDelta) -> Changes:
        changes = Changes()
        pending = self._pending
        pending.remove(delta)
        for policy in delta.policies:
            pending.keep_policy(policy.key)
            old = self._policies.get(policy.key)
            if self._policies.put(policy):
                changes.note_policy(policy.key, (old, policy))
        for service in delta.services:
            pending.keep_address(service.key)
            if self._services.put(service):
                self.shortlists.forget((service.key,))
                changes.services.add(service.key)
        for workload in delta.workloads:
            pending.keep_address(workload.uid)
            self._put(workload, changes)
        return changes

    def _sweep(self) -> Iterator[Changes]:
        for names in self._pending.addresses(self._workloads, list(self._services)):
            changes = Changes()
            for name in names:
                self._remove(name, changes)
            yield changes
        for keys in self._pending.policies(list(self._policies)):
            changes = Changes()
            for key in keys:
                old = self._policies.get(key)
                if self._policies.remove(key):
                    changes.note_policy(key, (old,))
            yield changes

    def _remove(self, name: str, changes: Changes) -> None:
        # A name is a workload's uid or a service's key; what is neither went before.
        if (workload := self._workloads.pop(name)) is not None:
            self._unlink(workload)
            changes.note_workload(name, workload, None)
        elif self._services.remove(name):
            self.shortlists.forget((name,))
            changes.services.add(name)

    def _put(self, workload: Workload, changes: Changes) -> None:
        old = self._workloads.get(workload.uid)
        if old == workload:
            return
        if old is not None:
            self._unlink(old)
        self._workloads.put(workload.uid, workload)
        self._link(workload)
        changes.note_workload(workload.uid, old, workload)

    def _link(self, workload: Workload) -> None:
        cluster = workload.cluster_id
        if workload.uid == _pod_uid(cluster, workload.namespace, workload.name):
            self._clusters[cluster] = self._clusters.get(cluster, 0) + 1
        else:
            self._by_name.add(workload.name, workload)
        if workload.hostname:
            self._by_hostname.add(f"{workload.namespace}/{workload.hostname}", workload)
        # Pods of the host's network share the node's address: it does not say which is meant.
        if workload.network_mode is NetworkMode.STANDARD and workload.addresses:
            by_ip = self._by_ip.get(workload.network)
            if by_ip is None:
                by_ip = self._by_ip[workload.network] = Holders(_standing)
            for ip in workload.addresses:
                by_ip.add(ip, workload)
        self.shortlists.forget(workload.services)
        for key in workload.services:
            endpoints = self._endpoints.get(key)
            if endpoints is None:
                endpoints = self._endpoints[key] = {}
            endpoints[workload.uid] = workload

    def _unlink(self, workload: Workload) -> None:
        cluster = workload.cluster_id
        if workload.uid == _pod_uid(cluster, workload.namespace, workload.name):
            self._clusters[cluster] -= 1
            if not self._clusters[cluster]:
                del self._clusters[cluster]
        else:
            self._by_name.remove(workload.name, workload)
        if workload.hostname:
            self._by_hostname.remove(f"{workload.namespace}/{workload.hostname}", workload)
        if workload.network_mode is NetworkMode.STANDARD and workload.addresses:
            by_ip = self._by_ip[workload.network]
            for ip in workload.addresses:
                by_ip.remove(ip, workload)
            if not by_ip:
                del self._by_ip[workload.network]
        self.shortlists.forget(workload.services)
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
        return self._workloads.values()

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
        uids = (_pod_uid(cluster, namespace, name) for cluster in self._clusters)
        found = [workload for uid in uids if (workload := self._workloads.get(uid)) is not None]
        return next(
            (
                workload
                for workload in (*found, *self._by_name.all(name))
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

    def services_named(self, hostname: str) -> tuple[Service, ...]:
        """Everyone who has the hostname, seen or not, the first to come first."""
        return self._services.all_named(hostname)

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
