"""A client's connection whose requests the engine serves."""

from mesh.errors import MeshError
from mesh.runtime.http.stream import (
    RequestUser,
    ServerConnectionUser,
    ServerStream,
)
from mesh.wire.http.messages import RequestHead
from waypoint.worker.engine.context import Peer
from waypoint.worker.engine.exchange import Exchange


class Requests(ServerConnectionUser):
    """Makes an exchange of each request."""

    __slots__ = ("_peer",)

    def __init__(self, peer: Peer) -> None:
        """Serve one client's calls of one destination."""
        self._peer = peer

    def request(self, stream: ServerStream, head: RequestHead, *, end: bool) -> RequestUser:
        """A request has come."""
        exchange = Exchange(self._peer, stream, head, end=end)
        exchange.begin()
        return exchange

    def closed(self, error: MeshError | None) -> None:
        """Its requests have heard already."""
