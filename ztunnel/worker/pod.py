"""One enrolled pod: its listeners, its pool, and everything that lives and ends with it."""

import logging
import os
import socket

import trio

from mesh.model.names import HBONE_PORT, INBOUND_PLAINTEXT_PORT, OUTBOUND_PORT
from mesh.wire.feed import PodInfo
from ztunnel.worker import sockets
from ztunnel.worker.accept import accept_all
from ztunnel.worker.context import Context
from ztunnel.worker.inbound import Inbound
from ztunnel.worker.local import LocalWorkload
from ztunnel.worker.outbound import Outbound
from ztunnel.worker.passthrough import Passthrough

log = logging.getLogger(__name__)


class Pod:
    """A pod that this worker serves until `stop`."""

    def __init__(self, context: Context, info: PodInfo, netns: int) -> None:
        """Take over the netns descriptor and open the listeners.

        Raises:
            ListenFailedError: a port is taken in the pod; nothing stays open.
        """
        self.info = info
        self.netns = netns
        self._scope = trio.CancelScope()
        self._listeners: list[tuple[int, socket.socket]] = []
        try:
            for port in (OUTBOUND_PORT, INBOUND_PLAINTEXT_PORT, HBONE_PORT):
                for listener in sockets.listen(netns, port, transparent=port != OUTBOUND_PORT):
                    self._listeners.append((port, listener))
        except BaseException:
            self._close()
            raise
        local = LocalWorkload(context, info)
        self._outbound = Outbound(context, local, netns)
        self._inbound = Inbound(context, local, netns)
        self._passthrough = Passthrough(context, local, netns)

    async def run(self) -> None:
        """Serve until `stop`, then end every connection of the pod at once."""
        serve = {
            OUTBOUND_PORT: self._outbound.serve,
            INBOUND_PLAINTEXT_PORT: self._passthrough.serve,
            HBONE_PORT: self._inbound.serve,
        }
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    for port, listener in self._listeners:
                        nursery.start_soon(accept_all, listener, nursery, serve[port])
        finally:
            self._outbound.close()
            self._close()

    def stop(self) -> None:
        """The pod is gone, or free."""
        self._scope.cancel()

    def evict(self, workloads: frozenset[str]) -> None:
        """These destinations have changed."""
        self._outbound.pool.evict(workloads)

    def tick(self) -> None:
        """Keep-alive."""
        self._outbound.pool.tick()
        self._outbound.pool.sweep()
        self._inbound.tick()

    def drain(self) -> None:
        """No new connections; what is open may end by itself."""
        self._close_listeners()
        self._inbound.drain()

    def _close(self) -> None:
        self._close_listeners()
        os.close(self.netns)

    def _close_listeners(self) -> None:
        listeners, self._listeners = self._listeners, []
        for _port, listener in listeners:
            trio.lowlevel.notify_closing(listener)
            listener.close()
