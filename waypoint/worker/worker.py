"""The worker's root: builds the parts, listens, serves by what the feed says, ends cleanly.

It listens before it greets, and accepts when it has a state to decide by: until then the kernel's
backlog holds who comes.
"""

import logging
import socket
import time
from functools import partial
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.observe.metrics import TrafficMetrics
from mesh.runtime.feed_channel import FeedChannel
from mesh.runtime.http2_sending import Buffers
from mesh.runtime.relay.plain import CHUNK_OCTETS
from mesh.runtime.relay.reactor import Reactor
from mesh.runtime.tls_revocation import Revocations
from mesh.runtime.worker.credentials import Credentials
from mesh.runtime.worker.deadlines import Deadlines
from mesh.runtime.worker.feed_end import FeedEnd
from mesh.runtime.worker.resolve import Resolver
from mesh.runtime.worker.trust import Trust, is_known
from mesh.state.configurations import Configurations
from mesh.state.world import World
from mesh.wire.feed import Query, StateDelta
from mesh.wire.feed_answers import MetricRow
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
        self._make_engine = make_engine
        self._listener = listener
        world = World()
        credentials = Credentials(pqc_only=config.post_quantum_only)
        metrics = TrafficMetrics()
        revocations = Revocations(config.crl_path)
        self._feed = FeedEnd(channel, world, credentials)
        vouch = partial(is_known, world, config.network)
        self._context = Context(
            config=config,
            http2=config.http2,
            reactor=Reactor(self._bug),
            buffers=Buffers(),
            scratch=memoryview(bytearray(CHUNK_OCTETS)),
            windows=WindowBudget(WINDOW_CEILING_OCTETS),
            world=world,
            configurations=Configurations(config.pod_namespace, config.gateway),
            own=OwnWorkload(world, config),
            flows=Flows(),
            credentials=credentials,
            trust=Trust(credentials, revocations, metrics, vouch, time.time),
            deadlines=Deadlines(),
            resolver=Resolver(),
            metrics=metrics,
            spans=None if config.tracing is None else SpanBuffer(),
        )

    async def run(self) -> None:
        """Obey until the feed ends or a drain is done.

        Cancellation: ends every connection.
        """
        context = self._context
        async with trio.open_nursery() as engine:
            engine.start_soon(context.reactor.run)
            # Whatever the reactor moves ends before it does.
            async with trio.open_nursery() as tasks:
                tasks.start_soon(context.trust.run)
                tasks.start_soon(context.trust.keep_revocations)
                serving = Serving(context, self._listener, tasks.start_soon, self._make_engine)
                tasks.start_soon(self._tick, serving)
                if context.spans is not None:
                    tasks.start_soon(_ship, self._feed, context.spans)
                try:
                    await self._feed.obey(_Obedience(context, serving, self._feed))
                finally:
                    serving.close()
                tasks.cancel_scope.cancel()
            engine.cancel_scope.cancel()

    async def _tick(self, serving: Serving) -> None:
        while True:
            await trio.sleep(TICK_SECONDS)
            self._context.deadlines.expire(trio.current_time())
            serving.tick()

    def _bug(self, bug: BaseException) -> None:
        log.error("a bug in the relay; its connection is dropped", exc_info=bug)


class _Obedience:
    """What the feed calls (`mesh.runtime.worker.feed_end.Program`)."""

    def __init__(self, context: Context, serving: Serving, feed: FeedEnd) -> None:
        self._context = context
        self._serving = serving
        self._feed = feed

    async def apply(self, delta: StateDelta) -> None:
        self._serving.configured(self._configure(delta))
        for changes in self._context.world.steps(delta):
            self._serving.changed(changes)
            await trio.lowlevel.checkpoint()  # a large change must not stop everybody's bytes
        if delta.last:
            self._serving.begin()

    def _configure(self, delta: StateDelta) -> frozenset[str]:
        try:
            return self._context.configurations.apply(delta)
        except MeshError as error:
            log.exception("configuration that cannot be read", extra={"code": error.code})
            return frozenset()

    async def obey(self, message: Message, _descriptor: int | None, _tasks: trio.Nursery) -> None:
        await trio.lowlevel.checkpoint()
        log.error("a message that this worker does not obey: %r", message)

    async def introduce(self) -> None:
        await trio.lowlevel.checkpoint()  # it holds nothing that control would have to know

    async def answer(self, query: Query) -> None:
        await trio.lowlevel.checkpoint()
        log.error("nothing is known about %r", query.topic)

    def rows(self) -> list[MetricRow]:
        return self._serving.rows()

    async def drain(self, seconds: float) -> None:
        self._serving.drain()
        with trio.move_on_after(seconds):
            await self._serving.wait_empty()
        if self._context.spans is not None:
            with trio.move_on_after(SHIP_SECONDS):
                await _ship_all(self._feed, self._context.spans)


async def _ship(feed: FeedEnd, spans: SpanBuffer) -> None:
    while True:
        with trio.move_on_after(SHIP_SECONDS):
            await spans.wait_full()
        await _ship_all(feed, spans)


async def _ship_all(feed: FeedEnd, spans: SpanBuffer) -> None:
    while (part := spans.take()) is not None:
        await feed.say(part)
