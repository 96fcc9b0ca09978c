"""What a container is told: its variables, its words, and the files of its volumes."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Final

from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject
from sluice.lab.addresses import node_address
from sluice.lab.errors import PodRefusedError
from sluice.lab.objects import Objects, node_of, pod_ips

_REFERENCE: Final = re.compile(r"\$\$|\$\(([A-Za-z_][\w.-]*)\)")
_INDEXED: Final = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """A text with `$(NAME)` filled in; a name that is not known stays as it is, `$$` is one `$`."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        return "$" if name is None else variables.get(name, match.group(0))

    return _REFERENCE.sub(value, text)


def variables_of(container: Part, pod: KubernetesObject, objects: Objects) -> dict[str, str]:
    """The variables of a container, in the order in which they may use each other.

    Raises:
        PodRefusedError: a source that is not there.
    """
    found: dict[str, str] = {}
    for source in container.parts("envFrom"):
        found.update(_whole(source, pod, objects))
    for variable in container.parts("env"):
        value = _value(variable, pod, objects, found)
        if value is not None:
            found[variable.text("name")] = value
    return found


def _whole(source: Part, pod: KubernetesObject, objects: Objects) -> Iterator[tuple[str, str]]:
    for sort, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
        if source.has(sort):
            reference = source.at(sort)
            entries = _entries(kind, reference.text("name"), pod, objects, reference)
            for name, octets in entries.items():
                yield source.text("prefix") + name, octets.decode(errors="replace")


def _value(
    variable: Part, pod: KubernetesObject, objects: Objects, known: Mapping[str, str]
) -> str | None:
    if not variable.has("valueFrom"):
        return expanded(variable.text("value"), known)
    source = variable.at("valueFrom")
    if source.has("fieldRef"):
        return field_of(pod, source.at("fieldRef").text("fieldPath"))
    for sort, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if source.has(sort):
            return _keyed(source.at(sort), kind, pod, objects)
    raise PodRefusedError(f"variable {variable.text('name')}: the lab does not know this source")


def _keyed(reference: Part, kind: str, pod: KubernetesObject, objects: Objects) -> str | None:
    name, key = reference.text("name"), reference.text("key")
    entries = _entries(kind, name, pod, objects, reference)
    if key in entries:
        return entries[key].decode(errors="replace")
    if reference.flag("optional"):
        return None
    raise PodRefusedError(f"{kind} {pod.key.namespace}/{name} has no key {key}")


def field_of(pod: KubernetesObject, path: str) -> str:
    """The value of a pod's field, as the downward API gives it.

    Raises:
        PodRefusedError: a field that it does not give.
    """
    indexed = _INDEXED.fullmatch(path)
    if indexed:
        labels = pod.labels if indexed.group(1) == "labels" else pod.annotations
        return labels.get(indexed.group(2), "")
    host = node_address(node_of(pod)).v4
    ips = pod_ips(pod)
    values = {
        "metadata.name": pod.key.name,
        "metadata.namespace": pod.key.namespace,
        "metadata.uid": pod.uid,
        "spec.nodeName": node_of(pod),
        "spec.serviceAccountName": pod.at("spec").text("serviceAccountName"),
        "status.podIP": ips[0] if ips else "",
        "status.podIPs": ",".join(ips),
        "status.hostIP": host,
        "status.hostIPs": host,
    }
    if path not in values:
        raise PodRefusedError(f"fieldRef {path}: not one of {', '.join(values)}")
    return values[path]


def _entries(
    kind: str, name: str, pod: KubernetesObject, objects: Objects, reference: Part
) -> dict[str, bytes]:
    found = objects.find(kind, pod.key.namespace, name)
    if found is not None:
        return entries_of(found)
    if reference.flag("optional"):
        return {}
    raise PodRefusedError(f"there is no {kind} {pod.key.namespace}/{name}")


def entries_of(found: KubernetesObject) -> dict[str, bytes]:
    """What a Secret or ConfigMap holds, by key.

    Raises:
        PodRefusedError: a value that ought to be base64 and is not.
    """
    plain = "stringData" if found.key.kind == "Secret" else "data"
    coded = "data" if found.key.kind == "Secret" else "binaryData"
    entries: dict[str, bytes] = {}
    for key, text in found.root.strings(coded).items():
        try:
            entries[key] = base64.b64decode(text, validate=False)
        except binascii.Error as error:
            raise PodRefusedError(f"{found.key}: {coded}.{key} is not base64") from error
    return entries | {key: text.encode() for key, text in found.root.strings(plain).items()}


def volume_files(volume: Part, pod: KubernetesObject, objects: Objects) -> dict[str, bytes]:
    """The files of a volume by their paths in it; an empty folder's are none.

    Raises:
        PodRefusedError: a source, a key or a path that cannot be.
    """
    for sort, kind, field in (
        ("secret", "Secret", "secretName"),
        ("configMap", "ConfigMap", "name"),
    ):
        if volume.has(sort):
            source = volume.at(sort)
            entries = _entries(kind, source.text(field), pod, objects, source)
            return dict(_chosen(source, entries))
    files: dict[str, bytes] = {}
    for part in volume.at("projected").parts("sources"):
        for sort, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
            if part.has(sort):
                source = part.at(sort)
                files |= _chosen(source, _entries(kind, source.text("name"), pod, objects, source))
    return files


def _chosen(source: Part, entries: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    if not source.has("items"):
        yield from entries.items()
        return
    for item in source.parts("items"):
        key, path = item.text("key"), item.text("path")
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise PodRefusedError(f"{item.field('path')}: {path} must stay inside the volume")
        if key in entries:
            yield path, entries[key]
        elif not source.flag("optional"):
            raise PodRefusedError(f"{item.field('key')}: there is no key {key}")
