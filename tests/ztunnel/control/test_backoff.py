"""Delays between tries, and how loud they are."""

import logging
from itertools import islice
from random import Random

from ztunnel.control.backoff import Retries, backoff


def test_delays_double_up_to_a_limit_with_some_spread() -> None:
    delays = list(islice(backoff(Random(1), 0.01, 15.0), 20))
    assert 0.008 <= delays[0] <= 0.012
    assert all(12.0 <= delay <= 18.0 for delay in delays[-5:])
    assert len({round(delay, 3) for delay in delays[-5:]}) == 5


def test_the_first_failure_is_told_and_a_long_absence_is_a_warning() -> None:
    retries = Retries(Random(1), 0.1, 1.0)
    levels = [retries.again()[1] for _ in range(6)]
    assert levels[0] == logging.INFO
    assert levels[1] == logging.DEBUG
    assert levels[-1] == logging.WARNING
    retries.succeed()
    assert retries.again()[1] == logging.INFO
