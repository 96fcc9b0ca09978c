"""Which pods there are, as far as certificates and callers depend on them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.names import GATEWAY_NAME_LABEL

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
    gateway: str = ""
    """The Gateway of its namespace whose pod its label says that it is."""


Place = tuple[str, str, str]
"""Node, namespace and service account."""


@dataclass(frozen=True, slots=True)
class Pods:
    """The live pods at one time: those that have not succeeded or failed."""

    by_name: Mapping[tuple[str, str], Pod] = field(default_factory=dict)
    places: frozenset[Place] = frozenset()
    waypoints: Mapping[str, str] = field(default_factory=dict)
    """`namespace/name` of the Gateways that are waypoints of ours, and as whom they run."""

    def get(self, namespace: str, name: str) -> Pod | None:
        """A live pod by its name."""
        return self.by_name.get((namespace, name))

    def runs_on(self, node: str, namespace: str, account: str) -> bool:
        """Whether a live pod of the account is on the node."""
        return bool(node) and (node, namespace, account) in self.places


def pods_of(objects: Mapping[ObjectKey, KubernetesObject]) -> Pods:
    """The live pods among the objects."""
    return PodReader().update(objects)


class PodReader:
    """Reads the pods again and again, at the price of what changed. For one thread at a time."""

    def __init__(self) -> None:
        """Know no objects."""
        self._objects: Mapping[ObjectKey, KubernetesObject] = {}
        self._pods: dict[tuple[str, str], Pod] = {}
        self._places: Counter[Place] = Counter()
        self._last = Pods()

    def update(self, objects: Mapping[ObjectKey, KubernetesObject]) -> Pods:
        """The live pods among the objects; unchanged objects are the same values (`is`)."""
        before, self._objects = self._objects, objects
        gone = [key for key in before if key.kind == "Pod" and key not in objects]
        changed = [
            found
            for key, found in objects.items()
            if key.kind == "Pod" and before.get(key) is not found
        ]
        for key in (*gone, *(found.key for found in changed)):
            old = self._pods.pop((key.namespace, key.name), None)
            if old is not None:
                self._places[_place(old)] -= 1
        for found in changed:
            if _is_live(found):
                new = _pod(found)
                self._pods[new.namespace, new.name] = new
                self._places[_place(new)] += 1
        if gone or changed:
            self._places = +self._places
            self._last = Pods(dict(self._pods), frozenset(self._places))
        return self._last


def _place(pod: Pod) -> Place:
    return pod.node, pod.namespace, pod.service_account


def _is_live(found: KubernetesObject) -> bool:
    return found.get("status", "phase") not in FINISHED


def _pod(found: KubernetesObject) -> Pod:
    return Pod(
        found.key.namespace,
        found.key.name,
        found.uid,
        _text(found, "serviceAccountName") or _text(found, "serviceAccount") or "default",
        _text(found, "nodeName"),
        found.labels.get(GATEWAY_NAME_LABEL, ""),
    )


def _text(found: KubernetesObject, name: str) -> str:
    value = found.get("spec", name)
    return value if isinstance(value, str) else ""
