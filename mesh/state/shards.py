"""A dict in many pieces: growing one of a hundred thousand entries would stop the event loop."""

from collections.abc import Hashable, Iterator
from typing import Final, Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")

SHARDS: Final = 64
"""A power of two. Each piece grows by itself, in a fraction of a millisecond."""

_MASK: Final = SHARDS - 1


class Shards(Generic[KeyT, ValueT]):
    """What World needs of a dict."""

    __slots__ = ("pieces",)

    def __init__(self) -> None:
        """Empty."""
        self.pieces: tuple[dict[KeyT, ValueT], ...] = tuple({} for _ in range(SHARDS))
        """For walking through all of it with pauses; which key is where has no meaning."""

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    def __contains__(self, key: KeyT) -> bool:
        return key in self.pieces[hash(key) & _MASK]

    def get(self, key: KeyT) -> ValueT | None:
        """The value, None if there is none."""
        return self.pieces[hash(key) & _MASK].get(key)

    def put(self, key: KeyT, value: ValueT) -> None:
        """Add or replace."""
        self.pieces[hash(key) & _MASK][key] = value

    def setdefault(self, key: KeyT, value: ValueT) -> ValueT:
        """The value that is there; else this one, from now on."""
        return self.pieces[hash(key) & _MASK].setdefault(key, value)

    def pop(self, key: KeyT) -> ValueT | None:
        """Forget a key; the value, None if there was none."""
        return self.pieces[hash(key) & _MASK].pop(key, None)

    def values(self) -> Iterator[ValueT]:
        """All values, in no order."""
        for piece in self.pieces:
            yield from piece.values()
