"""The worker's root: obeys the feed, owns the state, ends cleanly.

1. The feed is the only way in. When the control process dies, nothing here notices: its successor
   says `hello` on the same channel and is told what is here.
2. State changes are applied at once, then whatever they forbid ends, then `Applied` is answered.
3. Nothing here waits for the control process on a connection's path, except for a first certificate.
"""

import logging
import os
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.observe.metrics import TrafficMetrics
from mesh.runtime.feed_channel import FeedChannel
from mesh.runtime.http2_transport import Buffers
from mesh.runtime.relay.plain import CHUNK_OCTETS
from mesh.runtime.relay.reactor import Reactor
from mesh.state.world import World
from mesh.wire.feed import (
    AddPod,
    Answer,
    Applied,
    Certificate,
    CertificateFailed,
    CertificateWanted,
    Drain,
    Drained,
    ForgetCertificate,
    Hello,
    HelloEnd,
    PodHeld,
    PodListening,
    Query,
    RemovePod,
    SetLogLevel,
    StateDelta,
    ToControl,
    ToWorker,
)
from mesh.wire.http2.flow import WindowBudget
from ztunnel.config import Config
from ztunnel.worker.connections import Connections
from ztunnel.worker.context import Context
from ztunnel.worker.credentials import Credentials
from ztunnel.worker.pod import Pod

WINDOW_CEILING_OCTETS: Final = 256 * 1024 * 1024
"""What all receive windows of a worker may grow by, together."""

TICK_SECONDS: Final = 5.0
DRAIN_POLL_SECONDS: Final = 0.1

log = logging.getLogger(__name__)


class Worker:
    """One worker process."""

    def __init__(self, channel: FeedChannel, config: Config) -> None:
        """Start with an empty state; the control process fills it."""
        self._channel = channel
        self._world = World()
        self._version = 0
        self._credentials = Credentials()
        self._metrics = TrafficMetrics()
        self._pods: dict[str, Pod] = {}
        self._reactor = Reactor(self._bug)
        self._context = Context(
            reactor=self._reactor,
            buffers=Buffers(),
            scratch=memoryview(bytearray(CHUNK_OCTETS)),
            windows=WindowBudget(WINDOW_CEILING_OCTETS),
            world=self._world,
            changed=trio.lowlevel.ParkingLot(),
            credentials=self._credentials,
            connections=Connections(self._world),
            network=config.network,
            metrics=self._metrics,
        )

    async def run(self) -> None:
        """Obey until the feed ends or a drain is done."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reactor.run)
            nursery.start_soon(self._tick)
            nursery.start_soon(self._wish)
            while (packet := await self._channel.receive()) is not None:
                message, descriptor = packet
                if isinstance(message, Drain):
                    await self._drain(message.deadline_s)
                    break
                await self._obey(message, descriptor, nursery)
            nursery.cancel_scope.cancel()

    async def _obey(
        self, message: ToWorker, descriptor: int | None, nursery: trio.Nursery
    ) -> None:
        match message:
            case StateDelta():
                self._apply(message)
                if message.last:
                    await self._say(Applied(message.version))
            case AddPod() if descriptor is not None:
                await self._add(message, descriptor, nursery)
            case RemovePod():
                if (pod := self._pods.pop(message.uid, None)) is not None:
                    pod.stop()
            case Certificate():
                self._credentials.put(message)
            case CertificateFailed():
                self._credentials.fail(message.identity, message.reason)
            case ForgetCertificate():
                self._credentials.forget(message.identity)
            case SetLogLevel():
                logging.getLogger(message.logger or None).setLevel(message.level.upper())
            case Query(topic="hello"):
                await self._introduce()
            case Query():
                await self._answer(message)
            case _:
                log.error("a message that this worker does not obey: %r", message)

    def _apply(self, delta: StateDelta) -> None:
        changes = self._world.apply(delta)
        self._version = delta.version
        for pod in self._pods.values():
            pod.evict(changes.workloads)
        self._context.connections.judge_again()
        self._context.changed.unpark_all()

    async def _add(self, message: AddPod, netns: int, nursery: trio.Nursery) -> None:
        uid = message.pod.uid
        if uid in self._pods:
            os.close(netns)  # told again by a new control process
        else:
            try:
                pod = self._pods[uid] = Pod(self._context, message.pod, netns)
            except (MeshError, OSError) as error:
                await self._say(PodListening(uid, str(error)))
                return
            nursery.start_soon(pod.run)
        await self._say(PodListening(uid))

    async def _introduce(self) -> None:
        await self._say(Hello(os.getpid(), self._version, self._credentials.identities()))
        for pod in list(self._pods.values()):
            await self._channel.send(PodHeld(pod.info), pod.netns)
        await self._say(HelloEnd())

    async def _answer(self, query: Query) -> None:
        body = self._metrics.snapshot() if query.topic == "metrics" else b""
        await self._say(Answer(query.number, last=True, body=body))

    async def _say(self, message: ToControl) -> None:
        await self._channel.send(message)

    async def _wish(self) -> None:
        async for identity in self._credentials.wishes:
            await self._say(CertificateWanted(identity))

    async def _tick(self) -> None:
        while True:
            await trio.sleep(TICK_SECONDS)
            for pod in self._pods.values():
                pod.tick()

    async def _drain(self, seconds: float) -> None:
        for pod in self._pods.values():
            pod.drain()
        with trio.move_on_after(seconds):
            while self._context.connections.open:
                await trio.sleep(DRAIN_POLL_SECONDS)
        await self._say(Drained())

    def _bug(self, bug: BaseException) -> None:
        log.error("a bug in the relay; its connection is dropped", exc_info=bug)
