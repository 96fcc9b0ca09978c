"""What a tunnel tells the owner of a stream, and who these owners are."""

from mesh.wire.http2.events import Headers
from mesh.wire.http2.streams import Stream


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


class Handles:
    """The owners of one tunnel's streams, and those of them that wait for room to send."""

    __slots__ = ("_streams", "_waiting")

    def __init__(self) -> None:
        """Nobody yet."""
        self._streams: dict[Handle, Stream] = {}
        self._waiting: dict[Handle, None] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def put(self, stream: Stream, handle: Handle) -> None:
        """From now on this one hears of the stream, and whoever did before no more."""
        if isinstance(stream.handle, Handle):
            self._streams.pop(stream.handle, None)
        stream.handle = handle
        self._streams[handle] = stream

    def forget(self, handle: Handle) -> None:
        """It is done with its stream. Twice is fine."""
        stream = self._streams.pop(handle, None)
        self._waiting.pop(handle, None)
        if stream is not None and stream.handle is handle:
            stream.handle = None

    def wait(self, handle: Handle) -> None:
        """Tell it once when there may be room."""
        self._waiting[handle] = None

    def is_waiting(self, handle: Handle) -> bool:
        """Whether it waits still."""
        return handle in self._waiting

    def wake(self, handle: Handle) -> None:
        """There may be room for this one, if it waits."""
        if handle in self._waiting:
            del self._waiting[handle]
            handle.writable()

    def wake_all(self) -> None:
        """There may be room for everybody who waits."""
        waiting, self._waiting = self._waiting, {}
        for handle in waiting:
            handle.writable()

    def lose(self) -> None:
        """The tunnel is gone: everybody hears of it."""
        streams, self._streams = self._streams, {}
        self._waiting.clear()
        for handle in streams:
            handle.lost()
