"""The pod that this node proxy itself runs in: its metrics are served there by HBONE.

Once the control plane tells of that pod, a worker listens on 15008 of our own namespace, with the
certificate of our own account, and lets peers that the policies allow reach the metrics port, and
nothing else.
"""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mesh.model.workload import Workload
from mesh.wire.feed import PodInfo, StateDelta
from ztunnel.config import Config, Mode
from ztunnel.control.pods import OWN_UID, Pods

OWN_NETNS: Final = Path("/proc/self/ns/net")

log = logging.getLogger(__name__)


class OwnPod:
    """Adds our pod to those that are served as long as the state has it."""

    def __init__(self, config: Config, pods: Pods) -> None:
        """Wait for it, if the settings say which it is (a shared proxy's POD_NAME and so on)."""
        self._pods = pods
        self._uid = ""
        self._port = config.ports.stats
        self._name, self._namespace = config.pod_name, config.pod_namespace
        self._account = config.service_account
        self._is_wanted = config.mode is Mode.SHARED and all(
            (self._name, self._namespace, self._account, self._port)
        )

    def apply(self, delta: StateDelta) -> None:
        """The state has changed."""
        if self._uid in delta.removed_addresses:
            self._uid = ""
            self._pods.remove(OWN_UID)
        self.look_at(delta.workloads)

    def look_at(self, workloads: Iterable[Workload]) -> None:
        """These are new, or have changed."""
        if not self._is_wanted or self._uid:
            return
        for workload in workloads:
            if self._is_ours(workload):
                self._uid = workload.uid
                self._serve()
                return

    def _is_ours(self, workload: Workload) -> bool:
        return (
            workload.name == self._name
            and workload.namespace == self._namespace
            and workload.service_account == self._account
        )

    def _serve(self) -> None:
        info = PodInfo(OWN_UID, self._name, self._namespace, self._account, only_port=self._port)
        self._pods.add(info, os.open(OWN_NETNS, os.O_RDONLY | os.O_CLOEXEC))
        log.info("own metrics are served in the mesh", extra={"port": self._port})
