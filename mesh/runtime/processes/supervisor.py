"""The supervisor: starts a control process and the workers, starts them again, ends them in order.

1. It waits for one thing at a time in one loop, and owns nothing that can block.
2. It keeps a duplicate of both ends of each worker's feed, so that neither side takes the other's
   death for the end of the feed; a new worker has a new feed.
3. A control process is told of every worker when it starts, and of each that starts later.
4. A drain is ordered once more from a control process that starts during it.
"""

import array
import logging
import os
import resource
import select
import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from mesh.errors import PeerError
from mesh.runtime.processes import orders
from mesh.runtime.processes.children import Backoff, Child, child_environment, exit_words, pair
from mesh.runtime.processes.orders import (
    EXIT_OPERATOR,
    DrainAll,
    Order,
    Quit,
    Serving,
    WorkerGone,
    WorkerStarted,
)

EXIT_DRAINED: Final = 0
EXIT_NOT_STARTED: Final = 1
EXIT_INTERRUPTED: Final = 130
GRACE_S: Final = 1.0
"""After the deadline of a drain, for the workers to say so."""

FAREWELL_S: Final = 3.0
"""How long control may take to end by itself, when the workers have ended."""

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Role:
    """One process that is to run, and the one that runs."""

    name: str
    start: Callable[["_Role"], Child]
    child: Child | None = None
    backoff: Backoff = field(default_factory=Backoff)
    due: float | None = None
    """When to start (again); None while it runs, or is not wanted."""
    feed: tuple[socket.socket, socket.socket] | None = None
    """Of a worker: control's end and its own. Of control: our end and its own."""

    def renew_pair(self) -> tuple[socket.socket, socket.socket]:
        """A pair nobody has read from."""
        self.close_pair()
        self.feed = pair()
        return self.feed

    def close_pair(self) -> None:
        for end in self.feed or ():
            end.close()
        self.feed = None


class Supervisor:
    """One program's processes."""

    def __init__(
        self, package: str, workers: int, drain_s: float, environ: Mapping[str, str]
    ) -> None:
        """Nothing runs until `run`.

        Args:
            package: whose `control` and `worker` to run.
            workers: how many.
            drain_s: what open connections are given at the end, in seconds.
            environ: what children inherit, save what must not be.
        """
        self._package = package
        self._drain_s = drain_s
        self._environ = child_environment(environ)
        self._selector = selectors.DefaultSelector()
        self._control = _Role("control", self._start_control)
        self._workers = [
            _Role(f"worker-{index}", partial(self._start_worker, index)) for index in range(workers)
        ]
        self._has_served = False
        self._drain_deadline: float | None = None
        self._exit_code: int | None = None

    def run(self) -> int:
        """Supervise until the end; returns the exit code."""
        wakeup, wake = socket.socketpair()
        wakeup.setblocking(False)
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _noted)
        self._watch(wakeup.fileno(), lambda: self._on_signals(wakeup.recv(64)))
        for role in self._roles():
            role.due = time.monotonic()
        try:
            while self._exit_code is None:
                self._start_what_is_due()
                for key, _ in self._selector.select(self._patience()):
                    key.data()
                self._look_at_the_drain()
            return self._exit_code
        finally:
            self._end_all()
            self._selector.close()

    def _roles(self) -> list[_Role]:
        # Workers first: control is told of them when it starts.
        return [*self._workers, self._control]

    # Starting.

    def _start_what_is_due(self) -> None:
        for role in self._roles():
            if role.due is None or role.due > time.monotonic():
                continue
            role.due = None
            try:
                role.child = role.start(role)
            except OSError as error:
                self._again(role, 0.0, f"{role.name} cannot be started: {error}")
                continue
            self._watch(role.child.ended, partial(self._on_end, role))
            log.info("started", extra={"part": role.name, "pid": role.child.process.pid})
            if role is not self._control:
                self._tell_of(role)

    def _start_worker(self, index: int, role: _Role) -> Child:
        _, theirs = role.renew_pair()
        words = [str(theirs.fileno()), str(index)]
        return Child.start(
            f"{self._package}.worker", words, theirs.fileno(), self._environ, time.monotonic()
        )

    def _start_control(self, role: _Role) -> Child:
        ours, theirs = role.renew_pair()
        ours.setblocking(False)
        for worker in self._workers:
            if worker.child is not None:
                self._tell_of(worker)
        if self._drain_deadline is not None:
            self._order(self._drain_order())
        child = Child.start(
            f"{self._package}.control",
            [str(theirs.fileno())],
            theirs.fileno(),
            self._environ,
            time.monotonic(),
        )
        self._watch(ours.fileno(), partial(self._on_order, ours))
        return child

    def _tell_of(self, worker: _Role) -> None:
        if worker.child is not None and worker.feed is not None:
            index = self._workers.index(worker)
            control_end, _ = worker.feed
            self._order(WorkerStarted(index, worker.child.process.pid), control_end.fileno())

    # Ending.

    def _on_end(self, role: _Role) -> None:
        child = role.child
        if child is None:
            return
        self._selector.unregister(child.ended)
        code = child.reap()
        role.child = None
        lived_s = time.monotonic() - child.started_at
        words = f"{role.name} has ended: {exit_words(code)}"
        if role is self._control:
            self._close_orders()
        else:
            self._order(WorkerGone(self._workers.index(role), child.process.pid))
            role.close_pair()
        if code == EXIT_OPERATOR and not self._has_served:
            log.error("not started", extra={"code": "start_refused", "part": role.name})
            self._exit_code = EXIT_NOT_STARTED
            return
        if self._drain_deadline is not None and role is not self._control:
            log.info("ended", extra={"part": role.name, "exit": exit_words(code)})
            return
        self._again(role, lived_s, words)

    def _again(self, role: _Role, lived_s: float, words: str) -> None:
        delay_s = role.backoff.after(lived_s)
        role.due = time.monotonic() + delay_s
        log.warning(
            words,
            extra={"code": "process_ended", "part": role.name, "restart": f"in {delay_s:g}s"},
        )

    def _close_orders(self) -> None:
        if self._control.feed is not None:
            self._selector.unregister(self._control.feed[0].fileno())
        self._control.close_pair()

    # Draining.

    def _on_signals(self, numbers: bytes) -> None:
        for number in numbers:
            name = signal.Signals(number).name
            if number == signal.SIGINT and self._drain_deadline is not None:
                log.warning("ends at once", extra={"signal": name})
                self._exit_code = EXIT_INTERRUPTED
            elif number in (signal.SIGINT, signal.SIGTERM):
                self._drain(name)

    def _drain(self, reason: str) -> None:
        if self._drain_deadline is not None:
            return
        log.info("drains", extra={"reason": reason, "deadline": f"{self._drain_s:g}s"})
        self._drain_deadline = time.monotonic() + self._drain_s
        for worker in self._workers:
            worker.due = None
        self._order(self._drain_order())

    def _drain_order(self) -> DrainAll:
        left_s = (self._drain_deadline or 0.0) - time.monotonic()
        return DrainAll(max(0, round(left_s * 1000)))

    def _look_at_the_drain(self) -> None:
        if self._drain_deadline is None or self._exit_code is not None:
            return
        if all(worker.child is None for worker in self._workers):
            log.info("drained")
            self._exit_code = EXIT_DRAINED
        elif time.monotonic() >= self._drain_deadline + GRACE_S:
            log.warning("the drain's deadline has passed", extra={"code": "drain_cut"})
            self._exit_code = EXIT_DRAINED

    def _patience(self) -> float | None:
        """How long nothing is due."""
        times = [role.due for role in self._roles() if role.due is not None]
        if self._drain_deadline is not None:
            times.append(self._drain_deadline + GRACE_S)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _part_from_control(self) -> None:
        """Control sees that we go, and has a moment to tell others what the workers left."""
        child = self._control.child
        if child is not None:
            self._close_orders()
            select.select([child.ended], [], [], FAREWELL_S)

    def _end_all(self) -> None:
        if self._exit_code == EXIT_DRAINED:
            self._part_from_control()
        for role in self._roles():
            if role.child is not None:
                role.child.signal(signal.SIGKILL)
                code = role.child.reap()
                log.debug("ended", extra={"part": role.name, "exit": exit_words(code)})
                role.child = None
            role.close_pair()

    # Orders.

    def _order(self, order: Order, descriptor: int | None = None) -> None:
        """Tell control; one that is not there will be told when it starts."""
        if self._control.feed is None:
            return
        rights = (
            []
            if descriptor is None
            else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        )
        try:
            self._control.feed[0].sendmsg([orders.encode(order)], rights)
        except OSError as error:
            # It does not read: what it was not told, its successor will be.
            log.warning(
                "control does not listen", extra={"code": "order_lost", "error": str(error)}
            )
            if self._control.child is not None:
                self._control.child.signal(signal.SIGKILL)

    def _on_order(self, ours: socket.socket) -> None:
        try:
            packet = ours.recv(orders.MAX_ORDER_OCTETS)
        except OSError:
            return
        try:
            order = orders.decode(packet)
        except PeerError as error:
            log.warning("not an order", extra={"code": error.code, "error": str(error)})
            return
        match order:
            case Serving():
                self._has_served = True
            case Quit():
                self._drain("quitquitquit")
            case _:
                log.warning("not an order for the supervisor", extra={"code": "order_invalid"})

    def _watch(self, descriptor: int, react: Callable[[], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, react)


def _noted(_number: int, _frame: object) -> None:
    """The wake-up descriptor carries the signal to the loop."""


def raise_descriptor_limit() -> None:
    """As many descriptors as the system grants; children inherit it."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))
