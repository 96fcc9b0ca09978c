"""Entry of a worker process: `python -m ztunnel.worker FEED_FD INDEX`, started by the supervisor."""

import gc
import logging
import os
import resource
import signal
import sys

import trio

from mesh.runtime import tls
from mesh.runtime.feed_channel import FeedChannel
from ztunnel.config import Config
from ztunnel.worker.worker import Worker


async def _serve(descriptor: int) -> None:
    await Worker(FeedChannel(descriptor), Config.from_env(os.environ)).run()


def main(arguments: list[str]) -> int:
    """Serve until the feed ends; 2 is wrong use."""
    if len(arguments) != 3 or not all(word.isdecimal() for word in arguments[1:]):
        sys.stderr.write("usage: python -m ztunnel.worker FEED_FD INDEX (the supervisor does it)\n")
        return 2
    # The supervisor decides when to end; a terminal's Ctrl-C reaches the whole process group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    tls.self_test()
    gc.freeze()
    trio.run(_serve, int(arguments[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
