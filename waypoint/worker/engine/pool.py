"""Open connections to one endpoint in one HTTP version, and who waits for them.

1. The connection that was used last is used next; those that nobody needs any more grow idle and
   are closed.
2. Who finds no room waits, within the destination's limits, and is served in order. As many
   connections are opened as those who wait need.
3. A pool that is shut takes nobody new; what is on its connections goes on to its end.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesh.errors import MeshError
from mesh.model.routes import ServiceTraffic
from mesh.routing.balance import Endpoint
from mesh.runtime.http.link import Link
from mesh.runtime.http.stream import (
    ClientConnection,
    ClientConnectionUser,
    ClientStream,
    ResponseUser,
)
from mesh.wire.http.messages import RequestHead
from waypoint.worker.engine.failures import (
    EndpointConnectTimedOutError,
    EndpointEvictedError,
    EndpointUnreachableError,
    OverflowingError,
)
from waypoint.worker.engine.timers import Timer, Timers

STREAMS_EXPECTED: Final = 100
"""How many requests an HTTP/2 connection is taken to carry before it has said so."""

OnLink = Callable[[Link], None]
OnFailure = Callable[[MeshError], None]


class Opening(ABC):
    """A link that is being opened."""

    __slots__ = ()

    @abstractmethod
    def cancel(self) -> None:
        """Nobody wants it any more: neither callback is called. Late is fine."""


OpenLink = Callable[[Endpoint, OnLink, OnFailure], Opening]
"""Opens a link to an endpoint's port, and calls back once, perhaps at once."""
Ask = Callable[[Link, ClientConnectionUser, bool], ClientConnection]
"""Makes the asking end on a link, not started; whether it speaks HTTP/2."""


@dataclass(frozen=True, slots=True)
class Means:
    """What connections are made with."""

    open_link: OpenLink
    ask: Ask
    timers: Timers


class Load:
    """What all endpoints of a destination carry together, and how much they may."""

    __slots__ = ("connections", "pending", "requests", "retries", "traffic")

    def __init__(self, traffic: ServiceTraffic) -> None:
        """Nothing yet."""
        self.traffic = traffic
        self.connections = 0
        self.pending = 0
        self.requests = 0
        self.retries = 0


class Waiter(ABC):
    """Who wants to send a request."""

    __slots__ = ()

    @abstractmethod
    def connected(self, pooled: "Pooled") -> None:
        """Here is room: use it before this returns, or not at all."""

    @abstractmethod
    def refused(self, error: MeshError) -> None:
        """There is none, and there will be none."""


class Pooled(ClientConnectionUser):
    """One connection."""

    __slots__ = ("_connection", "_left", "_pool", "idle_s", "is_ready", "is_retired")

    def __init__(self, pool: "Pool", requests: int) -> None:
        """`requests`: how many it may carry; 0 for any number."""
        self._pool = pool
        self._connection: ClientConnection | None = None
        self._left = requests
        self.is_ready = False
        self.is_retired = False
        self.idle_s = 0.0

    @property
    def room(self) -> int:
        """How many requests it takes now."""
        connection = self._connection
        return 0 if connection is None or self.is_retired else connection.room

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on it."""
        connection = self._connection
        return connection is not None and connection.is_idle

    def start(self, connection: ClientConnection) -> None:
        """This is the connection: begin."""
        self._connection = connection
        connection.start()

    def open(self, head: RequestHead, user: ResponseUser, *, end: bool) -> ClientStream:
        """Send a request; only while there is room."""
        connection = self._connection
        if connection is None:
            raise EndpointUnreachableError
        self.idle_s = 0.0
        if self._left:
            self._left -= 1
            if not self._left:
                self.is_retired = True
        return connection.open(head, user, end=end)

    def tick(self, now: float) -> None:
        """Look after time."""
        if self._connection is not None:
            self._connection.tick(now)

    def retire(self) -> None:
        """No new request; close as soon as nothing is on it."""
        self.is_retired = True
        connection = self._connection
        if connection is not None and connection.is_idle:
            connection.close()

    def changed(self) -> None:
        """There may be room, or nothing on it any more."""
        if self.is_retired:
            self.retire()
        else:
            self._pool.offer(self)

    def closed(self, error: MeshError | None) -> None:
        """It is gone."""
        del error
        self._connection = None
        self._pool.forget(self)


class _Attempt:
    """A connection that is being opened."""

    __slots__ = ("_opening", "_pool", "_timer", "is_over")

    def __init__(self, pool: "Pool", timer: Timer | None) -> None:
        self._pool = pool
        self._opening: Opening | None = None
        self._timer = timer
        self.is_over = False

    def begin(self, endpoint: Endpoint, means: Means) -> None:
        self._timer = means.timers.after(self._pool.load.traffic.connect_s, self.late)
        opening = means.open_link(endpoint, self.opened, self.failed)
        if not self.is_over:
            self._opening = opening

    def _end(self) -> None:
        self.is_over = True
        self._opening = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def opened(self, link: Link) -> None:
        if self.is_over:
            link.reset()
            return
        self._end()
        self._pool.opened(self, link)

    def failed(self, error: MeshError) -> None:
        if not self.is_over:
            self._end()
            self._pool.failed(self, EndpointUnreachableError(error))

    def late(self) -> None:
        self.cancel()
        seconds = self._pool.load.traffic.connect_s
        self._pool.failed(self, EndpointConnectTimedOutError(seconds))

    def cancel(self) -> None:
        opening = self._opening
        self._end()
        if opening is not None:
            opening.cancel()


class Pool:
    """The connections to one endpoint in one version."""

    __slots__ = (
        "_all",
        "_attempts",
        "_endpoint",
        "_is_http2",
        "_is_shut",
        "_means",
        "_ready",
        "_streams",
        "_waiting",
        "load",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        load: Load,
        means: Means,
        *,
        is_http2: bool,
    ) -> None:
        """Start with none.

        Args:
            endpoint: to where.
            load: of its destination.
            means: how connections are made.
            is_http2: the version.
        """
        self.load = load
        self._endpoint = endpoint
        self._is_http2 = is_http2
        self._means = means
        self._streams = STREAMS_EXPECTED if is_http2 else 1
        self._all: dict[Pooled, None] = {}
        self._ready: list[Pooled] = []
        self._waiting: dict[Waiter, None] = {}
        self._attempts: dict[_Attempt, None] = {}
        self._is_shut = False

    # Asking.

    def take(self) -> Pooled | None:
        """A connection with room, to be used before anything else happens."""
        ready = self._ready
        while ready:
            pooled = ready[-1]
            if pooled.room > 0:
                return pooled
            pooled.is_ready = False
            ready.pop()
        return None

    def wait(self, waiter: Waiter) -> None:
        """Be told when there is room.

        Raises:
            OverflowingError: as many wait already as may.
            EndpointEvictedError: the pool is shut.
        """
        if self._is_shut:
            raise EndpointEvictedError
        load = self.load
        if 0 < load.traffic.max_pending <= load.pending:
            raise OverflowingError
        self._waiting[waiter] = None
        load.pending += 1
        self._open_as_needed()

    def leave(self, waiter: Waiter) -> None:
        """Who waited does not want any more. Twice is fine."""
        if waiter in self._waiting:
            del self._waiting[waiter]
            self.load.pending -= 1

    def _next(self) -> Waiter:
        waiter = next(iter(self._waiting))
        self.leave(waiter)
        return waiter

    # Opening.

    def _open_as_needed(self) -> None:
        while len(self._waiting) > len(self._attempts) * self._streams and self._may_open():
            attempt = _Attempt(self, None)
            self._attempts[attempt] = None
            self.load.connections += 1
            attempt.begin(self._endpoint, self._means)

    def _may_open(self) -> bool:
        load = self.load
        limit = load.traffic.max_connections
        # An endpoint to which there is none may always have one, or others could starve it.
        return not limit or load.connections < limit or not (self._all or self._attempts)

    def opened(self, attempt: _Attempt, link: Link) -> None:
        """A link is there: its connection serves who waits."""
        del self._attempts[attempt]
        pooled = Pooled(self, self.load.traffic.max_requests_per_connection)
        self._all[pooled] = None
        pooled.start(self._means.ask(link, pooled, self._is_http2))
        self.offer(pooled)

    def failed(self, attempt: _Attempt, error: MeshError) -> None:
        """No link: who waited for it is told, and nobody else."""
        del self._attempts[attempt]
        self.load.connections -= 1
        others = len(self._attempts) * self._streams
        for _ in range(min(self._streams, len(self._waiting) - others)):
            if self._waiting:
                self._next().refused(error)
        self._open_as_needed()

    # Connections.

    def offer(self, pooled: Pooled) -> None:
        """A connection has room, perhaps."""
        while self._waiting and pooled.room > 0:
            self._next().connected(pooled)
        if not pooled.is_ready and pooled.room > 0:
            pooled.is_ready = True
            self._ready.append(pooled)

    def forget(self, pooled: Pooled) -> None:
        """A connection is closed. Twice is fine."""
        if pooled not in self._all:
            return
        del self._all[pooled]
        self.load.connections -= 1
        if pooled.is_ready:
            pooled.is_ready = False
            self._ready.remove(pooled)
        self._open_as_needed()

    def sweep(self, elapsed_s: float, now: float) -> None:
        """Close what has been idle for too long; called every so many seconds."""
        limit = self.load.traffic.idle_s
        for pooled in list(self._all):
            pooled.tick(now)
            if pooled.is_idle:
                pooled.idle_s += elapsed_s
                if 0 < limit <= pooled.idle_s:
                    pooled.retire()

    def shut(self) -> None:
        """The endpoint is not to be used any more, or the worker ends."""
        self._is_shut = True
        for attempt in list(self._attempts):
            attempt.cancel()
            del self._attempts[attempt]
            self.load.connections -= 1
        for pooled in list(self._all):
            pooled.retire()
        while self._waiting:
            self._next().refused(EndpointEvictedError())
