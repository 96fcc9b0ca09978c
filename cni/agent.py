"""The node agent: follows the manifests, answers the plugin, and sees to it that pods are captured.

1. Each pod has a lock: its steps never run side by side, those of different pods may.
2. What is wanted is read from the manifests anew for each step; a step that fails is tried again,
   later and later, and at once when a proxy connects.
3. A pod that starts waits until it is in the mesh; one that runs is counted while it is not.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import trio

from cni.enrolment import Enrolment
from cni.plan import Step, next_step
from cni.pods import Phase, Pod, Pods
from cni.status import Status
from cni.world import World
from mesh.errors import MeshError
from mesh.runtime.backoff import doubling
from mesh.runtime.bell import Bell
from mesh.runtime.manifests import Snapshot
from mesh.runtime.netns import NetnsGoneError

FIRST_DELAY_S: Final = 0.1
LONGEST_DELAY_S: Final = 5.0
RELEASE_LOOK_S: Final = 1.0
"""How often the connections of a freed pod are counted."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delay:
    """When a pod's failed step is tried again (the loop's clock), and the delays after that."""

    until: float
    later: Iterator[float]


class Agent:
    """Everything that the agent knows."""

    def __init__(self, world: World, pods: Pods, enrolment: Enrolment, status: Status) -> None:
        """Know what an earlier agent left, and nothing of the manifests yet."""
        self.world = world
        self.pods, self.enrolment, self.status = pods, enrolment, status
        self._locks: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)
        self._delays: dict[str, Delay] = {}
        self._waiting: set[str] = set()
        self.unattested: set[str] = set()
        """Enrolled pods of which it could not be told lately whether they are captured."""
        self._changed = Bell()

    def lock(self, uid: str) -> trio.Lock:
        """The lock of a pod."""
        return self._locks[uid]

    def drop_locks(self) -> None:
        """Forget the locks of pods that have gone."""
        known = {pod.uid for pod in self.pods}
        for uid in self._locks.keys() - known:
            if not self._locks[uid].locked():
                del self._locks[uid]

    def wake(self) -> None:
        """Something has changed: look at every pod again, also at those whose steps failed."""
        self._delays.clear()
        self._changed.ring()

    async def wait_changed(self) -> None:
        """Return after the next change.

        Cancellation: nothing is lost.
        """
        await self._changed.wait_past(self._changed.count)

    async def take(self, snapshot: Snapshot) -> None:
        """Go by these manifests from now on.

        Cancellation: it never waits long.
        """
        for problem in set(snapshot.problems) - set(self.world.snapshot.problems):
            log.warning("manifests: %s", problem)
        self.world = replace(self.world, snapshot=snapshot)
        self.wake()
        await trio.lowlevel.checkpoint()

    async def reconcile(self) -> None:
        """Bring every pod to where it is to be, for ever.

        Cancellation: the step that runs is undone.
        """
        while True:
            seen = self._changed.count
            soonest = float("inf")
            if self.world.is_known:
                for pod in self.pods:
                    soonest = min(soonest, await self._reconciled(pod.uid))
                self.show()
            with trio.move_on_at(soonest):
                await self._changed.wait_past(seen)

    async def _reconciled(self, uid: str) -> float:
        """Take a pod's next step; when to look again."""
        delay = self._delays.get(uid)
        if delay is not None and delay.until > trio.current_time():
            return delay.until
        async with self.lock(uid):
            pod = self.pods.get(uid)
            if pod is None:
                return float("inf")
            try:
                left = await self._step(pod)
            except MeshError as error:
                return await self.failed(pod, error)
        self._delays.pop(uid, None)
        is_leaving = left is not None and left.phase is Phase.RELEASING
        return trio.current_time() + RELEASE_LOOK_S if is_leaving else float("inf")

    async def _step(self, pod: Pod) -> Pod | None:
        listed = self.world.pod(pod.namespace, pod.name)
        wanted = None if listed is None else self.world.wanted(listed)
        step = next_step(pod, wanted, is_complete=self.world.is_complete)
        before = pod
        if step is Step.FORGET:
            await self.forget(pod)
            return None
        if step is Step.ENROL and wanted is not None:
            log.info("%s is enrolled: %s", pod.key, wanted.eligibility.because)
            pod = await self.enrolment.enrol(pod, wanted.capture)
        elif step is Step.RELEASE or pod.uid in self._waiting:
            pod = await self.enrolment.release(pod)
        self._waiting.discard(pod.uid)
        if pod.phase is not before.phase:
            log.info("%s is %s", pod.key, pod.phase.value)
            self.status.count_step(pod.phase.value)
        return await self.end_earlier(pod) if pod.phase is Phase.ENROLLED else pod

    async def end_earlier(self, pod: Pod) -> Pod:
        """End the earlier connections that are plain text where that is refused now.

        Raises:
            MeshError: as `Enrolment.end_earlier`; the pod's lock is held.

        Cancellation: as `Enrolment.end_earlier`.
        """
        if not pod.earlier:
            return pod
        strict = self.world.strictness(pod)
        if not strict.is_any:
            return pod
        pod, ended = await self.enrolment.end_earlier(pod, strict)
        if ended:
            words = "%s: %d connections from before are ended: plain text is refused now"
            log.info(words, pod.key, ended)
            self.status.count_step("earlier_ended")
        return pod

    async def failed(self, pod: Pod, error: MeshError) -> float:
        """A step failed: say so, and when to try again; the pod's lock is held.

        Cancellation: it may be said or not.
        """
        if isinstance(error, NetnsGoneError) and pod.is_gone():
            await self.forget(pod)
            return float("inf")
        last = self._delays.get(pod.uid)
        delays = last.later if last else doubling(FIRST_DELAY_S, LONGEST_DELAY_S)
        until = trio.current_time() + next(delays)
        self._delays[pod.uid] = Delay(until, delays)
        log.warning("%s: %s; tried again", pod.key, error, extra={"code": error.code})
        self.status.count_step("failed")
        if pod.phase is Phase.FREE:
            self._waiting.add(pod.uid)
            try:
                await self.enrolment.wait_in(pod)
            except MeshError as unwritten:
                log.warning("%s: %s", pod.key, unwritten)
        return until

    async def forget(self, pod: Pod) -> None:
        """The pod has gone; its lock is held.

        Raises:
            MeshError: as `Enrolment.forget`.

        Cancellation: as `Enrolment.forget`.
        """
        log.info("%s has gone", pod.key)
        self.status.count_step("forgotten")
        self._delays.pop(pod.uid, None)
        self._waiting.discard(pod.uid)
        self.unattested.discard(pod.uid)
        await self.enrolment.forget(pod)

    def show(self) -> None:
        """Set the gauges."""
        phases = [pod.phase for pod in self.pods]
        captured = {
            pod.key
            for pod in self.pods
            if pod.phase is Phase.ENROLLED and pod.uid not in self.unattested
        }
        self.status.show(
            unprotected_pods=len(self.world.running_wanted() - captured),
            enrolled_pods=phases.count(Phase.ENROLLED),
            releasing_pods=phases.count(Phase.RELEASING),
            earlier_connections=sum(len(pod.earlier or ()) for pod in self.pods),
        )
