"""A worker's parts without its process, for tests of what stands on them."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from mesh.observe.metrics import TrafficMetrics
from mesh.runtime.http2_sending import Buffers
from mesh.runtime.relay.plain import CHUNK_OCTETS
from mesh.runtime.relay.reactor import Reactor
from mesh.runtime.tls_revocation import Revocations
from mesh.runtime.worker.credentials import Credentials
from mesh.runtime.worker.deadlines import Deadlines
from mesh.runtime.worker.resolve import Resolver
from mesh.runtime.worker.trust import Trust
from mesh.state.configurations import Configurations
from mesh.state.world import World
from mesh.wire.http2.flow import WindowBudget
from waypoint.config import Config
from waypoint.worker.context import Context
from waypoint.worker.flow import Flows
from waypoint.worker.own import OwnWorkload
from waypoint.worker.upstream import Upstreams

SETTINGS = {
    "GATEWAY_NAME": "edge",
    "POD_NAMESPACE": "shop",
    "POD_NAME": "edge-1",
    "SERVICE_ACCOUNT": "edge",
    "INSTANCE_IP": "127.0.0.1",
}


def raise_again(bug: BaseException) -> None:
    """What a test does with a bug of ours."""
    raise bug


def context(**environ: str) -> Context:
    """The parts of a worker that knows nothing yet."""
    config = Config.from_env({**SETTINGS, **environ})
    world, credentials, metrics = World(), Credentials(), TrafficMetrics()
    return Context(
        config=config,
        http2=config.http2,
        reactor=Reactor(raise_again),
        buffers=Buffers(),
        scratch=memoryview(bytearray(CHUNK_OCTETS)),
        windows=WindowBudget(1024 * 1024),
        world=world,
        configurations=Configurations(config.pod_namespace, config.gateway),
        own=OwnWorkload(world, config),
        flows=Flows(),
        spans=None,
        credentials=credentials,
        trust=Trust(credentials, Revocations(""), metrics, lambda *_: False, time.time),
        deadlines=Deadlines(),
        resolver=Resolver(),
        metrics=metrics,
    )


@asynccontextmanager
async def upstreams(parts: Context) -> AsyncIterator[Upstreams]:
    """The client side, on a reactor that runs."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(parts.reactor.run)
        made = Upstreams(parts, nursery.start_soon)
        yield made
        made.close()
        nursery.cancel_scope.cancel()
