"""How long to wait before the next try, and how loud to say so."""

import logging
from random import Random
from typing import Final

from mesh.runtime.backoff import doubling, spread

LOUD_S: Final = 1.0
"""A peer that is missed for about so long is worth a warning."""


class Retries:
    """The tries for one peer: delays, and levels for the log."""

    def __init__(self, chance: Random, first_s: float, most_s: float) -> None:
        """Nothing was tried yet."""
        self._chance, self._first_s, self._most_s = chance, first_s, most_s
        self.succeed()

    def succeed(self) -> None:
        """The peer was there: the next failure is the first again."""
        self._delays = spread(doubling(self._first_s, self._most_s), self._chance)
        self._waited_s = 0.0

    def again(self) -> tuple[float, int]:
        """The delay before the next try, and the log level of this failure.

        The first failure is told, and each one after the peer has been missed for LOUD_S is a
        warning; those between are for debugging.
        """
        delay_s = next(self._delays)
        is_first = self._waited_s == 0.0
        self._waited_s += delay_s
        if self._waited_s >= LOUD_S:
            return delay_s, logging.WARNING
        return delay_s, logging.INFO if is_first else logging.DEBUG
