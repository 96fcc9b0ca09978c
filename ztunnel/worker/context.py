"""What all pods of a worker share."""

from dataclasses import dataclass

import trio

from mesh.observe.metrics import TrafficMetrics
from mesh.runtime.http2_sending import Buffers
from mesh.runtime.relay.reactor import Reactor
from mesh.state.world import World
from mesh.wire.http2.flow import WindowBudget
from ztunnel.config import Config
from ztunnel.worker.connections import Connections
from ztunnel.worker.credentials import Credentials
from ztunnel.worker.deadlines import Deadlines
from ztunnel.worker.resolve import Resolver


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """One per worker process; the state and the memory have no second owner."""

    config: Config
    reactor: Reactor
    buffers: Buffers
    scratch: memoryview
    """Where plain-text relays read into; between two handlers nothing is in it."""
    windows: WindowBudget
    world: World
    changed: trio.lowlevel.ParkingLot
    """Where to wait for the next change of the state."""
    credentials: Credentials
    connections: Connections
    deadlines: Deadlines
    resolver: Resolver
    metrics: TrafficMetrics
