"""Which pods there are, as far as certificates and callers depend on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mesh.model.kubernetes import KubernetesObject, ObjectKey

FINISHED: Final = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod that has not ended."""

    namespace: str
    name: str
    uid: str
    """Empty when its manifest has none."""
    service_account: str
    node: str
    """Empty before it is placed."""


Place = tuple[str, str, str]
"""Node, namespace and service account."""


@dataclass(frozen=True, slots=True)
class Pods:
    """The live pods at one time: those that have not succeeded or failed."""

    by_name: Mapping[tuple[str, str], Pod] = field(default_factory=dict)
    places: frozenset[Place] = frozenset()

    def get(self, namespace: str, name: str) -> Pod | None:
        """A live pod by its name."""
        return self.by_name.get((namespace, name))

    def runs_on(self, node: str, namespace: str, account: str) -> bool:
        """Whether a live pod of the account is on the node."""
        return bool(node) and (node, namespace, account) in self.places


def pods_of(objects: Mapping[ObjectKey, KubernetesObject]) -> Pods:
    """The live pods among the objects."""
    found = [_pod(each) for key, each in objects.items() if key.kind == "Pod" and _is_live(each)]
    return Pods(
        {(pod.namespace, pod.name): pod for pod in found},
        frozenset((pod.node, pod.namespace, pod.service_account) for pod in found),
    )


def _is_live(found: KubernetesObject) -> bool:
    return found.get("status", "phase") not in FINISHED


def _pod(found: KubernetesObject) -> Pod:
    return Pod(
        found.key.namespace,
        found.key.name,
        found.uid,
        _text(found, "serviceAccountName") or _text(found, "serviceAccount") or "default",
        _text(found, "nodeName"),
    )


def _text(found: KubernetesObject, name: str) -> str:
    value = found.get("spec", name)
    return value if isinstance(value, str) else ""
