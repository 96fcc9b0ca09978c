"""One CONNECT to the waypoint, and the tunnel that it came by."""

from typing import Final

from mesh.model.identity import Identity
from mesh.model.workload import Workload
from mesh.runtime.http2_transport import Tunnel
from mesh.runtime.relay.stream import WaitingStream
from mesh.runtime.worker.failures import ConnectInvalidError
from mesh.runtime.worker.tunnel_server import Ends
from mesh.state.world import World
from mesh.wire import hbone
from mesh.wire.http2.events import Headers
from mesh.wire.http2.frames import ErrorCode
from mesh.wire.http2.streams import Stream

UNAVAILABLE: Final = 503


class Request:
    """Nothing of it is answered yet."""

    __slots__ = ("far", "headers", "near", "stream", "tunnel", "waiting")

    def __init__(
        self,
        ends: Ends,
        tunnel: Tunnel,
        stream: Stream,
        headers: Headers,
        *,
        end: bool,
    ) -> None:
        """`end`: the client sends nothing more."""
        self.near = ends.near
        self.far = ends.far
        self.tunnel = tunnel
        self.stream = stream
        self.headers = dict(headers)
        # What comes before the stream has an owner must not be lost.
        self.waiting = WaitingStream()
        self.waiting.ended = end
        tunnel.hand_over(stream, self.waiting)

    @property
    def peer(self) -> Identity:
        """Who has opened the tunnel."""
        return self.tunnel.peer

    def text(self, name: bytes) -> str:
        """A field of the head; empty when it is not there."""
        return self.headers.get(name, b"").decode("latin-1")

    def accept(self) -> None:
        """Answer with 200: from now on the stream is the connection."""
        self.tunnel.answer(self.stream, hbone.accepted(None))

    def refuse(self, error: BaseException) -> None:
        """Answer with the error's status, and be done with the stream."""
        status = UNAVAILABLE
        if isinstance(error, ConnectInvalidError):
            status = error.refusal.status
        # Nobody will read what came: it must not stay charged to the tunnel.
        self.tunnel.credit(self.stream, len(self.waiting.octets))
        self.tunnel.answer(self.stream, hbone.refused(status), end=True)
        # The answer is whole: the client need not send the rest (RFC 9113 section 8.1).
        self.tunnel.reset(self.stream, ErrorCode.NO_ERROR)
        self.tunnel.forget(self.waiting)

    def caller(self, world: World, network: str) -> Workload | None:
        """Who calls: by the address where that says anything, else as the caller describes it."""
        found = world.workload_at(network, self.far.ip)
        if found is not None and found.identity == self.peer:
            return found
        return hbone.caller(self.text(b"baggage"))
