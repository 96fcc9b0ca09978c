"""One enrolled pod: its listeners, its tunnels, and everything that lives and ends with it."""

import os
from collections.abc import Mapping

import trio

from mesh.model.names import HBONE_PORT, INBOUND_PLAINTEXT_PORT, OUTBOUND_PORT
from mesh.runtime.netns import netns_id
from mesh.runtime.worker.accept import Acceptor, Serve
from mesh.runtime.worker.dial import Way
from mesh.wire.feed import PodInfo
from ztunnel.worker import sockets
from ztunnel.worker.call import Spawn
from ztunnel.worker.context import Context
from ztunnel.worker.dns import PodDns
from ztunnel.worker.dns_sockets import NO_DNS, DnsSockets, listen_dns
from ztunnel.worker.flow import Flows
from ztunnel.worker.inbound import Inbound
from ztunnel.worker.local import LocalWorkload
from ztunnel.worker.outbound import Outbound
from ztunnel.worker.passthrough import Passthrough

SPOOFING: dict[int, bool] = {
    OUTBOUND_PORT: False,
    INBOUND_PLAINTEXT_PORT: True,
    HBONE_PORT: True,
}
"""Our ports in a pod, and whether what comes there is carried on from its client's address."""

OWN: dict[int, bool] = {HBONE_PORT: False}
"""The same in the node proxy's own pod: nothing is captured there."""


class Pod:
    """A pod that this worker serves until `stop`; `serve_pod` makes it."""

    def __init__(
        self,
        context: Context,
        info: PodInfo,
        netns: int,
        listeners: list[sockets.Listener],
        listening: DnsSockets,
        spawn: Spawn,
    ) -> None:
        """Take over the listeners, and begin to accept; `netns` has to stay open as long."""
        self.info = info
        self.netns = netns
        self.flows = Flows()
        self.stopped = trio.Event()
        self._listeners = listeners
        local = LocalWorkload(context.world, context.changed, info)
        spoofs = all(each.transparent for each in listeners if SPOOFING[each.port])
        way = Way(netns, context.config.keepalive, context.config.packet_mark, spoofs)
        self.dns = PodDns(context, local, netns, listening)
        self._outbound = Outbound(context, local, way, self.flows, spawn)
        self._inbound = Inbound(context, local, way, self.flows, spawn, info.only_port)
        passthrough = Passthrough(context, local, way, self.flows, spawn)
        serves: dict[int, Serve] = {
            OUTBOUND_PORT: self._outbound.serve,
            INBOUND_PLAINTEXT_PORT: passthrough.serve,
            HBONE_PORT: self._inbound.serve,
        }
        self._acceptors = [
            Acceptor(context.reactor, each.socket, serves[each.port]) for each in listeners
        ]

    @property
    def netns_id(self) -> tuple[int, int]:
        """What tells its namespace from others."""
        return netns_id(self.netns)

    def stop(self) -> None:
        """The pod is gone, or free: end everything of it now."""
        self.stopped.set()

    def evict(self, workloads: set[str]) -> None:
        """These destinations have changed."""
        self._outbound.evict(workloads)

    def tick(self) -> None:
        """Keep-alive, and another look at what paused."""
        self._outbound.tick()
        self._inbound.tick()
        for acceptor in self._acceptors:
            acceptor.resume()

    def resume(self) -> None:
        """Accept again, if that was paused for lack of descriptors."""
        for acceptor in self._acceptors:
            acceptor.resume()

    def drain(self) -> None:
        """No new connections; what is open may end by itself."""
        for acceptor in self._acceptors:
            acceptor.close()
        for listener in self._listeners:
            listener.socket.close()
        self.dns.stop()
        self._inbound.drain()

    def close(self) -> None:
        """End every connection."""
        self.drain()
        self.flows.stop()
        self._outbound.close()
        self._inbound.close()


async def serve_pod(
    context: Context,
    info: PodInfo,
    netns: int,
    *,
    task_status: trio.TaskStatus[Pod] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a pod until its `stop`, then end every connection of it at once.

    Args:
        context: The worker's.
        info: Which pod.
        netns: A descriptor of its namespace, which is this function's from now on.
        task_status: Gets the pod when all its listeners accept.

    Raises:
        ListenFailedError: a port is taken in the pod; nothing stays open.
        NetnsGoneError: the namespace is none (any more).

    Cancellation: as `stop`.
    """
    try:
        has_dns = context.config.dns_enabled and not info.only_port
        listening = listen_dns(netns, context.config) if has_dns else NO_DNS
        try:
            listeners = _listen(context, netns, OWN if info.only_port else SPOOFING)
        except BaseException:
            listening.close()
            raise
        async with trio.open_nursery() as nursery:
            pod = Pod(context, info, netns, listeners, listening, nursery.start_soon)
            nursery.start_soon(pod.dns.run)
            task_status.started(pod)
            try:
                await pod.stopped.wait()
            finally:
                pod.close()
                nursery.cancel_scope.cancel()
    finally:
        # Not before the last task has ended: its number may soon be another pod's namespace.
        os.close(netns)


def _listen(context: Context, netns: int, ports: Mapping[int, bool]) -> list[sockets.Listener]:
    listeners: list[sockets.Listener] = []
    config = context.config
    try:
        for port, spoofing in ports.items():
            # Without marks no rule would bring the replies to a client's address back to us.
            wanted = spoofing and (config.packet_mark is not None or bool(config.enable_orig_src))
            listeners.append(sockets.listen(netns, port, config, spoofing=wanted))
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        raise
    return listeners
