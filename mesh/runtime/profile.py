"""Where a process spends its CPU time: stacks, weighed by the time that their threads have used.

1. A thread of its own looks at all stacks, so many times a second. What a thread has used since the
   look before (the kernel knows) is put down to where it is now. So a thread that waits weighs
   nothing, and one that is busy weighs what it costs.
2. Only Python's threads have stacks here. What others have used (gRPC's own) is one line.
3. The text is "collapsed stacks": a line for each stack, outermost frame first, frames with `;`
   between them, then a space and microseconds. flamegraph.pl, inferno and speedscope read it.
"""

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Final

import trio

from mesh.wire.feed import Answer, Query
from mesh.wire.feed_answers import ProfileRow, profile_answers, profile_wanted

DEFAULT_SECONDS: Final = 10
MOST_SECONDS: Final = 300
DEFAULT_FREQUENCY: Final = 100
MOST_FREQUENCY: Final = 1000
MOST_FRAMES: Final = 128
OTHERS: Final = "(threads without Python)"

_THREAD_CLOCK: Final = 6
"""CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED of linux/posix-timers_types.h: a thread's own clock."""
_ROOT: Final = str(Path(__file__).parents[2])

Stacks = Mapping[str, int]
"""CPU time in microseconds by stack."""


async def profile(seconds: float, frequency: int) -> Stacks:
    """Look for so long, so many times a second.

    Cancellation: the looking ends with its next look.
    """
    enough = threading.Event()
    try:
        return await trio.to_thread.run_sync(
            _look_blocking, enough, seconds, frequency, abandon_on_cancel=True
        )
    finally:
        enough.set()


def collapsed(rows: Iterable[ProfileRow]) -> str:
    """The text, heaviest stacks first; the name of the process is the outermost frame."""
    ordered = sorted(rows, key=lambda row: (-row[2], row))
    return "".join(f"{process};{stack} {weight}\n" for process, stack, weight in ordered)


async def answer_profile(query: Query) -> Iterable[Answer]:
    """A worker's answer when it is asked for a profile; nothing to any other question.

    Cancellation: as `profile`.
    """
    if (wanted := profile_wanted(query.topic)) is None:
        return ()
    stacks = await profile(*wanted)
    process = f"worker {os.getpid()}"
    return profile_answers(
        query.number, ((process, stack, weight) for stack, weight in stacks.items())
    )


def _look_blocking(enough: threading.Event, seconds: float, frequency: int) -> Stacks:
    looker = _Looker()
    until = time.monotonic() + seconds
    while not enough.wait(1 / frequency) and time.monotonic() < until:
        looker.look()
    return looker.stacks()


class _Looker:
    """Sums up what each look sees."""

    def __init__(self) -> None:
        self._weights: Counter[str] = Counter()
        self._own = threading.get_ident()
        self._used: dict[int, int] = {}
        self._began_ns = time.process_time_ns()
        self._own_began_ns = time.thread_time_ns()
        self._weigh(count=False)

    def look(self) -> None:
        self._weigh(count=True)

    def _weigh(self, *, count: bool) -> None:
        frames = sys._current_frames()  # noqa: SLF001 - documented, for exactly this
        for thread in threading.enumerate():
            if thread.ident is None or thread.native_id is None or thread.ident == self._own:
                continue
            used_ns = _used_ns(thread.native_id)
            spent_ns = used_ns - self._used.get(thread.native_id, 0 if count else used_ns)
            self._used[thread.native_id] = used_ns
            frame = frames.get(thread.ident)
            if spent_ns > 0 and frame is not None:
                self._weights[f"{_word(thread.name)};{_stack(frame)}"] += spent_ns

    def stacks(self) -> Stacks:
        seen_ns = sum(self._weights.values())
        own_ns = time.thread_time_ns() - self._own_began_ns
        others_ns = time.process_time_ns() - self._began_ns - own_ns - seen_ns
        found = {stack: round(weight / 1000) for stack, weight in self._weights.items()}
        return {**found, OTHERS: max(0, round(others_ns / 1000))}


def _used_ns(thread: int) -> int:
    """How long a thread has been on a CPU; 0 when it has ended."""
    try:
        return time.clock_gettime_ns((~thread << 3) | _THREAD_CLOCK)
    except OSError:
        return 0


def _stack(frame: FrameType) -> str:
    words: list[str] = []
    at: FrameType | None = frame
    while at is not None and len(words) < MOST_FRAMES:
        code = at.f_code
        file = code.co_filename.removeprefix(_ROOT).removeprefix("/")
        if "site-packages/" in file:
            file = file.partition("site-packages/")[2]
        words.append(_word(f"{code.co_qualname} ({file}:{at.f_lineno})"))
        at = at.f_back
    return ";".join(reversed(words))


def _word(text: str) -> str:
    """A frame's name: `;` divides frames, and a line ends with a number."""
    return text.replace(";", ",").replace("\n", " ")
