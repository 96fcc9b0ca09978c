"""A message's content on its way through the hooks of users' filters, piece by piece, in order."""

from collections import deque
from collections.abc import Callable

from mesh.wire.http.messages import Fields
from waypoint.filters.messages import MAX_PIECE_OCTETS

Changed = Callable[[bytes], None]
Change = Callable[[str, bytes, bool, Changed], None]
"""Has a filter change a piece, perhaps the last one; calls back with what goes on."""


class Pipe:
    """One direction's.

    What has gone in is credited when what became of it has gone on (`settle`): a slow filter, or a
    slow receiver, stops the sender.
    """

    __slots__ = (
        "_change",
        "_credit",
        "_done",
        "_held",
        "_names",
        "_on_end",
        "_paid",
        "_sink",
        "_trailers",
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
        self._held: deque[tuple[bytes, bool]] | None = deque()
        self._trailers: Fields = []
        self._done = 0
        self._paid = 0

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
        held, self._held = self._held, None
        for piece, last in held or ():
            self._step(0, piece, len(piece), last)

    def feed(self, piece: bytes | bytearray | memoryview) -> None:
        """A piece; it is copied."""
        for at in range(0, len(piece), MAX_PIECE_OCTETS):
            self._enter(bytes(piece[at : at + MAX_PIECE_OCTETS]), last=False)

    def end(self, trailers: Fields) -> None:
        """That was all."""
        self._trailers = trailers
        self._enter(b"", last=True)

    def settle(self) -> None:
        """The receiver takes more: so may the sender send."""
        done, self._done = self._done, 0
        paid = min(done, self._paid)
        self._paid -= paid
        if done > paid:
            self._credit(done - paid)

    def _enter(self, piece: bytes, *, last: bool) -> None:
        if self._held is not None:
            self._held.append((piece, last))
        else:
            self._step(0, piece, len(piece), last)

    def _step(self, index: int, piece: bytes, size: int, last: bool) -> None:  # noqa: FBT001 - its own
        if index < len(self._names):
            self._change(
                self._names[index],
                piece,
                last,
                lambda changed: self._step(index + 1, changed, size, last),
            )
            return
        self._done += size
        if piece:
            self._sink(piece)
        else:
            self.settle()
        if last:
            self._on_end(self._trailers)
