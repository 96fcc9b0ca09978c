"""What a worker process does before it works: `python -m PROGRAM.worker FEED_FD INDEX`."""

import gc
import logging
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from mesh.errors import ConfigError
from mesh.runtime import logs, tls
from mesh.runtime.feed_channel import FeedChannel
from mesh.runtime.processes.orders import EXIT_OPERATOR

WRONG_USE: Final = 2
YOUNG_OBJECTS: Final = 20_000
OLDER_ROUNDS: Final = 20
OLDEST_ROUNDS: Final = 1_000
"""Connections leave no cycles behind, and thousands of idle ones are many objects to look at."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a program says of its worker when its settings are read."""

    log_levels: str
    log_json: bool
    work: Callable[[FeedChannel], Awaitable[None]]
    """Serves until the feed ends."""


def run(program: str, arguments: list[str], prepare: Callable[[], Prepared]) -> int:
    """Work until the feed ends; 2 is wrong use, EXIT_OPERATOR what the operator must mend.

    Args:
        program: Its package.
        arguments: As of `sys.argv`.
        prepare: Called once; may raise ConfigError.
    """
    if len(arguments) != 3 or not all(word.isdecimal() for word in arguments[1:]):
        usage = f"usage: python -m {program}.worker FEED_FD INDEX (the supervisor does it)\n"
        sys.stderr.write(usage)
        return WRONG_USE
    # The supervisor decides when to end; a terminal's Ctrl-C reaches the whole process group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        prepared = prepare()
        tls.self_test()
    except ConfigError as error:
        sys.stderr.writelines(f"{problem}\n" for problem in error.problems)
        return EXIT_OPERATOR
    logs.configure(prepared.log_levels, is_json=prepared.log_json)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.set_threshold(YOUNG_OBJECTS, OLDER_ROUNDS, OLDEST_ROUNDS)
    gc.freeze()
    trio.run(prepared.work, FeedChannel(int(arguments[1])))
    logging.shutdown()
    return 0
