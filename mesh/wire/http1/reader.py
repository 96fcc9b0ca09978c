"""Octets to messages, one at a time: what both roles share.

1. Pure: who owns the connection gives `receive` what came, and `receive_end` its end.
2. After a message the reader is COMPLETE and keeps what comes: `go_on` reads the next one. So the
   owner of the connection, who credits what is used up (`take_spent`), bounds what is kept.
3. Content is never copied, but for chunks: the library copies those.
4. A fault is final: the same error is raised ever after.
"""

from abc import ABC, abstractmethod
from enum import Enum, auto
from typing import Final

from mesh.wire.http1.chunked import IncomingChunks
from mesh.wire.http1.errors import (
    HeadSyntaxError,
    HeadTooLargeError,
    Http1Error,
    TargetTooLongError,
    TruncatedError,
)
from mesh.wire.http1.events import ContentReceived, Event, MessageEnded
from mesh.wire.http1.fields import MAX_HEAD_OCTETS, MAX_LINE_OCTETS
from mesh.wire.http1.heads import CHUNKED

_PEEK_OCTETS: Final = 4096
"""How much is looked at first for the end of a head: most are shorter."""
_MOST_EMPTY_LINES: Final = 8
"""In front of a request (RFC 9112 section 2.2: at least one is to be ignored)."""


class Phase(Enum):
    """Where the reader is."""

    HEAD = auto()
    SIZED = auto()
    CHUNKED = auto()
    UNTIL_END = auto()
    RAW = auto()
    COMPLETE = auto()
    ENDED = auto()


class Reader(ABC):
    """Reads one direction of a connection.

    Attributes:
        phase: Where it is; HEAD with nothing kept is between two messages.
        lives: Whether the message's sender lets the connection live on.
    """

    __slots__ = (
        "_broken",
        "_chunked",
        "_empty_lines",
        "_kept",
        "_left",
        "_spent",
        "lives",
        "phase",
    )

    def __init__(self, phase: Phase) -> None:
        self.phase = phase
        self.lives = True
        self._kept = bytearray()
        self._left = 0
        self._chunked: IncomingChunks | None = None
        self._spent = 0
        self._empty_lines = 0
        self._broken: Http1Error | None = None

    @property
    def kept(self) -> int:
        """How many octets wait in here: of an unfinished head, or of a next message."""
        return len(self._kept)

    def drop_kept(self) -> int:
        """Nobody will read what is kept: how many octets that was."""
        dropped = len(self._kept)
        self._kept.clear()
        return dropped

    def take_spent(self) -> int:
        """How many octets that are no content were used up since the last call."""
        spent, self._spent = self._spent, 0
        return spent

    def receive(self, octets: memoryview | bytes | bytearray) -> list[Event]:
        """Take what came, cut anywhere.

        Raises:
            Http1Error: it is not HTTP/1.1; `earlier` has the events before that.
        """
        return self._guarded(memoryview(octets))

    def receive_end(self) -> list[Event]:
        """The other side sends no more.

        Raises:
            TruncatedError: in the middle of a message.
        """
        if self._broken is not None:
            raise self._broken
        phase, self.phase = self.phase, Phase.ENDED
        if phase in (Phase.UNTIL_END, Phase.RAW):
            return [MessageEnded([])]
        if phase in (Phase.SIZED, Phase.CHUNKED) or (phase is Phase.HEAD and self._kept):
            self._broken = TruncatedError("the connection ended in the middle of a message")
            raise self._broken
        return []

    def go_on(self) -> list[Event]:
        """Read the next message; only when COMPLETE.

        Raises:
            Http1Error: as `receive`.
        """
        self.phase = Phase.HEAD
        self._empty_lines = 0
        return self._guarded(self._take_kept())

    def become_raw(self) -> list[Event]:
        """What comes behind the message is another protocol's; only when COMPLETE or ENDED."""
        if self.phase is Phase.ENDED:
            return [MessageEnded([])]
        self.phase = Phase.RAW
        return self._guarded(self._take_kept())

    @abstractmethod
    def _begin(self, head: bytes, events: list[Event]) -> None:
        """Read a whole head, and set the phase that follows (`_begin_content`).

        Raises:
            Http1Error: it is none.
        """

    @abstractmethod
    def _may_become(self, octets: bytearray) -> bool:
        """Whether these can be the beginning of a head."""

    def _begin_content(self, content: int) -> None:
        if content > 0:
            self._left = content
            self.phase = Phase.SIZED
        elif content == CHUNKED:
            self._chunked = IncomingChunks()
            self.phase = Phase.CHUNKED
        else:
            self.phase = Phase.COMPLETE

    def _take_kept(self) -> memoryview:
        kept = memoryview(bytes(self._kept))
        self._kept.clear()
        return kept

    def _guarded(self, octets: memoryview) -> list[Event]:
        if self._broken is not None:
            raise self._broken
        events: list[Event] = []
        try:
            self._read(octets, events)
        except Http1Error as error:
            error.earlier = tuple(events)
            self._broken = error
            raise
        return events

    def _read(self, octets: memoryview, events: list[Event]) -> None:
        at, size = 0, len(octets)
        while at < size:
            phase = self.phase
            if phase is Phase.HEAD:
                at = self._read_head(octets, at, events)
            elif phase is Phase.SIZED:
                at = self._read_sized(octets, at, events)
            elif phase is Phase.CHUNKED:
                at = self._read_chunked(octets, at, events)
            elif phase is Phase.COMPLETE:
                self._keep(octets[at:])
                return
            elif phase is Phase.ENDED:
                return
            else:
                events.append(ContentReceived(octets[at:]))
                return

    def _keep(self, octets: memoryview) -> None:
        self._kept += octets

    def _read_head(self, octets: memoryview, at: int, events: list[Event]) -> int:
        kept = self._kept
        if not kept:
            piece = bytes(octets[at : at + _PEEK_OCTETS])
            end = piece.find(b"\r\n\r\n") + 4
            if end > 4 and piece[0] != 13:
                self._spent += end
                self._begin(piece[:end], events)
                return at + end
        before = len(kept)
        kept += octets[at : at + MAX_HEAD_OCTETS + 1 - before]
        taken = len(kept) - before
        while kept[:2] == b"\r\n":
            self._skip_empty_line()
        if kept[:1] == b"\r" and len(kept) == 1:
            return at + taken
        end = kept.find(b"\r\n\r\n", max(0, before - 3)) + 4
        if end <= 4:
            self._check_unfinished()
            return at + taken
        head = bytes(kept[:end])
        behind = len(kept) - end
        kept.clear()
        self._spent += end
        _check_line(head)
        self._begin(head, events)
        return at + taken - behind

    def _skip_empty_line(self) -> None:
        self._empty_lines += 1
        if self._empty_lines > _MOST_EMPTY_LINES:
            raise HeadSyntaxError("empty lines in front of the head")
        del self._kept[:2]
        self._spent += 2

    def _check_unfinished(self) -> None:
        """What can be said of a head before its end: nobody should wait for what cannot come."""
        kept = self._kept
        if len(kept) > MAX_LINE_OCTETS:
            _check_line(kept)
        if len(kept) > MAX_HEAD_OCTETS:
            raise HeadTooLargeError(f"more than {MAX_HEAD_OCTETS} octets")
        if kept and not self._may_become(kept):
            raise HeadSyntaxError("this is not HTTP/1.1")
        if kept.count(b"\n") != kept.count(b"\r\n"):
            raise HeadSyntaxError("a line feed without carriage return")

    def _read_sized(self, octets: memoryview, at: int, events: list[Event]) -> int:
        left = self._left
        stop = at + left
        if stop > len(octets):
            self._left = stop - len(octets)
            events.append(ContentReceived(octets[at:]))
            return len(octets)
        events.append(ContentReceived(octets[at:stop]))
        events.append(MessageEnded([]))
        self.phase = Phase.COMPLETE
        return stop

    def _read_chunked(self, octets: memoryview, at: int, events: list[Event]) -> int:
        chunked = self._chunked
        if chunked is None:
            raise HeadSyntaxError("no content in chunks was begun")
        pieces, stop = chunked.receive(octets, at)
        self._spent += stop - at - sum(map(len, pieces))
        events.extend([ContentReceived(memoryview(piece)) for piece in pieces])
        if chunked.ended:
            events.append(MessageEnded(chunked.trailers))
            self._chunked = None
            self.phase = Phase.COMPLETE
        return stop


def _check_line(head: bytes | bytearray) -> None:
    if head.find(b"\r\n", 0, MAX_LINE_OCTETS + 2) < 0:
        raise TargetTooLongError(f"a start line of more than {MAX_LINE_OCTETS} octets")
