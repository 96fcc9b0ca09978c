"""A filter that ends its process costs the others that once, and nothing from then on."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import pytest
import trio

from mesh.runtime.relay.reactor import Reactor
from waypoint.filters.failures import (
    FilterEndedError,
    FilterError,
    FilterLostError,
    FilterNotLoadedError,
    FilterOverBudgetError,
)
from waypoint.filters.messages import Hook
from waypoint.filters.process import FilterProcess, Program, Results
from waypoint.filters.processes import FilterProcesses
from waypoint.worker.engine.timers import Timers

SOURCE = """
import os
from waypoint.filter import Filter

class Some(Filter):
    def request(self, request):
        while request.target == "/stall":
            pass
        if request.target == "/leave":
            os._exit(3)
        if request.target == "/forge":
            for descriptor in range(3, 256):
                try:
                    os.write(descriptor, b"garbage")
                except OSError:
                    pass
        request.headers["x-pid"] = str(os.getpid())
"""
GOOD, BAD = "shop/good", "shop/bad"
PROGRAM = Program(SOURCE, {}, 2.0)
HASTY = Program(SOURCE, {}, 0.03)


@dataclass
class Running:
    processes: FilterProcesses
    news: list[tuple[str, str]] = field(default_factory=list)

    def begin(self, name: str, target: str = "/") -> list[Results | FilterError]:
        outcome: list[Results | FilterError] = []
        head = ("GET", target, "shop", (), "", "")
        self.processes.call(Hook.REQUEST, name, 1, head, outcome.append)
        return outcome

    async def get(self, name: str, target: str = "/") -> Results | FilterError:
        outcome = self.begin(name, target)
        await until(lambda: bool(outcome))
        return outcome[0]

    async def pid(self, name: str) -> str:
        await self.loaded(name)
        results = await self.get(name)
        assert isinstance(results, tuple)
        (pair,) = results[3]  # type: ignore[misc]
        return pair[1]  # type: ignore[no-any-return, index]

    async def loaded(self, name: str) -> bool:
        """Whether it is, once it is known."""
        come = trio.Event()
        self.processes.when_loaded(name, come.set)
        with trio.fail_after(5):
            await come.wait()
        with suppress(FilterNotLoadedError):
            return bool(self.processes.hooks(name))
        return False


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(5):
        while not holds():  # noqa: ASYNC110 - what the process does is no event of ours
            await trio.sleep(0.005)


@asynccontextmanager
async def running(bad: Program = HASTY) -> AsyncIterator[Running]:
    def on_bug(bug: BaseException) -> None:
        raise bug

    reactor, timers = Reactor(on_bug), Timers(on_bug)
    news: list[tuple[str, str]] = []
    make = partial(FilterProcess, reactor, timers, os.environ)
    processes = FilterProcesses(make, lambda code, name, _: news.append((code, name)))
    async with trio.open_nursery() as tasks:
        tasks.start_soon(reactor.run)
        tasks.start_soon(timers.run)
        processes.load(GOOD, PROGRAM)
        processes.load(BAD, bad)
        try:
            yield Running(processes, news)
        finally:
            processes.close()
            tasks.cancel_scope.cancel()


async def test_filters_share_a_process_and_who_waits_hears_when_they_are_loaded() -> None:
    async with running() as it:
        assert await it.loaded(BAD)
        assert await it.pid(GOOD) == await it.pid(BAD)
        assert not await it.loaded("shop/none")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "failure"),
    [
        ("/stall", FilterOverBudgetError),
        ("/leave", FilterEndedError),
        ("/forge", FilterEndedError),
    ],
)
async def test_one_that_ends_the_process_gets_its_own(
    target: str, failure: type[FilterError]
) -> None:
    async with running() as it:
        assert await it.loaded(BAD)
        life = it.processes.life(GOOD)
        bad, good = it.begin(BAD, target), it.begin(GOOD)
        await until(lambda: bool(bad and good))
        assert isinstance(bad[0], failure)
        assert isinstance(good[0], FilterLostError)
        assert it.news == [(failure.code, BAD)]
        good_pid, bad_pid = await it.pid(GOOD), await it.pid(BAD)
        assert good_pid != bad_pid
        for _ in range(3):
            # What it does now is nothing to the other one.
            if await it.loaded(BAD):
                assert isinstance(await it.get(BAD, target), failure)
            assert await it.pid(GOOD) == good_pid
        assert it.processes.life(GOOD) is not life
        it.processes.load(BAD, PROGRAM)
        it.processes.forget(BAD)
        assert not await it.loaded(BAD)
        assert await it.pid(GOOD) == good_pid


@pytest.mark.slow
async def test_a_source_that_ends_the_process_while_it_is_loaded_is_not_tried_again() -> None:
    async with running(Program("import os\nos._exit(1)", {}, 1.0)) as it:
        assert await it.loaded(GOOD)
        assert not await it.loaded(BAD)
        await until(lambda: len(it.news) == 2)
        assert it.news == [("filter_ended", BAD)] * 2
        assert not await it.loaded(BAD)
        it.processes.load(BAD, HASTY)
        assert await it.pid(BAD) != await it.pid(GOOD)
