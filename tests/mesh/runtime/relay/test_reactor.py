"""Readiness as function calls: in turn, once per edge, and one bug is not everybody's."""

import socket
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from mesh.runtime.relay.reactor import IN, READ_END, Reactor
from tests.mesh.runtime.ends import tcp_pair

SECONDS = 10.0


class Bench:
    """A running reactor and what it reported."""

    def __init__(self) -> None:
        self.bugs: list[BaseException] = []
        self.reactor = Reactor(self.bugs.append)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.reactor.run)
            yield made
            nursery.cancel_scope.cancel()


async def until(found: list[object], count: int) -> None:
    while len(found) < count:
        await trio.lowlevel.checkpoint()


async def test_a_handler_hears_of_octets_and_of_the_end(bench: Bench) -> None:
    outer, inner = tcp_pair()
    seen: list[object] = []
    with outer, inner:
        bench.reactor.register(inner.fileno(), seen.append)
        outer.send(b"x")
        while not any(isinstance(one, int) and one & IN for one in seen):
            await trio.lowlevel.checkpoint()
        outer.shutdown(socket.SHUT_WR)
        while not any(isinstance(one, int) and one & READ_END for one in seen):
            await trio.lowlevel.checkpoint()
        bench.reactor.unregister(inner.fileno())
        bench.reactor.unregister(inner.fileno())
        assert bench.bugs == []


async def test_a_bug_in_one_handler_leaves_the_others_alone(bench: Bench) -> None:
    bad_outer, bad = tcp_pair()
    good_outer, good = tcp_pair()
    seen: list[object] = []
    given_up: list[socket.socket] = []

    def fail(_events: int) -> None:
        raise ZeroDivisionError

    with bad_outer, bad, good_outer, good:
        bench.reactor.register(bad.fileno(), fail, lambda: given_up.append(bad))
        bench.reactor.register(good.fileno(), seen.append)
        await until(seen, 1)
        bad_outer.send(b"again")
        good_outer.send(b"again")
        await until(seen, 2)
        assert [type(bug) for bug in bench.bugs] == [ZeroDivisionError], (
            "and it is not called twice"
        )
        assert given_up == [bad]
        bench.reactor.unregister(good.fileno())


async def test_a_bug_in_scheduled_work_is_reported(bench: Bench) -> None:
    seen: list[object] = []

    def fail() -> None:
        raise ZeroDivisionError

    bench.reactor.schedule(fail)
    bench.reactor.schedule(lambda: seen.append(1))
    await until(seen, 1)
    assert [type(bug) for bug in bench.bugs] == [ZeroDivisionError]


async def test_scheduled_work_wakes_a_reactor_that_sleeps(bench: Bench) -> None:
    await trio.testing.wait_all_tasks_blocked()
    seen: list[object] = []
    bench.reactor.schedule(lambda: seen.append(1))
    await until(seen, 1)


async def test_work_at_the_end_of_a_round_runs_once_after_all_handlers(bench: Bench) -> None:
    order: list[object] = []
    reactor = bench.reactor

    def first() -> None:
        reactor.at_round_end(lambda: order.append("end"))
        order.append("first")

    reactor.schedule(first)
    reactor.schedule(lambda: order.append("second"))
    await until(order, 3)
    assert order == ["first", "second", "end"]


def test_outside_of_a_round_its_end_is_that_of_the_next_one() -> None:
    seen: list[int] = []
    reactor = Reactor(lambda _bug: None)
    reactor.at_round_end(lambda: seen.append(1))
    assert seen == []
    reactor.run_round()
    assert seen == [1]


async def test_work_that_schedules_itself_leaves_trio_its_turns(bench: Bench) -> None:
    seen: list[object] = []

    def again() -> None:
        seen.append(1)
        if len(seen) < 1_000_000:
            bench.reactor.schedule(again)

    bench.reactor.schedule(again)
    await trio.sleep(0.02)
    assert 0 < len(seen) < 1_000_000
    seen.extend([1] * 1_000_000)


async def test_a_handler_of_a_descriptor_that_was_closed_in_this_round_is_not_called(
    bench: Bench,
) -> None:
    ends = [tcp_pair() for _ in range(2)]
    seen: list[object] = []

    def close_the_other(which: int) -> None:
        seen.append(which)
        for _, inner in ends:
            bench.reactor.unregister(inner.fileno())

    for number, (_, inner) in enumerate(ends):
        bench.reactor.register(inner.fileno(), lambda _events, n=number: close_the_other(n))
    await until(seen, 1)
    await trio.testing.wait_all_tasks_blocked()
    assert len(seen) == 1
    for outer, inner in ends:
        outer.close()
        inner.close()
