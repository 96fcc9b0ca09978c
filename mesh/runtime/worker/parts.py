"""What every connection of a worker uses, whatever its program makes of it."""

from dataclasses import dataclass

from mesh.observe.metrics import TrafficMetrics
from mesh.runtime.http2_sending import Buffers
from mesh.runtime.relay.reactor import Reactor
from mesh.runtime.settings import Http2
from mesh.runtime.worker.credentials import Credentials
from mesh.runtime.worker.deadlines import Deadlines
from mesh.runtime.worker.trust import Trust
from mesh.wire.http2.flow import WindowBudget


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class WorkerParts:
    """One per worker process; the memory has no second owner. Programs add what is theirs."""

    http2: Http2
    reactor: Reactor
    buffers: Buffers
    scratch: memoryview
    """Where plain-text relays read into; between two handlers nothing is in it."""
    windows: WindowBudget
    credentials: Credentials
    trust: Trust
    """Its `run` and `keep_revocations` are to run as long as tunnels are open."""
    deadlines: Deadlines
    metrics: TrafficMetrics
