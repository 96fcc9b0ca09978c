"""The worker's root: obeys the feed, owns the state, listens, ends cleanly.

1. The feed is the only way in. When the control process dies, nothing here notices: its successor
   says `hello` on the same channel and is told what is here.
2. It listens before it greets, and accepts when it has a state to decide by: until then the
   kernel's backlog holds who comes.
3. No connection waits for the control process, except for the first certificate.
"""

import gc
import logging
import os
import socket
import time
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.observe.metrics import TrafficMetrics
from mesh.runtime import logs
from mesh.runtime.feed_channel import FeedChannel, FeedClosedError
from mesh.runtime.http2_sending import Buffers
from mesh.runtime.profile import answer_profile
from mesh.runtime.relay.plain import CHUNK_OCTETS
from mesh.runtime.relay.reactor import Reactor
from mesh.runtime.tls_revocation import Revocations
from mesh.runtime.worker.credentials import Credentials
from mesh.runtime.worker.deadlines import Deadlines
from mesh.runtime.worker.resolve import Resolver
from mesh.runtime.worker.trust import Trust, is_known
from mesh.state.configurations import Configurations
from mesh.state.world import World
from mesh.wire import feed_answers
from mesh.wire.feed import (
    Applied,
    Certificate,
    CertificateFailed,
    CertificateWanted,
    Drain,
    Drained,
    ForgetCertificate,
    Hello,
    HelloEnd,
    Query,
    SetLogLevel,
    StateDelta,
    ToControl,
)
from mesh.wire.feed_codec import Message
from mesh.wire.http2.flow import WindowBudget
from waypoint.config import Config
from waypoint.worker.context import Context
from waypoint.worker.flow import Flows
from waypoint.worker.own import OwnWorkload
from waypoint.worker.serving import MakeEngine, Serving
from waypoint.worker.spans import SpanBuffer

WINDOW_CEILING_OCTETS: Final = 256 * 1024 * 1024
"""What all receive windows of a worker may grow by, together."""

TICK_SECONDS: Final = 1.0
SHIP_SECONDS: Final = 1.0
"""How long spans wait for more of them."""

log = logging.getLogger(__name__)


class Worker:
    """One worker process."""

    def __init__(
        self,
        channel: FeedChannel,
        config: Config,
        listener: socket.socket,
        make_engine: MakeEngine | None = None,
    ) -> None:
        """Start with an empty state; the control process fills it.

        Args:
            channel: The feed.
            config: The settings.
            listener: Of `listen`.
            make_engine: What serves HTTP; without it, all is TCP.
        """
        self._channel = channel
        self._make_engine = make_engine
        self._listener = listener
        self._world = World()
        self._credentials = Credentials(pqc_only=config.post_quantum_only)
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
            configurations=Configurations(config.pod_namespace, config.gateway),
            own=OwnWorkload(self._world, config),
            flows=Flows(),
            credentials=self._credentials,
            trust=Trust(self._credentials, revocations, metrics, vouch, time.time),
            deadlines=Deadlines(),
            resolver=Resolver(),
            metrics=metrics,
            spans=None if config.tracing is None else SpanBuffer(),
        )

    async def run(self) -> None:
        """Obey until the feed ends or a drain is done.

        Cancellation: ends every connection.
        """
        async with trio.open_nursery() as engine:
            engine.start_soon(self._context.reactor.run)
            # Whatever the reactor moves ends before it does.
            async with trio.open_nursery() as tasks:
                tasks.start_soon(self._context.trust.run)
                tasks.start_soon(self._context.trust.keep_revocations)
                tasks.start_soon(self._wish)
                serving = Serving(
                    self._context, self._listener, tasks.start_soon, self._make_engine
                )
                tasks.start_soon(self._tick, serving)
                if self._context.spans is not None:
                    tasks.start_soon(self._ship, self._context.spans)
                try:
                    await self._listen(serving, tasks)
                finally:
                    serving.close()
                tasks.cancel_scope.cancel()
            engine.cancel_scope.cancel()

    async def _listen(self, serving: Serving, tasks: trio.Nursery) -> None:
        while True:
            try:
                packet = await self._channel.receive()
            except MeshError as error:
                log.warning("not a message of ours: %s", error, extra={"code": error.code})
                continue
            if packet is None:
                return
            message, _ = packet
            match message:
                case StateDelta():
                    await self._apply(serving, message)
                case Query() if feed_answers.profile_wanted(message.topic) is not None:
                    tasks.start_soon(self._profile, message)
                case Query():
                    await self._answer(serving, message)
                case Drain(deadline_s=seconds):
                    tasks.start_soon(self._drain, serving, seconds, tasks.cancel_scope)
                case _:
                    self._obey(message)

    def _obey(self, message: Message) -> None:
        match message:
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

    async def _apply(self, serving: Serving, delta: StateDelta) -> None:
        serving.configured(self._configure(delta))
        for changes in self._world.steps(delta):
            serving.changed(changes)
            await trio.lowlevel.checkpoint()  # a large change must not stop everybody's bytes
        if delta.last:
            if delta.reset:
                # It will stay for long, and has no cycles: the collector need not look at it.
                gc.freeze()
            serving.begin()
            await self._say(Applied(delta.version))

    def _configure(self, delta: StateDelta) -> frozenset[str]:
        try:
            return self._context.configurations.apply(delta)
        except MeshError as error:
            log.exception("configuration that cannot be read", extra={"code": error.code})
            return frozenset()

    async def _answer(self, serving: Serving, query: Query) -> None:
        match query.topic:
            case feed_answers.HELLO:
                await self._introduce()
            case feed_answers.METRICS:
                for part in feed_answers.metric_answers(query.number, serving.rows()):
                    await self._say(part)
            case _:
                log.error("nothing is known about %r", query.topic)

    async def _introduce(self) -> None:
        await self._say(Hello(os.getpid(), self._world.version, self._credentials.identities()))
        await self._say(HelloEnd())
        for identity in self._credentials.awaited():
            await self._say(CertificateWanted(identity))

    async def _profile(self, query: Query) -> None:
        for part in await answer_profile(query):
            await self._say(part)

    async def _say(self, message: ToControl) -> None:
        with suppress(FeedClosedError):  # who reads the feed sees its end, and ends us
            await self._channel.send(message)

    async def _wish(self) -> None:
        async for identity in self._credentials.wishes:
            await self._say(CertificateWanted(identity))

    async def _ship(self, spans: SpanBuffer) -> None:
        while True:
            with trio.move_on_after(SHIP_SECONDS):
                await spans.wait_full()
            await self._ship_all(spans)

    async def _ship_all(self, spans: SpanBuffer) -> None:
        while (part := spans.take()) is not None:
            await self._say(part)

    async def _tick(self, serving: Serving) -> None:
        while True:
            await trio.sleep(TICK_SECONDS)
            self._context.deadlines.expire(trio.current_time())
            serving.tick()

    async def _drain(self, serving: Serving, seconds: float, whole: trio.CancelScope) -> None:
        serving.drain()
        with trio.move_on_after(seconds):
            await serving.wait_empty()
        if self._context.spans is not None:
            with trio.move_on_after(SHIP_SECONDS):
                await self._ship_all(self._context.spans)
        await self._say(Drained())
        whole.cancel()

    def _bug(self, bug: BaseException) -> None:
        log.error("a bug in the relay; its connection is dropped", exc_info=bug)
