"""On which ports of a pod plain text is refused (PeerAuthentication, as Istio merges them).

The one of the workload, else of its namespace, else of the root namespace; of several the oldest.
What says nothing inherits; without anything plain text is allowed. Only the workload's own has
ports. The control plane turns the same objects into policies for the node proxy; here they decide
which earlier connections, which no proxy carries, are ended.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject

KIND: Final = "PeerAuthentication"


@dataclass(frozen=True, slots=True)
class Strictness:
    """Whether plain text is refused: on all ports but those that say otherwise."""

    everywhere: bool = False
    ports: Mapping[int, bool] | None = None

    def refuses(self, port: int) -> bool:
        """Whether plain text to this port is refused."""
        return (self.ports or {}).get(port, self.everywhere)

    @property
    def is_any(self) -> bool:
        """Whether plain text is refused anywhere."""
        return self.everywhere or any((self.ports or {}).values())


def strictness(
    pod: KubernetesObject, peers: Iterable[KubernetesObject], root_namespace: str
) -> Strictness:
    """What PeerAuthentications ask of a pod. A field of a wrong type counts as absent."""
    by_level: dict[str, list[KubernetesObject]] = {"root": [], "namespace": [], "workload": []}
    for peer in sorted(peers, key=lambda each: (each.created or "~", each.key.name)):
        if level := _level(pod, peer, root_namespace):
            by_level[level].append(peer)
    everywhere = False
    for level in ("root", "namespace", "workload"):
        for peer in by_level[level][:1]:
            everywhere = _inherited(peer.get("spec", "mtls", "mode"), everywhere)
    ports = _ports(by_level["workload"][:1], everywhere)
    return Strictness(everywhere=everywhere, ports=ports)


def _level(pod: KubernetesObject, peer: KubernetesObject, root_namespace: str) -> str:
    selector = peer.get("spec", "selector", "matchLabels")
    here, there = pod.key.namespace, peer.key.namespace
    if isinstance(selector, dict) and selector:
        matches = there == here and selector.items() <= pod.labels.items()
        return "workload" if matches and there != root_namespace else ""
    if there == root_namespace:
        return "root"
    return "namespace" if there == here else ""


def _ports(peers: list[KubernetesObject], everywhere: bool) -> dict[int, bool]:  # noqa: FBT001
    modes: dict[int, bool] = {}
    for peer in peers:
        written = peer.get("spec", "portLevelMtls")
        for port, mode in written.items() if isinstance(written, dict) else ():
            if port.isdecimal() and isinstance(mode, dict):
                modes[int(port)] = _inherited(mode.get("mode"), everywhere)
    return modes


def _inherited(mode: Json, parent: bool) -> bool:  # noqa: FBT001 - the parent's answer, a value
    if mode in ("STRICT", "PERMISSIVE", "DISABLE"):
        return mode == "STRICT"
    return parent
