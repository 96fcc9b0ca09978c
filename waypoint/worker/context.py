"""What every connection of a worker uses."""

from dataclasses import dataclass

from mesh.runtime.worker.parts import WorkerParts
from mesh.runtime.worker.resolve import Resolver
from mesh.state.configurations import Configurations
from mesh.state.world import World
from waypoint.config import Config
from waypoint.worker.flow import Flows
from waypoint.worker.own import OwnWorkload
from waypoint.worker.spans import SpanBuffer


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Context(WorkerParts):
    """One per worker process; the state has no second owner."""

    config: Config
    world: World
    configurations: Configurations
    own: OwnWorkload
    flows: Flows
    """Connections that are passed through as they are."""
    resolver: Resolver
    spans: SpanBuffer | None = None
    """None: nothing is traced."""
