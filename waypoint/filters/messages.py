"""What a worker and its filter process say to each other: one msgpack value per packet.

    worker to process                             process to worker
    (number, "load", name, source, config)        (number, "loaded", hooks)
    (number, "forget", name)                      -
    (number, HOOK, name, request, *arguments)     (number, "done", *results)
    (number, "end", request)                      -

Instead of "loaded" or "done" it may be (number, "failed", why). A message is answered before the
next one is read, in the order in which they came.
"""

from enum import StrEnum
from typing import Final

MAX_PIECE_OCTETS: Final = 64 * 1024
"""Of content, in one call."""
MAX_PACKET_OCTETS: Final = 192 * 1024
"""A piece, or a head, with what is around it; a filter's answer too."""
MAX_SOURCE_OCTETS: Final = 128 * 1024


class Hook(StrEnum):
    """A filter's methods."""

    REQUEST = "request"
    REQUEST_BODY = "request_body"
    RESPONSE = "response"
    RESPONSE_BODY = "response_body"


LOAD: Final = "load"
LOADED: Final = "loaded"
FORGET: Final = "forget"
END: Final = "end"
DONE: Final = "done"
FAILED: Final = "failed"
