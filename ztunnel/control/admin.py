"""What only a node proxy's admin pages show: its settings, its pods and their connections."""

import logging
from typing import Final, Protocol

import trio

from mesh.errors import MeshError
from mesh.model.fields import Json
from mesh.runtime.control.admin import Admin, Sections
from mesh.runtime.control.admin import Shown as ShownByAll
from mesh.runtime.control.supervisor_link import SupervisorLink
from mesh.wire.feed_answers import CONNECTIONS, LiveConnection, read_connections
from ztunnel.config import Config
from ztunnel.control.config_json import config_json
from ztunnel.control.pod_link import PodLink
from ztunnel.control.pod_workers import PodWorkers
from ztunnel.control.pods import Pods

ASK_S: Final = 1.0
"""Workers that do not answer within this are left out of a page."""

log = logging.getLogger(__name__)


class Shown(ShownByAll, Protocol):
    """What the pages show."""

    config: Config
    pods: Pods
    workers: PodWorkers


class NodeAdmin(Admin[PodLink]):
    """The pages of a node proxy."""

    def __init__(self, shown: Shown, supervisor: SupervisorLink) -> None:
        """Show these parts, as they are when somebody asks."""
        super().__init__("ztunnel", shown, shown.workers, supervisor, shown.config.log_levels)
        self._node = shown

    async def _own_sections(self) -> Sections:
        return {
            "stagedServices": {},
            "staticConfig": {"workloads": [], "services": [], "policies": []},
            "config": config_json(self._node.config, len(self._node.workers.links)),
            "workloadState": await self._pods_json(),
        }

    def _worker_json(self, link: PodLink) -> dict[str, Json]:
        pods: dict[str, Json] = {uid: error or "listening" for uid, error in link.listening.items()}
        return {**super()._worker_json(link), "pods": pods}

    async def _pods_json(self) -> Json:
        live: dict[str, list[LiveConnection]] = {}
        for body in await self._node.workers.ask(CONNECTIONS, trio.current_time() + ASK_S):
            try:
                for one in read_connections(body):
                    live.setdefault(one.pod, []).append(one)
            except MeshError as error:
                log.warning("an answer is left out", extra={"code": error.code})
        failed = self._node.workers.failed_pods()
        return {
            pod.info.uid: {
                "state": "Pending" if pod.info.uid in failed else "Up",
                "info": {
                    "name": pod.info.name,
                    "namespace": pod.info.namespace,
                    "serviceAccount": pod.info.service_account,
                },
                "connections": _connections_json(live.get(pod.info.uid, [])),
            }
            for pod in self._node.pods.held
        }


def _connections_json(connections: list[LiveConnection]) -> Json:
    shown: dict[str, Json] = {}
    for direction in ("inbound", "outbound"):
        shown[direction] = [
            {
                "src": one.source,
                "originalDst": one.called,
                "actualDst": one.reached,
                "protocol": one.protocol,
            }
            for one in connections
            if one.direction == direction
        ]
    return shown
