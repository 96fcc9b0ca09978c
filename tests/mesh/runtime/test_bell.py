"""Waiting for changes."""

import trio
import trio.testing

from mesh.runtime.bell import Bell


async def test_a_change_between_looking_and_waiting_is_not_missed() -> None:
    bell = Bell()
    seen = bell.count

    bell.ring()

    with trio.fail_after(1):
        await bell.wait_past(seen)


async def test_everybody_is_woken() -> None:
    bell, woken = Bell(), []

    async def wait(name: str) -> None:
        await bell.wait_past(0)
        woken.append(name)

    async with trio.open_nursery() as waiters:
        waiters.start_soon(wait, "a")
        waiters.start_soon(wait, "b")
        await trio.testing.wait_all_tasks_blocked()
        assert not woken
        bell.ring()

    assert sorted(woken) == ["a", "b"]
