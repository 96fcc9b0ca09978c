import math

import trio
import trio.testing

from waypoint.worker.engine.timers import Timers


def test_timers_are_called_in_order_and_those_that_were_cancelled_are_not() -> None:
    bugs: list[BaseException] = []
    now = [0.0]
    timers = Timers(bugs.append, lambda: now[0])
    called: list[str] = []
    timers.after(3, lambda: called.append("c"))
    timers.after(1, lambda: called.append("a"))
    off = timers.after(2, lambda: called.append("b"))
    off.cancel()
    timers.on_time(2.5)
    assert called == ["a"]
    assert timers.next_deadline == 3
    timers.on_time(3)
    assert called == ["a", "c"]
    assert timers.next_deadline == math.inf


def test_one_that_raises_does_not_stop_the_others() -> None:
    bugs: list[BaseException] = []
    timers = Timers(bugs.append, lambda: 0.0)
    called: list[str] = []
    timers.after(1, lambda: called.append(str(1 // 0)))
    timers.after(1, lambda: called.append("b"))
    timers.on_time(1)
    assert called == ["b"]
    assert len(bugs) == 1


def test_one_can_cancel_another_that_is_due_at_the_same_moment() -> None:
    timers = Timers(lambda _bug: None, lambda: 0.0)
    called: list[str] = []
    second = timers.after(2, lambda: called.append("second"))
    timers.after(1, second.cancel)
    timers.on_time(5)
    assert called == []


async def test_the_task_wakes_for_an_earlier_timer_too(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 - time jumps
) -> None:
    timers = Timers(lambda _bug: None)
    called: list[float] = []
    begin = trio.current_time()

    def late() -> None:
        called.append(round(trio.current_time() - begin, 2))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        await trio.testing.wait_all_tasks_blocked()
        timers.after(100, late)
        timers.after(5, late)
        await trio.sleep(1)
        timers.after(0.5, late)
        await trio.sleep(200)
        nursery.cancel_scope.cancel()
    assert called == [1.5, 5.0, 100.0]
