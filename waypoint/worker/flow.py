"""A connection that goes through the waypoint as it is, from its CONNECT to its line in the log."""

from collections.abc import Callable

from mesh.observe.access_log import ConnectionRecord
from mesh.observe.metrics import TrafficMetrics
from mesh.runtime.http.joined import Joined
from mesh.runtime.relay.plain import Ending
from mesh.runtime.worker import flow


class Flow(flow.Flow[Joined]):
    """Such a connection."""

    __slots__ = ("judge_again",)

    def __init__(
        self,
        metrics: TrafficMetrics,
        flows: "Flows",
        record: ConnectionRecord,
        turn_away: flow.TurnAway,
    ) -> None:
        """Begin; the arguments are those of every flow."""
        self.judge_again: Callable[[], None] | None = None
        """Raises when the policies of this moment forbid the connection."""
        super().__init__(metrics, flows, record, turn_away)

    def carry(self, relay: Joined) -> None:
        """Start the relay, which is to call `ended`; its end is the connection's."""
        self._open(relay)
        relay.start()

    def pass_on(self) -> None:
        """Somebody else serves and counts it from here; its line is theirs."""
        self._leave()

    def ended(self, ending: Ending) -> None:
        """The relay has ended."""
        relay = self._relay
        if relay is None:
            return
        error = self._why_stopped() if ending is Ending.STOPPED else relay.error
        self._settle((relay.octets_forth, relay.octets_back), error)


Flows = flow.Flows[Flow]
