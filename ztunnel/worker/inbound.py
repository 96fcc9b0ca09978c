"""15008: HBONE that comes to a pod. Authenticate, and for each CONNECT: check, authorise, dial, relay."""

import logging
import socket
from dataclasses import dataclass

import trio

from mesh.errors import DeniedError, MeshError
from mesh.model.address import SocketAddress
from mesh.policy.authorize import ConnectionFacts
from mesh.routing.inbound import Dial, Refusal, admit
from mesh.runtime.http2_transport import Tunnel
from mesh.runtime.relay.stream import StreamRelay, WaitingStream
from mesh.wire.http2.events import Headers
from mesh.wire.http2.frames import Role
from mesh.wire.http2.streams import Stream
from ztunnel.worker import hbone, sockets
from ztunnel.worker.context import Context
from ztunnel.worker.flow import Flow, PolicyDeniedError, describe
from ztunnel.worker.local import LocalWorkload
from ztunnel.worker.secure import secure

log = logging.getLogger(__name__)


class ConnectInvalidError(DeniedError):
    """A CONNECT that cannot be served; `status` is the answer."""

    code = "connect_invalid"

    def __init__(self, status: int, reason: str) -> None:
        """Keep the status."""
        super().__init__(reason)
        self.status = status


class Inbound:
    """The HBONE server side of one pod."""

    def __init__(self, context: Context, local: LocalWorkload, netns: int) -> None:
        """Serve connections to the pod in `netns`, which stays its owner's."""
        self._context = context
        self._local = local
        self._netns = netns
        self._tunnels: dict[Tunnel, None] = {}

    def tick(self) -> None:
        """Keep-alive."""
        for tunnel in list(self._tunnels):
            tunnel.tick(trio.current_time())

    def drain(self) -> None:
        """Tell the peers to open new connections elsewhere."""
        for tunnel in list(self._tunnels):
            tunnel.drain()

    async def serve(self, accepted: socket.socket) -> None:
        """One accepted connection, from handshake to end."""
        closed = trio.Event()
        async with trio.open_nursery() as nursery:

            def connect(tunnel: Tunnel, stream: Stream, headers: Headers, end: bool) -> None:
                waiting = WaitingStream()
                waiting.ended = end
                tunnel.hand_over(stream, waiting)
                nursery.start_soon(self._connect, _Request(tunnel, stream, headers, waiting, near, far))

            try:
                sockets.tune(accepted, keepalive=False)
                near = sockets.address_of(accepted.getsockname())
                far = sockets.address_of(accepted.getpeername())
                identity = (await self._local.wait()).identity
                credential = await self._context.credentials.of(identity)
                tunnel = await secure(
                    self._context,
                    Role.SERVER,
                    credential,
                    accepted,
                    on_stream=connect,
                    on_close=lambda _tunnel, _reason: closed.set(),
                )
            except (MeshError, OSError) as error:
                accepted.close()
                log.warning("connection failed: %s", describe(error))
                return
            except BaseException:
                accepted.close()
                raise
            self._tunnels[tunnel] = None
            try:
                await closed.wait()
            finally:
                del self._tunnels[tunnel]
                tunnel.close()

    async def _connect(self, request: "_Request") -> None:
        flow = Flow(self._context, "inbound", request.far)
        with flow:
            try:
                await self._relay(flow, request)
            except MeshError as error:
                status = error.status if isinstance(error, ConnectInvalidError) else 503
                status = 401 if isinstance(error, PolicyDeniedError) else status
                request.tunnel.answer(request.stream, hbone.status(status), end=True)
                request.tunnel.abandon(request.stream, request.waiting)
                raise

    async def _relay(self, flow: Flow, request: "_Request") -> None:
        local = self._local.now()
        peer = request.tunnel.peer
        decision = admit(self._context.world, local, dict(request.headers), request.near)
        if isinstance(decision, Refusal):
            raise ConnectInvalidError(decision.status, decision.reason)
        flow.goes_to(decision.destination, local, decision.service)
        flow.comes_from(self._context.world.workload_at(self._context.network, request.far.ip))
        flow.secured_by(peer, local.identity)
        flow.authorise(ConnectionFacts(peer, request.far.ip, decision.destination), local.uid)
        spoofed = request.far.ip if request.far.ip != decision.destination.ip else None
        application = await sockets.dial(self._netns, decision.destination, spoofed)
        request.tunnel.answer(request.stream, hbone.status(200))
        await flow.relay(
            lambda on_end: StreamRelay(
                self._context.reactor,
                application,
                request.tunnel,
                request.stream,
                request.waiting,
                on_end,
            )
        )


@dataclass(frozen=True, slots=True)
class _Request:
    """One CONNECT and the connection that it came on."""

    tunnel: Tunnel
    stream: Stream
    headers: Headers
    waiting: WaitingStream
    near: SocketAddress
    far: SocketAddress
