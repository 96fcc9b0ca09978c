"""What a state version removes, collected until its last part has come."""

from collections.abc import Iterator
from typing import Final, TypeVar

from mesh.state.shards import Shards
from mesh.wire.feed import StateDelta

ValueT = TypeVar("ValueT")

SLICE: Final = 256
"""Removals between two pauses."""


class Pending:
    """Of one version. After a reset, whatever it does not name is to go."""

    __slots__ = ("_addresses", "_kept", "_policies", "version")

    def __init__(self, version: int, *, reset: bool = False) -> None:
        """Nothing has come of it yet."""
        self.version = version
        self._addresses: dict[str, None] = {}
        self._policies: dict[str, None] = {}
        self._kept: Shards[str, None] | None = Shards() if reset else None

    def remove(self, delta: StateDelta) -> None:
        """These go at the end, unless they come again before."""
        self._addresses.update(dict.fromkeys(delta.removed_addresses))
        self._policies.update(dict.fromkeys(delta.removed_policies))

    def keep_address(self, name: str) -> None:
        """It has come (again) in this version."""
        self._addresses.pop(name, None)
        if self._kept is not None:
            self._kept.put(name, None)

    def keep_policy(self, key: str) -> None:
        """It has come (again) in this version."""
        self._policies.pop(key, None)
        if self._kept is not None:
            self._kept.put(POLICY + key, None)

    def addresses(self, held: Shards[str, ValueT], others: list[str]) -> Iterator[list[str]]:
        """Names of workloads and services that go, in slices; they may be removed meanwhile.

        Args:
            held: the workloads.
            others: the keys of the services.
        """
        names = list(self._addresses)
        yield from _slices(names)
        if self._kept is not None:
            for piece in held.pieces:
                yield []  # a pause: to look at all names takes long even if none goes
                yield from _slices([name for name in piece if name not in self._kept])
            yield from _slices([name for name in others if name not in self._kept])

    def policies(self, held: list[str]) -> Iterator[list[str]]:
        """Keys of policies that go, in slices; `held` are those that are there."""
        yield from _slices(list(self._policies))
        if self._kept is not None:
            yield from _slices([key for key in held if POLICY + key not in self._kept])


POLICY: Final = "policy "
"""Before the key of a policy among the names that are kept: no other name has a blank."""


def _slices(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), SLICE):
        yield names[start : start + SLICE]
