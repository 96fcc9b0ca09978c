"""How long to wait before the next try."""

from collections.abc import Iterator
from random import Random
from typing import Final

SPREAD: Final = 0.2


def backoff(chance: Random, first_s: float, most_s: float) -> Iterator[float]:
    """Delays that double from `first_s` to `most_s`, each up to 20 % shorter or longer."""
    delay_s = first_s
    while True:
        yield delay_s * chance.uniform(1 - SPREAD, 1 + SPREAD)
        delay_s = min(most_s, delay_s * 2)
