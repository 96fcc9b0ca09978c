"""Joins two links: plain TCP through a waypoint, and what an upgrade has made of a connection.

1. What one side sends reaches the other in order and whole, or both see a reset.
2. Half-close goes each way by itself; a reset on one side is a reset on the other. A side that left
   both ways without a fault (`lost(None)`) has ended, and takes nothing more.
3. Credit is given when the other side has room: a slow reader stops the sender.
"""

from collections.abc import Callable

from mesh.errors import MeshError
from mesh.runtime.http.link import Link, LinkUser
from mesh.runtime.relay.plain import Ending


class _Side(LinkUser):
    """One of the two links, as its user."""

    __slots__ = ("_relay", "gone", "has_ended", "link", "octets", "other", "owed")

    def __init__(self, relay: "Joined", link: Link) -> None:
        self._relay = relay
        self.link = link
        self.other: _Side = self
        self.octets = 0
        self.owed = 0
        self.has_ended = False
        self.gone = False

    def received(self, octets: memoryview) -> None:
        """On to the other side."""
        size = len(octets)
        self.octets += size
        sink = self.other.link
        if not self.other.gone:
            sink.write(octets)
        if sink.is_full and not self.other.gone:
            self.owed += size
        else:
            self.link.credit(size)

    def writable(self) -> None:
        """It takes more: so may the other side send."""
        other = self.other
        owed, other.owed = other.owed, 0
        if owed and not other.gone:
            other.link.credit(owed)

    def ended(self) -> None:
        """Half-close."""
        self.has_ended = True
        if not self.other.gone:
            self.other.link.end()

    def lost(self, error: MeshError | None) -> None:
        """This side is gone."""
        self.gone = True
        self._relay.side_lost(self, error)


class Joined:
    """Two links, which belong to it from now on."""

    __slots__ = ("_far", "_near", "_on_end", "error")

    def __init__(self, near: Link, far: Link, on_end: Callable[[Ending], None]) -> None:
        """Not begun before `start`; `on_end` is called once."""
        self._near = _Side(self, near)
        self._far = _Side(self, far)
        self._near.other, self._far.other = self._far, self._near
        self._on_end: Callable[[Ending], None] | None = on_end
        self.error: MeshError | None = None
        """Why it ended, when that was a fault."""

    def start(self) -> None:
        """Begin; octets that have come already are handed on before this returns."""
        self._near.link.use(self._near)
        if self._on_end is not None:
            self._far.link.use(self._far)

    @property
    def octets_forth(self) -> int:
        """What has gone from near to far."""
        return self._near.octets

    @property
    def octets_back(self) -> int:
        """What has gone from far to near."""
        return self._far.octets

    def stop(self) -> None:
        """End it now: a reset to both."""
        self._reset()
        self._finish(Ending.STOPPED)

    def side_lost(self, side: _Side, error: MeshError | None) -> None:
        """One side is gone."""
        other = side.other
        if error is not None:
            self.error = error
            self._reset()
            self._finish(Ending.NEAR_RESET if side is self._near else Ending.FAR_RESET)
        elif other.gone:
            self._finish(Ending.CLOSED)
        else:
            owed, other.owed = other.owed, 0
            if owed:
                other.link.credit(owed)
            other.link.end()

    def _reset(self) -> None:
        for side in (self._near, self._far):
            if not side.gone:
                side.gone = True
                side.link.reset()

    def _finish(self, ending: Ending) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(ending)


def join(near: Link, far: Link, on_end: Callable[[Ending], None]) -> Joined:
    """Join two links at once.

    Args:
        near: The accepted one, say.
        far: The dialled one.
        on_end: Called once, with how it ended.
    """
    joined = Joined(near, far, on_end)
    joined.start()
    return joined
