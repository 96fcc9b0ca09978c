"""One connection of an application, from when it is known to its line in the log.

1. `with flow:` is the connection's firewall: whatever goes wrong inside ends this connection, is
   told once, and troubles nobody else. It is entered once for each stage.
2. Once `carry` has started the relay nothing waits for the connection any more, no task and no
   stack: the relay calls back when it ends.
3. A connection is counted with all its labels when both its ends are known. Turned away before,
   it is counted by its code, which its line in the log has too.
"""

import logging
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import trio

from mesh.errors import MeshError
from mesh.model.workload import Workload
from mesh.observe.access_log import (
    COMPLETE,
    REFUSED,
    ConnectionRecord,
    Direction,
    Field,
    access_fields,
    refusal_fields,
)
from mesh.policy.authorize import ConnectionFacts, Verdict
from mesh.runtime.http2_transport import TunnelBrokenError
from mesh.runtime.relay.plain import Ending, SocketRelay
from mesh.runtime.relay.stream import StreamRelay
from mesh.runtime.worker.failures import (
    BugError,
    ConnectionDrainedError,
    PolicyChangedError,
    PolicyDeniedError,
    code_of,
    describe,
    flag_of,
)
from ztunnel.worker.connections import Live
from ztunnel.worker.context import Context

Relay = SocketRelay | StreamRelay
TurnAway = Callable[[BaseException], None]

access_log = logging.getLogger("access")
policy_log = logging.getLogger("rbac")
log = logging.getLogger(__name__)


class Flow:
    """A connection that this worker serves."""

    __slots__ = (
        "_began",
        "_context",
        "_ending",
        "_finished",
        "_flows",
        "_live",
        "_opened",
        "_relay",
        "_stopped",
        "_turn_away",
        "called",
        "is_known",
        "record",
    )

    def __init__(
        self, context: Context, flows: "Flows", record: ConnectionRecord, turn_away: TurnAway
    ) -> None:
        """Begin.

        Args:
            context: The worker's.
            flows: The pod's, where it is listed until it ends.
            record: What is known, to be filled in.
            turn_away: Tells the client, when the connection fails before there is a relay.
        """
        self._context = context
        self._flows = flows
        self._turn_away: TurnAway | None = turn_away
        self._began = trio.current_time()
        self._live: Live | None = None
        self._relay: Relay | None = None
        self._ending: Ending | None = None
        self._stopped: MeshError | None = None
        self._opened = False
        self._finished = False
        self.record = record
        self.called = record.destination_address
        """Where the client wanted to go, until `record` knows better."""
        self.is_known = False
        """Both ends are: the connection counts."""
        flows.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        match error:
            case None:
                return False
            case MeshError() | OSError():
                self._fail(error)
                return True
            case Exception():  # a bug of ours: this connection pays for it, no other
                log.error("a bug; its connection is dropped", exc_info=error)
                self._fail(error)
                return True
            case _:  # cancelled: the pod or the proxy goes away
                self._fail(ConnectionDrainedError())
                return False

    # Stages.

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

    def carry(self, make: Callable[[Callable[[Ending], None]], Relay]) -> None:
        """Start the relay; its end is the connection's."""
        relay = self._relay = make(self._ended)
        self._turn_away = None
        self._opened = True
        self._context.metrics.observe_open(self.record)
        access_log.debug("connection opened")
        if self._ending is not None:  # while it was made
            self._settle(relay, self._ending)
        elif self._stopped is not None:
            relay.stop()

    def stop(self, error: MeshError) -> None:
        """End it. What has no relay yet ends when it would get one, or fails by itself."""
        self._stopped = error
        if self._relay is not None:
            self._relay.stop()

    def check(self) -> None:
        """Between two stages: go on only if nobody has stopped it.

        Raises:
            MeshError: why it was stopped.
        """
        if self._stopped is not None:
            raise self._stopped

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

    # How it ends.

    def _revoke(self, verdict: Verdict) -> None:
        self.stop(PolicyChangedError(verdict))

    def _ended(self, ending: Ending) -> None:
        self._ending = ending
        if self._opened and self._relay is not None:
            self._settle(self._relay, ending)

    def _settle(self, relay: Relay, ending: Ending) -> None:
        if isinstance(relay, StreamRelay):
            octets = relay.octets_to_stream, relay.octets_from_stream
            if self.record.direction is Direction.INBOUND:
                octets = octets[1], octets[0]
        else:
            octets = relay.octets_forth, relay.octets_back
        self.record.client_octets, self.record.server_octets = octets
        self._relay = None  # they know each other: do not leave it to the garbage collector
        match ending:
            case Ending.TUNNEL_LOST:
                broken = TunnelBrokenError("the tunnel broke")
                self._finish((isinstance(relay, StreamRelay) and relay.ended_by) or broken)
            case Ending.STOPPED:
                self._finish(self._stopped or BugError())
            case Ending.CLOSED | Ending.NEAR_RESET | Ending.FAR_RESET:
                self._finish(None)

    def _fail(self, error: BaseException) -> None:
        """It ends before there was a relay, or by a bug."""
        if self._finished:
            return
        if self._relay is not None:
            self._stopped = ConnectionDrainedError()
            self._relay.stop()
            return
        error = self._stopped or error
        if self._turn_away is not None:
            self._turn_away(error)
            self._turn_away = None
        self._finish(error)

    def _finish(self, error: BaseException | None) -> None:
        if self._finished:
            return
        self._finished = True
        self._flows.discard(self)
        if self._live is not None:
            self._context.connections.forget(self._live)
            self._live = None
        record = self.record
        record.duration_s = trio.current_time() - self._began
        if error is not None:
            record.error = describe(error)
            record.flag = flag_of(error)
        if self._opened:
            self._context.metrics.observe_close(record)
        elif self.is_known:
            self._context.metrics.observe_failure(record)
        elif error is not None:
            self._context.metrics.observe_refusal(record.direction, code_of(error))
        self._tell(error)

    def _tell(self, error: BaseException | None) -> None:
        if error is None:
            level, message = logging.INFO, COMPLETE
        elif self._opened or self.is_known:
            level, message = logging.ERROR, COMPLETE
        else:
            level, message = logging.WARNING, REFUSED
        if not access_log.isEnabledFor(level):
            return
        tell = access_fields if message == COMPLETE else refusal_fields
        fields: dict[str, Field] = dict(tell(self.record))
        if error is not None:
            fields["code"] = code_of(error)
        access_log.log(level, message, extra=fields)


class Flows:
    """The connections of one pod."""

    def __init__(self) -> None:
        """None yet."""
        self._flows: dict[Flow, None] = {}
        self._empty = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._flows)

    def __iter__(self) -> Iterator[Flow]:
        return iter(tuple(self._flows))

    def add(self, flow: Flow) -> None:
        """One more."""
        self._flows[flow] = None

    def discard(self, flow: Flow) -> None:
        """One has ended. Twice is fine."""
        self._flows.pop(flow, None)
        if not self._flows:
            self._empty.unpark_all()

    def stop(self) -> None:
        """End them all: the pod or the proxy goes away."""
        for flow in self:
            flow.stop(ConnectionDrainedError())

    async def wait_empty(self) -> None:
        """Until the last one has ended.

        Cancellation: changes nothing.
        """
        while self._flows:
            await self._empty.park()
