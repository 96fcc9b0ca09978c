"""One worker's feed in a node proxy: beside state and certificates, the pods that it serves."""

import logging
import os
from dataclasses import dataclass

from mesh.runtime.control.link import Link, Wanted
from mesh.runtime.feed_channel import FeedChannel
from mesh.runtime.netns import netns_id
from mesh.wire.feed import AddPod, PodHeld, PodListening, RemovePod
from mesh.wire.feed_codec import Message
from ztunnel.control.pods import HeldPod, Pods

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PodsWanted(Wanted):
    """What every worker is to have. One for all links."""

    pods: Pods


class PodLink(Link):
    """One worker's feed."""

    def __init__(self, index: int, pid: int, channel: FeedChannel, wanted: PodsWanted) -> None:
        """Take over the channel; `run` begins the conversation."""
        super().__init__(index, pid, channel, wanted)
        self.listening: dict[str, str] = {}
        """By uid: empty when the worker listens there, else why it does not."""
        self._pods: dict[str, tuple[int, int]] = {}
        self._wanted_pods = wanted.pods

    def forget_failures(self) -> None:
        """Try again where the worker could not listen."""
        for uid in [uid for uid, error in self.listening.items() if error]:
            del self.listening[uid]
            self._pods.pop(uid, None)

    def _forget_other(self) -> None:
        self._pods.clear()
        self.listening.clear()

    def _hear_other(self, message: Message, descriptor: int | None) -> bool:
        match message:
            case PodListening(uid, error):
                self._heard_of_pod(uid, error)
            case PodHeld(info) if descriptor is not None:
                self._pods[info.uid] = netns_id(descriptor)
                self.listening[info.uid] = ""
                self._wanted_pods.adopt(info, descriptor)
            case _:
                return False
        return True

    def _heard_of_pod(self, uid: str, error: str) -> None:
        self.listening[uid] = error
        if error:
            log.error(
                "pod is not served",
                extra={"code": "listen_failed", "worker": self.index, "pod": uid, "error": error},
            )

    async def _send_other(self) -> None:
        pods = self._wanted_pods
        for uid, netns in list(self._pods.items()):
            held = pods.get(uid)
            moved = held is not None and held.netns_id != netns
            if moved or (held is None and pods.is_settled):
                del self._pods[uid]
                self.listening.pop(uid, None)
                await self._channel.send(RemovePod(uid))
        # A worker without any state would turn the pod's connections away.
        if self.sent_version:
            for pod in pods.held:
                if pod.info.uid not in self._pods and pods.get(pod.info.uid) is pod:
                    await self._send_pod(pod)

    async def _send_pod(self, pod: HeldPod) -> None:
        self._pods[pod.info.uid] = pod.netns_id
        # Whoever removes the pod meanwhile closes the descriptor: send one of our own.
        netns = os.dup(pod.netns)
        try:
            await self._channel.send(AddPod(pod.info), netns)
        finally:
            os.close(netns)
