"""How long to wait before the next try, and how loud to say so."""

import logging
from collections.abc import Iterator
from random import Random
from typing import Final

SPREAD: Final = 0.2
LOUD_S: Final = 1.0
"""A peer that is missed for about so long is worth a warning."""


def backoff(chance: Random, first_s: float, most_s: float) -> Iterator[float]:
    """Delays that double from `first_s` to `most_s`, each up to 20 % shorter or longer."""
    delay_s = first_s
    while True:
        yield delay_s * chance.uniform(1 - SPREAD, 1 + SPREAD)
        delay_s = min(most_s, delay_s * 2)


class Retries:
    """The tries for one peer: delays, and levels for the log."""

    def __init__(self, chance: Random, first_s: float, most_s: float) -> None:
        """Nothing was tried yet."""
        self._chance, self._first_s, self._most_s = chance, first_s, most_s
        self.succeed()

    def succeed(self) -> None:
        """The peer was there: the next failure is the first again."""
        self._delays = backoff(self._chance, self._first_s, self._most_s)
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
