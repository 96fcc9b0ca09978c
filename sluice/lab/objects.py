"""The objects of a lab as deciders see them, and the questions that several of them ask."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.names import DATAPLANE_MODE_LABEL, REDIRECTION_ANNOTATION

AMBIENT: Final = "ambient"
FINISHED: Final = frozenset({"Succeeded", "Failed"})


class Objects:
    """Objects by key and by kind. Only `store.py` changes one."""

    def __init__(self, objects: Iterable[KubernetesObject] = ()) -> None:
        self._kinds: dict[str, dict[ObjectKey, KubernetesObject]] = {}
        for each in objects:
            self.hold(each)

    def hold(self, held: KubernetesObject) -> None:
        """Keep an object in place of the one of the same key."""
        self._kinds.setdefault(held.key.kind, {})[held.key] = held

    def drop(self, key: ObjectKey) -> None:
        """Forget an object; none there is fine."""
        self._kinds.get(key.kind, {}).pop(key, None)

    def get(self, key: ObjectKey) -> KubernetesObject | None:
        """The object of a key."""
        return self._kinds.get(key.kind, {}).get(key)

    def find(self, kind: str, namespace: str, name: str) -> KubernetesObject | None:
        """The object of a kind by its name."""
        return self.get(ObjectKey(kind, namespace, name))

    def of(self, kind: str, namespace: str | None = None) -> list[KubernetesObject]:
        """The objects of a kind, in order of their keys; of one namespace, if it is given."""
        found = self._kinds.get(kind, {}).values()
        return sorted(
            (each for each in found if namespace is None or each.key.namespace == namespace),
            key=lambda each: each.key,
        )

    def all(self) -> Iterator[KubernetesObject]:
        """All of them, in no order."""
        for kind in self._kinds.values():
            yield from kind.values()

    def inside(self, namespace: str) -> list[KubernetesObject]:
        """Everything that lives in a namespace."""
        return [
            each
            for kind in sorted(self._kinds)
            for each in self.of(kind, namespace)
            if each.key.namespace
        ]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a controller wants: objects to store, and objects to remove or to begin to remove."""

    puts: Sequence[KubernetesObject] = ()
    removals: Sequence[ObjectKey] = field(default=())


def make_object(
    kind: str,
    api_version: str,
    metadata: Mapping[str, Json],
    **fields: Json,
) -> KubernetesObject:
    """An object out of its parts; the metadata names it."""
    body: dict[str, Json] = {"apiVersion": api_version, "kind": kind, "metadata": dict(metadata)}
    return KubernetesObject.of({**body, **fields})


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether every label of a selector is there; an empty selector selects nothing."""
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())


def is_leaving(found: KubernetesObject) -> bool:
    """Whether its deletion has begun."""
    return found.get("metadata", "deletionTimestamp") is not None


def phase(pod: KubernetesObject) -> str:
    """A pod's phase."""
    value = pod.get("status", "phase")
    return value if isinstance(value, str) else "Pending"


def is_ready(pod: KubernetesObject) -> bool:
    """Whether the pod's Ready condition is true."""
    conditions = pod.get("status", "conditions")
    return isinstance(conditions, list) and any(
        isinstance(each, dict) and each.get("type") == "Ready" and each.get("status") == "True"
        for each in conditions
    )


def pod_ips(pod: KubernetesObject) -> list[str]:
    """A pod's addresses."""
    entries = pod.get("status", "podIPs")
    if not isinstance(entries, list):
        return []
    found = (each.get("ip") for each in entries if isinstance(each, dict))
    return [ip for ip in found if isinstance(ip, str)]


def node_of(pod: KubernetesObject) -> str:
    """The node on which a pod is to run, empty before it is chosen."""
    return pod.at("spec").text("nodeName")


def wants_mesh(pod: KubernetesObject, namespace: KubernetesObject | None) -> bool:
    """Whether a pod is to be enrolled (Istio's rule: the pod's label beats its namespace's)."""
    if pod.at("spec").flag("hostNetwork") or "sidecar.istio.io/status" in pod.annotations:
        return False
    own = pod.labels.get(DATAPLANE_MODE_LABEL)
    if own is not None:
        return own == AMBIENT
    return namespace is not None and namespace.labels.get(DATAPLANE_MODE_LABEL) == AMBIENT


def is_enrolled(pod: KubernetesObject) -> bool:
    """Whether the agent says that the pod is in the mesh."""
    return pod.annotations.get(REDIRECTION_ANNOTATION) == "enabled"
