"""Whose certificates this node needs: the workloads that the state puts here, and the pods."""

from collections.abc import Iterable

from mesh.model.identity import Identity
from mesh.model.workload import TunnelProtocol, Workload
from mesh.wire.feed import StateDelta
from ztunnel.control.pods import Pods


class LocalIdentities:
    """The identities of local workloads."""

    def __init__(self, node: str, trust_domain: str, pods: Pods) -> None:
        """Nobody is here yet.

        Args:
            node: our node's name; empty means that no workload is known to be ours by its node.
            trust_domain: of pods that the state does not know yet.
            pods: the pods that are served.
        """
        self._node, self._trust_domain, self._pods = node, trust_domain, pods
        self._by_uid: dict[str, Identity] = {}

    def apply(self, delta: StateDelta) -> None:
        """The state has changed."""
        for uid in delta.removed_addresses:
            self._by_uid.pop(uid, None)
        self.look_at(delta.workloads)

    def look_at(self, workloads: Iterable[Workload]) -> None:
        """These are new, or have changed."""
        for workload in workloads:
            if self._is_local(workload):
                self._by_uid[workload.uid] = workload.identity
            else:
                self._by_uid.pop(workload.uid, None)

    def all(self) -> frozenset[Identity]:
        """The identities that are needed now."""
        of_pods = (
            Identity(self._trust_domain, pod.info.namespace, pod.info.service_account)
            for pod in self._pods.held
        )
        return frozenset((*self._by_uid.values(), *of_pods))

    def _is_local(self, workload: Workload) -> bool:
        return (
            bool(self._node)
            and workload.node == self._node
            and (workload.protocol is TunnelProtocol.HBONE or workload.native_tunnel)
        )
