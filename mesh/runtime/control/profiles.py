"""`/debug/pprof/profile`: where this process and its workers spend their CPU time.

Heap profiles are Istio's pages, and answered with 501: Python's allocator does not sample, and
tracing each allocation would cost the connections more than anybody learns.
"""

from collections.abc import Iterable
from typing import Final, Protocol

import trio

from mesh.errors import MeshError
from mesh.runtime.http_server import Request, Response, text
from mesh.runtime.profile import (
    DEFAULT_FREQUENCY,
    DEFAULT_SECONDS,
    MOST_FREQUENCY,
    MOST_SECONDS,
    Stacks,
    collapsed,
    profile,
)
from mesh.wire.feed_answers import ProfileRow, profile_topic, read_profile

PATH: Final = "/debug/pprof/profile"
PATHS: Final = frozenset({PATH, "/debug/pprof/heap", "/heap/profiling"})
NO_HEAP: Final = "heap profiles are not built in: Python's allocator does not sample"
ASK_S: Final = 2.0
"""How much longer than the profile itself a worker may take to answer."""

OWN: Final = "control"


class Asked(Protocol):
    """All workers."""

    async def ask(self, topic: str, deadline: float) -> list[bytes]:
        """The answers that have come by then.

        Cancellation: nothing is left behind.
        """
        ...


class Profiles:
    """The page; one profile at a time."""

    def __init__(self, workers: Asked) -> None:
        """Ask these, and look at this process."""
        self._workers = workers
        self._is_taken = False

    async def page(self, request: Request) -> Response:
        """One of PATHS: stacks of `?seconds=` (1 to 300, 10) at `?frequency=` (1 to 1000, 100).

        Cancellation: workers look on until their time is over, for nobody.
        """
        if request.path != PATH:
            return text(NO_HEAP, 501)
        seconds = _number(request, "seconds", DEFAULT_SECONDS, MOST_SECONDS)
        frequency = _number(request, "frequency", DEFAULT_FREQUENCY, MOST_FREQUENCY)
        if seconds is None or frequency is None:
            return text(f"seconds is 1 to {MOST_SECONDS}, frequency 1 to {MOST_FREQUENCY}", 400)
        if self._is_taken:
            return text("a profile is being taken already: ask later", 409)
        self._is_taken = True
        try:
            return Response(200, collapsed(await self._take(seconds, frequency)).encode())
        finally:
            self._is_taken = False

    async def _take(self, seconds: int, frequency: int) -> Iterable[ProfileRow]:
        answers: list[bytes] = []
        stacks: Stacks = {}

        async def ask() -> None:
            deadline = trio.current_time() + seconds + ASK_S
            answers.extend(await self._workers.ask(profile_topic(seconds, frequency), deadline))

        async with trio.open_nursery() as processes:
            processes.start_soon(ask)
            stacks = await profile(seconds, frequency)
        rows = [(OWN, stack, weight) for stack, weight in stacks.items()]
        for body in answers:
            try:
                rows += read_profile(body)
            except MeshError as error:
                rows.append((f"(no answer: {error.code})", "", 0))
        return rows


def _number(request: Request, name: str, default: int, most: int) -> int | None:
    """A parameter; None when it is no number from 1 to `most`."""
    written = request.query.get(name, str(default))
    if not (written.isascii() and written.isdecimal() and len(written) <= len(str(most))):
        return None
    return int(written) if 1 <= int(written) <= most else None
