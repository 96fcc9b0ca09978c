"""The value of one Kubernetes object: its key and its body.

1. A body is JSON as the API server would hold it; nobody changes one in place.
2. `KubernetesObject.at` is strict (`mesh/model/fields.py`); `KubernetesObject.get` never raises.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

from mesh.model.fields import Json, Part

CLUSTER_WIDE = frozenset(
    {
        "APIService", "ClusterRole", "ClusterRoleBinding", "ClusterTrustBundle", "CSIDriver",
        "CSINode", "CustomResourceDefinition", "GatewayClass", "IngressClass", "IPAddress",
        "MutatingWebhookConfiguration", "Namespace", "Node", "PersistentVolume",
        "PriorityClass", "RuntimeClass", "ServiceCIDR", "StorageClass",
        "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration", "VolumeAttachment",
    }
)  # fmt: skip
"""Kinds that live in no namespace."""

_OWN_GROUP = {"Gateway": "gateway.networking.k8s.io", "Service": ""}
# Istio and Knative have kinds of these names too; theirs carry their group in the key.


class ObjectKey(NamedTuple):
    """Which object; `namespace` is empty for kinds that live in none.

    A tuple, because a large mesh is looked up by key again and again: its hash is C's.
    """

    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, kind: str, namespace: str, name: str, api_version: str = "v1") -> "ObjectKey":
        """The key of an object as its manifest names it: a missing namespace is `default`.

        A kind that another API group uses too is `Gateway.networking.istio.io` for that group.
        """
        group = api_version.rpartition("/")[0]
        if "/" in api_version and _OWN_GROUP.get(kind, group) != group:
            kind = f"{kind}.{group}"
        return cls(kind, "" if kind in CLUSTER_WIDE else namespace or "default", name)

    def __str__(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}"


@dataclass(frozen=True, slots=True)
class KubernetesObject:
    """One object. Objects of one identity (`is`) are the same object, unchanged."""

    key: ObjectKey
    api_version: str
    body: dict[str, Json]
    origin: str = ""
    """Where it was read, for people: a file, or an API server's address."""

    @classmethod
    def of(cls, body: dict[str, Json], origin: str = "") -> Self:
        """An object from its body; what its metadata must have is checked.

        Raises:
            FieldInvalidError: no apiVersion, kind or metadata.name, or a wrong type in metadata.
        """
        root = Part("an object without a name", "", body)
        name, kind = root.at("metadata").text("name"), root.text("kind")
        root = Part(f"{kind} {name}".strip() or root.subject, "", body)
        metadata = root.at("metadata")
        for part, field in ((root, "apiVersion"), (root, "kind"), (metadata, "name")):
            if not part.text(field) or (field != "apiVersion" and "/" in part.text(field)):
                raise part.invalid(field, "must be a name: give the object one")
        version = root.text("apiVersion")
        key = ObjectKey.of(kind, metadata.text("namespace"), name, version)
        metadata = Part(str(key), "metadata", metadata.body)
        for field in ("uid", "creationTimestamp"):
            metadata.text(field)
        for field in ("labels", "annotations"):
            metadata.strings(field)
        return cls(key, version, body, origin)

    @property
    def labels(self) -> Mapping[str, str]:
        """`metadata.labels`; values that are no strings are left out."""
        return dict(_strings(self.get("metadata", "labels")))

    @property
    def annotations(self) -> Mapping[str, str]:
        """`metadata.annotations`; values that are no strings are left out."""
        return dict(_strings(self.get("metadata", "annotations")))

    @property
    def uid(self) -> str:
        """`metadata.uid`, empty when it has none."""
        value = self.get("metadata", "uid")
        return value if isinstance(value, str) else ""

    @property
    def created(self) -> str:
        """`metadata.creationTimestamp`, empty when it has none. Sorts by age as it stands."""
        value = self.get("metadata", "creationTimestamp")
        return value if isinstance(value, str) else ""

    @property
    def root(self) -> Part:
        """The whole body as a strict view."""
        return Part(str(self.key), "", self.body)

    def at(self, *names: str) -> Part:
        """The mapping at a path, as a strict view; an empty one when it is absent.

        Raises:
            FieldInvalidError: something on the way is no mapping.
        """
        return self.root.at(*names)

    def get(self, *path: str | int) -> Json:
        """The value at a path of names and list indexes; None when there is no such place."""
        value: Json = self.body
        for step in path:
            if isinstance(value, dict) and isinstance(step, str):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    def patched(self, patch: Mapping[str, Json]) -> "KubernetesObject":
        """The object with a JSON merge patch over its body; its key stays."""
        return KubernetesObject(self.key, self.api_version, merged(self.body, patch), self.origin)


def merge_patch(target: Json, patch: Json) -> Json:
    """Apply a JSON merge patch (RFC 7396 section 2); neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    return merged(target if isinstance(target, dict) else {}, patch)


def merged(target: Mapping[str, Json], patch: Mapping[str, Json]) -> dict[str, Json]:
    """`merge_patch` of two mappings."""
    result = dict(target)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def _strings(value: Json) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        yield from ((name, text) for name, text in value.items() if isinstance(text, str))
