"""A worker process: `python -m waypoint.worker FEED_FD INDEX`; the supervisor starts it."""

import gc
import logging
import os
import resource
import signal
import sys
from functools import partial
from typing import Final

import trio

from mesh.errors import ConfigError
from mesh.runtime import logs, tls
from mesh.runtime.feed_channel import FeedChannel
from mesh.runtime.processes.orders import EXIT_OPERATOR
from waypoint.config import Config
from waypoint.listening import listen
from waypoint.worker.engine.engine import HttpEngine
from waypoint.worker.worker import Worker

WRONG_USE: Final = 2
YOUNG_OBJECTS: Final = 20_000
OLDER_ROUNDS: Final = 20
OLDEST_ROUNDS: Final = 1_000
"""Connections leave no cycles behind, and thousands of idle ones are many objects to look at."""


def main(arguments: list[str]) -> int:
    """Serve until the feed ends; 2 is wrong use, EXIT_OPERATOR what the operator must mend."""
    if len(arguments) != 3 or not all(word.isdecimal() for word in arguments[1:]):
        sys.stderr.write(
            "usage: python -m waypoint.worker FEED_FD INDEX (the supervisor does it)\n"
        )
        return WRONG_USE
    # The supervisor decides when to end; a terminal's Ctrl-C reaches the whole process group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        config = Config.from_env(os.environ)
        tls.self_test()
        listener = listen(config)
    except ConfigError as error:
        sys.stderr.writelines(f"{problem}\n" for problem in error.problems)
        return EXIT_OPERATOR
    logs.configure(config.log_levels, is_json=config.log_json)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.set_threshold(YOUNG_OBJECTS, OLDER_ROUNDS, OLDEST_ROUNDS)
    gc.freeze()
    make_engine = partial(HttpEngine, environ=os.environ)
    trio.run(Worker(FeedChannel(int(arguments[1])), config, listener, make_engine).run)
    logging.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
