"""References that lead nowhere: what a manifest names and neither it nor the lab has."""

from collections.abc import Iterator, Sequence

from mesh.model.fields import Part
from mesh.model.kubernetes import CLUSTER_WIDE, KubernetesObject, ObjectKey
from sluice.lab.objects import Objects, is_leaving


class _Known:
    """What is there, or comes in the same call."""

    def __init__(self, documents: Sequence[KubernetesObject], objects: Objects) -> None:
        self._coming = {each.key for each in documents}
        self._objects = objects

    def has(self, kind: str, namespace: str, name: str) -> bool:
        key = ObjectKey(kind, namespace, name)
        return key in self._coming or self._objects.get(key) is not None

    def is_going(self, namespace: str, kind: str) -> bool:
        found = self._objects.find("Namespace", "", namespace)
        return found is not None and is_leaving(found) and kind not in CLUSTER_WIDE - {"Namespace"}


def dangling(documents: Sequence[KubernetesObject], objects: Objects) -> Iterator[str]:
    """A sentence for each reference to something that is not there."""
    known = _Known(documents, objects)
    for each in documents:
        where = f"{each.origin}: " if each.origin else ""
        yield from (f"{where}{problem}" for problem in _of_document(each, known))


def _of_document(document: KubernetesObject, known: _Known) -> Iterator[str]:
    namespace = document.key.namespace
    if known.is_going(namespace or document.key.name, document.key.kind):
        mend = "is going: wait until it is gone"
        yield from document.at("metadata").invalid("namespace", mend).problems
        return
    if namespace and not known.has("Namespace", "", namespace):
        mend = f"there is no namespace {namespace}: add its manifest"
        yield from document.at("metadata").invalid("namespace", mend).problems
        return
    match document.key.kind:
        case "Pod":
            yield from _of_pod(document.at("spec"), namespace, known)
        case "Deployment":
            yield from _of_pod(document.at("spec", "template", "spec"), namespace, known)
        case _:
            pass


def _of_pod(spec: Part, namespace: str, known: _Known) -> Iterator[str]:
    node = spec.text("nodeName")
    if node and not known.has("Node", "", node):
        yield from _missing(spec, "nodeName", "Node", node)
    account = spec.text("serviceAccountName") or spec.text("serviceAccount") or "default"
    if account != "default" and not known.has("ServiceAccount", namespace, account):
        yield from _missing(spec, "serviceAccountName", "ServiceAccount", f"{namespace}/{account}")
    for volume in spec.parts("volumes"):
        for sort, kind, field in (
            ("secret", "Secret", "secretName"),
            ("configMap", "ConfigMap", "name"),
        ):
            yield from _of_source(volume, sort, (kind, namespace, field), known)
    for container in [*spec.parts("containers"), *spec.parts("initContainers")]:
        yield from _of_container(container, namespace, known)


def _of_container(container: Part, namespace: str, known: _Known) -> Iterator[str]:
    for variable in container.parts("env"):
        source = variable.at("valueFrom")
        for sort, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
            yield from _of_source(source, sort, (kind, namespace, "name"), known)
    for every in container.parts("envFrom"):
        for sort, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            yield from _of_source(every, sort, (kind, namespace, "name"), known)


def _of_source(part: Part, sort: str, target: tuple[str, str, str], known: _Known) -> Iterator[str]:
    if not part.has(sort):
        return
    kind, namespace, field = target
    source = part.at(sort)
    name = source.text(field)
    if not known.has(kind, namespace, name) and not source.flag("optional"):
        yield from _missing(source, field, kind, f"{namespace}/{name}")


def _missing(part: Part, field: str, kind: str, name: str) -> tuple[str, ...]:
    return part.invalid(field, f"there is no {kind} {name}: add its manifest").problems
