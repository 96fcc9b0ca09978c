"""A worker process: `python -m ztunnel.worker FEED_FD INDEX`; the supervisor starts it."""

import os
import sys

from mesh.runtime.feed_channel import FeedChannel
from mesh.runtime.worker import process
from ztunnel.config import Config
from ztunnel.worker.worker import Worker


def _prepare() -> process.Prepared:
    config = Config.from_env(os.environ)

    async def work(feed: FeedChannel) -> None:
        await Worker(feed, config).run()

    return process.Prepared(config.log_levels, config.log_json, work)


def main(arguments: list[str]) -> int:
    """Serve until the feed ends; 2 is wrong use, EXIT_OPERATOR what the operator must mend."""
    return process.run("ztunnel", arguments, _prepare)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
