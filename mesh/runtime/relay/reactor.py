"""One edge-triggered epoll per worker, itself awaited by trio.

1. A handler runs until its descriptor says EAGAIN or it has spent its budget; then it calls
   `schedule` to go on at the end of the queue. Edge-triggered: nobody tells it twice.
2. A handler never waits, logs or raises. What escapes all the same is a bug of ours: it is
   reported to `on_bug`, and the descriptor is forgotten, so that the others go on.
3. `at_round_end` runs a function once after all handlers of this round: that is where a tunnel
   writes what several connections have put into it, as one record.
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

ROUNDS: Final = 16
"""How many rounds without a look at trio's own tasks; each is at most one budget per handler."""

EVENTS_PER_ROUND: Final = 256

Handler = Callable[[int], None]
Work = Callable[[], None]


class Reactor:
    """Readiness for the relay's descriptors; `run` is its only task."""

    def __init__(self, on_bug: Callable[[BaseException], None]) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._queue: deque[Work] = deque()
        self._round_end: list[Work] = []
        self._on_bug = on_bug
        self._in_round = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, IN)

    def register(self, descriptor: int, handler: Handler) -> None:
        """Call `handler(events)` on each edge of this descriptor.

        The first call comes by itself: a fresh registration reports what is ready already.
        """
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, EDGES)

    def unregister(self, descriptor: int) -> None:
        """Forget a descriptor; call it before the descriptor is closed. Twice is fine."""
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def schedule(self, work: Work) -> None:
        """Run this after everybody else had a turn."""
        self._queue.append(work)
        if not self._in_round:
            os.eventfd_write(self._wake, 1)

    def at_round_end(self, work: Work) -> None:
        """Run this when the handlers of this round have run; at once outside of a round."""
        if self._in_round:
            self._round_end.append(work)
        else:
            work()

    async def run(self) -> None:
        """Serve until cancelled.

        Cancellation: stops between two rounds; nothing that was read is lost.
        """
        descriptor = self._epoll.fileno()
        try:
            while True:
                if self._queue or self._round_end:
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.lowlevel.wait_readable(descriptor)
                for _ in range(ROUNDS):
                    if not self.run_round():
                        break
        finally:
            self._epoll.close()
            os.close(self._wake)

    def run_round(self) -> bool:
        """Handle what is ready now; whether there was anything."""
        events = self._epoll.poll(0, EVENTS_PER_ROUND)
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
                self.unregister(descriptor)
                self._on_bug(bug)
        for _ in range(len(queue)):
            self._guarded(queue.popleft())
        while self._round_end:
            works, self._round_end = self._round_end, []
            for work in works:
                self._guarded(work)
        self._in_round = False
        return True

    def _guarded(self, work: Work) -> None:
        try:
            work()
        except Exception as bug:  # noqa: BLE001 - rule 2
            self._on_bug(bug)
