"""One connection that a worker carries, from when it is known to its line in the log.

1. `with flow:` is the connection's firewall: whatever goes wrong inside ends this connection, is
   told once, and troubles nobody else. It is entered once for each stage.
2. Once it has a relay nothing waits for the connection any more, no task and no stack: the relay
   calls back when it ends.
3. A connection is counted with all its labels when both its ends are known. Turned away before,
   it is counted by its code, which its line in the log has too.
"""

import logging
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import trio

from mesh.errors import MeshError
from mesh.observe.access_log import (
    COMPLETE,
    REFUSED,
    ConnectionRecord,
    Field,
    access_fields,
    refusal_fields,
)
from mesh.observe.metrics import TrafficMetrics
from mesh.runtime.worker.failures import (
    BugError,
    ConnectionDrainedError,
    code_of,
    describe,
    flag_of,
)

TurnAway = Callable[[BaseException], None]

access_log = logging.getLogger("access")
log = logging.getLogger(__name__)


class Relay(Protocol):
    """What moves a connection's octets."""

    def stop(self) -> None:
        """End both directions; it still calls back."""


class Stoppable(Protocol):
    """What `Flows` lists."""

    def stop(self, error: MeshError) -> None:
        """End it."""


OneRelay = TypeVar("OneRelay", bound=Relay)
OneFlow = TypeVar("OneFlow", bound=Stoppable)


class Flow(Generic[OneRelay]):
    """A connection that this worker serves. Programs say how its relay begins and ends."""

    __slots__ = (
        "_began",
        "_finished",
        "_flows",
        "_metrics",
        "_opened",
        "_relay",
        "_stopped",
        "_turn_away",
        "is_known",
        "record",
    )

    def __init__(
        self,
        metrics: TrafficMetrics,
        flows: "Flows[Self]",
        record: ConnectionRecord,
        turn_away: TurnAway,
    ) -> None:
        """Begin.

        Args:
            metrics: The worker's.
            flows: Where it is listed until it ends.
            record: What is known, to be filled in.
            turn_away: Tells the client, when the connection fails before there is a relay.
        """
        self._metrics = metrics
        self._flows = flows
        self._turn_away: TurnAway | None = turn_away
        self._began = trio.current_time()
        self._relay: OneRelay | None = None
        self._stopped: MeshError | None = None
        self._opened = False
        self._finished = False
        self.record = record
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
                self.fail(error)
                return True
            case Exception():  # a bug of ours: this connection pays for it, no other
                log.error("a bug; its connection is dropped", exc_info=error)
                self.fail(error)
                return True
            case _:  # cancelled: the pod or the proxy goes away
                self.fail(ConnectionDrainedError())
                return False

    # Stages.

    def check(self) -> None:
        """Between two stages: go on only if nobody has stopped it.

        Raises:
            MeshError: why it was stopped.
        """
        if self._stopped is not None:
            raise self._stopped

    def stop(self, error: MeshError) -> None:
        """End it. What has no relay yet ends when it would get one, or fails by itself."""
        self._stopped = error
        if self._relay is not None:
            self._relay.stop()

    def fail(self, error: BaseException) -> None:
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

    # For a program's own kind of flow.

    def _open(self, relay: OneRelay) -> None:
        """It has a relay, whose end is the connection's."""
        self._relay = relay
        self._turn_away = None
        self._opened = True
        self._metrics.observe_open(self.record)
        access_log.debug("connection opened")

    def _settle(self, octets: tuple[int, int], error: BaseException | None) -> None:
        """Its relay has ended, after so many octets forth and back."""
        self._relay = None  # they know each other: do not leave it to the garbage collector
        self.record.client_octets, self.record.server_octets = octets
        self._finish(error)

    def _why_stopped(self) -> MeshError:
        return self._stopped or BugError()

    def _leave(self: Self) -> None:
        """It is listed and counted nowhere from now on."""
        self._finished = True
        self._turn_away = None
        self._flows.discard(self)

    # How it ends.

    def _finish(self, error: BaseException | None) -> None:
        if self._finished:
            return
        self._leave()
        record = self.record
        record.duration_s = trio.current_time() - self._began
        if error is not None:
            record.error = describe(error)
            record.flag = flag_of(error)
        if self._opened:
            self._metrics.observe_close(record)
        elif self.is_known:
            self._metrics.observe_failure(record)
        elif error is not None:
            self._metrics.observe_refusal(record.direction, code_of(error))
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


class Flows(Generic[OneFlow]):
    """The connections of one worker, or of one pod."""

    def __init__(self) -> None:
        """None yet."""
        self._flows: dict[OneFlow, None] = {}
        self._empty = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._flows)

    def __iter__(self) -> Iterator[OneFlow]:
        return iter(tuple(self._flows))

    def add(self, flow: OneFlow) -> None:
        """One more."""
        self._flows[flow] = None

    def discard(self, flow: OneFlow) -> None:
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
