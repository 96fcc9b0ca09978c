"""The value of one Kubernetes object: its key, its body, and strict views into it.

1. A body is JSON as the API server would hold it; nobody changes one in place.
2. A view (`Part`) knows the path that led to it, so that a wrong type is a sentence that names the
   object, the field and the mend. Absent and `null` are the same, as for the API server.
3. Whoever needs no strictness asks `KubernetesObject.get`, which never raises.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from mesh.errors import ConfigError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

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


class FieldInvalidError(ConfigError):
    """A field of a Kubernetes object is missing or has a value that it cannot have."""

    code = "field_invalid"

    def __init__(self, key: "ObjectKey", field: str, mend: str) -> None:
        """Keep the object, the path of the field, and what to do about it."""
        super().__init__((f"{key}: {field}: {mend}",))
        self.key, self.field, self.mend = key, field, mend


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Which object; `namespace` is empty for kinds that live in none."""

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
class Part:
    """A mapping inside an object, and the path to it. Every method's `name` is a field of it.

    A value of another type than asked for raises `FieldInvalidError`; an absent one is the default.
    """

    key: ObjectKey
    path: str
    body: dict[str, Json]

    def field(self, name: str) -> str:
        """The path of a field, as problems write it: `spec.ports[0].port`."""
        return f"{self.path}.{name}" if self.path else name

    def invalid(self, name: str, mend: str) -> FieldInvalidError:
        """The error that says what is wrong with a field; the caller raises it."""
        return FieldInvalidError(self.key, self.field(name), mend)

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self.body.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """A string.

        Raises:
            FieldInvalidError: it is something else.
        """
        match self.body.get(name):
            case str(value):
                return value
            case None:
                return default
            case other:
                raise self.invalid(name, f"must be a string, is {_sort(other)}: put it in quotes")

    def number(self, name: str, default: int = 0) -> int:
        """A whole number.

        Raises:
            FieldInvalidError: it is something else.
        """
        match self.body.get(name):
            case bool() as value:
                raise self.invalid(name, f"must be a whole number, is {_sort(value)}")
            case int(value):
                return value
            case None:
                return default
            case other:
                raise self.invalid(name, f"must be a whole number, is {_sort(other)}")

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false.

        Raises:
            FieldInvalidError: it is something else.
        """
        match self.body.get(name):
            case bool(value):
                return value
            case None:
                return default
            case other:
                raise self.invalid(name, f"must be true or false, is {_sort(other)}")

    def at(self, *names: str) -> "Part":
        """The mapping at a path of names; an empty one when it is absent.

        Raises:
            FieldInvalidError: something on the way is no mapping.
        """
        part = self
        for name in names:
            part = Part(self.key, part.field(name), part._mapping(name))
        return part

    def _mapping(self, name: str) -> dict[str, Json]:
        match self.body.get(name):
            case dict(value):
                return value
            case None:
                return {}
            case other:
                raise self.invalid(name, f"must be a mapping, is {_sort(other)}")

    def parts(self, name: str) -> list["Part"]:
        """The mappings in a list.

        Raises:
            FieldInvalidError: it is no list, or holds something else.
        """
        return [self._element(name, i, value) for i, value in enumerate(self.items(name))]

    def _element(self, name: str, index: int, value: Json) -> "Part":
        where = f"{name}[{index}]"
        if not isinstance(value, dict):
            raise self.invalid(where, f"must be a mapping, is {_sort(value)}")
        return Part(self.key, self.field(where), value)

    def items(self, name: str) -> list[Json]:
        """The values of a list, of whatever types.

        Raises:
            FieldInvalidError: it is no list.
        """
        match self.body.get(name):
            case list(value):
                return value
            case None:
                return []
            case other:
                raise self.invalid(name, f"must be a list, is {_sort(other)}")

    def texts(self, name: str) -> list[str]:
        """The strings in a list.

        Raises:
            FieldInvalidError: it is no list, or holds something else.
        """
        values = []
        for index, value in enumerate(self.items(name)):
            if not isinstance(value, str):
                raise self.invalid(f"{name}[{index}]", f"must be a string, is {_sort(value)}")
            values.append(value)
        return values

    def strings(self, name: str) -> dict[str, str]:
        """A mapping of strings to strings, such as labels or a selector.

        Raises:
            FieldInvalidError: it is no mapping, or holds something else.
        """
        part = self.at(name)
        return {label: part.text(label) for label in part.body}


@dataclass(frozen=True, slots=True)
class KubernetesObject:
    """One object. Objects of one identity (`is`) are the same object, unchanged."""

    key: ObjectKey
    api_version: str
    body: dict[str, Json]
    origin: str = ""
    """Where it was read, for people: a file, or an API server's address."""

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
        return Part(self.key, "", self.body)

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


def _sort(value: Json) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the string {value!r}"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return "null"
