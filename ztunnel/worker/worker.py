"""The worker's root: obeys the feed, owns the state, ends cleanly.

1. The feed is the only way in. When the control process dies, nothing here notices: its successor
   says `hello` on the same channel and is told what is here.
2. State changes are applied at once, then whatever they forbid ends, then `Applied` is answered.
3. No connection waits for the control process, except for a first certificate.
"""

import gc
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.observe.metrics import TrafficMetrics
from mesh.runtime import logs
from mesh.runtime.feed_channel import FeedChannel, FeedClosedError
from mesh.runtime.http2_sending import Buffers
from mesh.runtime.netns import netns_id
from mesh.runtime.profile import answer_profile
from mesh.runtime.relay.plain import CHUNK_OCTETS
from mesh.runtime.relay.reactor import Reactor
from mesh.runtime.tls_revocation import Revocations
from mesh.runtime.worker.credentials import Credentials
from mesh.runtime.worker.deadlines import Deadlines
from mesh.runtime.worker.resolve import Resolver
from mesh.runtime.worker.trust import Trust, is_known
from mesh.state.world import World
from mesh.wire import feed_answers
from mesh.wire.feed import (
    AddPod,
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
)
from mesh.wire.feed_codec import Message
from mesh.wire.http2.flow import WindowBudget
from ztunnel.config import Config
from ztunnel.worker.connections import Connections
from ztunnel.worker.context import Context
from ztunnel.worker.pod import Pod, serve_pod

WINDOW_CEILING_OCTETS: Final = 256 * 1024 * 1024
"""What all receive windows of a worker may grow by, together."""

TICK_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class Worker:
    """One worker process."""

    def __init__(self, channel: FeedChannel, config: Config) -> None:
        """Start with an empty state; the control process fills it."""
        self._channel = channel
        self._world = World()
        self._credentials = Credentials(pqc_only=config.post_quantum_only)
        self._pods: dict[str, Pod] = {}
        metrics = TrafficMetrics()
        revocations = Revocations(config.crl_path)
        vouch = partial(is_known, self._world, config.network)
        self._context = Context(
            config=config,
            http2=config.http2,
            reactor=Reactor(self._bug),
            buffers=Buffers(),
            scratch=memoryview(bytearray(CHUNK_OCTETS)),
            windows=WindowBudget(WINDOW_CEILING_OCTETS),
            world=self._world,
            changed=trio.lowlevel.ParkingLot(),
            credentials=self._credentials,
            connections=Connections(self._world),
            deadlines=Deadlines(),
            resolver=Resolver(),
            metrics=metrics,
            trust=Trust(self._credentials, revocations, metrics, vouch, time.time),
        )

    async def run(self) -> None:
        """Obey until the feed ends or a drain is done.

        Cancellation: ends every connection.
        """
        async with trio.open_nursery() as engine:
            engine.start_soon(self._context.reactor.run)
            # Whatever the reactor moves ends before it does.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tick)
                nursery.start_soon(self._wish)
                nursery.start_soon(self._context.trust.run)
                nursery.start_soon(self._context.trust.keep_revocations)
                await self._listen(nursery)
                nursery.cancel_scope.cancel()
            engine.cancel_scope.cancel()

    async def _listen(self, nursery: trio.Nursery) -> None:
        while True:
            try:
                packet = await self._channel.receive()
            except MeshError as error:
                log.warning("not a message of ours: %s", error, extra={"code": error.code})
                continue
            if packet is None:
                return
            message, descriptor = packet
            match message:
                case StateDelta():
                    await self._apply(message)
                case AddPod() if descriptor is not None:
                    await self._add(message, descriptor, nursery)
                case Query() if feed_answers.profile_wanted(message.topic) is not None:
                    nursery.start_soon(self._profile, message)
                case Query():
                    await self._answer(message)
                case Drain():
                    nursery.start_soon(self._drain, message.deadline_s, nursery.cancel_scope)
                case _:
                    self._obey(message)

    def _obey(self, message: Message) -> None:
        match message:
            case RemovePod():
                if (pod := self._pods.pop(message.uid, None)) is not None:
                    pod.stop()
            case Certificate():
                self._credentials.put(message)
            case CertificateFailed():
                self._credentials.fail(message.identity, message.reason)
            case ForgetCertificate():
                self._credentials.forget(message.identity)
            case SetLogLevel(logger=scope, level=level):
                logs.set_levels(f"{scope}={level}" if scope else level)
            case _:
                log.error("a message that this worker does not obey: %r", message)

    async def _apply(self, delta: StateDelta) -> None:
        for changes in self._world.steps(delta):
            if changes.moved:
                for pod in self._pods.values():
                    pod.evict(changes.moved)
            self._context.connections.judge_again(changes)
            self._context.changed.unpark_all()
            await trio.lowlevel.checkpoint()  # a large change must not stop everybody's bytes
        if delta.last:
            if delta.reset:
                # It will stay for long, and has no cycles: the collector need not look at it.
                gc.freeze()
            await self._say(Applied(delta.version))

    async def _add(self, message: AddPod, netns: int, nursery: trio.Nursery) -> None:
        uid = message.pod.uid
        pod = self._pods.get(uid)
        if pod is not None and pod.netns_id == netns_id(netns):
            os.close(netns)  # told again by a new control process
            await self._say(PodListening(uid))
            return
        if pod is not None:  # the same pod in a new sandbox
            pod.stop()
        try:
            serve = partial(serve_pod, self._context, message.pod)
            added: Pod = await nursery.start(serve, netns)
        except (MeshError, OSError) as error:
            self._pods.pop(uid, None)
            await self._say(PodListening(uid, str(error)))
            return
        self._pods[uid] = added
        await self._say(PodListening(uid))

    async def _introduce(self) -> None:
        await self._say(Hello(os.getpid(), self._world.version, self._credentials.identities()))
        for pod in list(self._pods.values()):
            await self._say(PodHeld(pod.info), pod.netns)
        await self._say(HelloEnd())
        for identity in self._credentials.awaited():
            await self._say(CertificateWanted(identity))

    async def _answer(self, query: Query) -> None:
        match query.topic:
            case feed_answers.HELLO:
                await self._introduce()
            case feed_answers.METRICS:
                rows = self._context.metrics.rows()
                for part in feed_answers.metric_answers(query.number, rows):
                    await self._say(part)
            case feed_answers.CONNECTIONS:
                for part in feed_answers.connection_answers(query.number, self._connections()):
                    await self._say(part)
            case _:
                log.error("nothing is known about %r", query.topic)

    async def _profile(self, query: Query) -> None:
        for part in await answer_profile(query):
            await self._say(part)

    def _connections(self) -> Iterator[feed_answers.LiveConnection]:
        for uid, pod in tuple(self._pods.items()):
            for flow in pod.flows:
                yield feed_answers.LiveConnection(uid, *flow.told)

    async def _say(self, message: ToControl, descriptor: int | None = None) -> None:
        with suppress(FeedClosedError):  # who reads the feed sees its end, and ends us
            await self._channel.send(message, descriptor)

    async def _wish(self) -> None:
        async for identity in self._credentials.wishes:
            await self._say(CertificateWanted(identity))

    async def _tick(self) -> None:
        while True:
            await trio.sleep(TICK_SECONDS)
            self._context.deadlines.expire(trio.current_time())
            for pod in list(self._pods.values()):
                pod.tick()

    async def _drain(self, seconds: float, whole: trio.CancelScope) -> None:
        pods = list(self._pods.values())
        for pod in pods:
            pod.drain()
        with trio.move_on_after(seconds):
            for flows in [pod.flows for pod in pods]:
                await flows.wait_empty()
        await self._say(Drained())
        whole.cancel()

    def _bug(self, bug: BaseException) -> None:
        log.error("a bug in the relay; its connection is dropped", exc_info=bug)
