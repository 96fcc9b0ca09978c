"""15006: plain text that comes to a pod. Authorise without an identity, dial, relay, log."""

import socket

from mesh.errors import DeniedError
from mesh.model.names import OWN_PORTS
from mesh.policy.authorize import ConnectionFacts
from mesh.runtime.relay.plain import SocketRelay
from ztunnel.worker import sockets
from ztunnel.worker.context import Context
from ztunnel.worker.flow import Flow
from ztunnel.worker.local import LocalWorkload
from ztunnel.worker.outbound import SelfCallError


class Passthrough:
    """The plain-text inbound side of one pod."""

    def __init__(self, context: Context, local: LocalWorkload, netns: int) -> None:
        """Serve connections to the pod in `netns`, which stays its owner's."""
        self._context = context
        self._local = local
        self._netns = netns

    async def serve(self, accepted: socket.socket) -> None:
        """One accepted connection, from judgement to log line."""
        flow = Flow(self._context, "inbound", sockets.address_of(accepted.getpeername()), accepted)
        with flow:
            sockets.tune(accepted, keepalive=True)
            destination = sockets.original_destination(accepted)
            flow.destination = destination
            if destination.port in OWN_PORTS:
                raise SelfCallError("attempted recursive call to ourselves")
            workload = await self._local.wait()
            flow.goes_to(destination, workload, None)
            flow.comes_from(
                self._context.world.workload_at(self._context.network, flow.source.ip)
            )
            flow.authorise(ConnectionFacts(None, flow.source.ip, destination), workload.uid)
            far = await sockets.dial(self._netns, destination, flow.source.ip)
            await flow.relay(
                lambda on_end: SocketRelay(
                    self._context.reactor, self._context.scratch, accepted, far, on_end
                )
            )
