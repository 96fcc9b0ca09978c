"""The worker's end of the filter process: calls go out, answers come back, in the reactor's turn.

1. The process answers in order, so the oldest call is the one that runs: its budget begins when it
   became the oldest. A call over its budget ends the process, and every call that was with it.
2. A process that ended is started again, after a while that grows, and told every filter anew, but
   those whose source ended it while it was loaded: they wait for another source.
3. Who calls may wait for a filter that is being loaded (`when_loaded`). What is not loaded fails:
   whether that closes is the caller's to decide.
"""

import signal
import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mesh.model.fields import Json
from mesh.runtime.processes.children import Backoff, Child, child_environment, pair
from mesh.runtime.relay.reactor import Reactor
from mesh.wire.pack import Packed, PackInvalidError, pack, unpack
from waypoint.filters.failures import (
    FilterBusyError,
    FilterEndedError,
    FilterError,
    FilterFailedError,
    FilterLostError,
    FilterNotLoadedError,
    FilterOverBudgetError,
)
from waypoint.filters.messages import END, FORGET, LOAD, MAX_PACKET_OCTETS, Hook
from waypoint.worker.engine.timers import Timer, Timers

LOAD_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 1.0
"""Who waits for a filter waits for a process that starts so soon, and not for one that is later."""
MAX_CALLS: Final = 1024
"""That wait for the process at a time."""


Results = tuple[Packed, ...]
Done = Callable[[Results | FilterError], None]
OnNews = Callable[[str, str, str], None]
"""Told a code, the filter that it is about (empty: none), and a sentence."""


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
    is_load: bool = False


class FilterProcess:
    """One process for several filters; it runs while there is a filter."""

    def __init__(
        self,
        reactor: Reactor,
        timers: Timers,
        environ: Mapping[str, str],
        on_news: OnNews,
    ) -> None:
        """Nothing runs before `load`.

        Args:
            reactor: whose turns it is driven by.
            timers: for budgets and restarts.
            environ: what the process inherits.
            on_news: told when a filter cannot be loaded, or the process ended; before the calls
                that this ends hear of it.
        """
        self._reactor, self._timers, self._on_news = reactor, timers, on_news
        self._environ = child_environment(environ)
        self._programs: dict[str, Program] = {}
        self._hooks: dict[str, frozenset[Hook]] = {}
        self._unfit: set[str] = set()
        """Whose source could not be loaded."""
        self._deadly: set[str] = set()
        """Whose source has ended a process."""
        self._waiters: list[tuple[str, Callable[[], None]]] = []
        self._life = object()
        self._calls: deque[_Call] = deque()
        self._unsent: deque[bytes] = deque()
        self._number = 0
        self._backoff = Backoff()
        self._child: Child | None = None
        self._feed: socket.socket | None = None
        self._over: Timer | None = None
        self._restart: Timer | None = None
        self._restart_s = 0.0

    @property
    def life(self) -> object:
        """Another object for each process: what filters keep of a request does not outlive it."""
        return self._life

    # Filters.

    def load(self, name: str, program: Program) -> None:
        """Take a filter, or its new source: what runs goes on with the old one."""
        self._programs[name] = program
        self._unfit.discard(name)
        self._deadly.discard(name)
        if self._feed is None:
            if self._restart is None:
                self._start()
        else:
            self._send_load(name, program)

    def forget(self, name: str) -> None:
        """The filter is gone; the process too, when it was the last one."""
        self._programs.pop(name, None)
        self._hooks.pop(name, None)
        self._unfit.discard(name)
        self._deadly.discard(name)
        self._send(FORGET, name)
        if not self._programs:
            self.close()
        self._wake()

    def hooks(self, name: str) -> frozenset[Hook]:
        """What a loaded filter overrides.

        Raises:
            FilterNotLoadedError: it is not loaded.
        """
        found = self._hooks.get(name)
        if found is None:
            raise FilterNotLoadedError(f"the filter {name} is not loaded")
        return found

    def when_loaded(self, name: str, then: Callable[[], None]) -> None:
        """Call `then` once a filter is loaded, or will not be soon: at once if that is so now.

        Raises:
            FilterBusyError: too many wait.
        """
        if not self._is_coming(name):
            then()
        elif len(self._waiters) >= MAX_CALLS:
            raise FilterBusyError(f"{MAX_CALLS} requests wait for the filters already")
        else:
            self._waiters.append((name, then))

    def _is_coming(self, name: str) -> bool:
        if name not in self._programs or name in self._hooks or name in self._unfit:
            return False
        if self._feed is not None:
            return True
        return self._restart is not None and self._restart_s <= PATIENCE_SECONDS

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for name, then in waiters:
            if self._is_coming(name):
                self._waiters.append((name, then))
            else:
                then()

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
        """End the process and forget all filters; calls that wait are lost."""
        self._programs.clear()
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
                self._on_news(
                    FilterLostError.code, "", f"the filters' process cannot be started: {error}"
                )
                self._again(0.0)
                self._wake()
                return
        ours.setblocking(False)
        self._feed = ours
        self._life = object()
        self._unfit = set(self._deadly)
        self._reactor.register(ours.fileno(), self._ready)
        for name, program in list(self._programs.items()):
            if name not in self._deadly:
                self._send_load(name, program)

    def _send_load(self, name: str, program: Program) -> None:
        number = self._send(LOAD, name, program.source, dict(program.config))

        def loaded(results: Results | FilterError) -> None:
            match results:
                case (tuple(hooks),) if name in self._programs:
                    self._hooks[name] = frozenset(Hook(str(hook)) for hook in hooks)
                    self._unfit.discard(name)
                case FilterFailedError():
                    self._unfit.add(name)
                    self._on_news("filter_not_loaded", name, f"the filter {name}: {results}")
                case _:
                    pass  # the process has ended: that is told, and the next one loads it
            self._wake()

        self._expect(_Call(number, name, LOAD_SECONDS, loaded, is_load=True))

    def _again(self, lived_s: float) -> None:
        if self._programs.keys() - self._deadly and self._restart is None:
            self._restart_s = self._backoff.after(lived_s)
            self._restart = self._timers.after(self._restart_s, self._start)

    def _stop(self, error: FilterError, news: str = "") -> None:
        """End the process now; the oldest call fails with this, the others are lost.

        Args:
            error: why.
            news: what is to be told of it.
        """
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
        if news and calls and calls[0].is_load:
            self._unfit.add(calls[0].name)
            self._deadly.add(calls[0].name)
        if child is not None:
            self._again(self._timers.clock() - child.started_at)
        if news:
            self._on_news(error.code, calls[0].name if calls else "", news)
        for number, call in enumerate(calls):
            call.done(FilterLostError(str(error)) if number else error)
        self._wake()

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
            self._over = None
            self._ready(0)  # it may have answered while this process was busy
            if self._calls and self._calls[0] is call:
                words = f"{call.name} took longer than {call.budget_s * 1000:g} ms"
                news = f"the filter {words}, and its process was ended"
                self._stop(FilterOverBudgetError(words), news)

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
                self._end_of_itself("the filters' process has ended")
                return
            self._take(packet)

    def _end_of_itself(self, words: str) -> None:
        """The process is of no use any more: who had the call is likely to have done it."""
        if self._calls:
            words += f", in a call of {self._calls[0].name}"
        self._stop(FilterEndedError(words), words)

    def _take(self, packet: bytes) -> None:
        try:
            message = unpack(packet)
        except PackInvalidError as error:
            self._end_of_itself(f"the filters' process said what is no message: {error}")
            return
        call = self._calls[0] if self._calls else None
        match message:
            case (int(number), "done" | "loaded", *results) if call and number == call.number:
                self._answered(call, tuple(results))
            case (int(number), "failed", str(why)) if call and number == call.number:
                self._answered(call, FilterFailedError(f"{call.name}: {why}"))
            case _:
                self._end_of_itself("the filters' process said what nobody had asked")

    def _answered(self, call: _Call, results: Results | FilterError) -> None:
        self._calls.popleft()
        if self._over is not None:
            self._over.cancel()
            self._over = None
        if self._calls:
            self._watch(self._calls[0])
        call.done(results)
