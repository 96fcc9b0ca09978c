"""Users' filters in a process of their own: real processes, driven by a real reactor."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from mesh.runtime.relay.reactor import Reactor
from waypoint.filters.failures import (
    FilterBusyError,
    FilterEndedError,
    FilterError,
    FilterFailedError,
    FilterLostError,
    FilterNotLoadedError,
    FilterOverBudgetError,
)
from waypoint.filters.messages import Hook
from waypoint.filters.process import FilterProcess, Program, Results
from waypoint.worker.engine.timers import Timers

STAMP = """
from waypoint.filter import Answer, Filter, Request, Response

class Stamp(Filter):
    def request(self, request):
        self.count = 0
        if request.target == "/raise":
            raise ValueError("no such thing")
        if request.target == "/stall":
            while True:
                pass
        if request.target == "/answer":
            return Answer(418, body=b"short and stout")
        if request.target == "/wrong":
            return "yes"
        if request.target == "/inject":
            request.headers["x-a"] = "b\\r\\nx-c: d"
        if request.target == "/leave":
            import os
            os._exit(3)
        request.headers["x-stamped"] = self.config["stamp"]
        request.target = "/changed"
        return None

    def response_body(self, piece, *, last):
        self.count += len(piece)
        return piece.upper() + (str(self.count).encode() if last else b"")
"""
PROGRAM = Program(STAMP, {"stamp": "ours"}, 1.0)


@dataclass
class Running:
    process: FilterProcess
    news: list[tuple[str, str]] = field(default_factory=list)

    async def call(self, hook: Hook, *arguments: object, request: int = 1) -> Results | FilterError:
        found: list[Results | FilterError] = []
        come = trio.Event()

        def done(results: Results | FilterError) -> None:
            found.append(results)
            come.set()

        self.process.call(hook, "shop/stamp", request, arguments, done)  # type: ignore[arg-type]
        with trio.fail_after(5):
            await come.wait()
        return found[0]

    async def get(self, target: str, request: int = 1) -> Results | FilterError:
        head = ("GET", target, "shop", (("x-old", "1"),), "spiffe://td/ns/a/sa/b", "shop/route")
        return await self.call(Hook.REQUEST, *head, request=request)

    async def until(self, holds: Callable[[], bool]) -> None:
        with trio.fail_after(5):
            while not holds():  # noqa: ASYNC110 - what the process does is no event of ours
                await trio.sleep(0.005)

    def is_loaded(self) -> bool:
        try:
            return bool(self.process.hooks("shop/stamp"))
        except FilterNotLoadedError:
            return False


@asynccontextmanager
async def running(program: Program = PROGRAM) -> AsyncIterator[Running]:
    def on_bug(bug: BaseException) -> None:
        raise bug

    reactor, timers = Reactor(on_bug), Timers(on_bug)
    news: list[tuple[str, str]] = []
    process = FilterProcess(
        reactor, timers, os.environ, lambda code, _, why: news.append((code, why))
    )
    async with trio.open_nursery() as tasks:
        tasks.start_soon(reactor.run)
        tasks.start_soon(timers.run)
        process.load("shop/stamp", program)
        try:
            yield Running(process, news)
        finally:
            process.close()
            tasks.cancel_scope.cancel()


async def test_a_filter_changes_heads_and_bodies() -> None:
    async with running() as it:
        await it.until(it.is_loaded)
        assert it.process.hooks("shop/stamp") == {Hook.REQUEST, Hook.RESPONSE_BODY}
        assert await it.get("/") == (
            "GET",
            "/changed",
            "shop",
            (("x-old", "1"), ("x-stamped", "ours")),
            None,
        )
        assert await it.call(Hook.RESPONSE_BODY, b"ab", False) == (b"AB",)
        assert await it.call(Hook.RESPONSE_BODY, b"c", True) == (b"C3",)


async def test_each_request_has_its_own_object() -> None:
    async with running() as it:
        await it.until(it.is_loaded)
        await it.get("/", request=1)
        await it.get("/", request=2)
        await it.call(Hook.RESPONSE_BODY, b"abc", False, request=1)
        assert await it.call(Hook.RESPONSE_BODY, b"x", True, request=2) == (b"X1",)
        it.process.end(1)
        # A new object, whose `request` was never called: the filter's own mistake.
        assert isinstance(
            await it.call(Hook.RESPONSE_BODY, b"x", True, request=1), FilterFailedError
        )


async def test_a_filter_may_answer_itself() -> None:
    async with running() as it:
        await it.until(it.is_loaded)
        results = await it.get("/answer")
        assert isinstance(results, tuple)
        assert results[-1] == (418, (), b"short and stout")


@pytest.mark.parametrize(
    ("target", "words"),
    [("/raise", "no such thing"), ("/wrong", "give Answer or None"), ("/inject", "x-a")],
)
async def test_a_mistake_of_a_filter_fails_its_own_call_only(target: str, words: str) -> None:
    async with running() as it:
        await it.until(it.is_loaded)
        failed = await it.get(target)
        assert isinstance(failed, FilterFailedError)
        assert words in str(failed)
        assert isinstance(await it.get("/"), tuple)


@pytest.mark.slow
async def test_a_call_over_its_budget_ends_the_process_and_a_new_one_serves() -> None:
    async with running(Program(STAMP, {"stamp": "ours"}, 0.05)) as it:
        await it.until(it.is_loaded)
        others: list[Results | FilterError] = []
        head = ("GET", "/", "shop", (), "", "")
        outcome: list[Results | FilterError] = []
        it.process.call(Hook.REQUEST, "shop/stamp", 1, ("GET", "/stall", *head[2:]), outcome.append)
        it.process.call(Hook.REQUEST, "shop/stamp", 2, head, others.append)
        await it.until(lambda: bool(others))
        assert isinstance(outcome[0], FilterOverBudgetError)
        assert isinstance(others[0], FilterLostError)
        assert it.news[0][0] == "filter_over_budget"
        await it.until(it.is_loaded)
        assert isinstance(await it.get("/"), tuple)


async def test_a_process_that_ends_by_itself_is_told_of_and_started_again() -> None:
    async with running() as it:
        await it.until(it.is_loaded)
        assert isinstance(await it.get("/leave"), FilterEndedError)
        assert it.news[0][0] == "filter_ended"
        await it.until(it.is_loaded)


async def test_a_new_source_takes_the_place_of_the_old_one_and_a_bad_one_does_not() -> None:
    async with running() as it:
        await it.until(it.is_loaded)
        it.process.load("shop/stamp", Program("def", {}, 1.0))
        await it.until(lambda: bool(it.news))
        assert it.news[0][0] == "filter_not_loaded"
        assert "SyntaxError" in it.news[0][1]
        assert isinstance(await it.get("/"), tuple)
        it.process.load("shop/stamp", Program(STAMP, {"stamp": "new"}, 1.0))
        results = await it.get("/", request=2)
        assert isinstance(results, tuple)
        assert results[3] == (("x-old", "1"), ("x-stamped", "new"))


@pytest.mark.parametrize(
    "source",
    ["x = 1", "from waypoint.filter import Filter", STAMP + STAMP.replace("Stamp", "Second")],
)
async def test_a_source_must_define_one_filter(source: str) -> None:
    async with running(Program(source, {}, 1.0)) as it:
        await it.until(lambda: bool(it.news))
        assert "write exactly one" in it.news[0][1]
        with pytest.raises(FilterNotLoadedError):
            await it.get("/")


async def test_a_flood_of_calls_is_refused() -> None:
    async with running() as it:
        await it.until(it.is_loaded)
        head = ("GET", "/", "shop", (), "", "")

        def flood() -> None:
            for number in range(2000):
                it.process.call(Hook.REQUEST, "shop/stamp", number, head, lambda _: None)

        with pytest.raises(FilterBusyError):
            flood()


NOBODY = """
import os
from waypoint.filter import Answer, Filter

class Who(Filter):
    def request(self, request):
        try:
            os.fork()
        except BlockingIOError:
            return Answer(200, body=str(os.getuid()).encode())
"""


async def test_filters_run_with_the_rights_of_nobody_and_start_nothing() -> None:
    async with running(Program(NOBODY, {}, 1.0)) as it:
        await it.until(it.is_loaded)
        results = await it.get("/")
        assert isinstance(results, tuple)
        assert results[-1] == (200, (), b"65534")
