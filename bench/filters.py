"""What a user's filter costs: calls of its hooks, through the process that runs it.

    .venv/bin/python bench/filters.py

The real process, and the worker's end of it in the real reactor; no HTTP and no tunnel. The head is
one that a waypoint sees: twelve header fields. Each series is 2,000 calls, of pieces 500:

- one by one: the next call is made when the last one has come back: what it adds to a request;
- 32 at a time: what many requests share; its processor time is that of both processes.

What is printed is the median of seven series, with the least and the most.
"""

import os
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Final

import trio

sys.path.insert(0, str(Path(__file__).parent.parent))

from mesh.errors import MeshError
from mesh.runtime.relay.reactor import Reactor
from mesh.wire.http.messages import RequestHead
from waypoint.filters.failures import FilterError
from waypoint.filters.given import shown, take_piece, take_request
from waypoint.filters.messages import MAX_PIECE_OCTETS, Hook
from waypoint.filters.process import FilterProcess, Program, Results
from waypoint.worker.engine.timers import Timers

NAME: Final = "shop/stamp"
SERIES: Final = 7
CALLS: Final = 2_000
PIECES: Final = 500
AT_A_TIME: Final = 32
SOURCE: Final = """
from waypoint.filter import Filter

class Stamp(Filter):
    def request(self, request):
        request.headers["x-stamped"] = "kitchen"

    def request_body(self, piece, *, last):
        return piece
"""


def head() -> RequestHead:
    fields = [(b"x-field-%d" % number, b"a value of usual length") for number in range(12)]
    return RequestHead(b"GET", b"/shop/bread/42?size=large", b"shop.example", fields)


class Series:
    """Calls of one hook, so many at a time."""

    def __init__(self, process: FilterProcess, hook: Hook, calls: int, at_a_time: int) -> None:
        self._process, self._hook = process, hook
        self._left, self._pending = calls, 0
        self._at_a_time = at_a_time
        self._number = 0
        self._whole = trio.Event()

    async def run(self) -> None:
        """Until the last call has come back."""
        for _ in range(self._at_a_time):
            self._next()
        await self._whole.wait()

    def _next(self) -> None:
        if not self._left:
            if not self._pending:
                self._whole.set()
            return
        self._left -= 1
        self._pending += 1
        self._number += 1
        number, request = self._number, head()
        arguments: Results = (bytes(MAX_PIECE_OCTETS), False)
        if self._hook is Hook.REQUEST:
            text = [each.decode() for each in (request.method, request.target, request.authority)]
            arguments = (*text, shown(request.fields), "spiffe://td/ns/shop/sa/a", "shop/route")

        def done(results: Results | FilterError) -> None:
            if isinstance(results, MeshError):
                raise results
            if self._hook is Hook.REQUEST:
                take_request(results, request)
            else:
                take_piece(results)
            self._process.end(number)
            self._pending -= 1
            self._next()

        self._process.call(self._hook, NAME, number, arguments, done)


def spent_s(child: int) -> float:
    """Processor time of this process and of the filters'."""
    words = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    ours = resource.getrusage(resource.RUSAGE_SELF)
    theirs = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return ours.ru_utime + ours.ru_stime + theirs


def told(values: list[float]) -> str:
    return f"{statistics.median(values):6.0f} us ({min(values):.0f}..{max(values):.0f})"


async def measure(process: FilterProcess, child: int) -> None:
    for hook, calls, what in (
        (Hook.REQUEST, CALLS, "a request's head"),
        (Hook.REQUEST_BODY, PIECES, "a piece of 64 KiB"),
    ):
        for at_a_time in (1, AT_A_TIME):
            took, spent = [], []
            for _ in range(SERIES):
                began, before = time.perf_counter(), spent_s(child)
                await Series(process, hook, calls, at_a_time).run()
                took.append((time.perf_counter() - began) / calls * 1e6)
                spent.append((spent_s(child) - before) / calls * 1e6)
            print(f"{what}, {at_a_time:2} at a time: {told(took)}; processor {told(spent)}")


async def main() -> None:
    def on_bug(bug: BaseException) -> None:
        raise bug

    reactor, timers = Reactor(on_bug), Timers(on_bug)
    process = FilterProcess(reactor, timers, os.environ, print)
    async with trio.open_nursery() as tasks:
        tasks.start_soon(reactor.run)
        tasks.start_soon(timers.run)
        process.load(NAME, Program(SOURCE, {}, 5.0))
        while not loaded(process):  # noqa: ASYNC110 - nobody is told when it is
            await trio.sleep(0.01)
        (child,) = children()
        await measure(process, child)
        process.close()
        tasks.cancel_scope.cancel()


def loaded(process: FilterProcess) -> bool:
    try:
        return bool(process.hooks(NAME))
    except MeshError:
        return False


def children() -> list[int]:
    own = os.getpid()
    return [int(word) for word in Path(f"/proc/{own}/task/{own}/children").read_text().split()]


if __name__ == "__main__":
    trio.run(main)
