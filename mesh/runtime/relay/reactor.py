"""One edge-triggered epoll per worker, itself awaited by trio.

1. A handler runs until its descriptor says EAGAIN or it has spent its budget; then it calls
   `schedule` to go on at the end of the queue. Edge-triggered: nobody tells it twice.
2. A handler never waits, logs or raises. What escapes all the same is a bug of ours: it is
   reported to `on_bug`, and the descriptor is forgotten, so that the others go on.
3. `at_round_end` runs a function once after all handlers of this round: that is where a tunnel
   writes what several connections have put into it, as one record.
4. A wait by way of trio costs about 40 us of CPU, as much as all else that a small request needs.
   So, while there is traffic and trio has nothing to run, we wait here, for at most a millisecond.
"""

import os
import select
from collections import deque
from collections.abc import Callable
from typing import Final

import trio

IN: Final = select.EPOLLIN
OUT: Final = select.EPOLLOUT
ERROR: Final = select.EPOLLERR
"""Reset, most often."""
BROKEN: Final = ERROR | select.EPOLLHUP
READ_END: Final = select.EPOLLRDHUP
EDGES: Final = IN | OUT | READ_END | select.EPOLLET

BUDGET_OCTETS: Final = 1024 * 1024
"""What one handler may move before the next one has its turn (about a millisecond)."""

STRETCH_SECONDS: Final = 0.002
"""How long without a look at trio's own tasks, give or take a round."""

WAIT_SECONDS: Final = 0.001
"""How long to wait for the next edge before trio waits for it: the answer to a small request."""

EVENTS_PER_ROUND: Final = 256

Handler = Callable[[int], None]
Work = Callable[[], None]


class _Scheduled(trio.abc.Instrument):
    """Whether any task of trio's was made to run since we looked."""

    def __init__(self) -> None:
        self.any = False

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        del task
        self.any = True


class Reactor:
    """Readiness for the relay's descriptors; `run` is its only task."""

    def __init__(self, on_bug: Callable[[BaseException], None]) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._give_up: dict[int, Work] = {}
        self._queue: deque[Work] = deque()
        self._round_end: list[Work] = []
        self._on_bug = on_bug
        self._in_round = False
        self._scheduled = _Scheduled()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, IN)

    def register(self, descriptor: int, handler: Handler, give_up: Work | None = None) -> None:
        """Call `handler(events)` on each edge of this descriptor.

        The first call comes by itself: a fresh registration reports what is ready already.
        After a bug in the handler the descriptor is forgotten, and `give_up` has to end in good
        order whatever it belongs to.
        """
        self._handlers[descriptor] = handler
        if give_up is not None:
            self._give_up[descriptor] = give_up
        self._epoll.register(descriptor, EDGES)

    def unregister(self, descriptor: int) -> None:
        """Forget a descriptor; call it before the descriptor is closed. Twice is fine."""
        if self._handlers.pop(descriptor, None) is not None:
            self._give_up.pop(descriptor, None)
            self._epoll.unregister(descriptor)

    def schedule(self, work: Work) -> None:
        """Run this after everybody else had a turn."""
        self._queue.append(work)
        if not self._in_round:
            os.eventfd_write(self._wake, 1)

    def at_round_end(self, work: Work) -> None:
        """Run this when the handlers of this round have run; outside of a round, in the next one.

        Never at once: who asks for it is about to put something where `work` will look.
        """
        if self._in_round:
            self._round_end.append(work)
        else:
            self.schedule(work)

    async def run(self) -> None:
        """Serve until cancelled.

        Cancellation: stops between two rounds; nothing that was read is lost.
        """
        descriptor = self._epoll.fileno()
        trio.lowlevel.add_instrument(self._scheduled)
        try:
            while True:
                if self._queue or self._round_end:
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.lowlevel.wait_readable(descriptor)
                self._run_stretch()
        finally:
            trio.lowlevel.remove_instrument(self._scheduled)
            self._epoll.close()
            os.close(self._wake)

    def _run_stretch(self) -> None:
        ends = trio.current_time() + STRETCH_SECONDS
        self._scheduled.any = False
        while self.run_round(0 if self._queue or self._scheduled.any else WAIT_SECONDS):
            if trio.current_time() >= ends:
                return

    def run_round(self, wait_s: float = 0) -> bool:
        """Handle what is ready now, or within so many seconds; whether there was anything."""
        events = self._epoll.poll(wait_s, EVENTS_PER_ROUND)
        queue = self._queue
        if not events and not queue:
            return False
        handlers = self._handlers
        self._in_round = True
        for descriptor, event in events:
            # A handler earlier in this round may have closed this one's connection.
            if (handler := handlers.get(descriptor)) is None:
                if descriptor == self._wake:
                    os.eventfd_read(descriptor)
                continue
            try:
                handler(event)
            except Exception as bug:  # noqa: BLE001 - rule 2: one connection's bug stays its own
                self._on_bug(bug)
                self._end(descriptor)
        for _ in range(len(queue)):
            self._guarded(queue.popleft())
        while self._round_end:
            works, self._round_end = self._round_end, []
            for work in works:
                self._guarded(work)
        self._in_round = False
        return True

    def _end(self, descriptor: int) -> None:
        give_up = self._give_up.get(descriptor)
        self.unregister(descriptor)
        if give_up is not None:
            self._guarded(give_up)

    def _guarded(self, work: Work) -> None:
        try:
            work()
        except Exception as bug:  # noqa: BLE001 - rule 2
            self._on_bug(bug)
