"""What is to happen at a moment, unless it is called off first: one heap for a worker.

Most timers are called off, and that has to cost next to nothing: they stay in the heap, empty,
until their moment comes near the front.
"""

import math
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

import trio

Late = Callable[[], None]

SLACK_SECONDS: Final = 0.001
"""Timers that are due within so little are called together."""


class Timer:
    """One moment, and what to call then."""

    __slots__ = ("at", "late")

    def __init__(self, at: float, late: Late) -> None:
        self.at = at
        self.late: Late | None = late

    def __lt__(self, other: "Timer") -> bool:
        return self.at < other.at

    def cancel(self) -> None:
        """Call it off. Twice, or after it was called, is fine."""
        self.late = None


class Timers:
    """All timers of a worker, whose `run` is a task of its own."""

    def __init__(
        self,
        on_bug: Callable[[BaseException], None],
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        """None yet; what a timer raises is a bug, and told to `on_bug`."""
        self.clock = clock
        self._on_bug = on_bug
        self._heap: list[Timer] = []
        self._sleep: trio.CancelScope | None = None

    def after(self, seconds: float, late: Late) -> Timer:
        """Call `late` in so many seconds, unless the timer is cancelled before."""
        timer = Timer(self.clock() + seconds, late)
        heappush(self._heap, timer)
        sleep = self._sleep
        if sleep is not None and timer.at < sleep.deadline:
            sleep.deadline = timer.at
        return timer

    @property
    def next_deadline(self) -> float:
        """When `on_time` has something to do; infinity for never."""
        heap = self._heap
        while heap and heap[0].late is None:
            heappop(heap)
        return heap[0].at if heap else math.inf

    def on_time(self, now: float) -> None:
        """Call what is due."""
        while self.next_deadline <= now + SLACK_SECONDS:
            timer = heappop(self._heap)
            late, timer.late = timer.late, None
            if late is None:
                continue
            try:
                late()
            except Exception as bug:  # noqa: BLE001 - one timer's bug stays its own
                self._on_bug(bug)

    async def run(self) -> None:
        """Call each timer in time, until cancelled.

        Cancellation: no timer is lost; they are due when it runs again.
        """
        try:
            while True:
                with trio.CancelScope(deadline=self.next_deadline) as self._sleep:
                    await trio.sleep_forever()
                self.on_time(self.clock())
        finally:
            self._sleep = None
