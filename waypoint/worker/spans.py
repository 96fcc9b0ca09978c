"""Spans that wait to be told to the control process. What does not fit is lost, and counted."""

from collections import deque
from typing import Final

import trio

from mesh.model.span import Span
from mesh.wire.feed import Spans
from mesh.wire.spans import pack_span

PART_OCTETS: Final = 32 * 1024
"""A message ends with the span that passes this."""

MAX_WAITING_OCTETS: Final = 4 * 1024 * 1024
"""Some five thousand spans: what a worker keeps while its control process is away, or slow."""


class SpanBuffer:
    """One worker's."""

    def __init__(self, max_octets: int = MAX_WAITING_OCTETS) -> None:
        """Nothing waits."""
        self._max = max_octets
        self._waiting: deque[bytes] = deque()
        self._octets = 0
        self._lost = 0
        self._full = trio.lowlevel.ParkingLot()

    def put(self, span: Span) -> None:
        """Keep one, or count it as lost."""
        packed = pack_span(span)
        if self._octets + len(packed) > self._max:
            self._lost += 1
            return
        self._waiting.append(packed)
        self._octets += len(packed)
        if self._octets >= PART_OCTETS:
            self._full.unpark_all()

    def take(self) -> Spans | None:
        """The next message, which is as good as sent; None when there is nothing to tell."""
        if not (self._waiting or self._lost):
            return None
        part = bytearray()
        count = 0
        while self._waiting and len(part) < PART_OCTETS:
            part += self._waiting.popleft()
            count += 1
        self._octets -= len(part)
        lost, self._lost = self._lost, 0
        return Spans(bytes(part), count, lost)

    async def wait_full(self) -> None:
        """Until a message is full: sooner than that there is no hurry.

        Cancellation: changes nothing.
        """
        if self._octets < PART_OCTETS:
            await self._full.park()
        else:
            await trio.lowlevel.checkpoint()
