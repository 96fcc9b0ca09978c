"""All users' filters of a worker: together in one process, but for those that have ended it.

A filter that took too long, or ended the process, gets a process of its own and keeps it, also with
a new source: what it does from then on costs its own requests only.
"""

from collections.abc import Callable
from typing import Final

from waypoint.filters.failures import FilterEndedError, FilterOverBudgetError
from waypoint.filters.messages import Hook
from waypoint.filters.process import Done, FilterProcess, OnNews, Program, Results

MAX_APART: Final = 16
"""So many filters may have a process of their own; further ones that earn one are not run."""
REASONS: Final = frozenset((FilterEndedError.code, FilterOverBudgetError.code))
"""To put a filter apart."""

Make = Callable[[OnNews], FilterProcess]


class FilterProcesses:
    """One per worker. Nothing runs before `load`."""

    def __init__(self, make: Make, on_news: OnNews) -> None:
        """Know none.

        Args:
            make: a process that has no filter yet.
            on_news: told when a filter cannot be loaded, or ended a process.
        """
        self._make = make
        self._on_news = on_news
        self._programs: dict[str, Program] = {}
        self._shared = make(self._tell)
        self._apart: dict[str, FilterProcess] = {}

    def _of(self, name: str) -> FilterProcess:
        return self._apart.get(name, self._shared)

    def _tell(self, code: str, name: str, words: str) -> None:
        if code in REASONS and name in self._programs and name not in self._apart:
            self._shared.forget(name)
            if len(self._apart) < MAX_APART:
                apart = self._apart[name] = self._make(self._tell)
                apart.load(name, self._programs[name])
                words += "; it has a process of its own now"
            else:
                words += "; it is not run any more"
        self._on_news(code, name, words)

    def load(self, name: str, program: Program) -> None:
        """Take a filter, or its new source: what runs goes on with the old one."""
        self._programs[name] = program
        self._of(name).load(name, program)

    def forget(self, name: str) -> None:
        """The filter is gone."""
        self._programs.pop(name, None)
        self._of(name).forget(name)
        self._apart.pop(name, None)

    def hooks(self, name: str) -> frozenset[Hook]:
        """What a loaded filter overrides.

        Raises:
            FilterNotLoadedError: it is not loaded.
        """
        return self._of(name).hooks(name)

    def when_loaded(self, name: str, then: Callable[[], None]) -> None:
        """Call `then` once a filter is loaded, or will not be soon: at once if that is so now.

        Raises:
            FilterBusyError: too many wait.
        """
        self._of(name).when_loaded(name, then)

    def life(self, name: str) -> object:
        """Of the process that a filter runs in: what it keeps of a request does not outlive it."""
        return self._of(name).life

    def call(self, hook: Hook, name: str, request: int, arguments: Results, done: Done) -> None:
        """Call a hook; `done` is called once, later, with its results or with why there are none.

        Raises:
            FilterNotLoadedError: it is not loaded.
            FilterBusyError: too many calls wait.
        """
        self._of(name).call(hook, name, request, arguments, done)

    def end(self, request: int) -> None:
        """The request is over: its objects go."""
        self._shared.end(request)
        for process in self._apart.values():
            process.end(request)

    def close(self) -> None:
        """End all processes; calls that wait are lost."""
        self._programs.clear()
        self._shared.close()
        for process in self._apart.values():
            process.close()
