"""Where CPU time goes: threads that are busy weigh what they use, those that wait nothing."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from mesh.runtime.profile import OTHERS, answer_profile, collapsed, profile
from mesh.wire.feed import Query
from mesh.wire.feed_answers import profile_topic, read_profile

SECONDS = 0.2


def dig(until: threading.Event) -> None:
    while not until.is_set():
        sum(range(1000))


def doze(until: threading.Event) -> None:
    until.wait()


@contextmanager
def threads() -> Iterator[None]:
    """One that is busy, one that waits."""
    until = threading.Event()
    started = [
        threading.Thread(target=dig, args=(until,), name="busy; very"),
        threading.Thread(target=doze, args=(until,), name="lazy"),
    ]
    for thread in started:
        thread.start()
    try:
        yield
    finally:
        until.set()
        for thread in started:
            thread.join()


def weight(stacks: dict[str, int], word: str) -> int:
    return sum(number for stack, number in stacks.items() if word in stack)


async def test_a_busy_thread_weighs_what_it_uses_and_a_waiting_one_next_to_nothing() -> None:
    before = time.process_time()
    with threads():
        stacks = dict(await profile(SECONDS, 200))
    used = (time.process_time() - before) * 1e6
    assert weight(stacks, "dig (tests/mesh/runtime/test_profile.py:") > used / 3
    assert weight(stacks, "doze") < used / 10
    assert sum(stacks.values()) <= used
    assert OTHERS in stacks


async def test_names_cannot_break_the_text() -> None:
    with threads():
        stacks = await profile(SECONDS / 4, 200)
    assert any(stack.startswith("busy, very;") for stack in stacks)
    text = collapsed([("control", "a;b", 3), ("worker", "c", 20)])
    assert text == "worker;c 20\ncontrol;a;b 3\n"


async def test_cancelled_it_looks_no_more() -> None:
    with trio.move_on_after(0.02) as scope:
        await profile(30, 1000)
    assert scope.cancelled_caught


@pytest.mark.slow
async def test_a_worker_answers_with_its_own_name() -> None:
    with threads():
        parts = list(await answer_profile(Query(7, profile_topic(1, 100))))
    assert {part.number for part in parts} == {7}
    rows = read_profile(b"".join(part.body for part in parts))
    assert {process for process, _, _ in rows} == {f"worker {os.getpid()}"}
    assert any("dig" in stack for _, stack, _ in rows)


@pytest.mark.parametrize(
    "topic", ["metrics", "profile", "profile 1", "profile a b", "profile 1 -1"]
)
async def test_to_another_question_there_is_no_answer(topic: str) -> None:
    assert list(await answer_profile(Query(7, topic))) == []
