"""Who of a service's endpoints may be drawn, kept until the service or an endpoint changes.

To look at ten thousand endpoints takes tens of milliseconds: once is enough. A decider says what
its answer depends on (the question) and keeps the answer here; the state forgets in time.
"""

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from mesh.model.workload import Workload

MAX_ENTRIES: Final = 200_000
"""Endpoints in all lists together; past it everything is forgotten."""


@dataclass(frozen=True, slots=True)
class Shortlist:
    """Endpoints with their ports, to be drawn in proportion to their capacities."""

    endpoints: tuple[tuple[Workload, int], ...]
    bounds: tuple[int, ...]
    """The sums of the capacities so far; empty when all are one."""
    total: int

    @classmethod
    def of(cls, endpoints: Iterable[tuple[Workload, int]]) -> "Shortlist":
        """A list of these."""
        every = tuple(endpoints)
        bounds = tuple(accumulate(workload.capacity for workload, _ in every))
        total = bounds[-1] if bounds else 0
        is_even = all(workload.capacity == 1 for workload, _ in every)
        return cls(every, () if is_even else bounds, total)

    def draw(self, chance: Callable[[int], int]) -> tuple[Workload, int] | None:
        """One of them; None when there is none, or all have capacity 0."""
        if not self.total:
            return None
        drawn = chance(self.total)
        return self.endpoints[bisect_right(self.bounds, drawn) if self.bounds else drawn]


class Shortlists:
    """The lists of all services, by the question that each answers."""

    __slots__ = ("_by_service", "_entries")

    def __init__(self) -> None:
        """None yet."""
        self._by_service: dict[str, dict[Hashable, Shortlist]] = {}
        self._entries = 0

    def get(self, service: str, question: Hashable) -> Shortlist | None:
        """The answer, if it still holds."""
        lists = self._by_service.get(service)
        return None if lists is None else lists.get(question)

    def put(self, service: str, question: Hashable, answer: Shortlist) -> None:
        """Keep an answer; `question` is everything it depends on besides the state itself."""
        self._entries += len(answer.endpoints) + 1
        if self._entries > MAX_ENTRIES:
            self._by_service.clear()
            self._entries = len(answer.endpoints) + 1
        self._by_service.setdefault(service, {})[question] = answer

    def forget(self, services: Iterable[str]) -> None:
        """These services, or endpoints of theirs, have changed."""
        if self._by_service:
            for key in services:
                for answer in self._by_service.pop(key, {}).values():
                    self._entries -= len(answer.endpoints) + 1
