"""What an HTTP/1.1 connection writes: small pieces of one round together, large ones as they are.

A head and its short content would otherwise be two frames of a tunnel, which cost both ends more
than a copy.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from mesh.runtime.http.link import Link

TOGETHER_OCTETS: Final = 8 * 1024
"""Up to here a piece is copied to what waits."""

AtRoundEnd: TypeAlias = Callable[[Callable[[], None]], None]
"""Runs a function at the end of the reactor's round (`Reactor.at_round_end`)."""


class Outlet:
    """In front of a link."""

    __slots__ = ("_at_round_end", "_link", "_waiting")

    def __init__(self, link: Link, at_round_end: AtRoundEnd) -> None:
        self._link = link
        self._at_round_end = at_round_end
        self._waiting = b""

    def write(self, octets: bytes | bytearray | memoryview) -> None:
        """Send at the round's end, or earlier."""
        waiting = self._waiting
        if len(octets) > TOGETHER_OCTETS:
            self.flush()
            self._link.write(octets)
        elif waiting:
            self._waiting = waiting + octets
            if len(self._waiting) > TOGETHER_OCTETS:
                self.flush()
        else:
            self._waiting = bytes(octets)
            self._at_round_end(self.flush)

    def flush(self) -> None:
        """Send what waits now."""
        if waiting := self._waiting:
            self._waiting = b""
            self._link.write(waiting)
