"""What the manifests say about the pods of this node: a view of one snapshot."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from cni.eligibility import Eligibility, capture_of, judge
from cni.plan import Wanted
from cni.pods import Pod
from mesh.model.fields import FieldInvalidError
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.policy.peer_authentication import (
    KIND,
    PeerAuthentication,
    Strictness,
    read,
    strictness_of,
)
from mesh.runtime.manifests import Snapshot


@dataclass(frozen=True)
class World:
    """One snapshot of the manifests, for one node."""

    snapshot: Snapshot
    node: str
    root_namespace: str
    excluded: tuple[str, ...]
    dns: bool = False
    """Whether pods' DNS queries are captured, where no annotation says otherwise."""

    @property
    def is_known(self) -> bool:
        """Whether there is anything to go by: a folder that is empty is one that is not there."""
        return bool(self.snapshot.objects)

    @property
    def is_complete(self) -> bool:
        """Whether everything in the folder could be read."""
        return not self.snapshot.problems

    def pod(self, namespace: str, name: str) -> KubernetesObject | None:
        """A pod's object."""
        return self.snapshot.objects.get(ObjectKey("Pod", namespace, name))

    def wanted(self, listed: KubernetesObject) -> Wanted:
        """What is asked for a pod.

        Raises:
            FieldInvalidError: an annotation that cannot be understood.
        """
        return Wanted(listed, self._eligibility(listed), capture_of(listed, dns=self.dns))

    def strictness(self, pod: Pod) -> Strictness:
        """On which of a pod's ports plain text is refused."""
        listed = self.pod(pod.namespace, pod.name)
        if listed is None:
            return Strictness()
        return strictness_of(pod.namespace, listed.labels, self._peers, self.root_namespace)

    @cached_property
    def _peers(self) -> tuple[PeerAuthentication, ...]:
        return tuple(self._readable_peers())

    def _readable_peers(self) -> Iterator[PeerAuthentication]:
        for found in self.snapshot.objects.values():
            if found.key.kind == KIND:
                with suppress(FieldInvalidError):  # the control plane says so, in its problems
                    yield read(found)

    def running_wanted(self) -> frozenset[ObjectKey]:
        """The pods of this node that run and are to be in the mesh."""
        return frozenset(
            each.key
            for each in self.snapshot.objects.values()
            if each.key.kind == "Pod"
            and each.get("spec", "nodeName") == self.node
            and each.get("status", "phase") == "Running"
            and self._eligibility(each).enrol
        )

    def _eligibility(self, listed: KubernetesObject) -> Eligibility:
        found = self.snapshot.objects.get(ObjectKey("Namespace", "", listed.key.namespace))
        return judge(
            listed,
            found.labels if found else {},
            excluded=self.excluded,
            proxy_namespace=self.root_namespace,
        )
