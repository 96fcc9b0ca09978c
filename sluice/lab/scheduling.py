"""Which pod runs on which node, as the scheduler would say."""

from collections import Counter

from mesh.model.kubernetes import KubernetesObject
from sluice.lab.objects import Changes, Objects, is_leaving, node_of, selects


def plan_scheduling(objects: Objects) -> Changes:
    """A node for each pod that has none: of those that its selector allows, the emptiest.

    A pod that no node suits stays without one; its status says so.
    """
    load = Counter(
        node_of(pod) for pod in objects.of("Pod") if not pod.at("spec").flag("hostNetwork")
    )
    puts: list[KubernetesObject] = []
    for pod in objects.of("Pod"):
        if node_of(pod) or is_leaving(pod):
            continue
        node = _choose(pod, objects, load)
        if node:
            load[node] += 1
            puts.append(pod.patched({"spec": {"nodeName": node}}))
    return Changes(puts)


def _choose(pod: KubernetesObject, objects: Objects, load: Counter[str]) -> str:
    selector = pod.at("spec").strings("nodeSelector")
    suiting = [
        node.key.name
        for node in objects.of("Node")
        if not selector or selects(selector, node.labels)
    ]
    return min(suiting, key=lambda name: load[name], default="")
