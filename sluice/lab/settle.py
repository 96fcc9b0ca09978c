"""Whether everything that was asked for has come to be, and what is still waited for."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.model.fields import Json, Part
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from sluice.lab.deployments import outdated
from sluice.lab.gateways import missing_classes, missing_of_gateway, waypoint_pods
from sluice.lab.lab import Lab
from sluice.lab.mesh import syncz
from sluice.lab.objects import FINISHED, is_enrolled, is_leaving, node_of, phase, wants_mesh

_GLANCE_S: Final = 0.05


@dataclass(slots=True)
class Patience:
    """One wait: what it is for, and what it was last waiting for."""

    going: frozenset[ObjectKey] = frozenset()
    """Objects that are to be gone."""
    ignored: frozenset[str] = frozenset()
    """Uids of pods and Gateways that are not waited for."""
    waits_for: list[str] = field(default_factory=list)
    problems: tuple[str, ...] = ()
    """What the control plane could not make sense of, or could only obey in part."""


async def settle(lab: Lab, patience: Patience, say: Callable[[str], None]) -> None:
    """Wait until pods run, those of the mesh are enrolled, and every proxy knows everything.

    A pod that cannot run (its process ends again and again, no node suits it) is not waited for.

    Args:
        lab: of which.
        patience: says afterwards what was still missing, when the caller's deadline came first.
        say: told of each component that gets ready.

    Cancellation: stops waiting; everything goes on.
    """
    is_told: set[str] = {name for name, run in lab.components.items() if run.is_ready}
    while True:
        patience.waits_for = [*_missing_here(lab, patience)]
        for name, run in lab.components.items():
            if run.is_ready and name not in is_told:
                is_told.add(name)
                say(f"{name} is ready")
        if not patience.waits_for:
            if not lab.has_mesh:
                return
            patience.waits_for = ["the proxies' acknowledgement"]
            await _acknowledged(lab, lab.store.touch(), patience)
            if not [*_missing_here(lab, patience)]:
                return
        # The agent's annotations and the kernel's processes tell nobody: hence the glances.
        await trio.sleep(_GLANCE_S)


def waiting_pods(lab: Lab, objects: Iterable[ObjectKey]) -> frozenset[str]:
    """Uids of pods and Gateways that wait for something just now, and not because of any of these.

    Whoever changes something else need not wait for them.
    """
    touched = frozenset(objects)
    spaces = {key.name for key in touched if key.kind == "Namespace"}
    merged = lab.folder.read().objects
    waiting = [
        pod
        for pod in lab.store.objects.of("Pod")
        if any(_missing_of_pod(lab, pod, merged.get(pod.key, pod)))
    ]
    waiting += [gateway for gateway, _ in _missing_gateways(lab, merged)]
    return frozenset(
        each.uid for each in waiting if each.key not in touched and each.key.namespace not in spaces
    )


def _missing_gateways(
    lab: Lab, merged: Mapping[ObjectKey, KubernetesObject]
) -> Iterator[tuple[KubernetesObject, str]]:
    for gateway in lab.store.objects.of("Gateway") if lab.has_mesh else ():
        reason = missing_of_gateway(gateway, lab.store.objects, merged)
        if reason:
            yield gateway, reason


def _missing_here(lab: Lab, patience: Patience) -> Iterator[str]:
    for name, run in lab.components.items():
        if not run.is_ready:
            yield f"{name}: {run.waits_for}"
    for key in sorted(patience.going):
        if lab.store.objects.get(key) is not None:
            yield f"{key}: to be gone"
    lab.controllers.refresh()
    yield from (f"{key}: to be gone" for key in outdated(lab.store.objects))
    merged = lab.folder.read().objects
    if lab.has_mesh:
        yield from missing_classes(lab.store.objects, merged)
    for gateway, reason in _missing_gateways(lab, merged):
        if gateway.uid not in patience.ignored:
            yield f"{gateway.key}: {reason}"
    for pod in lab.store.objects.of("Pod"):
        if pod.uid not in patience.ignored:
            yield from _missing_of_pod(lab, pod, merged.get(pod.key, pod))


def _missing_of_pod(lab: Lab, pod: KubernetesObject, merged: KubernetesObject) -> Iterator[str]:
    run = lab.kubelet.runs.get(pod.uid)
    if is_leaving(pod):
        yield f"{pod.key}: to be gone"
    elif pod.key in lab.proxies or not node_of(pod):
        return  # a component, which is waited for itself; or no node suits it
    elif run is None:
        yield f"{pod.key}: to be started"
    elif not run.is_ready and not is_hopeless(pod):
        yield f"{pod.key}: {run.waiting()}"
    elif lab.has_mesh and run.is_placed and phase(pod) not in FINISHED:
        namespace = lab.store.objects.find("Namespace", "", pod.key.namespace)
        wanted = wants_mesh(pod, namespace)
        if wanted != is_enrolled(merged):
            yield f"{pod.key}: to be {'in' if wanted else 'out of'} the mesh"


def is_hopeless(pod: KubernetesObject) -> bool:
    """Whether a pod has ended, or its process has ended at least once before it was ready."""
    if phase(pod) in FINISHED:
        return True
    statuses = pod.at("status").parts("containerStatuses")
    return any(each.number("restartCount") > 0 for each in statuses)


async def _acknowledged(lab: Lab, generation: int, patience: Patience) -> None:
    while True:
        try:
            page = await syncz(lab.home)
            waypoints = [
                f"{pod.key.namespace}/{pod.key.name}" for pod in waypoint_pods(lab.store.objects)
            ]
            patience.waits_for = [*unacknowledged(page, lab.nodes, waypoints, generation)]
            patience.problems = tuple(Part("/debug/syncz", "", page).texts("problems"))
        except (OSError, MeshError, trio.TooSlowError, trio.BrokenResourceError) as error:
            patience.waits_for = [f"control: {str(error) or 'to answer'}"]
        if not patience.waits_for:
            return
        await trio.sleep(_GLANCE_S)


def unacknowledged(
    page: Mapping[str, Json],
    nodes: Sequence[str],
    waypoints: Sequence[str],
    generation: int,
) -> Iterator[str]:
    """Which proxies have not acknowledged a generation, by what the control plane says.

    Args:
        page: of `/debug/syncz`.
        nodes: each has a proxy.
        waypoints: `NAMESPACE/POD` of each that is ready.
        generation: of the folder of manifests.
    """
    root = Part("/debug/syncz", "", dict(page))
    if root.number("generation") < generation:
        yield f"control: to read generation {generation}, is at {root.number('generation')}"
        return
    clients = {_name(each): each for each in root.parts("clients") if each.flag("connected")}
    for name in (*(f"ztunnel@{node}" for node in nodes), *waypoints):
        client = clients.get(name)
        if client is None:
            yield f"{name}: to be connected to the control plane"
        elif client.number("acked_generation") < generation:
            reason = client.text("rejected")
            yield f"{name}: " + (f"rejects it: {reason}" if reason else "to acknowledge")


def _name(client: Part) -> str:
    """A client as the lab's user knows it."""
    is_waypoint = client.text("kind") == "waypoint"
    return client.text("pod") if is_waypoint else f"ztunnel@{client.text('node')}"
