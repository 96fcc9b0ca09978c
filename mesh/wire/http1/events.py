"""What was read on an HTTP/1.1 connection."""

from dataclasses import dataclass
from typing import TypeAlias

from mesh.wire.http.messages import Fields, RequestHead, ResponseHead


@dataclass(slots=True)
class RequestReceived:
    """A request's head; `end`: it has no content."""

    head: RequestHead
    end: bool


@dataclass(slots=True)
class ResponseReceived:
    """A response's head, informational or final; `end`: it has no content."""

    head: ResponseHead
    end: bool


@dataclass(slots=True)
class ContentReceived:
    """A piece of content, or of another protocol; valid until the next call."""

    piece: memoryview


@dataclass(slots=True)
class MessageEnded:
    """All of the message has come; not after a head that was the end itself."""

    trailers: Fields


Event: TypeAlias = RequestReceived | ResponseReceived | ContentReceived | MessageEnded
