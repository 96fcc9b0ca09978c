"""Budgets for frames that cost us work and carry nothing.

A budget starts full, each such frame takes one token, and progress fills it again: payload that
moved either way, streams that were answered, and answers to PINGs that *we* sent (about one per
keepalive interval, which is all the clock that a core needs). So a busy honest peer never meets the
limit, an idle honest one has a burst that no program needs, and a flood ends at once.
"""

from typing import Final

from mesh.wire.http2.errors import FloodError

MAX_CONTINUATIONS: Final = 32
"""CONTINUATION frames per header block (CVE-2024-27316). The block's octets are limited anyway."""
MAX_UNSENT_ANSWERS_OCTETS: Final = 256 * 1024
"""Control octets waiting for a peer that asks but does not read (CVE-2019-9512, -9515)."""
SMALL_INCREMENT_OCTETS: Final = 256
"""A WINDOW_UPDATE below this, to an exhausted window, forces a tiny frame (CVE-2019-9511)."""

TICK_SHARE: Final = 4
"""An answered keepalive PING gives back this part of each burst."""


class Budget:
    """Tokens that progress gives back."""

    __slots__ = ("_burst", "_left", "_octets_per_token", "_seen", "kind")

    def __init__(self, kind: str, burst: int, octets_per_token: int) -> None:
        self.kind = kind
        self._burst = self._left = burst
        self._octets_per_token = octets_per_token
        self._seen = 0

    def spend(self, moved_octets: int) -> None:
        """Take a token.

        Args:
            moved_octets: all DATA octets of the connection so far, both ways.

        Raises:
            FloodError: there is none left.
        """
        if not self._left:
            gained, _ = divmod(moved_octets - self._seen, self._octets_per_token)
            self.give_back(gained)
            self._seen = moved_octets
            if not self._left:
                raise FloodError(self.kind)
        self._left -= 1

    def give_back(self, tokens: int) -> None:
        """Return tokens, up to the burst."""
        self._left = min(self._burst, self._left + tokens)

    def tick(self) -> None:
        """Note that a keepalive interval has passed."""
        self.give_back(self._burst // TICK_SHARE)


class Budgets:
    """All budgets of one connection."""

    __slots__ = ("dribbles", "empty_data", "ignored", "pings", "resets", "settings", "updates")

    def __init__(self) -> None:
        never = 1 << 62
        # Streams that the peer reset before we answered, or made us reset (CVE-2023-44487,
        # CVE-2025-8671). Applications do give up on connections; they do not give up on hundreds
        # within one keepalive interval while none succeeds.
        self.resets = Budget("stream resets", 400, never)
        self.settings = Budget("SETTINGS frames", 64, 64 * 1024)
        # gRPC measures round trips with PINGs while octets flow.
        self.pings = Budget("PING frames", 256, 512)
        self.empty_data = Budget("empty DATA frames", 256, 16)
        # PRIORITY, unknown types, frames for streams that are closed.
        self.ignored = Budget("ignored frames", 2048, 64)
        # An honest peer credits octets that it received, once per stream and connection.
        self.updates = Budget("WINDOW_UPDATE frames", 4096, 1)
        self.dribbles = Budget("tiny window increments", 256, 1024)

    def tick(self) -> None:
        """Note that the peer has answered a PING of ours."""
        for budget in (
            self.resets,
            self.settings,
            self.pings,
            self.empty_data,
            self.ignored,
            self.updates,
            self.dribbles,
        ):
            budget.tick()
