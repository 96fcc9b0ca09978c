"""What the control process knows of one worker, and the conversation with it.

A link brings its worker towards what is wanted, again and again: it compares, sends what is
missing, and waits for the next change. So a worker that begins, one that stayed behind, and one
that a predecessor of ours has fed are the same case.
"""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.model.identity import Identity
from mesh.runtime.bell import Bell
from mesh.runtime.feed_channel import FeedChannel, FeedClosedError
from mesh.runtime.netns import netns_id
from mesh.wire.feed import (
    AddPod,
    Answer,
    Applied,
    Certificate,
    CertificateWanted,
    Drained,
    ForgetCertificate,
    Hello,
    HelloEnd,
    PodHeld,
    PodListening,
    Query,
    RemovePod,
)
from mesh.wire.feed_codec import Message
from ztunnel.control.pods import HeldPod, Pods
from ztunnel.control.store import Store

HELLO: Final = Query(0, "hello")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What every worker is to have. One for all links."""

    store: Store
    pods: Pods
    certificates: Mapping[Identity, Certificate]
    is_needed: Callable[[Identity], bool]
    """Whether a local workload has this identity."""
    may_replace: Callable[[], bool]
    """Whether our state is at least as new as one that a predecessor of ours gave to a worker."""
    on_certificate_wanted: Callable[[Identity], None]
    on_answer: Callable[["Link", Answer], None]
    bell: Bell


class Link:
    """One worker's feed."""

    def __init__(self, index: int, pid: int, channel: FeedChannel, wanted: Wanted) -> None:
        """Take over the channel; `run` begins the conversation."""
        self.index, self.pid = index, pid
        self.is_greeted = False
        self.is_draining = False
        self.applied = 0
        self.listening: dict[str, str] = {}
        """By uid: empty when the worker listens there, else why it does not."""
        self._sent_version = 0
        self._pods: dict[str, tuple[int, int]] = {}
        self._certificates: dict[Identity, Certificate | None] = {}
        self._channel = channel
        self._wanted = wanted

    @property
    def is_up_to_date(self) -> bool:
        """Whether the worker decides by the newest state."""
        return self.applied == self._wanted.store.version

    async def run(self) -> None:
        """Converse until the worker has gone or the link is cancelled.

        Cancellation: closes the channel; the worker does not notice.
        """
        try:
            await self._channel.send(HELLO)
            async with trio.open_nursery() as talking:
                talking.start_soon(self._keep_up)
                await self._listen()
                talking.cancel_scope.cancel()
        finally:
            self._channel.close()

    async def say(self, message: Message) -> None:
        """Send something that needs no keeping up with.

        Raises:
            FeedClosedError: the worker has gone.

        Cancellation: the message was sent whole or not at all.
        """
        try:
            await self._channel.send(message)
        except (OSError, trio.ClosedResourceError):  # the link was closed meanwhile
            raise FeedClosedError from None

    def forget_failures(self) -> None:
        """Try again where the worker could not listen."""
        for uid in [uid for uid, error in self.listening.items() if error]:
            del self.listening[uid]
            self._pods.pop(uid, None)

    # Listening.

    async def _listen(self) -> None:
        while True:
            try:
                packet = await self._channel.receive()
            except MeshError as error:
                log.warning(
                    "not a message of a worker",
                    extra={"code": error.code, "worker": self.index, "error": str(error)},
                )
                continue
            if packet is None:
                return
            message, descriptor = packet
            self._heard(message, descriptor)
            self._wanted.bell.ring()

    def _heard(self, message: Message, descriptor: int | None) -> None:
        match message:
            case Applied(version):
                self.applied = version if self.is_greeted else self.applied
            case CertificateWanted(identity):
                self._wanted.on_certificate_wanted(identity)
            case Answer():
                self._wanted.on_answer(self, message)
            case PodListening(uid, error):
                self._heard_of_pod(uid, error)
            case Hello():
                self._begin(message)
            case PodHeld(info) if descriptor is not None:
                self._pods[info.uid] = netns_id(descriptor)
                self.listening[info.uid] = ""
                self._wanted.pods.adopt(info, descriptor)
            case HelloEnd():
                self.is_greeted = True
                log.info("worker is here", extra={"worker": self.index, "pid": self.pid})
            case Drained():
                log.info("worker has drained", extra={"worker": self.index})
            case _:
                log.warning("an unexpected message", extra={"worker": self.index})

    def _begin(self, hello: Hello) -> None:
        self._sent_version = self.applied = hello.state_version
        self._certificates = dict.fromkeys(hello.identities)
        self._pods.clear()
        self.listening.clear()

    def _heard_of_pod(self, uid: str, error: str) -> None:
        self.listening[uid] = error
        if error:
            log.error(
                "pod is not served",
                extra={"code": "listen_failed", "worker": self.index, "pod": uid, "error": error},
            )

    # Keeping up.

    async def _keep_up(self) -> None:
        while not self.is_draining:
            seen = self._wanted.bell.count
            if self.is_greeted:
                await self._send_state()
                await self._send_certificates()
                await self._send_pods()
            await self._wanted.bell.wait_past(seen)

    async def _send_state(self) -> None:
        store = self._wanted.store
        if store.is_empty or self._sent_version == store.version:
            return
        steps = store.steps_from(self._sent_version)
        if steps is not None:
            for step in steps:
                for packet in step.packets:
                    await self._channel.send_packet(packet)
                self._sent_version = step.after
        elif self._sent_version == 0 or self._wanted.may_replace():
            everything = store.everything()
            for packets in everything.packets():
                for packet in packets:
                    await self._channel.send_packet(packet)
            self._sent_version = everything.version

    async def _send_certificates(self) -> None:
        for identity, certificate in list(self._wanted.certificates.items()):
            if self._certificates.get(identity) is not certificate:
                self._certificates[identity] = certificate
                await self._channel.send(certificate)
        for identity in [one for one in self._certificates if not self._wanted.is_needed(one)]:
            del self._certificates[identity]
            await self._channel.send(ForgetCertificate(identity))

    async def _send_pods(self) -> None:
        pods = self._wanted.pods
        for uid, netns in list(self._pods.items()):
            held = pods.get(uid)
            moved = held is not None and held.netns_id != netns
            if moved or (held is None and pods.is_settled):
                del self._pods[uid]
                self.listening.pop(uid, None)
                await self._channel.send(RemovePod(uid))
        # A worker without any state would turn the pod's connections away.
        if self._sent_version:
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
