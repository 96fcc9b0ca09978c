"""The keeper: the one process of a lab that lives as long as the lab.

It is API server, kubelets, controllers, kube-proxy and cluster DNS, and it starts the programs of
the mesh. `sluice lab up` starts it; it says on a descriptor that it is there, or why not.
"""

import argparse
import logging
import os
import resource
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial
from random import Random

import trio

from mesh.errors import MeshError
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.runtime import logs, unix_sockets
from mesh.runtime.capture import try_capture
from mesh.runtime.manifests import ManifestFolder
from sluice.lab import dns, kube_proxy, server
from sluice.lab.addresses import CONTROL, node_address, node_name
from sluice.lab.base import base_objects
from sluice.lab.cni import write_chain
from sluice.lab.components import Component, ComponentRun, keep
from sluice.lab.controllers import Controllers
from sluice.lab.errors import PodRefusedError, sentences
from sluice.lab.home import SYSTEM_NAMESPACE, Home, proxy_pod_name
from sluice.lab.kubelet import Kubelet, write_resolver
from sluice.lab.lab import Lab
from sluice.lab.made import Made
from sluice.lab.mesh import (
    agent,
    control,
    proxy,
    proxy_pod,
    proxy_status,
)
from sluice.lab.objects import node_of, wants_mesh
from sluice.lab.printing import timestamp
from sluice.lab.store import Store
from sluice.lab.tokens import renew_token
from sluice.lab.topology import CONTROL_PLACE, EXTERNAL_PLACE, build_fabric

READY_WORD = "ready"

log = logging.getLogger(__name__)


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sluice.lab.keeper")
    parser.add_argument("name")
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--without-mesh", action="store_true")
    parser.add_argument("--ready-fd", type=int, required=True)
    return parser.parse_args(words)


def _prepare(home: Home, nodes: tuple[str, ...]) -> None:
    """Make the folders and the network."""
    try_capture()
    for folder in (home.manifests, home.status, home.made, home.state, home.logs):
        folder.mkdir(parents=True, exist_ok=True)
    for node in nodes:
        write_chain(home.node(node))
    for node in nodes:
        write_resolver(home, node, "default")
    for place in (CONTROL_PLACE, EXTERNAL_PLACE):
        # No kube-proxy there: they ask the server itself, not the service.
        write_resolver(home, place, "default", CONTROL.v4)
    build_fabric(home, list(nodes))


def _build(home: Home, nodes: tuple[str, ...], *, has_mesh: bool) -> tuple[Lab, list[Component]]:
    def now() -> str:
        return timestamp(time.time())

    random = Random(int.from_bytes(os.urandom(16)))  # noqa: S311 - names and uids, no secrets
    store = Store(home.manifests, random, now)
    components: dict[str, ComponentRun] = {}

    async def wait_node(pod: KubernetesObject) -> None:
        if not has_mesh:
            return
        await components[f"agent@{node_of(pod)}"].ready.wait()
        # Only to spare the plugin a crowd of calls at the start: it would refuse them.
        if wants_mesh(pod, store.objects.find("Namespace", "", pod.key.namespace)):
            await components[f"ztunnel@{node_of(pod)}"].ready.wait()

    programs: list[Component] = []
    if has_mesh:
        programs = [control(home)]
        programs += [agent(home, node) for node in nodes]
        programs += [proxy(home, store, node) for node in nodes]
    components |= {program.name: ComponentRun(program.name) for program in programs}
    lab = Lab(
        home=home,
        nodes=nodes,
        has_mesh=has_mesh,
        store=store,
        controllers=Controllers(store, random, Made(home.manifests)),
        kubelet=Kubelet(home, store, now, wait_node),
        components=components,
        proxies=frozenset(_proxy_key(node) for node in nodes) if has_mesh else frozenset(),
        folder=ManifestFolder(home.manifests),
    )
    store.put(base_objects(nodes))
    if has_mesh:
        store.put([proxy_pod(node) for node in nodes])
    lab.controllers.settle()
    return lab, programs


def _proxy_key(node: str) -> ObjectKey:
    return ObjectKey("Pod", SYSTEM_NAMESPACE, proxy_pod_name(node))


def _show_proxies(lab: Lab) -> None:
    """Let the pods of the node proxies be as ready as the proxies are."""
    for node in lab.nodes:
        address = node_address(node)
        is_ready = lab.components[f"ztunnel@{node}"].is_ready
        lab.store.patch(
            _proxy_key(node), {"status": proxy_status(address.v4, address.v6, is_ready=is_ready)}
        )


async def _run(lab: Lab, programs: Sequence[Component], ready: int) -> None:
    home = lab.home
    try:
        await kube_proxy.check(home, lab.nodes[0])
    except PodRefusedError as error:
        _say(ready, f"the kernel's packet filter lacks something: {error}")
        return
    with unix_sockets.listening(home.socket, socket.SOCK_STREAM) as listener:
        async with trio.open_nursery() as services:
            for program in programs:
                run = lab.components[program.name]
                services.start_soon(keep, home, program, run, partial(_show_proxies, lab))
            services.start_soon(lab.controllers.run)
            if lab.has_mesh:
                services.start_soon(lab.controllers.follow_made)
            services.start_soon(lab.kubelet.run, lab.proxies)
            for node in lab.nodes:
                services.start_soon(kube_proxy.follow, home, lab.store, node)
                if lab.has_mesh:
                    services.start_soon(renew_token, home, lab.store, node, log.warning)
            services.start_soon(dns.serve, home.netns(CONTROL_PLACE), CONTROL.v4, lab.store)
            _say(ready, READY_WORD)
            await server.serve(lab, listener)


def _say(descriptor: int, words: str) -> None:
    os.write(descriptor, words.encode())
    os.close(descriptor)


def main(words: Sequence[str]) -> int:
    """Keep a lab until it is killed."""
    given = _parse(words)
    # Descriptors: a few for each pod here, and the proxies inherit the limit.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    home = Home.of(given.name)
    nodes = tuple(node_name(number + 1) for number in range(given.nodes))
    logs.configure("info", descriptor=logs.STANDARD_ERROR)
    try:
        _prepare(home, nodes)
        lab, programs = _build(home, nodes, has_mesh=not given.without_mesh)
    except (MeshError, OSError) as error:
        problems = sentences(error) if isinstance(error, MeshError) else (str(error),)
        _say(given.ready_fd, "\n".join(problems))
        return 1
    trio.run(_run, lab, programs, given.ready_fd)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
