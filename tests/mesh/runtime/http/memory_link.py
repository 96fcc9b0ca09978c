"""Two links in memory, joined by queues: nothing moves before `Wire.run`, and octets can be cut."""

from collections import deque
from collections.abc import Callable

from mesh.errors import MeshError, PeerError
from mesh.runtime.http.link import FULL_OCTETS, WINDOW_OCTETS, Link, LinkUser


class CutError(PeerError):
    """The test has cut the link."""

    code = "test_link_cut"


class MemoryLink(Link):
    """One end; what it writes goes to `other`."""

    def __init__(self, wire: "Wire") -> None:
        self.wire = wire
        self.other: MemoryLink = self
        self.user: LinkUser | None = None
        self.sent = bytearray()
        self.on_its_way = bytearray()
        self.uncredited = 0
        self.most_uncredited = 0
        self.ending = False
        self.end_told = False
        self.closed = False
        self.was_full = False

    @property
    def is_full(self) -> bool:
        self.was_full = len(self.on_its_way) > FULL_OCTETS
        return self.was_full

    def use(self, user: LinkUser) -> None:
        self.user = user

    def write(self, octets: bytes | bytearray | memoryview) -> None:
        if not self.closed and not self.ending:
            self.sent += octets
            self.on_its_way += octets

    def end(self) -> None:
        self.ending = True

    def credit(self, octets: int) -> None:
        assert octets >= 0
        self.uncredited -= octets
        assert self.uncredited >= 0, "more was credited than was received"

    def reset(self) -> None:
        if not self.closed:
            self.closed = True
            self.other.break_off(CutError("reset by the other end"))

    def break_off(self, error: MeshError | None) -> None:
        """This end is gone."""
        if not self.closed:
            self.closed = True
            if self.user is not None:
                self.user.lost(error)

    def deliver(self, step: int) -> bool:
        """Hand some octets to the other end; whether anything happened."""
        other = self.other
        if other.closed or other.user is None:
            return False
        allowed = min(step, len(self.on_its_way), WINDOW_OCTETS - other.uncredited)
        if allowed > 0:
            piece = bytes(self.on_its_way[:allowed])
            del self.on_its_way[:allowed]
            other.uncredited += allowed
            other.most_uncredited = max(other.most_uncredited, other.uncredited)
            other.user.received(memoryview(piece))
            if self.was_full and not self.is_full and self.user is not None and not self.closed:
                self.user.writable()
            return True
        if self.ending and not self.on_its_way and not self.end_told:
            self.end_told = True
            other.user.ended()
            if other.ending and other.end_told:
                self.break_off(None)
                other.break_off(None)
            return True
        return False


class Wire:
    """Both ends, and the work of a reactor's round."""

    def __init__(self, step: int = 1 << 30) -> None:
        """`step`: at most so many octets at a time."""
        self.step = step
        self.left = MemoryLink(self)
        self.right = MemoryLink(self)
        self.left.other, self.right.other = self.right, self.left
        self.round_end: deque[Callable[[], None]] = deque()

    def at_round_end(self, work: Callable[[], None]) -> None:
        self.round_end.append(work)

    def run(self) -> None:
        """Until nothing moves any more."""
        moved = True
        while moved:
            while self.round_end:
                self.round_end.popleft()()
            moved = self.left.deliver(self.step)
            moved = self.right.deliver(self.step) or moved or bool(self.round_end)
