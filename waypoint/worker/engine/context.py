"""What every exchange of a worker shares, and what those of one connection do."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from mesh.model.address import SocketAddress
from mesh.model.identity import Identity
from mesh.model.request_policy import RequestPolicy, TokenPolicy
from mesh.model.routes import Waypoint
from mesh.model.workload import BalanceMode, Workload
from mesh.observe.request_metrics import RequestMetrics, Side
from mesh.policy.requests import RequestVerdict
from mesh.routing.http.paths import PathNormalisation
from mesh.routing.http.routes import Chosen, Routes
from mesh.routing.waypoint import Called
from mesh.runtime.http.link import Link
from mesh.runtime.http.stream import (
    ServerConnection,
    ServerConnectionUser,
)
from mesh.wire.http.messages import RequestHead
from waypoint.worker.engine import heads
from waypoint.worker.engine.destination import Destination
from waypoint.worker.engine.destinations import Destinations
from waypoint.worker.engine.pool import Means
from waypoint.worker.engine.programs import Programs
from waypoint.worker.engine.timers import Timers
from waypoint.worker.engine.tracing import Tracer

Answer = Callable[[Link, ServerConnectionUser, bool], ServerConnection]
"""Makes the serving end on a link, not started; whether it speaks HTTP/2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How long a silence is borne, and how far copies are kept."""

    head_stall_s: float = 300.0
    """An endpoint that has the whole request and has not begun its answer; a client that has begun
    a request and does not go on."""
    body_stall_s: float = 3600.0
    """Both, once the answer has begun; also of what has been upgraded."""
    sniff_s: float = 0.3
    """A client that says nothing at first on a port of unknown protocol: then it is TCP."""


DEFAULT_SETTINGS: Final = Settings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls."""

    address: SocketAddress
    identity: Identity | None = None
    workload: Workload | None = None
    """Whose address it is, when that is known."""


class Judge(ABC):
    """Decides about requests before they are routed (`mesh.policy`)."""

    __slots__ = ()

    @abstractmethod
    def judge(
        self,
        caller: Caller,
        called: Called,
        head: RequestHead,
        known: RequestVerdict | None = None,
    ) -> RequestVerdict:
        """Decide about a request; it passes once those have agreed who are to be asked.

        Args:
            caller: who calls.
            called: what.
            head: the request's, which may be changed.
            known: of the same request, before a route has rewritten it: its token holds.

        Raises:
            DeniedError: it may not pass, for a reason that is no policy's.
        """

    @abstractmethod
    def judge_connection(self, caller: Caller, called: Called, server_name: str) -> RequestVerdict:
        """Decide about a connection that is not HTTP.

        Args:
            caller: who calls.
            called: what.
            server_name: that a TLS client says; empty when it says none, or nobody has looked.
        """

    @abstractmethod
    def concerns(self, called: Called) -> bool:
        """Whether there is anything to decide about calls of this."""

    @abstractmethod
    def wants_name(self, called: Called) -> bool:
        """Whether a connection's server name matters."""

    @abstractmethod
    def put(self, name: str, policy: RequestPolicy | TokenPolicy) -> None:
        """A policy has come, or changed."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """One has gone; any other name means nothing."""

    @abstractmethod
    def close(self) -> None:
        """Decide nothing any more."""


class Live(ABC):
    """Something under way that silence or the worker's end can stop."""

    __slots__ = ()

    @abstractmethod
    def sweep(self, elapsed_s: float) -> None:
        """So much time has gone by."""

    @abstractmethod
    def stop(self) -> None:
        """The worker ends."""


@dataclass(slots=True, kw_only=True)
class Context:
    """One worker's."""

    identity: Identity
    """The waypoint's own, by which its tunnels are made."""
    waypoint: Waypoint
    routes: Routes
    routes_version: int = 0
    """Raised with every change of `routes`."""
    destinations: Destinations
    means: Means
    timers: Timers
    random: Random
    clock: Callable[[], float]
    epoch: Callable[[], float]
    """Seconds since the epoch."""
    metrics: RequestMetrics
    answer: Answer
    on_bug: Callable[[BaseException], None]
    normalisation: PathNormalisation = PathNormalisation.BASE
    settings: Settings = DEFAULT_SETTINGS
    judge: Judge | None = None
    programs: Programs | None = None
    """Filters of users; None: there is no process for them."""
    tracer: Tracer | None = None
    live: dict[Live, None] = field(default_factory=dict)

    def chance(self, number: int) -> int:
        """A random number from 0 to n - 1."""
        return int(self.random.random() * number)


class Peer:
    """One end of a client's connection: who calls, what, and what follows from that."""

    __slots__ = (
        "_chosen",
        "_chosen_at",
        "_side_there",
        "called",
        "caller",
        "context",
        "shown",
        "side",
        "told",
    )

    def __init__(self, context: Context, caller: Caller, called: Called) -> None:
        """Work out what every request of the connection has in common."""
        self.context = context
        self.caller = caller
        self.called = called
        self.side = context.metrics.source(caller.workload, caller.identity)
        self.told = heads.forwarded(caller.address, caller.identity)
        tells = context.waypoint.tells_client_certificate
        self.shown = heads.client_certificate(context.identity, caller.identity) if tells else b""
        self._chosen: Chosen | None = None
        self._chosen_at = -1
        self._side_there: Side | None = None

    @property
    def routes(self) -> Chosen | None:
        """The routes for this client's calls as they are now; None: there are none."""
        context = self.context
        if self._chosen_at != context.routes_version:
            self._chosen_at = context.routes_version
            service = self.called.service
            namespace = self.caller.identity.namespace if self.caller.identity else ""
            is_routed = service is not None and self.called.workload is None
            self._chosen = (
                context.routes.choose(service.key, self.called.port, namespace)
                if is_routed and service is not None
                else None
            )
        return self._chosen

    @property
    def destination(self) -> Destination:
        """What was called, when no route says otherwise."""
        called = self.called
        destinations = self.context.destinations
        if called.workload is not None:
            return destinations.of_workload(called.workload.uid, called.port)
        service = called.service
        if service is None:
            return destinations.of_service("", called.port)
        mode = service.load_balancing.mode
        if mode is BalanceMode.PASSTHROUGH and called.address is not None:
            return destinations.of_address(service.key, called.address)
        return destinations.of_service(service.key, called.port)

    @property
    def side_there(self) -> Side:
        """The labels of what was called, when nobody was reached."""
        if self._side_there is None:
            called = self.called
            metrics = self.context.metrics
            self._side_there = metrics.destination(called.workload, called.service)
        return self._side_there
