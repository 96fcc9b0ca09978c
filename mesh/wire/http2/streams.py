"""One request and its answer."""

from typing import Final

from mesh.wire.http2.flow import ReceiveWindow

UNKNOWN: Final = -1
"""The message does not say how long it is."""
UNCHECKED: Final = -2
"""What it says does not count: answers to HEAD, and CONNECT (RFC 9110 section 9.3)."""


class Stream:
    """One stream as both sides see it (RFC 9113 section 5.1).

    Attributes:
        stream_id: odd, since only clients open streams.
        handle: the caller's own; the codec never looks at it.
        send_window: octets of DATA that the peer takes on this stream; may be negative.
        inbound: what the peer may send.
        expected: octets of DATA that content-length still promises, UNKNOWN or UNCHECKED.
        local_closed: we have ended our direction (or the stream was reset).
        remote_closed: the peer has ended its direction (or the stream was reset).
        accepts_data: final headers have arrived and no end: DATA is in its place.
        answered: final response headers were sent (server) or received (client).
        was_reset: one side has reset it; nothing is owed for its octets any more.
    """

    __slots__ = (
        "accepts_data",
        "answered",
        "expected",
        "handle",
        "inbound",
        "local_closed",
        "remote_closed",
        "send_window",
        "stream_id",
        "was_reset",
    )

    def __init__(self, stream_id: int, send_window: int, inbound: ReceiveWindow) -> None:
        self.stream_id = stream_id
        self.handle: object | None = None
        self.send_window = send_window
        self.inbound = inbound
        self.expected = UNKNOWN
        self.local_closed = False
        self.remote_closed = False
        self.accepts_data = False
        self.answered = False
        self.was_reset = False

    def __repr__(self) -> str:
        return (
            f"<Stream {self.stream_id} local_closed={self.local_closed} "
            f"remote_closed={self.remote_closed}>"
        )

    @property
    def is_closed(self) -> bool:
        """Both directions have ended."""
        return self.local_closed and self.remote_closed
