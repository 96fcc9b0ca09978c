"""A message's content on its way through the hooks of users' filters, piece by piece, in order.

1. One piece of a message is under way at a time: what comes meanwhile waits, and is put together to
   pieces of `MAX_PIECE_OCTETS`. So no message takes more than its turn of the filters' process.
2. What has gone in is credited when what became of it has gone on (`settle`): a slow filter, or a
   slow receiver, stops the sender.
"""

from collections.abc import Callable

from mesh.wire.http.messages import Fields
from waypoint.filters.messages import MAX_PIECE_OCTETS

Changed = Callable[[bytes], None]
Change = Callable[[str, bytes, bool, Changed], None]
"""Has a filter change a piece, perhaps the last one; calls back with what goes on."""


class Pipe:
    """One direction's."""

    __slots__ = (
        "_change",
        "_credit",
        "_done",
        "_has_ended",
        "_has_left",
        "_is_advancing",
        "_is_open",
        "_is_under_way",
        "_names",
        "_on_end",
        "_paid",
        "_sink",
        "_trailers",
        "_unpaid",
        "_waiting",
    )

    def __init__(
        self,
        names: list[str],
        change: Change,
        sink: Callable[[bytes], None],
        on_end: Callable[[Fields], None],
        credit: Callable[[int], None],
    ) -> None:
        """Not open before `open`.

        Args:
            names: the filters whose hooks see the content, in their order.
            change: calls one.
            sink: takes what goes on.
            on_end: called with the trailers, last.
            credit: gives the sender credit for what it has sent.
        """
        self._names = names
        self._change = change
        self._sink = sink
        self._on_end = on_end
        self._credit = credit
        self._waiting = bytearray()
        self._trailers: Fields = []
        self._is_open = False
        self._is_under_way = False
        self._is_advancing = False
        self._has_ended = False
        self._has_left = False
        self._done = 0
        self._paid = 0
        self._unpaid = 0

    @property
    def changes(self) -> bool:
        """Whether any filter sees the content."""
        return bool(self._names)

    def begin(self, octets: bytes, paid: int) -> None:
        """What had come before; `paid` of it is credited already."""
        self._paid = paid
        self.feed(octets)

    def open(self) -> None:
        """The message's head has gone on: so may its content."""
        self._is_open = True
        self._advance()

    def feed(self, piece: bytes | bytearray | memoryview) -> None:
        """A piece; it is copied."""
        self._waiting += piece
        self._unpaid += len(piece)
        self._advance()

    def end(self, trailers: Fields) -> None:
        """That was all."""
        self._trailers = trailers
        self._has_ended = True
        self._advance()

    def settle(self) -> None:
        """The receiver takes more: so may the sender send."""
        done, self._done = self._done, 0
        self._pay(done)

    def close(self) -> None:
        """Nothing goes on any more; the sender gets the credit that it is owed."""
        self._done = 0
        self._pay(self._unpaid)

    def _pay(self, octets: int) -> None:
        octets = min(octets, self._unpaid)
        self._unpaid -= octets
        paid = min(octets, self._paid)
        self._paid -= paid
        if octets > paid:
            self._credit(octets - paid)

    def _advance(self) -> None:
        if self._is_advancing or not self._is_open:
            return
        # A filter that is skipped calls back at once: a loop, or each piece would nest in another.
        self._is_advancing = True
        try:
            while not self._is_under_way and (
                self._waiting or (self._has_ended and not self._has_left)
            ):
                piece = bytes(self._waiting[:MAX_PIECE_OCTETS])
                del self._waiting[:MAX_PIECE_OCTETS]
                self._has_left = self._has_ended and not self._waiting
                self._is_under_way = True
                self._step(0, piece, len(piece), self._has_left)
        finally:
            self._is_advancing = False

    def _step(self, index: int, piece: bytes, size: int, last: bool) -> None:  # noqa: FBT001 - its own
        if index < len(self._names):
            self._change(
                self._names[index],
                piece,
                last,
                lambda changed: self._step(index + 1, changed, size, last),
            )
            return
        self._is_under_way = False
        if piece or self._done:
            # What was swallowed waits for what came before it: else it would pay for that, too.
            self._done += size
        else:
            self._pay(size)
        if piece:
            self._sink(piece)
        if last:
            self._on_end(self._trailers)
        else:
            self._advance()
