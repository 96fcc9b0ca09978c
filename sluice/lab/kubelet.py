"""The kubelets of all nodes: pods as namespaces with processes in them.

1. A pod's network comes first: its cable, then the node's plugins. One that refuses keeps the pod
   waiting, and is asked again: no pod runs outside the mesh that ought to be in it.
2. A pod that is to go is ended in the reverse order, and its object is removed last.
"""

import logging
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.runtime.backoff import doubling
from sluice.lab import cni
from sluice.lab.addresses import DNS_SERVICE, Pair, node_address, pod_address
from sluice.lab.containers import Means, run_container, run_first
from sluice.lab.errors import PodRefusedError
from sluice.lab.home import Home, pod_place
from sluice.lab.objects import is_leaving, node_of
from sluice.lab.pod_run import ContainerRun, PodRun, status_of
from sluice.lab.processes import kill_inside
from sluice.lab.store import Store
from sluice.lab.topology import add_pod, remove_pod

DEFAULT_GRACE_S: Final = 2.0
_FIRST_DELAY_S: Final = 0.1
_LONGEST_DELAY_S: Final = 0.5
"""Between two tries to place a pod: a node proxy that comes back is not to be waited for long."""

_CLEAN_UP_S: Final = 20.0

log = logging.getLogger(__name__)


class Kubelet:
    """Makes pods run. One for all nodes of the lab."""

    def __init__(
        self,
        home: Home,
        store: Store,
        now: Callable[[], str],
        wait_node: Callable[[KubernetesObject], Awaitable[None]],
    ) -> None:
        """Run nothing yet.

        Args:
            home: of the lab.
            store: the pods, and where their status goes.
            now: the time as objects carry it.
            wait_node: returns when a pod's node has the network plugins that it needs.
        """
        self.home, self._store, self._now, self._wait_node = home, store, now, wait_node
        variables = {n: os.environ[n] for n in ("PATH", "HOME", "LANG") if n in os.environ}
        self._means = Means(home, store.objects, variables, now, self._report)
        self._last_octet: dict[str, int] = {}
        self.runs: dict[str, PodRun] = {}
        """By the pods' uids."""

    async def run(self, others: frozenset[ObjectKey]) -> None:
        """Follow the store's pods for ever.

        Args:
            others: pods that something else runs.

        Cancellation: ends every pod's processes.
        """
        async with trio.open_nursery() as pods:
            while True:
                seen = self._store.changed.count
                for pod in self._store.objects.of("Pod"):
                    if pod.key not in others:
                        self._follow(pod, pods)
                await self._store.changed.wait_past(seen)

    def _follow(self, pod: KubernetesObject, pods: trio.Nursery) -> None:
        run = self.runs.get(pod.uid)
        if run is not None:
            if is_leaving(pod):
                run.scope.cancel()
        elif node_of(pod):
            run = self.runs[pod.uid] = self._new_run(pod)
            pods.start_soon(self._live, run)
        elif is_leaving(pod):
            pods.start_soon(self._forget, pod.key)

    async def _forget(self, key: ObjectKey) -> None:
        await trio.lowlevel.checkpoint()
        self._store.remove([key])

    def _new_run(self, pod: KubernetesObject) -> PodRun:
        spec = pod.at("spec")
        is_on_node = spec.flag("hostNetwork")
        node = node_of(pod)
        run = PodRun(
            key=pod.key,
            uid=pod.uid,
            node=node,
            place=node if is_on_node else pod_place(pod.key.namespace, pod.key.name),
            is_on_node=is_on_node,
            grace_s=float(spec.number("terminationGracePeriodSeconds", int(DEFAULT_GRACE_S))),
            began=self._now(),
        )
        for container in spec.parts("containers"):
            name = container.text("name")
            run.containers[name] = ContainerRun(name, container.text("image"))
        return run

    def _report(self, run: PodRun) -> None:
        pod = self._store.objects.get(run.key)
        if pod is not None and pod.uid == run.uid:
            status = status_of(run, pod, self._now())
            self._store.note([pod.patched({"status": None}).patched({"status": status})])

    async def _live(self, run: PodRun) -> None:
        try:
            with run.scope:
                await self._place(run)
                await self._run_containers(run)
                await trio.sleep_forever()
        finally:
            with trio.move_on_after(_CLEAN_UP_S + run.grace_s, shield=True):
                await self._end(run)

    async def _place(self, run: PodRun) -> None:
        delays = doubling(_FIRST_DELAY_S, _LONGEST_DELAY_S)
        while not run.is_placed:
            try:
                await self._try_to_place(run)
            except (OSError, MeshError) as error:
                run.waits_for = str(error)
                self._report(run)
                await trio.sleep(next(delays))

    async def _try_to_place(self, run: PodRun) -> None:
        run.waits_for = f"the network plugins of {run.node}"
        pod = self._store.objects.get(run.key)
        if pod is None:
            return
        if run.is_on_node:
            run.address = node_address(run.node)
        else:
            await self._wait_node(pod)
            await self._lay_cable(run)
            run.is_attached = True
            home = self.home
            await cni.add(home.node(run.node), home.netns(run.node), self._attachment(run, pod))
        run.is_placed = True
        self._report(run)

    async def _lay_cable(self, run: PodRun) -> None:
        if run.address is not None:
            return
        write_resolver(self.home, run.place, run.key.namespace)
        run.address = address = self._choose_address(run)
        try:
            await trio.to_thread.run_sync(
                add_pod, self.home, run.place, run.node, address, run.link
            )
        except BaseException:
            run.address = None
            remove_pod(self.home, run.place, run.node, run.link)
            raise

    def _choose_address(self, run: PodRun) -> Pair:
        taken = [each.address.v4 for each in self.runs.values() if each.address is not None]
        address = pod_address(run.node, taken, self._last_octet.get(run.node, 1))
        if address is None:
            raise PodRefusedError(f"{run.node} has no free address: delete pods there")
        self._last_octet[run.node] = int(address.v4.rpartition(".")[2])
        return address

    def _attachment(self, run: PodRun, pod: KubernetesObject) -> cni.Attachment:
        if run.address is None:
            raise PodRefusedError("it has no address yet")
        return cni.Attachment(
            pod=pod,
            node=run.node,
            netns=self.home.netns(run.place),
            address=run.address,
            link=run.link,
        )

    async def _run_containers(self, run: PodRun) -> None:
        pod = self._store.objects.get(run.key)
        if pod is None:
            return
        try:
            await run_first(self._means, run, pod)
        except PodRefusedError as error:
            log.warning("pod %s: %s", run.key, error)
            return
        async with trio.open_nursery() as containers:
            for container in pod.at("spec").parts("containers"):
                containers.start_soon(run_container, self._means, run, pod, container)

    async def _end(self, run: PodRun) -> None:
        await self._end_processes(run)
        pod = self._store.objects.get(run.key)
        try:
            if pod is not None and run.is_attached:
                home = self.home
                where = home.node(run.node), home.netns(run.node)
                await cni.delete(*where, self._attachment(run, pod))
        except (OSError, MeshError) as error:
            log.warning("pod %s: %s", run.key, error)
        if not run.is_on_node and run.address is not None:
            await trio.to_thread.run_sync(remove_pod, self.home, run.place, run.node, run.link)
        del self.runs[run.uid]
        if pod is not None and pod.uid == run.uid and is_leaving(pod):
            self._store.remove([run.key])

    async def _end_processes(self, run: PodRun) -> None:
        running = [each.running for each in run.containers.values() if each.running is not None]
        for each in running:
            each.signal(signal.SIGTERM)
        with trio.move_on_after(run.grace_s):
            for each in running:
                await each.wait()
        for each in running:
            each.signal(signal.SIGKILL)
            await each.wait()
            each.close()
        if not run.is_on_node:
            kill_inside(self.home.netns(run.place))


def write_resolver(home: Home, place: str, namespace: str, server: str = DNS_SERVICE) -> None:
    """Write the resolver's configuration of a namespace, as a kubelet writes a pod's.

    Args:
        home: of the lab.
        place: the network namespace.
        namespace: of Kubernetes: its services have short names there.
        server: who is asked; by default the cluster's DNS service.
    """
    path = home.resolv_conf(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    domains = f"{namespace}.svc.cluster.local svc.cluster.local cluster.local"
    path.write_text(f"nameserver {server}\nsearch {domains}\noptions ndots:5\n")
