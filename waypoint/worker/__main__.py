"""A worker process: `python -m waypoint.worker FEED_FD INDEX`; the supervisor starts it."""

import os
import sys
from functools import partial

from mesh.runtime.feed_channel import FeedChannel
from mesh.runtime.worker import process
from waypoint.config import Config
from waypoint.listening import listen
from waypoint.worker.engine.engine import HttpEngine
from waypoint.worker.worker import Worker


def _prepare() -> process.Prepared:
    config = Config.from_env(os.environ)
    listener = listen(config)
    make_engine = partial(HttpEngine, environ=os.environ)

    async def work(feed: FeedChannel) -> None:
        await Worker(feed, config, listener, make_engine).run()

    return process.Prepared(config.log_levels, config.log_json, work)


def main(arguments: list[str]) -> int:
    """Serve until the feed ends; 2 is wrong use, EXIT_OPERATOR what the operator must mend."""
    return process.run("waypoint", arguments, _prepare)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
