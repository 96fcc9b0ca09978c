"""15008: HBONE that comes to a pod. For each CONNECT: check, authorise, dial, answer, relay.

The application is dialled before the answer: a 200 says that it has accepted.
"""

import socket
from typing import Final

from mesh.model.address import SocketAddress
from mesh.model.identity import Identity
from mesh.model.workload import Workload
from mesh.observe.access_log import ConnectionRecord, ConnectionSecurity, Direction
from mesh.policy.authorize import ConnectionFacts
from mesh.routing.inbound import Dial as Admitted
from mesh.routing.inbound import Refusal, admit
from mesh.runtime.http2_transport import Tunnel
from mesh.runtime.relay.stream import StreamRelay, WaitingStream
from mesh.runtime.worker.credentials import Credential
from mesh.runtime.worker.dial import ConnectFailedError, Dial, Way, source_for
from mesh.runtime.worker.failures import ConnectInvalidError, PolicyDeniedError
from mesh.runtime.worker.tunnel_server import Ends, TunnelServer
from mesh.wire import hbone, proxy_protocol
from mesh.wire.http2.events import Headers
from mesh.wire.http2.frames import ErrorCode
from mesh.wire.http2.streams import Stream
from ztunnel.worker.call import Spawn
from ztunnel.worker.context import Context
from ztunnel.worker.flow import Flow, Flows
from ztunnel.worker.local import LocalWorkload

UNAUTHORIZED: Final = 401
UNAVAILABLE: Final = 503


class Request:
    """One CONNECT and the tunnel that it came by."""

    __slots__ = ("far", "headers", "near", "stream", "tunnel", "waiting")

    def __init__(
        self, ends: Ends, tunnel: Tunnel, stream: Stream, headers: Headers, *, end: bool
    ) -> None:
        """Nothing is answered yet."""
        self.near = ends.near
        self.far = ends.far
        self.tunnel = tunnel
        self.stream = stream
        self.headers = dict(headers)
        self.waiting: WaitingStream | None = None
        if end:
            self.wait().ended = True

    def wait(self) -> WaitingStream:
        """Keep what comes, until the application is there."""
        if self.waiting is None:
            self.waiting = WaitingStream()
            self.tunnel.hand_over(self.stream, self.waiting)
        return self.waiting

    def refuse(self, error: BaseException) -> None:
        """Answer with the error's status, and be done with the stream."""
        match error:
            case ConnectInvalidError(refusal=refusal):
                status = refusal.status
            case PolicyDeniedError():
                status = UNAUTHORIZED
            case _:
                status = UNAVAILABLE
        if self.waiting is not None:
            # Nobody will read what came: it must not stay charged to the tunnel.
            self.tunnel.credit(self.stream, len(self.waiting.octets))
        self.tunnel.answer(self.stream, hbone.refused(status), end=True)
        # The answer is whole: the client need not send the rest (RFC 9113 section 8.1).
        self.tunnel.reset(self.stream, ErrorCode.NO_ERROR)
        if self.waiting is not None:
            self.tunnel.forget(self.waiting)


class Inbound(TunnelServer):
    """The HBONE server side of one pod."""

    def __init__(
        self,
        context: Context,
        local: LocalWorkload,
        way: Way,
        flows: Flows,
        spawn: Spawn,
        only_port: int = 0,
    ) -> None:
        """Serve tunnels to the pod; with `only_port`, nothing else of it."""
        super().__init__(context, Direction.INBOUND, spawn)
        self._only_port = only_port
        self._context = context
        self._local = local
        self._way = way
        self._flows = flows

    async def _credential(self) -> Credential:
        workload = await self._local.wait()
        return await self._context.credentials.of(workload.identity)

    def _connect(
        self, ends: Ends, tunnel: Tunnel, stream: Stream, headers: Headers, *, end: bool
    ) -> None:
        self._admit(Request(ends, tunnel, stream, headers, end=end))

    def _admit(self, request: Request) -> None:
        record = ConnectionRecord(
            direction=Direction.INBOUND,
            source_address=request.far,
            destination_address=request.near,
        )
        flow = Flow(self._context, self._flows, record, request.refuse)
        with flow:
            decision = admit(
                self._context.world,
                self._local.now(),
                request.headers,
                request.near,
                loopback=self._context.config.localhost_app_tunnel,
                only_port=self._only_port,
            )
            if isinstance(decision, Refusal):
                raise ConnectInvalidError(decision)
            local = self._local.known()
            self._note(flow, request, local, decision)
            flow.authorise(
                ConnectionFacts(request.tunnel.peer, request.far.ip, decision.destination), local
            )
            self._dial(flow, request, local, decision)

    def _note(self, flow: Flow, request: Request, local: Workload, decision: Admitted) -> None:
        record, headers = flow.record, request.headers
        record.hbone_address = headers[b":authority"].decode("latin-1")
        record.destination = local
        record.service = decision.service
        record.source = self._caller(request, request.tunnel.peer, decision)
        record.source_identity, record.destination_identity = request.tunnel.peer, local.identity
        record.security = ConnectionSecurity.MUTUAL_TLS
        flow.is_known = True

    def _caller(self, request: Request, peer: Identity, decision: Admitted) -> Workload | None:
        """Who calls: by the address where that says anything, else as the caller describes it."""
        config = self._context.config
        if not decision.from_gateway:
            found = self._context.world.workload_at(config.network, request.far.ip)
            if found is not None and found.identity == peer:
                return found
        return hbone.caller(request.headers.get(b"baggage", b"").decode("latin-1"))

    def _dial(self, flow: Flow, request: Request, local: Workload, decision: Admitted) -> None:
        source = source_for(self._way, request.far.ip, decision.connect_to)
        dialling = Dial(self._way, decision.connect_to, source)
        if dialling.connected:
            self._carry(flow, request, local, decision, dialling.connection)
        else:
            request.wait()
            self._spawn(self._dial_later, flow, request, local, decision, dialling)

    async def _dial_later(
        self, flow: Flow, request: Request, local: Workload, decision: Admitted, dialling: Dial
    ) -> None:
        with flow:
            application = await dialling.wait()
            self._carry(flow, request, local, decision, application)

    def _carry(
        self,
        flow: Flow,
        request: Request,
        local: Workload,
        decision: Admitted,
        application: socket.socket,
    ) -> None:
        try:
            flow.check()
            if decision.proxy_target is not None:
                _introduce(application, request, decision.proxy_target)
        except BaseException:
            application.close()
            raise
        told = local if self._context.config.enable_response_baggage else None
        request.tunnel.answer(request.stream, hbone.accepted(told))
        flow.carry(
            lambda on_end: StreamRelay(
                self._context.reactor,
                application,
                request.tunnel,
                request.stream,
                request.waiting,
                on_end,
            )
        )


def _introduce(application: socket.socket, request: Request, target: SocketAddress) -> None:
    """Send the PROXY header: a few hundred octets into an empty buffer, which takes them all."""
    octets = proxy_protocol.header(request.far, target, request.tunnel.peer)
    if application.send(octets) != len(octets):
        raise ConnectFailedError("the application took no PROXY header")
