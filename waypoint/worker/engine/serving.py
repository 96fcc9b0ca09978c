"""A client's connection whose requests the engine serves."""

from collections.abc import Callable

from mesh.errors import MeshError
from mesh.runtime.http.stream import RequestUser, ServerConnectionUser, ServerStream
from mesh.wire.http.messages import RequestHead
from mesh.wire.http2.errors import Http2Error
from waypoint.worker.engine import record
from waypoint.worker.engine.context import Peer
from waypoint.worker.engine.exchange import Exchange
from waypoint.worker.engine.failures import RequestInvalidError


class Requests(ServerConnectionUser):
    """Makes an exchange of each request."""

    __slots__ = ("_on_close", "_peer")

    def __init__(self, peer: Peer, on_close: Callable[["Requests"], None] | None = None) -> None:
        """Serve one client's calls of one destination."""
        self._peer = peer
        self._on_close = on_close

    def request(self, stream: ServerStream, head: RequestHead, *, end: bool) -> RequestUser:
        """A request has come."""
        exchange = Exchange(self._peer, stream, head, end=end)
        exchange.begin()
        return exchange

    def refused(self, status: int, error: MeshError) -> None:
        """What came is no request that can be read."""
        record.tell_unread(self._peer, RequestInvalidError(error, status))

    def closed(self, error: MeshError | None) -> None:
        """The connection is gone; its requests have heard already."""
        if isinstance(error, Http2Error):
            record.tell_unread(self._peer, RequestInvalidError(error, 0))
        if self._on_close is not None:
            self._on_close(self)
