"""The tries for one peer: how loud they are."""

import logging
from random import Random

from mesh.runtime.control.retries import Retries


def test_the_first_failure_is_told_and_a_long_absence_is_a_warning() -> None:
    retries = Retries(Random(1), 0.1, 1.0)
    levels = [retries.again()[1] for _ in range(6)]
    assert levels[0] == logging.INFO
    assert levels[1] == logging.DEBUG
    assert levels[-1] == logging.WARNING
    retries.succeed()
    assert retries.again()[1] == logging.INFO
