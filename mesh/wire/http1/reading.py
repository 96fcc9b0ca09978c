"""The two readers: requests as a server reads them, answers as a client does."""

import re
from typing import Final

from mesh.wire.http1.errors import FloodOfInformationError, UnsolicitedError
from mesh.wire.http1.events import Event, RequestReceived, ResponseReceived
from mesh.wire.http1.heads import RAW, UNTIL_END, read_request, read_response
from mesh.wire.http1.reader import Phase, Reader

MOST_INFORMATIONAL: Final = 32
"""Heads with 1xx before the final one."""


_REQUEST_BEGINS: Final = re.compile(
    rb"[A-Za-z-]+(?: [^ \r\n]*(?: H?T?T?P?/?[0-9.]*\r?)?)?(?:\r\n|\Z)"
)
"""A request's first octets, as far as there are any."""
_RESPONSE_BEGINS: Final = b"HTTP/1."


class RequestReader(Reader):
    """Reads requests."""

    __slots__ = ()

    def __init__(self) -> None:
        """Wait for the first request."""
        super().__init__(Phase.HEAD)

    def _begin(self, head: bytes, events: list[Event]) -> None:
        request, content, self.lives = read_request(head)
        self._begin_content(content)
        events.append(RequestReceived(request, content == 0))

    def _may_become(self, octets: bytearray) -> bool:
        return _REQUEST_BEGINS.match(octets) is not None


class ResponseReader(Reader):
    """Reads the answers to requests, one for each `expect`."""

    __slots__ = ("_informational", "_method", "_upgrade")

    def __init__(self) -> None:
        """Expect nothing yet."""
        super().__init__(Phase.COMPLETE)
        self._method = b""
        self._upgrade = b""
        self._informational = 0

    def expect(self, method: bytes, upgrade: bytes) -> None:
        """A request was sent: with this method, and wanting to change to that protocol."""
        self._method = method
        self._upgrade = upgrade
        self._informational = 0
        self.phase = Phase.HEAD

    def _begin(self, head: bytes, events: list[Event]) -> None:
        response, content, self.lives = read_response(head, self._method, self._upgrade)
        status = response.status
        if status < 200 and status != 101:
            self._informational += 1
            if self._informational > MOST_INFORMATIONAL:
                raise FloodOfInformationError(f"more than {MOST_INFORMATIONAL}")
            events.append(ResponseReceived(response, end=False))
            return
        if content == RAW:
            self.phase = Phase.RAW
        elif content == UNTIL_END:
            self.phase = Phase.UNTIL_END
        else:
            self._begin_content(content)
        events.append(ResponseReceived(response, end=content == 0))

    def _may_become(self, octets: bytearray) -> bool:
        return octets[: len(_RESPONSE_BEGINS)] == _RESPONSE_BEGINS[: len(octets)]

    def _keep(self, octets: memoryview) -> None:
        # One request at a time is sent: what comes behind its answer belongs to nobody.
        raise UnsolicitedError(f"{len(octets)} octets that nobody has asked for")
