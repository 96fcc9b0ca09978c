"""The targets of a policy (`targetRefs`), as far as a policy may name them.

A policy is for things of its own namespace, and in the root namespace for classes of Gateways: any
other target is left out, and told. It must not reach what others own.
"""

from typing import Final

from controlplane.translate.settings import Settings
from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.names import GATEWAY_GROUP

_FIELDS: Final = frozenset({"group", "kind", "name", "namespace"})
_KINDS: Final = frozenset(
    {
        ("", "Service"),
        ("core", "Service"),
        ("networking.istio.io", "ServiceEntry"),
        (GATEWAY_GROUP, "Gateway"),
        (GATEWAY_GROUP, "GatewayClass"),
    }
)


def has_targets(spec: Part) -> bool:
    """Whether a policy's spec names any target.

    Raises:
        FieldInvalidError: a wrong type.
    """
    return bool(spec.items("targetRefs")) or spec.has("targetRef")


def targets_of(
    found: KubernetesObject, settings: Settings
) -> tuple[tuple[ObjectKey, ...], list[str], list[str]]:
    """The targets of a policy.

    Returns:
        What they are; what is wrong with those that are left out; what of the others cannot be
        honoured, so that the policy cannot be enforced as it is written.

    Raises:
        FieldInvalidError: a wrong type.
    """
    spec = found.at("spec")
    targets: list[ObjectKey] = []
    left_out: list[str] = []
    unknown: list[str] = []
    refs = spec.parts("targetRefs")
    if spec.has("targetRef"):
        refs.append(spec.at("targetRef"))
    for part in refs:
        group, kind, name = part.text("group"), part.text("kind"), part.text("name")
        namespace = part.text("namespace") or found.key.namespace
        problem = _problem(found, settings, (group, kind), namespace)
        if not name:
            problem = "name: must name an object"
        if problem:
            left_out.append(f"{part.field(problem)}; this target has no effect")
            continue
        place = "" if kind == "GatewayClass" else namespace
        targets.append(ObjectKey(kind, place, name))
        unknown += [
            f"{part.field(field)}: is not known: take it away"
            for field in sorted(part.body.keys() - _FIELDS)
        ]
    return tuple(dict.fromkeys(targets)), left_out, unknown


def _problem(
    found: KubernetesObject, settings: Settings, what: tuple[str, str], namespace: str
) -> str:
    group, kind = what
    if what not in _KINDS:
        named = f"{kind}.{group}" if group else kind
        return f"kind: {named!r:.80} is nothing that a policy can be for: name a Service or Gateway"
    if namespace != found.key.namespace:
        return "namespace: must be the policy's own: put the policy there"
    if kind == "GatewayClass" and namespace != settings.root_namespace:
        return f"kind: only policies of {settings.root_namespace} can be for a GatewayClass"
    return ""
