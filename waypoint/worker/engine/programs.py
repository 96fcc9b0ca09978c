"""Users' filters, as exchanges use them: what is loaded, and calls of its hooks."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from mesh.errors import MeshError
from mesh.model.fields import Json
from mesh.model.routes import FilterProgram
from waypoint.filters.messages import Hook
from waypoint.filters.process import FilterError, Program, Results
from waypoint.worker.engine.codes import EXTENSION_MISSING, FILTER_CONFIG_INVALID
from waypoint.worker.engine.failures import RouteInvalidError

OnResults = Callable[[Results | FilterError], None]


class Process(Protocol):
    """Where they run (`waypoint.filters.process`)."""

    def load(self, name: str, program: Program) -> None:
        """Take a filter, or its new source."""

    def forget(self, name: str) -> None:
        """The filter is gone."""

    def hooks(self, name: str) -> frozenset[Hook]:
        """What a loaded filter overrides; raises when it is not loaded."""

    def call(
        self, hook: Hook, name: str, request: int, arguments: Results, done: OnResults
    ) -> None:
        """Call a hook; raises when it cannot be called."""

    def end(self, request: int) -> None:
        """The request is over."""


class Programs:
    """By `namespace/name`."""

    def __init__(self, process: Process) -> None:
        """None yet."""
        self.process = process
        self._held: dict[str, FilterProgram] = {}
        self._requests = 0

    def put(self, program: FilterProgram) -> None:
        """Take a filter as it is now."""
        name = f"{program.namespace}/{program.name}"
        before = self._held.get(name)
        config: dict[str, Json] = {}
        try:
            config = json.loads(program.config)
        except ValueError:
            program = replace(program, problem=FILTER_CONFIG_INVALID)
        self._held[name] = program
        if program.problem or not program.source:
            self._unload(name, before)
        else:
            self.process.load(name, Program(program.source, config, program.budget_s))

    def remove(self, name: str) -> None:
        """A filter is gone."""
        self._unload(name, self._held.pop(name, None))

    def _unload(self, name: str, before: FilterProgram | None) -> None:
        if before is not None and before.source and not before.problem:
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
        try:
            return self.process.hooks(f"{program.namespace}/{program.name}")
        except MeshError:
            if program.fails_open:
                return frozenset()
            raise

    def number(self) -> int:
        """For a request that is filtered: no other has it."""
        self._requests += 1
        return self._requests


def text(octets: bytes) -> str:
    """As filters see a head's octets."""
    return octets.decode("latin-1")
