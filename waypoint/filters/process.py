"""The worker's end of the filter process: calls go out, answers come back, in the reactor's turn.

1. The process answers in order, so the oldest call is the one that runs: its budget begins when it
   became the oldest. A call over its budget ends the process, and every call that was with it.
2. A process that ended is started again, after a while that grows, and told every filter anew.
   Until it has loaded a filter, its calls fail: whether that closes is the caller's to decide.
"""

import signal
import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mesh.errors import PeerError, UnavailableError
from mesh.model.fields import Json
from mesh.runtime.processes.children import Backoff, Child, child_environment, pair
from mesh.runtime.relay.reactor import Reactor
from mesh.wire.pack import Packed, PackInvalidError, pack, unpack
from waypoint.filters.messages import END, FORGET, LOAD, MAX_PACKET_OCTETS, Hook
from waypoint.worker.engine.timers import Timer, Timers

LOAD_SECONDS: Final = 5.0
MAX_CALLS: Final = 1024
"""That wait for the process at a time."""


class FilterFailedError(PeerError):
    """A filter's hook raised, or gave what it may not give."""

    code = "filter_failed"


class FilterOverBudgetError(PeerError):
    """A filter's hook took longer than its budget, and its process was ended."""

    code = "filter_over_budget"


class FilterLostError(UnavailableError):
    """The filters' process ended while it had this call, because of another one."""

    code = "filter_lost"


class FilterNotLoadedError(UnavailableError):
    """A filter that is not loaded (yet): its source is missing, or is invalid."""

    code = "filter_not_loaded"


class FilterBusyError(UnavailableError):
    """Too many calls wait for the filters' process."""

    code = "filter_busy"


FilterError = FilterFailedError | FilterOverBudgetError | FilterLostError
Results = tuple[Packed, ...]
Done = Callable[[Results | FilterError], None]


@dataclass(frozen=True, slots=True)
class Program:
    """A filter as it was given."""

    source: str
    config: Mapping[str, Json]
    budget_s: float


@dataclass(slots=True, eq=False)
class _Call:
    number: int
    name: str
    budget_s: float
    done: Done


class FilterProcess:
    """One process for all filters of a worker; it runs while there is a filter."""

    def __init__(
        self,
        reactor: Reactor,
        timers: Timers,
        environ: Mapping[str, str],
        on_news: Callable[[str, str], None],
    ) -> None:
        """Nothing runs before `load`.

        Args:
            reactor: whose turns it is driven by.
            timers: for budgets and restarts.
            environ: what the process inherits.
            on_news: told (code, sentence) when a filter cannot be loaded, or the process ended.
        """
        self._reactor, self._timers, self._on_news = reactor, timers, on_news
        self._environ = child_environment(environ)
        self._programs: dict[str, Program] = {}
        self._hooks: dict[str, frozenset[Hook]] = {}
        self._calls: deque[_Call] = deque()
        self._unsent: deque[bytes] = deque()
        self._number = 0
        self._backoff = Backoff()
        self._child: Child | None = None
        self._feed: socket.socket | None = None
        self._over: Timer | None = None
        self._restart: Timer | None = None

    # Filters.

    def load(self, name: str, program: Program) -> None:
        """Take a filter, or its new source: what runs goes on with the old one."""
        self._programs[name] = program
        if self._feed is None:
            if self._restart is None:
                self._start()
        else:
            self._send_load(name, program)

    def forget(self, name: str) -> None:
        """The filter is gone; the process too, when it was the last one."""
        self._programs.pop(name, None)
        self._hooks.pop(name, None)
        self._send(FORGET, name)
        if not self._programs:
            self.close()

    def hooks(self, name: str) -> frozenset[Hook]:
        """What a loaded filter overrides.

        Raises:
            FilterNotLoadedError: it is not loaded.
        """
        found = self._hooks.get(name)
        if found is None:
            raise FilterNotLoadedError(f"the filter {name} is not loaded")
        return found

    # Calls.

    def call(self, hook: Hook, name: str, request: int, arguments: Results, done: Done) -> None:
        """Call a hook; `done` is called once, later, with its results or with why there are none.

        Args:
            hook: one of `hooks(name)`.
            name: the filter.
            request: whose object it is: a number of the caller's.
            arguments: as in `waypoint.filters.host`.
            done: what to call.

        Raises:
            FilterNotLoadedError: it is not loaded.
            FilterBusyError: too many calls wait.
        """
        self.hooks(name)
        if len(self._calls) >= MAX_CALLS:
            raise FilterBusyError(f"{MAX_CALLS} calls wait for the filters already")
        number = self._send(hook.value, name, request, *arguments)
        self._expect(_Call(number, name, self._programs[name].budget_s, done))

    def end(self, request: int) -> None:
        """The request is over: its objects go."""
        self._send(END, request)

    def close(self) -> None:
        """End the process; calls that wait are lost."""
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        self._stop(FilterLostError("the filters' process was ended"))

    # The process.

    def _start(self) -> None:
        self._restart = None
        ours, theirs = pair()
        with theirs:
            try:
                words = [str(theirs.fileno())]
                self._child = Child.start(
                    "waypoint.filters.host",
                    words,
                    theirs.fileno(),
                    self._environ,
                    self._timers.clock(),
                )
            except OSError as error:
                ours.close()
                self._on_news("filter_lost", f"the filters' process cannot be started: {error}")
                self._again(0.0)
                return
        ours.setblocking(False)
        self._feed = ours
        self._reactor.register(ours.fileno(), self._ready)
        for name, program in self._programs.items():
            self._send_load(name, program)

    def _send_load(self, name: str, program: Program) -> None:
        number = self._send(LOAD, name, program.source, dict(program.config))

        def loaded(results: Results | FilterError) -> None:
            match results:
                case (tuple(hooks),) if name in self._programs:
                    self._hooks[name] = frozenset(Hook(str(hook)) for hook in hooks)
                case PeerError() | UnavailableError():
                    self._on_news("filter_not_loaded", f"the filter {name}: {results}")
                case _:
                    pass

        self._expect(_Call(number, name, LOAD_SECONDS, loaded))

    def _again(self, lived_s: float) -> None:
        if self._programs and self._restart is None:
            self._restart = self._timers.after(self._backoff.after(lived_s), self._start)

    def _stop(self, error: FilterError) -> None:
        """End the process now; the oldest call fails with this, the others are lost."""
        child, feed = self._child, self._feed
        self._child = self._feed = None
        if self._over is not None:
            self._over.cancel()
            self._over = None
        self._hooks.clear()
        self._unsent.clear()
        if feed is not None:
            self._reactor.unregister(feed.fileno())
            feed.close()
        if child is not None:
            child.signal(signal.SIGKILL)
            child.reap()
        calls, self._calls = self._calls, deque()
        for number, call in enumerate(calls):
            call.done(FilterLostError(str(error)) if number else error)
        if child is not None:
            self._again(self._timers.clock() - child.started_at)

    # Messages.

    def _send(self, *words: object) -> int:
        """Queue a message; nothing while there is no process."""
        self._number += 1
        if self._feed is not None:
            self._unsent.append(pack((self._number, *words)))
            self._push()
        return self._number

    def _push(self) -> None:
        while self._unsent and self._feed is not None:
            try:
                self._feed.send(self._unsent[0])
            except BlockingIOError:
                return
            except OSError:
                return  # it has ended: reading finds that out, and says so
            self._unsent.popleft()

    def _expect(self, call: _Call) -> None:
        self._calls.append(call)
        if len(self._calls) == 1:
            self._watch(call)

    def _watch(self, call: _Call) -> None:
        def late() -> None:
            words = f"{call.name} took longer than {call.budget_s * 1000:g} ms"
            self._on_news("filter_over_budget", f"the filter {words}, and its process was ended")
            self._stop(FilterOverBudgetError(words))

        self._over = self._timers.after(call.budget_s, late)

    def _ready(self, events: int) -> None:
        del events
        self._push()
        while self._feed is not None:
            try:
                packet = self._feed.recv(MAX_PACKET_OCTETS)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._on_news("filter_lost", "the filters' process has ended by itself")
                self._stop(FilterLostError("the filters' process has ended"))
                return
            self._take(packet)

    def _take(self, packet: bytes) -> None:
        try:
            message = unpack(packet)
        except PackInvalidError as error:
            self._stop(FilterLostError(str(error)))
            return
        call = self._calls[0] if self._calls else None
        match message:
            case (int(number), "done" | "loaded", *results) if call and number == call.number:
                self._answered(call, tuple(results))
            case (int(number), "failed", str(why)) if call and number == call.number:
                self._answered(call, FilterFailedError(f"{call.name}: {why}"))
            case _:
                self._stop(FilterLostError("the filters' process said what nobody had asked"))

    def _answered(self, call: _Call, results: Results | FilterError) -> None:
        self._calls.popleft()
        if self._over is not None:
            self._over.cancel()
            self._over = None
        if self._calls:
            self._watch(self._calls[0])
        call.done(results)
