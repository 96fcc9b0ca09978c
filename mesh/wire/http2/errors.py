"""What the peer did wrong, and what cannot be had just now."""

from collections.abc import Sequence
from typing import ClassVar

from mesh.errors import PeerError, UnavailableError
from mesh.wire.http2.frames import ErrorCode


class Http2Error(PeerError):
    """The peer broke HTTP/2: GOAWAY is queued; send it and close the connection.

    `earlier` holds the events which the same octets gave before the violation (`Event` objects).
    """

    code = "http2"
    error_code: ClassVar[ErrorCode] = ErrorCode.PROTOCOL_ERROR

    def __init__(self, reason: str) -> None:
        """Keep the sentence for people."""
        super().__init__(reason)
        self.earlier: Sequence[object] = ()


class ProtocolViolationError(Http2Error):
    """A frame that may not be there, or with impossible content."""

    code = "http2_protocol"


class FlowControlViolationError(Http2Error):
    """More octets than the windows allow, or a window beyond 2^31-1."""

    code = "http2_flow_control"
    error_code = ErrorCode.FLOW_CONTROL_ERROR


class FrameSizeViolationError(Http2Error):
    """A frame that is too long, or has the wrong length for its type."""

    code = "http2_frame_size"
    error_code = ErrorCode.FRAME_SIZE_ERROR


class AfterEndError(Http2Error):
    """Frames on a stream whose end the peer has sent itself (RFC 9113 section 5.1)."""

    code = "http2_after_end"
    error_code = ErrorCode.STREAM_CLOSED


class CompressionViolationError(Http2Error):
    """A header block that cannot be decoded."""

    code = "http2_compression"
    error_code = ErrorCode.COMPRESSION_ERROR


class FloodError(Http2Error):
    """Frames that cost us work and carry nothing, beyond any honest need."""

    code = "http2_flood"
    error_code = ErrorCode.ENHANCE_YOUR_CALM

    def __init__(self, kind: str) -> None:
        """Keep what the flood is made of."""
        super().__init__(f"too many {kind}")
        self.kind = kind


class StreamsExhaustedError(UnavailableError):
    """The peer allows no further stream on this connection just now."""

    code = "http2_streams_exhausted"


class GoingAwayError(UnavailableError):
    """This connection takes no new streams any more."""

    code = "http2_going_away"


class StreamClosedError(UnavailableError):
    """The stream was reset, or this direction has ended."""

    code = "http2_stream_closed"
