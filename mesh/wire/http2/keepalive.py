"""When to send a PING and when to give the peer up, from times that the caller brings."""

from enum import Enum


class Due(Enum):
    """What to do now."""

    NOTHING = "nothing"
    PING = "ping"
    GIVE_UP = "give up"


class Keepalive:
    """A peer that was silent for `idle_s` gets a PING, and `patience_s` to show any life.

    Any octet counts as life, not only the answer: a peer that is busy sending may answer late.
    Times are seconds of one monotonic clock.
    """

    __slots__ = ("_idle_s", "_last_heard", "_patience_s", "_pinged")

    def __init__(self, *, idle_s: float, patience_s: float, last_heard: float) -> None:
        self._idle_s = idle_s
        self._patience_s = patience_s
        self._last_heard = last_heard
        self._pinged: float | None = None

    def heard(self, now: float) -> None:
        """Note that octets arrived."""
        self._last_heard = now
        self._pinged = None

    def next_deadline(self) -> float:
        """Return when `on_time` has to be asked next."""
        if self._pinged is None:
            return self._last_heard + self._idle_s
        return self._pinged + self._patience_s

    def on_time(self, now: float) -> Due:
        """Say what is due. After PING the caller sends one; after GIVE_UP it closes."""
        if now < self.next_deadline():
            return Due.NOTHING
        if self._pinged is None:
            self._pinged = now
            return Due.PING
        return Due.GIVE_UP
