"""Octets that both sides know, and of which no two pieces are alike."""

import functools
import random


@functools.cache
def pattern(size: int) -> bytes:
    """The same octets wherever it is asked."""
    return random.Random(size).randbytes(size)  # not for secrets
