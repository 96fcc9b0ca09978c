"""Connections that are passed through as they are: by a TCPRoute, a TLSRoute, or without any.

The client was told that its connection is there before its endpoint is chosen: whatever fails
afterwards is a reset. An endpoint that cannot be reached is replaced once by another.
"""

from functools import partial
from typing import Final

from mesh.errors import MeshError
from mesh.routing.http.choice import choose_backend
from mesh.routing.http.connections import ConnectionMatched
from mesh.runtime.http.joined import Joined
from mesh.runtime.http.link import Link
from mesh.runtime.relay.plain import Ending
from waypoint.worker.engine.context import Context
from waypoint.worker.engine.destination import Destination, Target
from waypoint.worker.engine.failures import (
    BackendMissingError,
    EndpointConnectTimedOutError,
    EndpointMissingError,
    OverflowingError,
    RouteInvalidError,
)
from waypoint.worker.engine.pool import Opening
from waypoint.worker.engine.timers import Timer
from waypoint.worker.flow import Flow

MOST_TRIES: Final = 2


def backend_of(context: Context, matched: ConnectionMatched) -> Destination:
    """Where a routed connection goes.

    Raises:
        RouteInvalidError: its share goes nowhere.
        BackendMissingError: there is none.
    """
    backend = choose_backend(matched.rule.backends, context.chance)
    if backend is None:
        raise BackendMissingError
    if backend.problem:
        raise RouteInvalidError(backend.problem)
    return context.destinations.of_service(backend.service, backend.port)


class Passing:
    """One connection that gets an endpoint of a destination."""

    __slots__ = (
        "_avoid",
        "_context",
        "_destination",
        "_flow",
        "_near",
        "_opening",
        "_timer",
        "_tries",
    )

    def __init__(self, context: Context, flow: Flow, near: Link, destination: Destination) -> None:
        """Not begun before `start`; the flow resets `near` when it fails early."""
        self._context = context
        self._flow = flow
        self._near = near
        self._destination = destination
        self._avoid: tuple[Target, ...] = ()
        self._opening: Opening | None = None
        self._timer: Timer | None = None
        self._tries = 0

    def start(self) -> None:
        """Choose an endpoint and open a link to it; for use inside the flow.

        Raises:
            EndpointMissingError: there is none.
            OverflowingError: as many connections as may are open.
        """
        load = self._destination.load
        if 0 < load.traffic.max_connections <= load.connections:
            raise OverflowingError
        self._try()

    def _try(self) -> None:
        context, destination = self._context, self._destination
        target = destination.choose(context.random, context.clock(), self._avoid)
        if target is None:
            raise EndpointMissingError
        self._tries += 1
        self._avoid += (target,)
        record = self._flow.record
        record.destination = target.endpoint.workload
        record.service = destination.service
        self._flow.is_known = True
        seconds = destination.load.traffic.connect_s
        self._timer = context.timers.after(seconds, partial(self._late, seconds))
        self._opening = context.means.open_link(target.endpoint, self._opened, self._failed)

    def _opened(self, far: Link) -> None:
        self._stop_waiting()
        with self._flow:
            try:
                self._flow.check()
            except BaseException:
                far.reset()
                raise
            self._destination.load.connections += 1
            self._flow.carry(Joined(self._near, far, self._ended))

    def _failed(self, error: MeshError) -> None:
        self._stop_waiting()
        with self._flow:
            self._flow.check()
            if self._tries >= MOST_TRIES:
                raise error
            self._try()

    def _late(self, seconds: float) -> None:
        opening, self._timer = self._opening, None
        if opening is not None:
            opening.cancel()
        self._failed(EndpointConnectTimedOutError(seconds))

    def _stop_waiting(self) -> None:
        self._opening = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ended(self, ending: Ending) -> None:
        self._destination.load.connections -= 1
        self._flow.ended(ending)
