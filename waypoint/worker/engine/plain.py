"""Connections that are passed through: judged by policies, then joined with an endpoint's.

A change of the policies judges those that are open again.
"""

from functools import partial

from mesh.observe.access_log import ConnectionRecord, ConnectionSecurity, Direction
from mesh.policy.authorize import Verdict
from mesh.policy.requests import RequestVerdict
from mesh.routing.http.routes import ConnectionRoutes
from mesh.routing.waypoint import Called
from mesh.runtime.http.link import Link
from mesh.runtime.worker.failures import PolicyChangedError, PolicyDeniedError
from waypoint.worker.context import Context as WorkerContext
from waypoint.worker.engine.context import Caller, Context, Peer
from waypoint.worker.engine.destination import Destination
from waypoint.worker.engine.failures import RouteMissingError
from waypoint.worker.engine.judging import PolicyJudge, tell_verdict
from waypoint.worker.engine.onward import called_there
from waypoint.worker.engine.passing import Passing, backend_of
from waypoint.worker.flow import Flow


class PlainConnections:
    """All of a worker's."""

    def __init__(self, worker: WorkerContext, context: Context, judge: PolicyJudge) -> None:
        """None yet."""
        self._worker = worker
        self._context = context
        self._judge = judge

    def carry(self, peer: Peer, link: Link, name: str) -> None:
        """Pass a connection through, by its routes if there are any.

        Args:
            peer: who calls what.
            link: the client's.
            name: the server name that it asks for in TLS, if it does.
        """
        caller, called = peer.caller, peer.called
        record = ConnectionRecord(
            direction=Direction.WAYPOINT,
            source_address=caller.address,
            destination_address=called.address or caller.address,
            hbone_address=str(called.address or ""),
            source=caller.workload,
            source_identity=caller.identity,
            service=called.service,
            security=ConnectionSecurity.MUTUAL_TLS,
        )
        flow = Flow(self._worker.metrics, self._worker.flows, record, lambda _error: link.reset())
        with flow:
            tell_verdict(self._context.metrics, self._verdict(caller, called, name))
            self.judge(caller, called, name)
            way, there = self._way(peer, name)
            every = (called,) if there is None else (called, there)
            flow.judge_again = partial(self._judge_all, caller, every, name)
            flow.judge_again()
            Passing(self._context, flow, link, way).start()

    def _way(self, peer: Peer, name: str) -> tuple[Destination, Called | None]:
        """Where a connection goes, and what that is when it is not the route's own."""
        routes = peer.routes
        if not isinstance(routes, ConnectionRoutes):
            return peer.destination, None
        matched = routes.match(name)
        if matched is None:
            raise RouteMissingError
        way = backend_of(self._context, matched)
        return way, called_there(self._context, matched.route, *way.key)

    # Policies.

    def _verdict(self, caller: Caller, called: Called, name: str) -> RequestVerdict:
        return self._judge.judge_connection(caller, called, name)

    def judge(self, caller: Caller, called: Called, name: str) -> None:
        """Judge a connection.

        Raises:
            PolicyDeniedError: it may not pass.
        """
        verdict = self._verdict(caller, called, name)
        if not verdict.allowed:
            raise PolicyDeniedError(Verdict(False, verdict.code, verdict.policy, verdict.rule))

    def _judge_all(self, caller: Caller, every: tuple[Called, ...], name: str) -> None:
        for called in every:
            self.judge(caller, called, name)

    def judge_again(self) -> None:
        """End the connections that a change of the policies forbids."""
        for flow in self._worker.flows:
            if flow.judge_again is not None:
                try:
                    flow.judge_again()
                except PolicyDeniedError as error:
                    flow.stop(PolicyChangedError(error.verdict))
