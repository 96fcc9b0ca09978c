"""An index whose keys may have several holders: nearly all have one, which costs no container."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from mesh.state.shards import Shards

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT", bound=Hashable)


class Holders(Generic[KeyT, ValueT]):
    """Key to values, in order of rank; of equal rank the first to come is first.

    Values are told apart by identity: remove the very object that was added.
    """

    __slots__ = ("_rank", "_several", "_single")

    def __init__(self, rank: Callable[[ValueT], tuple[bool, bool]]) -> None:
        """The lowest rank is best."""
        self._rank = rank
        self._single: Shards[KeyT, ValueT] = Shards()
        self._several: dict[KeyT, list[ValueT]] = {}
        """Only keys with two holders or more; `_single` has the best of them."""

    def __len__(self) -> int:
        return len(self._single)

    def add(self, key: KeyT, value: ValueT) -> None:
        """One more holder."""
        present = self._single.setdefault(key, value)
        if present is value:
            return
        holders = self._several.setdefault(key, [present])
        if any(holder is value for holder in holders):
            return
        holders.append(value)
        holders.sort(key=self._rank)  # stable: the order of arrival decides a tie
        self._single.put(key, holders[0])

    def remove(self, key: KeyT, value: ValueT) -> None:
        """One holder less; it must be there."""
        holders = self._several.get(key)
        if holders is None:
            if self._single.get(key) is value:
                self._single.pop(key)
            return
        holders[:] = [holder for holder in holders if holder is not value]
        self._single.put(key, holders[0])
        if len(holders) == 1:
            del self._several[key]

    def best(self, key: KeyT) -> ValueT | None:
        """The first holder."""
        return self._single.get(key)

    def all(self, key: KeyT) -> tuple[ValueT, ...]:
        """Every holder, the best first."""
        if (holders := self._several.get(key)) is not None:
            return tuple(holders)
        single = self._single.get(key)
        return () if single is None else (single,)
