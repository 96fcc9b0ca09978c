"""Whether a pod is to be in the mesh (Istio's rules, in this order; reference: istio-cni).

A pod's own label beats its namespace's, both ways.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from mesh.model.fields import FieldInvalidError
from mesh.model.kubernetes import KubernetesObject
from mesh.model.names import DATAPLANE_MODE_LABEL
from mesh.redirection.rules import Capture

DNS_ANNOTATION: Final = "ambient.istio.io/dns-capture"
BYPASS_ANNOTATION: Final = "ambient.istio.io/bypass-inbound-capture"
VIRTUAL_LINKS_ANNOTATION: Final = "istio.io/reroute-virtual-interfaces"
SIDECAR_ANNOTATION = "sidecar.istio.io/status"
ENROLLED, OPTED_OUT = "ambient", "none"
ENDED_PHASES = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Yes or no, and because of what."""

    enrol: bool
    because: str


def judge(
    pod: KubernetesObject,
    namespace_labels: Mapping[str, str],
    *,
    excluded: Collection[str],
    proxy_namespace: str,
) -> Eligibility:
    """Say whether a pod is to be enrolled.

    Args:
        pod: the pod's object.
        namespace_labels: those of its namespace; empty when that is not known.
        excluded: namespaces that are never enrolled.
        proxy_namespace: where the node proxies live.
    """
    reason = _exception(pod, excluded, proxy_namespace)
    if reason:
        return Eligibility(enrol=False, because=reason)
    own = pod.labels.get(DATAPLANE_MODE_LABEL)
    if own == ENROLLED:
        return Eligibility(enrol=True, because=f"the pod's label {DATAPLANE_MODE_LABEL}={own}")
    if own == OPTED_OUT:
        return Eligibility(enrol=False, because=f"the pod's label {DATAPLANE_MODE_LABEL}={own}")
    if namespace_labels.get(DATAPLANE_MODE_LABEL) == ENROLLED:
        return Eligibility(enrol=True, because=f"its namespace's label {DATAPLANE_MODE_LABEL}")
    return Eligibility(enrol=False, because=f"no label {DATAPLANE_MODE_LABEL}={ENROLLED}")


def _exception(pod: KubernetesObject, excluded: Collection[str], proxy_namespace: str) -> str:
    """Why a pod can never be enrolled, whatever its labels say; empty when it can."""
    if pod.key.namespace in excluded:
        return f"namespace {pod.key.namespace} is excluded"
    if pod.get("spec", "hostNetwork") is True:
        return "it has no network of its own (spec.hostNetwork)"
    if SIDECAR_ANNOTATION in pod.annotations:
        return "it has a sidecar"
    if pod.key.namespace == proxy_namespace and pod.labels.get("app") == "ztunnel":
        return "it is a node proxy"
    if pod.get("status", "phase") in ENDED_PHASES:
        return "it has ended"
    return ""


# What the kernel takes for a link's name, with iptables' `+` for "begins with" at the end.
_LINK: Final = re.compile(r"[A-Za-z0-9_.:@-]{1,15}\+?")


def capture_of(pod: KubernetesObject, *, dns: bool = False) -> Capture:
    """What of a pod's traffic is to be captured, by its annotations.

    Args:
        pod: the pod's object.
        dns: whether DNS queries are, where no annotation says otherwise.

    Raises:
        FieldInvalidError: an annotation that cannot be understood. Capturing something else than
            was asked for would be a surprise in either direction.
    """
    written = pod.annotations.get(VIRTUAL_LINKS_ANNOTATION, "")
    links = tuple(filter(None, (part.strip() for part in written.split(","))))
    if not all(_LINK.fullmatch(link) for link in links):
        raise _annotation_invalid(pod, VIRTUAL_LINKS_ANNOTATION, "must be names of links: a,b")
    return Capture(
        inbound=not _flag(pod, BYPASS_ANNOTATION, default=False),
        virtual_links=links,
        dns=_flag(pod, DNS_ANNOTATION, default=dns),
    )


def _flag(pod: KubernetesObject, annotation: str, *, default: bool) -> bool:
    word = pod.annotations.get(annotation, str(default)).lower()
    if word not in {"true", "false"}:
        raise _annotation_invalid(pod, annotation, "must be true or false")
    return word == "true"


def _annotation_invalid(pod: KubernetesObject, name: str, mend: str) -> FieldInvalidError:
    return pod.at("metadata", "annotations").invalid(name, mend)
