"""What all pods of a worker share."""

from dataclasses import dataclass

import trio

from mesh.runtime.worker.parts import WorkerParts
from mesh.runtime.worker.resolve import Resolver
from mesh.state.world import World
from ztunnel.config import Config
from ztunnel.worker.connections import Connections


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Context(WorkerParts):
    """One per worker process; the state has no second owner."""

    config: Config
    world: World
    changed: trio.lowlevel.ParkingLot
    """Where to wait for the next change of the state."""
    connections: Connections
    resolver: Resolver
