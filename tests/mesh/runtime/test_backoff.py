"""Delays between tries."""

from itertools import islice
from random import Random

from mesh.runtime.backoff import SPREAD, doubling, spread


def test_delays_double_up_to_the_longest() -> None:
    assert list(islice(doubling(0.5, 3.0), 5)) == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_spread_delays_stay_near_and_differ() -> None:
    delays = list(islice(spread(doubling(1.0, 1.0), Random(7)), 100))

    assert all(1 - SPREAD <= delay <= 1 + SPREAD for delay in delays)
    assert len(set(delays)) == 100
