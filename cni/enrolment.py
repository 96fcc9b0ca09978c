"""The sequence that puts a pod into the mesh, and its reverse.

1. In: record, loopback, proxy, rules, earlier connections counted, annotation. A step that fails
   undoes those before it, in reverse; a new pod does not start then, and a running one stays as it
   was. The proxy comes before the rules, so that no connection of a running pod finds nobody.
2. Out: record, annotation, rules; then the connections that the proxy carries end by themselves;
   then the proxy, and what their answers needed. So nothing is cut in either direction.
3. The record says what is begun, and every step may be repeated: who finds one half done does it
   again.

Every coroutine here is called with the pod's lock held (`agent.py`).
"""

import logging
import os
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Final, TypeVar, TypeVarTuple

import trio

from cni import hands
from cni.annotations import ENABLED, PENDING, Annotations
from cni.pods import Phase, Pod, Pods
from cni.zds_server import Enrolled, ZdsServer
from mesh.errors import MeshError, UnavailableError
from mesh.policy.peer_authentication import Strictness
from mesh.redirection.rules import Capture
from mesh.runtime.netns import NetnsGoneError

THREADS: Final = 4
"""How many pods may be worked on at once: rules are programs that run."""
UNDO_SECONDS: Final = 10.0
LINGER_SECONDS: Final = 2.0
"""How long a freed pod stays served at least: peers that have not heard yet still tunnel to it."""

OutcomeT = TypeVar("OutcomeT")
ArgumentTs = TypeVarTuple("ArgumentTs")
log = logging.getLogger(__name__)


class PodStepFailedError(UnavailableError):
    """The node lacks what a step in a pod needs: descriptors, memory, processes."""

    code = "pod_step_failed"

    def __init__(self, reason: str) -> None:
        """Keep the kernel's reason."""
        super().__init__(f"a step in the pod's namespace: {reason}")
        self.reason = reason


def served(pods: Pods) -> Generator[Enrolled, None, None]:
    """The pods that proxies are to have, each with a descriptor that lives until the next."""
    for listed in pods:
        pod = pods.get(listed.uid)
        if pod is None or not pod.is_served:
            continue
        try:
            netns = pod.open()
        except NetnsGoneError as error:
            log.warning("%s is not served: %s", pod.key, error)
            continue
        try:
            yield Enrolled(pod.info, netns)
        finally:
            os.close(netns)


class Enrolment:
    """Takes single pods into the mesh and out of it."""

    def __init__(self, pods: Pods, proxies: ZdsServer, annotations: Annotations) -> None:
        """Do nothing yet."""
        self._pods, self._proxies, self._annotations = pods, proxies, annotations
        self._threads = trio.CapacityLimiter(THREADS)
        self._freed_at: dict[str, float] = {}

    async def enrol(self, pod: Pod, capture: Capture) -> Pod:
        """Put a pod into the mesh, or see to it that it is there as it ought to be.

        Raises:
            MeshError: why not; the pod is as it was before.

        Cancellation: as if it had failed.
        """
        # A pod that was being freed may have opened connections past the proxy meanwhile.
        earlier = pod.earlier if pod.phase is Phase.ENROLLED else None
        begun = replace(pod, phase=Phase.ENROLLED, capture=capture, earlier=earlier)
        self._freed_at.pop(pod.uid, None)
        try:
            return await self._enrol(self._pods.put(begun))
        except BaseException:
            with trio.move_on_after(UNDO_SECONDS, shield=True):
                await self._undo(pod)
            raise

    async def _enrol(self, pod: Pod) -> Pod:
        await self._in_thread(hands.prepare, pod)
        netns = pod.open()
        try:
            await self._proxies.add(pod.info, netns)
        finally:
            os.close(netns)
        await self._in_thread(hands.capture, pod)
        if pod.earlier is None:
            pod = self._pods.put(replace(pod, earlier=await self._count_earlier(pod)))
        self._annotations.put(pod, ENABLED)
        return pod

    async def _count_earlier(self, pod: Pod) -> dict[str, int]:
        earlier = await self._in_thread(hands.count_earlier, pod)
        if earlier:
            words = "%s: %d connections from before go on outside the mesh"
            log.info(words, pod.key, len(earlier))
        return earlier

    async def _undo(self, before: Pod) -> None:
        if before.phase is Phase.ENROLLED:
            return  # it was in the mesh: better its traffic is stopped than let through
        await self._attempt(self._annotations.remove, before)
        if before.phase is Phase.FREE:
            await self._attempt(hands.clear, before)
            await self._proxies.delete(before.uid)
        else:
            await self._attempt(hands.free, before)
        await self._attempt(self._pods.put, before)

    async def _attempt(self, work: Callable[[Pod], object], pod: Pod) -> None:
        try:
            await self._in_thread(work, pod)
        except NetnsGoneError:
            pass  # whatever was there has gone with it
        except MeshError as error:
            log.warning("%s: undone in part: %s", pod.key, error)

    async def wait_in(self, pod: Pod) -> None:
        """Say that a running pod is to be in the mesh, and is not yet.

        Raises:
            ManifestUnwritableError: as the annotations.

        Cancellation: it may be said or not.
        """
        await self._in_thread(self._annotations.put, pod, PENDING)

    async def attest(self, pod: Pod) -> bool:
        """Look whether an enrolled pod is really captured, and mend what is missing.

        Returns:
            Whether something had to be mended.

        Raises:
            MeshError: it cannot be told, or not be mended: the pod is to be taken for unprotected.

        Cancellation: what was begun is finished first.
        """
        return await self._in_thread(hands.capture, pod)

    async def end_earlier(self, pod: Pod, strict: Strictness) -> tuple[Pod, int]:
        """End the earlier connections that the pod's peers may not have any more.

        Returns:
            The pod with the connections that are left, and how many were ended.

        Raises:
            MeshError: some may be open still.

        Cancellation: what was begun is finished first.
        """
        if not pod.earlier:
            return pod, 0
        left, ended = await self._in_thread(hands.end_earlier, pod, strict)
        return self._pods.put(replace(pod, earlier=left)), ended

    async def release(self, pod: Pod) -> Pod:
        """Take a pod out of the mesh as far as possible now; to be called again until it is free.

        Raises:
            MeshError: some step is still to be done.

        Cancellation: as if it had failed.
        """
        if pod.phase is Phase.FREE:
            self._annotations.remove(pod)
            return pod
        pod = self._pods.move(pod, Phase.RELEASING)
        self._annotations.remove(pod)
        freed_at = self._freed_at.get(pod.uid)
        if freed_at is None:
            await self._in_thread(hands.free, pod)
            self._freed_at[pod.uid] = trio.current_time()
            return pod
        if trio.current_time() < freed_at + LINGER_SECONDS:
            return pod
        if await self._in_thread(hands.count_proxied, pod):
            return pod
        await self._proxies.delete(pod.uid)
        await self._in_thread(hands.clear, pod)
        self._freed_at.pop(pod.uid, None)
        return self._pods.put(replace(pod, phase=Phase.FREE, earlier=None))

    async def forget(self, pod: Pod) -> None:
        """The pod, or its namespace, has gone.

        Raises:
            MeshError: its record, or the annotation, cannot be taken away.

        Cancellation: as if it had failed.
        """
        if pod.is_served:
            await self._proxies.delete(pod.uid)
        self._annotations.remove(pod)
        self._pods.remove(pod.uid)
        self._freed_at.pop(pod.uid, None)

    async def _in_thread(
        self, work: Callable[[*ArgumentTs], OutcomeT], *arguments: *ArgumentTs
    ) -> OutcomeT:
        try:
            return await trio.to_thread.run_sync(work, *arguments, limiter=self._threads)
        except OSError as error:
            raise PodStepFailedError(error.strerror or str(error)) from error
