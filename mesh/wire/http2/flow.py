"""Receive windows (RFC 9113 section 5.2, 6.9) that grow for a fast reader, without a clock.

1. Every announced octet is either still available to the peer or was received, so that totals come
   for free: received = announced - available; unread = size - available - owed.
2. Credit is announced in steps: what is owed and not yet announced is missing on a long link. So
   half of a small window is a step (few frames), but only an eighth of a large one.
3. A round trip is measured by a PING sent right behind a WINDOW_UPDATE. If, when its answer is
   here, the peer has used all that it had *before* that update, then it waited for us (or was about
   to): the window limits it, and is doubled. A reader that leaves octets lying gets no growth.
4. What slow readers leave lying takes the connection's window from all its streams. So that
   window grows, too, when more than half of it is unread: `relieve`.
5. Growth beyond the start is taken from a budget that all connections of a worker share.
"""

from typing import Final

FASTEST_BACKOFF: Final = 1
SLOWEST_BACKOFF: Final = 16
"""Updates to let pass after a round trip without growth: PINGs are not free for the peer."""


LEAST_STEP_OCTETS: Final = 128 * 1024


def _step(size: int) -> int:
    """How much a window of this size has to owe before it announces it."""
    return min((size + 1) // 2, max(size // 8, LEAST_STEP_OCTETS))


class WindowBudget:
    """Octets that the windows of all connections together may grow beyond their start."""

    __slots__ = ("ceiling", "taken")

    def __init__(self, ceiling_octets: int) -> None:
        self.ceiling = ceiling_octets
        self.taken = 0

    def take(self, octets: int) -> bool:
        """Take all of it or nothing."""
        if self.taken + octets > self.ceiling:
            return False
        self.taken += octets
        return True

    def give_back(self, octets: int) -> None:
        """Return what a window had grown by, when it ends."""
        self.taken -= octets


class ReceiveWindow:
    """What the peer may send; `available` may become negative when settings shrink."""

    __slots__ = ("announced", "available", "ceiling", "owed", "size", "start", "step")

    def __init__(self, size: int, ceiling: int) -> None:
        self.size = self.available = self.announced = self.start = size
        self.step = _step(size)
        self.ceiling = ceiling
        self.owed = 0

    @property
    def received(self) -> int:
        """All octets received so far."""
        return self.announced - self.available

    @property
    def unread(self) -> int:
        """Octets received and not yet credited."""
        return self.size - self.available - self.owed

    def credit(self, octets: int) -> int:
        """Note that the reader took this much; return the increment to announce now, or 0."""
        owed = self.owed + octets
        if owed < self.step:
            self.owed = owed
            return 0
        self.owed = 0
        self.available += owed
        self.announced += owed
        return owed

    def resize(self, difference: int) -> None:
        """Follow a change of our own INITIAL_WINDOW_SIZE (section 6.9.2)."""
        self.size += difference
        self.step = _step(self.size)
        self.start += difference
        self.available += difference
        self.announced += difference

    def grow(self, budget: WindowBudget) -> int:
        """Double within ceiling and budget, unless the reader is slow; return the increment."""
        return 0 if self.unread * 4 > self.size else self._double(budget)

    def relieve(self, budget: WindowBudget) -> int:
        """Double when the readers have left more than half of it lying; return the increment."""
        return self._double(budget) if self.unread * 2 > self.size else 0

    def _double(self, budget: WindowBudget) -> int:
        step = min(self.size, self.ceiling - self.size)
        if step <= 0 or not budget.take(step):
            return 0
        self.size += step
        self.step = _step(self.size)
        self.available += step
        self.announced += step
        return step

    def close(self, budget: WindowBudget) -> None:
        """Return to the budget what was grown, and grow no more. Twice is fine."""
        budget.give_back(self.size - self.start)
        self.start = self.ceiling = self.size


class GrowthProbe:
    """One measured round trip at a time, for the windows that were just credited."""

    __slots__ = ("_backoff", "_goals", "_let_pass", "in_flight")

    def __init__(self) -> None:
        self.in_flight = False
        self._backoff = FASTEST_BACKOFF
        self._let_pass = 0
        self._goals: list[tuple[int, ReceiveWindow, int]] = []

    def begin(self, updated: list[tuple[int, ReceiveWindow, int]]) -> bool:
        """Say whether to send a PING behind these updates (stream id, window, increment)."""
        if self.in_flight or all(window.size >= window.ceiling for _, window, _ in updated):
            return False
        if self._let_pass:
            self._let_pass -= 1
            return False
        self._goals = [(key, window, window.announced - step) for key, window, step in updated]
        self.in_flight = True
        return True

    def end(self, budget: WindowBudget) -> list[tuple[int, int]]:
        """Take the answer; give (stream id, increment) for every window that grew."""
        self.in_flight = False
        grown = []
        for key, window, goal in self._goals:
            if window.received >= goal - window.size // 8 and (step := window.grow(budget)):
                grown.append((key, step))
        self._goals = []
        self._backoff = FASTEST_BACKOFF if grown else min(self._backoff * 2, SLOWEST_BACKOFF)
        self._let_pass = 0 if grown else self._backoff
        return grown
