"""What a peer did wrong in HTTP/1.1, and the status that a client is told."""

from collections.abc import Sequence
from typing import ClassVar

from mesh.errors import PeerError


class Http1Error(PeerError):
    """The peer's octets are not HTTP/1.1: the connection is of no more use.

    `earlier` holds the events which the same octets gave before the fault.
    """

    code = "http1"
    status: ClassVar[int] = 400

    def __init__(self, reason: str) -> None:
        """Keep the sentence for people."""
        super().__init__(reason)
        self.earlier: Sequence[object] = ()


class HeadSyntaxError(Http1Error):
    """A start line or a field that RFC 9112 does not know."""

    code = "http1_head_syntax"


class FramingError(Http1Error):
    """Nobody can say for sure where the message ends: content-length, transfer-encoding."""

    code = "http1_framing"


class HostError(Http1Error):
    """No host, several hosts, or one that is none (RFC 9112 section 3.2)."""

    code = "http1_host"


class BodySyntaxError(Http1Error):
    """A chunk or a trailer that RFC 9112 section 7.1 does not know."""

    code = "http1_body_syntax"


class TruncatedError(Http1Error):
    """The connection ended in the middle of a message."""

    code = "http1_truncated"


class UnsolicitedError(Http1Error):
    """An answer that nobody asked for."""

    code = "http1_unsolicited"


class FloodOfInformationError(Http1Error):
    """Too many 1xx heads before an answer."""

    code = "http1_informational_flood"


class TargetTooLongError(Http1Error):
    """The request line is too long."""

    code = "http1_target_too_long"
    status = 414


class ExpectationError(Http1Error):
    """The request expects something else than 100-continue."""

    code = "http1_expectation"
    status = 417


class HeadTooLargeError(Http1Error):
    """The head, or the trailers, have too many octets or fields."""

    code = "http1_head_too_large"
    status = 431


class MethodUnknownError(Http1Error):
    """A method that the parser does not know."""

    code = "http1_method_unknown"
    status = 501


class CodingUnknownError(Http1Error):
    """A transfer coding other than chunked."""

    code = "http1_coding_unknown"
    status = 501


class VersionUnknownError(Http1Error):
    """Neither HTTP/1.0 nor HTTP/1.1."""

    code = "http1_version_unknown"
    status = 505


class FieldInjectionError(PeerError):
    """A head that was to be sent holds a line break where none may be."""

    code = "http1_field_injection"
