"""Whom a route names: parents, backends, filters. Only as it is written: nothing is looked up."""

from controlplane.translate.route_facts import (
    FILTER_GROUP,
    GATEWAY_GROUP,
    HOSTNAME,
    ParentFacts,
    Reference,
    hostname_key,
)
from controlplane.translate.route_fields import number_at
from mesh.model.fields import Part
from mesh.model.kubernetes import ObjectKey

_ENTRY_GROUP, _ENTRY = "networking.istio.io", "ServiceEntry"
_REF_FIELDS = ("group", "kind", "namespace", "name", "sectionName", "port")


def target_of(part: Part, namespace: str) -> Reference:
    """The object that a `backendRef` names.

    Args:
        part: the reference.
        namespace: of the route, where the object is unless the reference says otherwise.

    Raises:
        FieldInvalidError: no name, or no port that could be one.
    """
    return _reference(part, namespace, "", "Service")


def extension_target(part: Part, namespace: str) -> Reference:
    """The object that an `extensionRef` names: always of the route's own namespace.

    Raises:
        FieldInvalidError: no name.
    """
    here = Part(part.subject, part.path, {**part.body, "namespace": namespace})
    return _reference(here, namespace, "", "")


def _reference(part: Part, namespace: str, group: str, kind: str) -> Reference:
    name = part.text("name")
    if not name or "/" in name:
        raise part.invalid("name", "must name an object")
    group, kind = part.text("group", group), part.text("kind", kind)
    place = part.text("namespace") or namespace
    if (group, kind) == (_ENTRY_GROUP, HOSTNAME):
        key = hostname_key(name)
        return Reference(key, group, kind, number_at(part, "port", 1, 65_535), part.path)
    is_ours = (group, kind) in (("", "Service"), (FILTER_GROUP, "Filter"))
    key = ObjectKey(kind if is_ours else f"{kind}.{group}", place, name)
    return Reference(key, group, kind, number_at(part, "port", 1, 65_535), part.path)


def service_parents(spec: Part, namespace: str) -> tuple[tuple[ParentFacts, ...], tuple[str, ...]]:
    """The parents of a route that are Services or ServiceEntries, and what is wrong with others.

    Raises:
        FieldInvalidError: a field of one has a wrong type.
    """
    parents, problems = [], []
    for part in spec.parts("parentRefs"):
        group, kind = part.text("group", GATEWAY_GROUP), part.text("kind", "Gateway")
        if (group, kind) in (("", "Service"), (_ENTRY_GROUP, _ENTRY)):
            parents.append(_parent(part, namespace, kind))
        elif kind == "Service":
            mend = f"{group!r} has no Service: write '' for the one of Kubernetes"
            problems.append(f"{part.field('group')}: {mend}")
        elif kind == _ENTRY:
            problems.append(f"{part.field('group')}: {group!r} has no {kind}: write {_ENTRY_GROUP}")
    return tuple(parents), tuple(problems)


def _parent(part: Part, namespace: str, kind: str) -> ParentFacts:
    texts = {name: part.text(name) for name in _REF_FIELDS[:-1] if part.has(name)}
    port = number_at(part, "port", 1, 65_535)
    ref: dict[str, str | int] = {**texts}
    if port:
        ref["port"] = port
    service = ObjectKey(kind, part.text("namespace") or namespace, part.text("name"))
    return ParentFacts(ref, service, port, part.text("sectionName"))
