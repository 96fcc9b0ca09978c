"""What a tunnel tells the owner of a stream."""

from mesh.wire.http2.events import Headers


class Handle:
    """What a stream's owner must understand; called by the tunnel, never waits."""

    __slots__ = ()

    def headers(self, headers: Headers, *, end: bool) -> None:
        """A response, or trailers."""
        raise NotImplementedError

    def data(self, piece: memoryview, *, end: bool) -> None:
        """A piece of DATA, valid until `deliver`, which follows in the same turn."""
        raise NotImplementedError

    def deliver(self) -> None:
        """All pieces of this turn have been given."""
        raise NotImplementedError

    def reset(self, code: int) -> None:
        """The stream was reset."""
        raise NotImplementedError

    def writable(self) -> None:
        """After `Tunnel.wait`: try again."""
        raise NotImplementedError

    def lost(self) -> None:
        """The tunnel is gone, and the stream with it."""
        raise NotImplementedError
