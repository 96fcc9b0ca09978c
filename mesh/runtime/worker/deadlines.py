"""Deadlines of what waits without a task: all of one length, so that they expire in order."""

from collections.abc import Callable, Hashable
from typing import Final

ANSWER_SECONDS: Final = 15.0
"""How long CONNECT may take: the peer itself gives its application 10 s."""


class Deadlines:
    """Who waits for an answer, and what to call when none came in time."""

    def __init__(self, seconds: float = ANSWER_SECONDS) -> None:
        """Everybody gets so many seconds."""
        self.seconds = seconds
        self._waiting: dict[Hashable, tuple[float, Callable[[], None]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, who: Hashable, now: float, late: Callable[[], None]) -> None:
        """From now on `late` may be called, once, unless `discard` comes before."""
        self._waiting[who] = (now + self.seconds, late)

    def discard(self, who: Hashable) -> None:
        """The answer is here. Twice is fine."""
        self._waiting.pop(who, None)

    def expire(self, now: float) -> None:
        """Call those who have waited for too long; do this now and then."""
        late = []
        for who, (at, call) in self._waiting.items():
            if at > now:
                break
            late.append((who, call))
        for who, call in late:
            if self._waiting.pop(who, None) is not None:
                call()
