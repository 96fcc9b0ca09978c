"""Namespaces, and things that are only looked at for whose they are."""

from controlplane.translate import labels
from controlplane.translate.facts import NamespaceFacts, ThingFacts
from controlplane.translate.read_services import balancing_by_note
from mesh.model.kubernetes import KubernetesObject


def read_namespace(found: KubernetesObject) -> NamespaceFacts:
    """A Namespace."""
    balancing, problems = balancing_by_note(found)
    return NamespaceFacts(
        found.key,
        {labels.NAMESPACE_NAME: found.key.name, **found.labels},
        balancing,
        problems,
        found.annotations.get(labels.CANARY_WEIGHT, ""),
    )


def read_config_map(found: KubernetesObject) -> ThingFacts:
    """A ConfigMap."""
    texts = found.get("data")
    strings = texts.items() if isinstance(texts, dict) else ()
    return ThingFacts(
        found.key,
        found.labels.get(labels.MANAGED_BY, ""),
        {name: text for name, text in strings if isinstance(text, str)},
    )


def read_thing(found: KubernetesObject) -> ThingFacts:
    """An object of a kind that is made for Gateways."""
    return ThingFacts(found.key, found.labels.get(labels.MANAGED_BY, ""))
