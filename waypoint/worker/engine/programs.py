"""Users' filters, as exchanges use them: what is loaded, and calls of its hooks."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from mesh.errors import MeshError
from mesh.model.fields import Json
from mesh.model.routes import FilterProgram
from waypoint.filters.messages import Hook
from waypoint.filters.process import Done, Program, Results
from waypoint.worker.engine.codes import EXTENSION_MISSING, FILTER_CONFIG_INVALID
from waypoint.worker.engine.failures import RouteInvalidError

Note = Callable[[str, str], None]
"""Counts a failure of a filter, by its code."""


class Process(Protocol):
    """Where they run (`waypoint.filters.processes`)."""

    def load(self, name: str, program: Program) -> None:
        """Take a filter, or its new source."""

    def forget(self, name: str) -> None:
        """The filter is gone."""

    def hooks(self, name: str) -> frozenset[Hook]:
        """What a loaded filter overrides; raises when it is not loaded."""

    def when_loaded(self, name: str, then: Callable[[], None]) -> None:
        """Call `then` once a filter is loaded, or will not be soon."""

    def life(self, name: str) -> object:
        """What a filter keeps of a request lasts as long as this stays the same object."""

    def call(self, hook: Hook, name: str, request: int, arguments: Results, done: Done) -> None:
        """Call a hook; raises when it cannot be called."""

    def end(self, request: int) -> None:
        """The request is over."""


class Programs:
    """By `namespace/name`. One that is gone stays while there are requests that began with it."""

    def __init__(self, process: Process, note: Note) -> None:
        """None yet."""
        self.process = process
        self.note = note
        self._held: dict[str, FilterProgram] = {}
        self._running: set[str] = set()
        self._users: dict[str, int] = {}
        self._requests = 0

    def put(self, program: FilterProgram) -> None:
        """Take a filter as it is now."""
        name = f"{program.namespace}/{program.name}"
        config = _config(program.config)
        if config is None:
            program = replace(program, problem=FILTER_CONFIG_INVALID)
        self._held[name] = program
        if config is None or program.problem or not program.source:
            self._unload(name)
        else:
            self._running.add(name)
            self.process.load(name, Program(program.source, config, program.budget_s))

    def remove(self, name: str) -> None:
        """A filter is gone."""
        self._held.pop(name, None)
        self._unload(name)

    def _unload(self, name: str) -> None:
        if name in self._running and name not in self._users:
            self._running.discard(name)
            self.process.forget(name)

    def find(self, name: str) -> FilterProgram:
        """A filter that a route names.

        Raises:
            RouteInvalidError: there is none, or it cannot run.
        """
        found = self._held.get(name)
        if found is None:
            raise RouteInvalidError(EXTENSION_MISSING)
        if found.problem:
            raise RouteInvalidError(found.problem)
        return found

    def hooks(self, program: FilterProgram) -> frozenset[Hook]:
        """What a filter overrides; nothing of one that may be missed, while it is not loaded.

        Raises:
            MeshError: it is not loaded.
        """
        name = f"{program.namespace}/{program.name}"
        try:
            return self.process.hooks(name)
        except MeshError as error:
            self.note(name, error.code)
            if program.fails_open:
                return frozenset()
            raise

    def begin(self, names: Iterable[str]) -> int:
        """A request is to be filtered by these: a number that no other has."""
        for name in names:
            self._users[name] = self._users.get(name, 0) + 1
        self._requests += 1
        return self._requests

    def end(self, number: int, names: Iterable[str]) -> None:
        """It is over."""
        self.process.end(number)
        for name in names:
            left = self._users.pop(name) - 1
            held = self._held.get(name)
            if left:
                self._users[name] = left
            elif held is None or held.problem or not held.source:
                self._unload(name)


def _config(text: str) -> dict[str, Json] | None:
    try:
        found: Json = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def text(octets: bytes) -> str:
    """As filters see a head's octets."""
    return octets.decode("latin-1")
