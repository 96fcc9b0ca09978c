"""Which workload a pod is, as the control plane tells it."""

from typing import Final

import trio

from mesh.errors import UnavailableError
from mesh.model.workload import Workload
from mesh.state.world import World
from mesh.wire.feed import PodInfo

WAIT_SECONDS: Final = 5.0


class WorkloadUnknownError(UnavailableError):
    """The control plane has not told us of the pod (yet)."""

    code = "workload_unknown"


class LocalWorkload:
    """Finds the pod's workload in the state, and waits for it while the pod is new."""

    def __init__(self, world: World, changed: trio.lowlevel.ParkingLot, info: PodInfo) -> None:
        """`info` is what the agent says; the state says the rest, and `changed` when it changes."""
        self._world = world
        self._changed = changed
        self._info = info
        self._uid = ""

    def now(self) -> Workload | None:
        """The workload as of this moment; None while (or once) the state has none."""
        workload = self._world.workload(self._uid) if self._uid else None
        if workload is None:
            workload = self._world.pod(
                self._info.namespace, self._info.name, self._info.service_account
            )
            self._uid = workload.uid if workload else ""
        return workload

    async def wait(self) -> Workload:
        """The workload, within WAIT_SECONDS.

        Raises:
            WorkloadUnknownError: the control plane does not know the pod.
        """
        if (workload := self.now()) is not None:
            return workload
        with trio.move_on_after(WAIT_SECONDS):
            while True:
                await self._changed.park()
                if (workload := self.now()) is not None:
                    return workload
        pod = f"{self._info.namespace}/{self._info.name}"
        raise WorkloadUnknownError(
            "failed to fetch information about local workload: "
            f"timed out waiting for workload {pod} from xds"
        )

    def known(self) -> Workload:
        """The workload as of this moment.

        Raises:
            WorkloadUnknownError: the control plane does not know the pod.
        """
        if (workload := self.now()) is None:
            pod = f"{self._info.namespace}/{self._info.name}"
            raise WorkloadUnknownError(f"the control plane does not know pod {pod}")
        return workload
