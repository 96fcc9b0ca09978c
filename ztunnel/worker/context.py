"""What all pods of a worker share."""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from mesh.observe.access_log import ConnectionRecord
from mesh.runtime.http2_transport import Buffers
from mesh.runtime.relay.reactor import Reactor
from mesh.state.world import World
from mesh.wire.http2.flow import WindowBudget
from ztunnel.worker.connections import Connections
from ztunnel.worker.credentials import Credentials


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """One per worker process; the state and the memory have no second owner."""

    reactor: Reactor
    buffers: Buffers
    scratch: memoryview
    windows: WindowBudget
    world: World
    changed: trio.lowlevel.ParkingLot
    """Where to wait for the next change of the state."""
    credentials: Credentials
    connections: Connections
    network: str
    opened: Callable[[ConnectionRecord], None]
    closed: Callable[[ConnectionRecord], None]
    """Writes the access log line and counts."""
