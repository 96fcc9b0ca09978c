"""A waypoint's worker, as its control process knows it: beside what all workers say, it traces."""

from collections.abc import Callable

from mesh.runtime.control.link import Link, Wanted
from mesh.runtime.feed_channel import FeedChannel
from mesh.wire.feed import Spans
from mesh.wire.feed_codec import Message


class WaypointLink(Link):
    """One worker's feed."""

    def __init__(
        self,
        index: int,
        pid: int,
        channel: FeedChannel,
        wanted: Wanted,
        on_spans: Callable[[Spans], None] | None,
    ) -> None:
        """Take over the channel.

        Args:
            index: the worker's.
            pid: the worker's.
            channel: its feed.
            wanted: what every worker is to have.
            on_spans: who tells a collector; None: there is none.
        """
        super().__init__(index, pid, channel, wanted)
        self._on_spans = on_spans

    def _hear_other(self, message: Message, descriptor: int | None) -> bool:
        del descriptor
        if not isinstance(message, Spans):
            return False
        if self._on_spans is not None:
            self._on_spans(message)
        return True
