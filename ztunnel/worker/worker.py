"""The worker's root: builds the parts, and serves the pods that the feed names."""

import logging
import os
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.observe.metrics import TrafficMetrics
from mesh.runtime.feed_channel import FeedChannel
from mesh.runtime.http2_sending import Buffers
from mesh.runtime.netns import netns_id
from mesh.runtime.relay.plain import CHUNK_OCTETS
from mesh.runtime.relay.reactor import Reactor
from mesh.runtime.tls_revocation import Revocations
from mesh.runtime.worker.credentials import Credentials
from mesh.runtime.worker.deadlines import Deadlines
from mesh.runtime.worker.feed_end import FeedEnd
from mesh.runtime.worker.resolve import Resolver
from mesh.runtime.worker.trust import Trust, is_known
from mesh.state.world import World
from mesh.wire import feed_answers
from mesh.wire.feed import AddPod, PodHeld, PodListening, Query, RemovePod, StateDelta
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
    """One worker process; what its feed calls (`mesh.runtime.worker.feed_end.Program`)."""

    def __init__(self, channel: FeedChannel, config: Config) -> None:
        """Start with an empty state; the control process fills it."""
        self._world = World()
        self._pods: dict[str, Pod] = {}
        credentials = Credentials(pqc_only=config.post_quantum_only)
        metrics = TrafficMetrics()
        revocations = Revocations(config.crl_path)
        vouch = partial(is_known, self._world, config.network)
        self._feed = FeedEnd(channel, self._world, credentials)
        self._context = Context(
            config=config,
            http2=config.http2,
            reactor=Reactor(self._bug),
            buffers=Buffers(),
            scratch=memoryview(bytearray(CHUNK_OCTETS)),
            windows=WindowBudget(WINDOW_CEILING_OCTETS),
            world=self._world,
            changed=trio.lowlevel.ParkingLot(),
            credentials=credentials,
            connections=Connections(self._world),
            deadlines=Deadlines(),
            resolver=Resolver(),
            metrics=metrics,
            trust=Trust(credentials, revocations, metrics, vouch, time.time),
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
                nursery.start_soon(self._context.trust.run)
                nursery.start_soon(self._context.trust.keep_revocations)
                await self._feed.obey(self)
                nursery.cancel_scope.cancel()
            engine.cancel_scope.cancel()

    async def _tick(self) -> None:
        while True:
            await trio.sleep(TICK_SECONDS)
            self._context.deadlines.expire(trio.current_time())
            for pod in list(self._pods.values()):
                pod.tick()

    # What the feed says.

    async def apply(self, delta: StateDelta) -> None:
        """The world changes: what moved is not connected to, and what is forbidden ends.

        Cancellation: the worker goes away.
        """
        for changes in self._world.steps(delta):
            if changes.moved:
                for pod in self._pods.values():
                    pod.evict(changes.moved)
            self._context.connections.judge_again(changes)
            self._context.changed.unpark_all()
            await trio.lowlevel.checkpoint()  # a large change must not stop everybody's bytes

    async def obey(self, message: Message, descriptor: int | None, tasks: trio.Nursery) -> None:
        """Pods come and go.

        Cancellation: the worker goes away.
        """
        match message:
            case AddPod() if descriptor is not None:
                await self._add(message, descriptor, tasks)
            case RemovePod():
                if (pod := self._pods.pop(message.uid, None)) is not None:
                    pod.stop()
            case _:
                log.error("a message that this worker does not obey: %r", message)

    async def _add(self, message: AddPod, netns: int, nursery: trio.Nursery) -> None:
        uid = message.pod.uid
        pod = self._pods.get(uid)
        if pod is not None and pod.netns_id == netns_id(netns):
            os.close(netns)  # told again by a new control process
            await self._feed.say(PodListening(uid))
            return
        if pod is not None:  # the same pod in a new sandbox
            pod.stop()
        try:
            serve = partial(serve_pod, self._context, message.pod)
            added: Pod = await nursery.start(serve, netns)
        except (MeshError, OSError) as error:
            self._pods.pop(uid, None)
            await self._feed.say(PodListening(uid, str(error)))
            return
        self._pods[uid] = added
        await self._feed.say(PodListening(uid))

    async def introduce(self) -> None:
        """Each pod, with its namespace.

        Cancellation: the worker goes away.
        """
        for pod in list(self._pods.values()):
            await self._feed.say(PodHeld(pod.info), pod.netns)

    async def answer(self, query: Query) -> None:
        """Which connections are open.

        Cancellation: the worker goes away.
        """
        if query.topic != feed_answers.CONNECTIONS:
            log.error("nothing is known about %r", query.topic)
            return
        for part in feed_answers.connection_answers(query.number, self._connections()):
            await self._feed.say(part)

    def _connections(self) -> Iterator[feed_answers.LiveConnection]:
        for uid, pod in tuple(self._pods.items()):
            for flow in pod.flows:
                yield feed_answers.LiveConnection(uid, *flow.told)

    def rows(self) -> list[feed_answers.MetricRow]:
        """What was counted."""
        return self._context.metrics.rows()

    async def drain(self, seconds: float) -> None:
        """Take nothing new; return when nothing is open, or when the time is over.

        Cancellation: the worker goes away.
        """
        pods = list(self._pods.values())
        for pod in pods:
            pod.drain()
        with trio.move_on_after(seconds):
            for flows in [pod.flows for pod in pods]:
                await flows.wait_empty()

    def _bug(self, bug: BaseException) -> None:
        log.error("a bug in the relay; its connection is dropped", exc_info=bug)
