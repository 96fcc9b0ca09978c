"""One connection of an application, from when it is known to its line in the log."""

import logging
from collections.abc import Callable

from mesh.model.workload import Workload
from mesh.observe.access_log import ConnectionRecord, Direction
from mesh.policy.authorize import ConnectionFacts, Verdict
from mesh.runtime.http2_transport import TunnelBrokenError
from mesh.runtime.relay.plain import Ending, SocketRelay
from mesh.runtime.relay.stream import StreamRelay
from mesh.runtime.worker import flow
from mesh.runtime.worker.failures import PolicyChangedError, PolicyDeniedError
from ztunnel.worker.connections import Live
from ztunnel.worker.context import Context

Relay = SocketRelay | StreamRelay

policy_log = logging.getLogger("rbac")
log = logging.getLogger(__name__)


class Flow(flow.Flow[Relay]):
    """Such a connection, which is judged by the policies of its pod."""

    __slots__ = ("_context", "_ending", "_live", "called")

    def __init__(
        self,
        context: Context,
        flows: "Flows",
        record: ConnectionRecord,
        turn_away: flow.TurnAway,
    ) -> None:
        """Begin.

        Args:
            context: The worker's.
            flows: The pod's, where it is listed until it ends.
            record: What is known, to be filled in.
            turn_away: Tells the client, when the connection fails before there is a relay.
        """
        self._context = context
        self._live: Live | None = None
        self._ending: Ending | None = None
        self.called = record.destination_address
        """Where the client wanted to go, until `record` knows better."""
        super().__init__(context.metrics, flows, record, turn_away)

    def authorise(self, facts: ConnectionFacts, workload: Workload) -> None:
        """Let it in, or not; from now on a change of the rules may end it.

        Raises:
            PolicyDeniedError: not.
        """
        self._live = Live(facts, workload.uid, self._revoke)
        verdict = self._context.connections.register(self._live, workload)
        self._tell_verdict(verdict)
        if not verdict.allowed:
            raise PolicyDeniedError(verdict)

    def _tell_verdict(self, verdict: Verdict) -> None:
        if verdict.dry_run:
            log.info("dry-run: would match", extra={"policies": ", ".join(verdict.dry_run)})
        told = self._context.config.authz_policy_info_logging
        level = logging.INFO if told else logging.DEBUG
        if policy_log.isEnabledFor(level):
            fields = {"src.addr": self.record.source_address, "code": verdict.code}
            if verdict.policy:
                fields["policy"] = verdict.policy
            policy_log.log(level, "allowed" if verdict.allowed else "denied", extra=fields)

    def _revoke(self, verdict: Verdict) -> None:
        self.stop(PolicyChangedError(verdict))

    def carry(self, make: Callable[[Callable[[Ending], None]], Relay]) -> None:
        """Start the relay; its end is the connection's."""
        relay = make(self._ended)
        self._open(relay)
        if self._ending is not None:  # while it was made
            self._ended_by(relay, self._ending)
        elif self._stopped is not None:
            relay.stop()

    @property
    def told(self) -> tuple[str, str, str, str, str]:
        """Direction, source, called, reached, protocol: what is told of it while it is open."""
        record = self.record
        inside, outside = record.hbone_address, str(record.destination_address)
        if record.direction is Direction.INBOUND:
            called = reached = inside or outside
        else:
            called, reached = str(self.called), outside
        protocol = "HBONE" if inside else "TCP"
        return record.direction.value, str(record.source_address), called, reached, protocol

    def _ended(self, ending: Ending) -> None:
        self._ending = ending
        if self._relay is not None:
            self._ended_by(self._relay, ending)

    def _ended_by(self, relay: Relay, ending: Ending) -> None:
        if isinstance(relay, StreamRelay):
            octets = relay.octets_to_stream, relay.octets_from_stream
            if self.record.direction is Direction.INBOUND:
                octets = octets[1], octets[0]
        else:
            octets = relay.octets_forth, relay.octets_back
        match ending:
            case Ending.TUNNEL_LOST:
                broken = TunnelBrokenError("the tunnel broke")
                lost_by = relay.ended_by if isinstance(relay, StreamRelay) else None
                self._settle(octets, lost_by or broken)
            case Ending.STOPPED:
                self._settle(octets, self._why_stopped())
            case Ending.CLOSED | Ending.NEAR_RESET | Ending.FAR_RESET:
                self._settle(octets, None)

    def _leave(self) -> None:
        super()._leave()
        if self._live is not None:
            self._context.connections.forget(self._live)
            self._live = None


Flows = flow.Flows[Flow]
