"""What the agent answers to the plugin."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Final

import trio

from cni.agent import Agent
from cni.plan import Wanted
from cni.plugin_call import TRY_AGAIN, PluginCall, failure, success
from cni.pods import Phase, Pod, uid_without
from cni.zds_server import NoProxyError, ZdsServer
from mesh.errors import MeshError, UnavailableError
from mesh.runtime.manifests import read_generation
from mesh.runtime.netns import netns_id, open_netns

LISTED_SECONDS: Final = 2.0
"""How long a pod's object may be on its way when the pod starts already."""
NOT_READY: Final = 50

log = logging.getLogger(__name__)


class PodUnlistedError(UnavailableError):
    """A pod starts whose object is not in the manifests: nobody can say whether it is to be in."""

    code = "pod_unlisted"

    def __init__(self, pod: str, folder: Path) -> None:
        """Keep which pod, and where it was looked for."""
        super().__init__(
            f"pod {pod} is not in {folder}: it waits until its object, with this uid, is there"
        )
        self.pod, self.folder = pod, folder


class PodNotEnrolledError(UnavailableError):
    """A pod that is to be in the mesh is not, or not any more."""

    code = "pod_not_enrolled"

    def __init__(self, pod: str) -> None:
        """Keep which pod."""
        super().__init__(f"pod {pod} is to be in the mesh and is not; the agent's log says why")
        self.pod = pod


class Calls:
    """Answers the plugin's calls."""

    def __init__(self, agent: Agent, proxies: ZdsServer, manifests: Path) -> None:
        """Answer for an agent."""
        self._agent, self._proxies, self._manifests = agent, proxies, manifests

    async def answer(self, call: PluginCall) -> bytes:
        """Do what a call asks, and say what the plugin is to print.

        Cancellation: the pod's step is undone.
        """
        try:
            await self._obey(call)
        except MeshError as error:
            code = NOT_READY if call.command == "STATUS" else TRY_AGAIN
            log.warning("%s %s: %s", call.command, call.pod, error, extra={"code": error.code})
            self._agent.status.count_call(call.command, error.code)
            return failure(call.version, code, error)
        self._agent.status.count_call(call.command, "success")
        return success(call)

    async def _obey(self, call: PluginCall) -> None:
        match call.command:
            case "ADD":
                await self._add(call)
            case "DEL":
                await self._delete(call)
            case "CHECK":
                await self._check(call)
            case _:
                if not self._proxies.connected:
                    raise NoProxyError

    async def _add(self, call: PluginCall) -> None:
        wanted = await self._wanted(call)
        pod = _pod(call, wanted)
        async with self._agent.lock(pod.uid):
            known = self._agent.pods.get(pod.uid)
            if known is not None and known.netns_id == pod.netns_id:
                pod = replace(known, container=call.container, netns=call.netns)
            elif known is not None:
                await self._agent.forget(known)  # its sandbox is another one now
            try:
                await self._place(pod, wanted)
            except BaseException:
                if known is None:
                    self._agent.pods.remove(pod.uid)
                raise

    async def _place(self, pod: Pod, wanted: Wanted) -> None:
        if wanted.eligibility.enrol:
            await self._agent.enrolment.enrol(pod, wanted.capture)
            self._agent.status.count_step("enrolled")
        else:
            self._agent.pods.put(pod)
        state = "enrolled" if wanted.eligibility.enrol else "left alone"
        log.info("%s starts, %s: %s", pod.key, state, wanted.eligibility.because)

    async def _wanted(self, call: PluginCall) -> Wanted:
        """What the manifests ask for a pod, once they are as new as the call."""
        with trio.move_on_after(LISTED_SECONDS):
            generation = await trio.to_thread.run_sync(self._generation)
            while True:
                world = self._agent.world
                listed = world.pod(call.namespace, call.name)
                is_meant = listed is not None and call.uid in ("", listed.uid)
                if listed and is_meant and world.snapshot.generation >= generation:
                    return world.wanted(listed)
                await self._agent.wait_changed()
        raise PodUnlistedError(call.pod, self._manifests)

    def _generation(self) -> int:
        try:
            return read_generation(self._manifests)
        except ValueError:
            return 0  # the folder's reader has said so

    async def _delete(self, call: PluginCall) -> None:
        for pod in self._agent.pods:
            if (pod.namespace, pod.name) != (call.namespace, call.name):
                continue
            async with self._agent.lock(pod.uid):
                found = self._agent.pods.get(pod.uid)
                # The end of an earlier sandbox says nothing about the pod's present one.
                if found is not None and found.container == call.container:
                    await self._agent.forget(found)

    async def _check(self, call: PluginCall) -> None:
        wanted = await self._wanted(call)
        if not wanted.eligibility.enrol:
            return
        pod = self._agent.pods.get(wanted.listed.uid or uid_without(call.namespace, call.name))
        if pod is None or pod.phase is not Phase.ENROLLED:
            raise PodNotEnrolledError(call.pod)
        async with self._agent.lock(pod.uid):
            await self._agent.enrolment.attest(pod)


def _pod(call: PluginCall, wanted: Wanted) -> Pod:
    """The pod of a call, outside the mesh.

    Raises:
        NetnsGoneError: its namespace is not there.
    """
    with open(open_netns(Path(call.netns)), "rb") as netns:  # noqa: PTH123 - a descriptor
        identity = netns_id(netns.fileno())
    account = wanted.listed.get("spec", "serviceAccountName")
    return Pod(
        uid=wanted.listed.uid or uid_without(call.namespace, call.name),
        namespace=call.namespace,
        name=call.name,
        account=account if isinstance(account, str) and account else "default",
        container=call.container,
        netns=call.netns,
        netns_id=identity,
    )
