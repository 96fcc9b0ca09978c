"""From a manifest to the object that is stored: checked, with defaults, with what the server keeps.

As `kubectl apply` does it: what the manifest no longer says goes, what the server gave stays.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject
from sluice.lab.errors import LabRefusedError
from sluice.lab.images import image_problem
from sluice.lab.kinds import Kind, kind_of_document
from sluice.lab.objects import Objects
from sluice.lab.references import dangling
from sluice.lab.schema import problems
from sluice.lab.service_addresses import with_addresses

_LABEL_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DOTTED_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_FROM_MANIFEST: Final = (
    "name", "namespace", "labels", "annotations", "ownerReferences", "finalizers",
)  # fmt: skip
_VOLUMES: Final = ("secret", "configMap", "emptyDir", "projected")
_HOSTNAME_LABEL: Final = "kubernetes.io/hostname"


def admit(documents: Sequence[KubernetesObject], objects: Objects) -> list[KubernetesObject]:
    """The objects to store for a stream of manifests, in the same order.

    Args:
        documents: as parsed; nothing but their metadata's types has been looked at.
        objects: what is there.

    Raises:
        LabRefusedError: every problem of every document.
    """
    slips = [slip for each in documents for slip in _slips(each, objects)]
    if slips:
        raise LabRefusedError(tuple(slips))
    slips = [*_twice(documents), *dangling(documents, objects)]
    if slips:
        raise LabRefusedError(tuple(slips))
    admitted: list[KubernetesObject] = []
    for each in documents:
        admitted.append(stored_as(each, objects, admitted))
    return admitted


def _twice(documents: Sequence[KubernetesObject]) -> Iterator[str]:
    seen: dict[object, str] = {}
    for each in documents:
        if each.key in seen:
            yield f"{each.origin}: {each.key} stands twice in one call: remove one"
        seen[each.key] = each.origin


def _slips(document: KubernetesObject, objects: Objects) -> Iterator[str]:
    where = f"{document.origin}: " if document.origin else ""
    try:
        kind = kind_of_document(document.key.kind, document.api_version)
    except LabRefusedError as error:
        yield from (f"{where}{document.key}: {problem}" for problem in error.problems)
        return
    found = [*problems(document.root, kind.shape), *_name_slips(document, kind)]
    if not found:
        found = [*_slips_of_kind(document, objects)]
    yield from (f"{where}{problem}" for problem in found)


def _name_slips(document: KubernetesObject, kind: Kind) -> Iterator[str]:
    shape = _LABEL_NAME if kind.name in ("Namespace", "Service") else _DOTTED_NAME
    if not shape.fullmatch(document.key.name):
        mend = "must be of lower-case letters, digits and dashes, with no dash at an end"
        yield from document.at("metadata").invalid("name", mend).problems
    if kind.is_cluster_wide and document.at("metadata").has("namespace"):
        mend = f"a {kind.name} lives in no namespace: remove it"
        yield from document.at("metadata").invalid("namespace", mend).problems


def _slips_of_kind(document: KubernetesObject, objects: Objects) -> Iterator[str]:
    match document.key.kind:
        case "Node" if objects.get(document.key) is None:
            names = ", ".join(node.key.name for node in objects.of("Node"))
            mend = f"no such node: the lab has {names}; `lab up --nodes` makes more"
            yield from document.at("metadata").invalid("name", mend).problems
        case "Pod":
            yield from _pod_slips(document, ("spec",))
            yield from _changed_pod(document, objects)
        case "Deployment":
            yield from _pod_slips(document, ("spec", "template", "spec"))
            yield from _deployment_slips(document)
        case "Service":
            yield from _service_slips(document)
        case _:
            pass


def _pod_slips(document: KubernetesObject, path: tuple[str, ...]) -> Iterator[str]:
    spec = document.at(*path)
    containers = spec.parts("containers")
    if not containers:
        yield from spec.invalid("containers", "is empty: a pod needs one").problems
    for container in [*containers, *spec.parts("initContainers")]:
        yield from image_problem(container)
        mounted = {volume.text("name") for volume in spec.parts("volumes")}
        for mount in container.parts("volumeMounts"):
            if mount.text("name") not in mounted:
                mend = f"no volume {mount.text('name')!r} in this pod: add it to volumes"
                yield from mount.invalid("name", mend).problems
    for volume in spec.parts("volumes"):
        if not any(volume.has(sort) for sort in _VOLUMES):
            mend = f"the lab has volumes of the sorts {', '.join(_VOLUMES)}: use one"
            yield from volume.invalid("name", mend).problems


def _changed_pod(document: KubernetesObject, objects: Objects) -> Iterator[str]:
    old = objects.get(document.key)
    if old is not None and _pod_spec(document, old) != old.get("spec"):
        mend = "of a pod that runs cannot be changed: delete the pod first, or use a Deployment"
        yield from document.root.invalid("spec", mend).problems


def _deployment_slips(document: KubernetesObject) -> Iterator[str]:
    spec = document.at("spec")
    selector = spec.at("selector").strings("matchLabels")
    labels = spec.at("template", "metadata").strings("labels")
    if spec.at("selector").has("matchExpressions"):
        mend = "the lab selects by matchLabels only"
        yield from spec.at("selector").invalid("matchExpressions", mend).problems
    missing = [f"{n}: {v}" for n, v in selector.items() if labels.get(n) != v]
    if missing or not selector:
        mend = f"must match the template's labels; add there: {', '.join(missing) or 'a label'}"
        yield from spec.invalid("selector", mend).problems
    if spec.number("replicas", 1) < 0:
        yield from spec.invalid("replicas", "must not be negative").problems


def _service_slips(document: KubernetesObject) -> Iterator[str]:
    spec = document.at("spec")
    if spec.text("type") == "ExternalName":
        if not spec.text("externalName"):
            yield from spec.invalid("externalName", "is missing: add it").problems
        return
    if spec.text("type") == "NodePort":
        mend = "the lab opens no ports on nodes: use ClusterIP"
        yield from spec.invalid("type", mend).problems
    if spec.text("sessionAffinity", "None") != "None":
        mend = "the lab keeps no sessions: remove it"
        yield from spec.invalid("sessionAffinity", mend).problems
    if not spec.parts("ports") and spec.text("clusterIP") != "None":
        yield from spec.invalid("ports", "is missing: add a port").problems
    names = [port.text("name") for port in spec.parts("ports")]
    if len(names) > 1 and len({*names, ""}) <= len(names):
        yield from spec.invalid("ports", "several ports need a name each, all different").problems


def stored_as(
    document: KubernetesObject, objects: Objects, together: Sequence[KubernetesObject] = ()
) -> KubernetesObject:
    """A manifest that is in order as it is stored: with defaults, and with what the server keeps.

    Args:
        document: the manifest.
        objects: what is there.
        together: what is stored at the same time.

    Raises:
        LabRefusedError: a service wants an address that it cannot have.
    """
    old = objects.get(document.key)
    body: dict[str, Json] = {**document.body, "metadata": _metadata(document, old)}
    match document.key.kind:
        case "Pod":
            body["spec"] = _pod_spec(document, old)
        case "Deployment":
            body["spec"] = {"replicas": 1, **document.at("spec").body}
        case "Service":
            body["spec"] = with_addresses(document, old, [*objects.of("Service"), *together])
        case "Node" if old is not None:
            body["spec"] = {**document.at("spec").body}
        case _:
            pass
    body["status"] = _status(document.key.kind, old)
    if not body["status"]:
        del body["status"]
    return KubernetesObject.of(body, document.origin)


def _metadata(document: KubernetesObject, old: KubernetesObject | None) -> dict[str, Json]:
    given = document.at("metadata").body
    kept: dict[str, Json] = {name: given[name] for name in _FROM_MANIFEST if given.get(name)}
    if document.key.namespace:
        kept["namespace"] = document.key.namespace
    own = _own_labels(document)
    if own:
        kept["labels"] = {**document.labels, **own}
    if old is not None:
        server = old.at("metadata").body
        kept |= {n: server[n] for n in ("deletionTimestamp", "generateName") if n in server}
    return kept


def _own_labels(document: KubernetesObject) -> Mapping[str, Json]:
    match document.key.kind:
        case "Namespace":
            return {"kubernetes.io/metadata.name": document.key.name}
        case "Node":
            return {_HOSTNAME_LABEL: document.key.name, "kubernetes.io/os": "linux"}
        case _:
            return {}


def _pod_spec(document: KubernetesObject, old: KubernetesObject | None) -> dict[str, Json]:
    given = document.at("spec").body
    account = given.get("serviceAccountName") or given.get("serviceAccount") or "default"
    spec: dict[str, Json] = {"restartPolicy": "Always", **given, "serviceAccountName": account}
    if old is not None and not spec.get("nodeName") and old.get("spec", "nodeName"):
        spec["nodeName"] = old.get("spec", "nodeName")
    return spec


def _status(kind: str, old: KubernetesObject | None) -> Json:
    if old is not None:
        return old.get("status")
    match kind:
        case "Namespace":
            return {"phase": "Active"}
        case "Pod":
            return {"phase": "Pending"}
        case "Service":
            return {"loadBalancer": {}}
        case _:
            return None
