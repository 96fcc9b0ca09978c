"""A worker process like any other, but for its clock: `python -m tests.ztunnel.worker.hurried`.

What it waits for ten seconds takes half a second, and nothing else about it is different.
"""

import sys
from functools import partial
from typing import Final

import trio
from trio.testing import MockClock

from ztunnel.worker.__main__ import main

RATE: Final = 20.0

if __name__ == "__main__":
    trio.run = partial(trio.run, clock=MockClock(rate=RATE))
    sys.exit(main(sys.argv))
