"""What only a waypoint's admin pages show: its settings."""

from typing import Protocol

import trio

from mesh.model.fields import Json
from mesh.runtime.control.admin import Admin, Sections
from mesh.runtime.control.admin import Shown as ShownByAll
from mesh.runtime.control.link import Link
from mesh.runtime.control.supervisor_link import SupervisorLink
from mesh.runtime.control.workers import Workers
from waypoint.config import Config


class Shown(ShownByAll, Protocol):
    """What the pages show."""

    config: Config
    workers: Workers[Link]


class WaypointAdmin(Admin[Link]):
    """The pages of a waypoint."""

    def __init__(self, shown: Shown, supervisor: SupervisorLink) -> None:
        """Show these parts, as they are when somebody asks."""
        super().__init__("waypoint", shown, shown.workers, supervisor, shown.config.log_levels)
        self._waypoint = shown

    async def _own_sections(self) -> Sections:
        await trio.lowlevel.checkpoint()
        return {"config": config_json(self._waypoint.config, len(self._waypoint.workers.links))}


def config_json(config: Config, workers: int) -> dict[str, Json]:
    """The settings; `workers` is how many run. No secrets."""
    return {
        "gateway": f"{config.pod_namespace}/{config.gateway}",
        "identity": str(config.identity),
        "podName": config.pod_name,
        "network": config.network,
        "localNode": config.node_name or None,
        "clusterId": config.cluster_id,
        "numWorkerThreads": workers,
        "xdsAddress": config.xds.address or None,
        "caAddress": config.ca.address or None,
        "stateDir": config.state_dir or None,
        "windowSize": config.http2.stream_window_octets,
        "connectionWindowSize": config.http2.connection_window_octets,
        "frameSize": config.http2.frame_octets,
        "poolMaxStreamsPerConn": config.pool_max_streams,
        "selfTerminationDeadline": f"{config.drain_s:g}s",
        "ipv6Enabled": config.ipv6_enabled,
        "tracesTo": config.tracing.address if config.tracing else None,
    }
