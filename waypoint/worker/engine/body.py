"""A request's content on its way to an endpoint.

1. Nothing is kept but what a later try would need, `REPLAY_OCTETS` of it: once more than that has
   been sent, there is no other try.
2. What nobody has asked for yet (no connection, no word of the authoriser) is kept, and not
   credited: the client sends no more than its window.
"""

from collections.abc import Callable
from typing import Final

from mesh.runtime.http.stream import ClientStream
from mesh.wire.http.messages import Fields
from waypoint.worker.engine import heads

REPLAY_OCTETS: Final = 64 * 1024


class Body:
    """The content of one request."""

    __slots__ = (
        "_credit",
        "is_complete",
        "is_replayable",
        "kept",
        "octets",
        "owed",
        "trailers",
    )

    def __init__(self, credit: Callable[[int], None]) -> None:
        """Nothing has come; `credit` is called for what goes on."""
        self._credit = credit
        self.kept = bytearray()
        """All of it so far, as long as it can be sent again."""
        self.is_replayable = True
        self.is_complete = False
        self.trailers: Fields = []
        self.octets = 0
        self.owed = 0
        """Octets that came, and that the source has no credit for yet."""

    def take(self, piece: bytes | memoryview, out: ClientStream | None) -> None:
        """A piece has come; None: there is nowhere to send it yet."""
        size = len(piece)
        self.octets += size
        if out is None:
            self.kept += piece
            self.owed += size
            return
        out.send(piece)
        if self.is_replayable:
            if len(self.kept) + size > REPLAY_OCTETS:
                self.forget()
            else:
                self.kept += piece
        if self.owed or out.is_full:
            self.owed += size
        else:
            self._credit(size)

    def complete(self, trailers: Fields, out: ClientStream | None) -> None:
        """That was all."""
        self.is_complete = True
        self.trailers = heads.passable(trailers) if trailers else trailers
        if out is not None:
            out.finish(self.trailers)

    def attach(self, out: ClientStream) -> None:
        """Send there what has come so far."""
        if self.kept:
            out.send(bytes(self.kept))
            if len(self.kept) > REPLAY_OCTETS:
                self.forget()
        if self.is_complete:
            out.finish(self.trailers)
        if not out.is_full:
            self.pay()

    def pay(self) -> None:
        """The way is free: the source may go on."""
        if self.owed:
            owed, self.owed = self.owed, 0
            self._credit(owed)

    def forget(self) -> None:
        """There will be no other try."""
        self.is_replayable = False
        self.kept.clear()
