"""The orders that only ask: get, status, where to run a command, which log."""

import json
import os
import time
from collections.abc import Iterator, Mapping

from mesh.errors import MeshError
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.names import HBONE_PORT, INBOUND_PLAINTEXT_PORT, OUTBOUND_PORT
from mesh.runtime.netns import open_netns
from sluice.lab.addresses import node_address
from sluice.lab.deployments import deployment_pods
from sluice.lab.environment import variables_of
from sluice.lab.errors import LabRefusedError, ObjectAbsentError
from sluice.lab.gateways import gateway_status
from sluice.lab.home import LAB_VARIABLE
from sluice.lab.kinds import kind_of_word
from sluice.lab.lab import Lab
from sluice.lab.objects import is_enrolled, is_leaving, is_ready, node_of, phase, pod_ips
from sluice.lab.orders import key_of_word
from sluice.lab.pod_run import PodRun
from sluice.lab.printing import columns, printed
from sluice.lab.probes import listening_ports
from sluice.lab.protocol import Reply
from sluice.lab.topology import CONTROL_PLACE, EXTERNAL_PLACE

KEEPER = "keeper"


def get(lab: Lab, words: tuple[str, ...], how: str) -> Reply:
    """Objects with all that is said about them.

    Raises:
        LabRefusedError: no such kind, or no such way to print.
        ObjectAbsentError: the one that was named is not there.
    """
    kind = kind_of_word(words[0])
    merged = lab.folder.read().objects
    if len(words) > 1:
        key = key_of_word(kind, words[1])
        found = merged.get(key)
        if found is None:
            raise ObjectAbsentError(f"{key} is not there")
        return Reply(out=printed([found], how, time.time(), is_list=False))
    listed = sorted(
        (each for each in merged.values() if each.key.kind == kind.name), key=lambda e: e.key
    )
    return Reply(out=printed(listed, how, time.time(), is_list=True))


def find_place(lab: Lab, word: str) -> Reply:
    """Where a command is to run.

    Raises:
        ObjectAbsentError: no such node, pod or ready pod of a deployment.
        LabRefusedError: the word names no place.
    """
    if word in (EXTERNAL_PLACE, CONTROL_PLACE, *lab.nodes):
        return Reply(place=_bare_place(lab, word))
    match word.split("/"):
        case [namespace, name]:
            pod = lab.store.objects.find("Pod", namespace, name)
        case [namespace, "deploy" | "deployment" | "deployments", name]:
            pod = _ready_pod(lab, namespace, name)
        case _:
            known = f"{EXTERNAL_PLACE}, {', '.join(lab.nodes)}"
            raise LabRefusedError((f"{word}: write NS/POD, NS/deploy/NAME, or one of {known}",))
    if pod is None:
        raise ObjectAbsentError(f"pod {word} is not there")
    run = lab.kubelet.runs.get(pod.uid)
    if run is None or not run.is_placed:
        waits_for = "" if run is None else f": it waits for {run.waits_for}"
        raise ObjectAbsentError(f"pod {word} does not run{waits_for}")
    return Reply(place=_pod_place(lab, pod, run))


def _bare_place(lab: Lab, place: str) -> dict[str, str]:
    return {
        "netns": str(lab.home.netns(place)),
        "resolv_conf": str(lab.home.resolv_conf(place)),
        LAB_VARIABLE: lab.home.lab,
    }


def _ready_pod(lab: Lab, namespace: str, name: str) -> KubernetesObject:
    deployment = lab.store.objects.find("Deployment", namespace, name)
    if deployment is None:
        raise ObjectAbsentError(f"deployment {namespace}/{name} is not there")
    pods = deployment_pods(lab.store.objects, deployment)
    ready = [pod for pod in pods if is_ready(pod) and not is_leaving(pod)]
    if not ready:
        raise ObjectAbsentError(f"deployment {namespace}/{name} has no ready pod")
    return ready[0]


def _pod_place(lab: Lab, pod: KubernetesObject, run: PodRun) -> dict[str, str]:
    place = _bare_place(lab, run.place)
    container = pod.at("spec").parts("containers")[0]
    place |= {
        f"env.{name}": value
        for name, value in variables_of(container, pod, lab.store.objects).items()
    }
    running = run.containers[container.text("name")].running
    if running is not None and running.mounts is not None:
        place["mounts"] = f"/proc/{os.getpid()}/fd/{running.mounts}"
    return place


def find_log(lab: Lab, word: str) -> Reply:
    """The file with everything that a component or pod has said since the start.

    Raises:
        ObjectAbsentError: nothing of this name has said anything.
    """
    if word == KEEPER or word in lab.components or "/" in word:
        path = lab.home.log(word)
        if path.exists():
            return Reply(place={"log": str(path)})
        if word in lab.components or lab.store.objects.find("Pod", *word.split("/", 1)):
            path.touch()
            return Reply(place={"log": str(path)})
    known = ", ".join([*lab.components, KEEPER, "NS/POD"])
    raise ObjectAbsentError(f"{word} has no log: there are {known}")


def status(lab: Lab, how: str) -> Reply:
    """Nodes, pods, components and gateways.

    Raises:
        LabRefusedError: no such way to print.
    """
    if how not in ("", "json"):
        raise LabRefusedError((f"-o {how}: is json, or left out",))
    merged = lab.folder.read().objects
    pods = [_pod_status(lab, pod, merged) for pod in lab.store.objects.of("Pod")]
    nodes: list[dict[str, Json]] = [
        {"name": node, "ip": node_address(node).v4, "ip6": node_address(node).v6}
        for node in lab.nodes
    ]
    components: list[dict[str, Json]] = [
        {
            "name": name,
            "pid": run.pid,
            "ready": run.is_ready,
            "restarts": run.restarts,
            "waits_for": run.waits_for,
        }
        for name, run in lab.components.items()
    ]
    gateways = [gateway_status(each) for key, each in sorted(merged.items()) if _is_gateway(key)]
    if how == "json":
        page = {"name": lab.home.lab, "nodes": nodes, "pods": pods, "components": components}
        return Reply(out=json.dumps({**page, "gateways": gateways}, indent=2) + "\n")
    for row in (*pods, *gateways):
        row.pop("ip", None)  # among the others
        row.pop("address", None)
    tables = (_columns(table) for table in (nodes, components, pods, gateways) if table)
    return Reply(out="\n".join(tables))


def _is_gateway(key: ObjectKey) -> bool:
    return key.kind == "Gateway"


def _columns(table: list[dict[str, Json]]) -> str:
    head = [name.upper().replace("_", " ") for name in table[0]]
    return columns([head, *([_word(value) for value in row.values()] for row in table)])


def _word(value: Json) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "-"
        case list():
            return ",".join(str(each) for each in value)
        case _:
            return str(value)


def _pod_status(
    lab: Lab, pod: KubernetesObject, merged: Mapping[ObjectKey, KubernetesObject]
) -> dict[str, Json]:
    run = lab.kubelet.runs.get(pod.uid)
    return {
        "namespace": pod.key.namespace,
        "name": pod.key.name,
        "node": node_of(pod),
        "ip": next(iter(pod_ips(pod)), ""),
        "ips": [*pod_ips(pod)],
        "phase": "Terminating" if is_leaving(pod) else phase(pod),
        "ready": is_ready(pod),
        "restarts": sum(run_restarts(run)),
        "enrolled": is_enrolled(merged.get(pod.key, pod)),
        "captured": run is not None and not run.is_on_node and is_captured(lab, run),
        "waits_for": run.waiting() if run is not None else "",
    }


def run_restarts(run: PodRun | None) -> Iterator[int]:
    """How often each container of a pod was started again."""
    return (each.restarts for each in run.containers.values()) if run is not None else iter(())


def is_captured(lab: Lab, run: PodRun) -> bool:
    """Whether a node proxy listens in a pod's namespace on all ports that the rules lead to."""
    try:
        netns = open_netns(lab.home.netns(run.place))
    except MeshError:
        return False
    try:
        wanted = {OUTBOUND_PORT, INBOUND_PLAINTEXT_PORT, HBONE_PORT}
        return wanted <= listening_ports(netns)
    finally:
        os.close(netns)
