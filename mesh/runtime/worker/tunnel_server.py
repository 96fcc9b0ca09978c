"""15008: tunnels that come in. Each handshake needs a task; what comes by a tunnel does not."""

import logging
import socket
from abc import ABC, abstractmethod
from dataclasses import dataclass

import trio

from mesh.errors import MeshError
from mesh.model.address import SocketAddress
from mesh.observe.access_log import REFUSED, ConnectionRecord, Direction, refusal_fields
from mesh.runtime.http2_transport import Tunnel
from mesh.runtime.worker.credentials import Credential
from mesh.runtime.worker.failures import code_of, describe
from mesh.runtime.worker.parts import WorkerParts
from mesh.runtime.worker.secure import secure
from mesh.runtime.worker.sockets import SocketName, address_of, tune
from mesh.runtime.worker.tunnels import Spawn
from mesh.wire.http2.events import Headers
from mesh.wire.http2.frames import Role
from mesh.wire.http2.streams import Stream

access_log = logging.getLogger("access")


@dataclass(frozen=True, slots=True)
class Ends:
    """The two addresses of a tunnel's TCP connection; `near` is ours."""

    near: SocketAddress
    far: SocketAddress


class TunnelServer(ABC):
    """The tunnels that one listener has taken. Programs say who we are and what is served."""

    def __init__(self, parts: WorkerParts, direction: Direction, spawn: Spawn) -> None:
        """None yet.

        Args:
            parts: The worker's.
            direction: Under which a handshake that fails is counted.
            spawn: Starts tasks that end with the listener.
        """
        self._parts = parts
        self._direction = direction
        self._spawn = spawn
        self._tunnels: dict[Tunnel, None] = {}
        self._drains = False

    @abstractmethod
    async def _credential(self) -> Credential:
        """Who we are, as soon as that is known."""

    @abstractmethod
    def _connect(
        self, ends: Ends, tunnel: Tunnel, stream: Stream, headers: Headers, *, end: bool
    ) -> None:
        """Serve one CONNECT; `end`: nothing comes after its head."""

    def tick(self) -> None:
        """Keep-alive."""
        for tunnel in list(self._tunnels):
            tunnel.tick(trio.current_time())

    def drain(self) -> None:
        """Tell the peers to open new connections elsewhere."""
        self._drains = True
        for tunnel in list(self._tunnels):
            tunnel.drain()

    def close(self) -> None:
        """End every tunnel."""
        for tunnel in list(self._tunnels):
            tunnel.close()

    def serve(self, accepted: socket.socket, peer: SocketName) -> None:
        """One accepted connection."""
        self._spawn(self._shake_hands, accepted, address_of(peer))

    async def _shake_hands(self, accepted: socket.socket, far: SocketAddress) -> None:
        near = far
        try:
            tune(accepted, None)
            near = address_of(accepted.getsockname())
            tunnel = await self._tunnel(accepted, Ends(near, far))
        except (MeshError, OSError) as error:
            accepted.close()
            self._tell(near, far, error)
        except BaseException:
            accepted.close()
            raise
        else:
            self._tunnels[tunnel] = None
            if self._drains:
                tunnel.drain()

    async def _tunnel(self, accepted: socket.socket, ends: Ends) -> Tunnel:
        def on_stream(tunnel: Tunnel, stream: Stream, headers: Headers, end: bool) -> None:  # noqa: FBT001 - the tunnel's own signature
            self._connect(ends, tunnel, stream, headers, end=end)

        return await secure(
            self._parts,
            Role.SERVER,
            await self._credential(),
            accepted,
            on_stream=on_stream,
            on_close=lambda tunnel, _reason: self._forget(tunnel),
        )

    def _forget(self, tunnel: Tunnel) -> None:
        self._tunnels.pop(tunnel, None)

    def _tell(self, near: SocketAddress, far: SocketAddress, error: BaseException) -> None:
        """Of a tunnel that was not made."""
        record = ConnectionRecord(
            direction=self._direction,
            source_address=far,
            destination_address=near,
            error=describe(error),
        )
        code = code_of(error)
        self._parts.metrics.observe_refusal(self._direction, code)
        access_log.warning(REFUSED, extra={**dict(refusal_fields(record)), "code": code})
