"""How long to wait before the next try."""

from collections.abc import Iterable, Iterator
from random import Random
from typing import Final

SPREAD: Final = 0.2


def doubling(first_s: float, most_s: float) -> Iterator[float]:
    """Delays from `first_s` on, each twice the last, up to `most_s`."""
    delay_s = first_s
    while True:
        yield delay_s
        delay_s = min(most_s, delay_s * 2)


def spread(delays: Iterable[float], chance: Random) -> Iterator[float]:
    """The same delays, each up to 20 % shorter or longer: those who failed together part."""
    for delay_s in delays:
        yield delay_s * chance.uniform(1 - SPREAD, 1 + SPREAD)
