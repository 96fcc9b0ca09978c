"""15006: plain text that comes to a pod. Authorise without an identity, dial, relay, log."""

import socket

from mesh.model.names import OWN_PORTS
from mesh.model.workload import Workload
from mesh.observe.access_log import Direction
from mesh.policy.authorize import ConnectionFacts
from mesh.routing.inbound import likely_service
from mesh.runtime.worker import sockets
from mesh.runtime.worker.dial import Dial, Way, source_for
from mesh.runtime.worker.failures import SelfCallError
from ztunnel.worker.call import Call, Spawn, begin, join_plain
from ztunnel.worker.context import Context
from ztunnel.worker.flow import Flows
from ztunnel.worker.local import LocalWorkload


class Passthrough:
    """The plain-text inbound side of one pod."""

    def __init__(
        self, context: Context, local: LocalWorkload, way: Way, flows: Flows, spawn: Spawn
    ) -> None:
        """Serve what comes to the pod without a tunnel."""
        self._context = context
        self._local = local
        self._way = way
        self._flows = flows
        self._spawn = spawn

    def serve(self, accepted: socket.socket, peer: sockets.SocketName) -> None:
        """One accepted connection, until it is relayed, ended, or has a task."""
        call = begin(self._context, self._flows, accepted, peer, Direction.INBOUND)
        if call is None:
            return
        with call.flow:
            if call.destination.port in OWN_PORTS:
                raise SelfCallError
            if (workload := self._local.now()) is not None:
                self._admit(call, workload)
            else:
                self._spawn(self._admit_later, call)

    async def _admit_later(self, call: Call) -> None:
        with call.flow:
            workload = await self._local.wait()
            call.flow.check()
            self._admit(call, workload)

    def _admit(self, call: Call, workload: Workload) -> None:
        flow, world = call.flow, self._context.world
        record = flow.record
        caller = record.source_address.ip
        record.destination = workload
        record.service = likely_service(world, workload)
        record.source = world.workload_at(self._context.config.network, caller)
        flow.is_known = True
        flow.authorise(ConnectionFacts(None, caller, call.destination), workload)
        as_whom = source_for(self._way, caller, call.destination)
        dialling = Dial(self._way, call.destination, as_whom)
        join_plain(self._context, self._spawn, call, dialling)
