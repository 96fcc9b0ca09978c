"""Tunnels that connections share: one dialler per key, shared failure, limits, eviction, idle."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from mesh.errors import MeshError, UnavailableError
from mesh.model.address import SocketAddress, parse_ip
from mesh.runtime.http2_transport import Tunnel
from mesh.runtime.pool import (
    DestinationChangedError,
    Limits,
    Pool,
    PoolClosedError,
    PoolKey,
)
from mesh.runtime.relay.reactor import Reactor
from mesh.runtime.relay.stream import WaitingStream
from mesh.wire.http2 import frames
from tests.mesh.runtime.tunnels import (
    CONNECT,
    IDENTITY,
    Ends,
    make_ends,
    running_reactor,
    until_closed,
)

SECONDS = 10.0


def key(workload: str = "pod-1", port: int = 15008) -> PoolKey:
    return PoolKey(SocketAddress(parse_ip("10.0.0.1"), port), workload, frozenset({IDENTITY}))


@dataclass
class Dialler:
    """Makes real tunnels when it is let, and counts."""

    reactor: Reactor
    now: float = 1000.0
    dialled: list[PoolKey] = field(default_factory=list)
    ends: list[Ends] = field(default_factory=list)
    held: trio.Event = field(default_factory=trio.Event)
    failure: MeshError | None = None

    def __post_init__(self) -> None:
        self.held.set()
        self.pool = Pool(self.dial, Limits(streams=3, idle_s=300), self.clock)

    def clock(self) -> float:
        return self.now

    async def dial(self, wanted: PoolKey) -> Tunnel:
        self.dialled.append(wanted)
        await self.held.wait()
        if self.failure is not None:
            raise self.failure
        ends = await make_ends(self.reactor, self.pool.forget)
        self.ends.append(ends)
        return ends.client


@pytest.fixture
async def dialler() -> AsyncIterator[Dialler]:
    with trio.fail_after(SECONDS):
        async with running_reactor() as reactor:
            made = Dialler(reactor)
            yield made
            made.pool.close()
            for ends in made.ends:
                await until_closed(ends.client, ends.server)


def use(tunnel: Tunnel) -> WaitingStream:
    """Open a stream."""
    handle = WaitingStream()
    tunnel.open(CONNECT, handle)
    return handle


async def test_who_comes_at_once_shares_one_tunnel(dialler: Dialler) -> None:
    dialler.held = trio.Event()
    got: list[Tunnel] = []

    async def want() -> None:
        tunnel = await dialler.pool.tunnel(key())
        use(tunnel)
        got.append(tunnel)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(want)
        await trio.testing.wait_all_tasks_blocked(0.005)
        dialler.held.set()
    assert dialler.dialled == [key()]
    assert len(set(got)) == 1


async def test_a_failure_is_shared_and_the_next_caller_tries_again(dialler: Dialler) -> None:
    dialler.held = trio.Event()
    dialler.failure = UnavailableError("nobody there")
    failures: list[MeshError] = []

    async def want() -> None:
        try:
            await dialler.pool.tunnel(key())
        except UnavailableError as error:
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(want)
        await trio.testing.wait_all_tasks_blocked(0.005)
        dialler.held.set()
    assert len(failures) == 3
    assert len(dialler.dialled) == 1
    dialler.failure = None
    assert not (await dialler.pool.tunnel(key())).closed


async def test_when_the_dialler_is_cancelled_the_next_one_dials(dialler: Dialler) -> None:
    dialler.held = trio.Event()
    got: list[Tunnel] = []

    async def want() -> None:
        got.append(await dialler.pool.tunnel(key()))

    with trio.CancelScope() as first:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(want)
            await trio.testing.wait_all_tasks_blocked(0.005)
            async with trio.open_nursery() as others:
                with trio.CancelScope(shield=True):
                    first.cancel()
                    dialler.held.set()
                    await want()
                others.cancel_scope.cancel()
    assert len(got) == 1
    assert len(dialler.dialled) == 2


async def test_keys_that_differ_share_nothing(dialler: Dialler) -> None:
    found = {await dialler.pool.tunnel(one) for one in (key(), key("pod-2"), key(port=15009))}
    assert len(found) == 3
    assert dialler.pool.ready(key("pod-3")) is None


async def test_a_full_tunnel_comes_back_when_a_stream_ends(dialler: Dialler) -> None:
    pool = dialler.pool
    first = await pool.tunnel(key())
    handles = [use(first) for _ in range(3)]
    assert pool.ready(key()) is None
    second = await pool.tunnel(key())
    assert second is not first
    first.abandon(first._handles._streams[handles[0]], handles[0])
    assert pool.ready(key()) is first


async def test_the_peers_own_limit_counts_too(dialler: Dialler) -> None:
    pool = dialler.pool
    tunnel = await pool.tunnel(key())
    await trio.testing.wait_all_tasks_blocked(0.005)
    tunnel._http2.receive(frames.settings({3: 1}))
    use(tunnel)
    assert pool.ready(key()) is None


async def test_a_tunnel_that_the_peer_drains_is_not_given_out_again(dialler: Dialler) -> None:
    tunnel = await dialler.pool.tunnel(key())
    handle = use(tunnel)
    dialler.ends[0].server.drain()
    while not tunnel.closing:
        await trio.lowlevel.checkpoint()
    assert dialler.pool.ready(key()) is None
    assert await dialler.pool.tunnel(key()) is not tunnel
    assert not handle.gone


async def test_a_tunnel_that_breaks_is_forgotten(dialler: Dialler) -> None:
    tunnel = await dialler.pool.tunnel(key())
    use(tunnel)
    dialler.ends[0].server.close()
    await until_closed(tunnel)
    assert dialler.pool.ready(key()) is None


async def test_evicted_tunnels_take_no_new_stream_and_keep_their_own(dialler: Dialler) -> None:
    pool = dialler.pool
    tunnel = await pool.tunnel(key())
    other = await pool.tunnel(key("pod-2"))
    handle = use(tunnel)
    pool.evict({"pod-1", "pod-2"}, lambda found: found.workload == "pod-2")
    assert pool.ready(key()) is None
    assert pool.ready(key("pod-2")) is other
    assert not tunnel.closed
    assert not handle.gone
    tunnel.abandon(tunnel._handles._streams[handle], handle)
    assert tunnel.closed


async def test_an_evicted_tunnel_is_still_kept_alive(dialler: Dialler) -> None:
    tunnel = await dialler.pool.tunnel(key())
    use(tunnel)
    dialler.pool.evict({"pod-1"}, lambda _key: False)
    dialler.pool.tick()
    assert tunnel._pulse._keepalive is not None


async def test_a_tunnel_in_the_making_that_is_evicted_is_given_to_nobody(dialler: Dialler) -> None:
    dialler.held = trio.Event()
    failures: list[MeshError] = []

    async def want() -> None:
        try:
            await dialler.pool.tunnel(key())
        except DestinationChangedError as error:
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(want)
        await trio.testing.wait_all_tasks_blocked(0.005)
        dialler.pool.evict({"pod-1"}, lambda _key: False)
        dialler.held.set()
    assert len(failures) == 2
    assert dialler.ends[0].client.closed


async def test_what_nobody_used_for_long_is_closed(dialler: Dialler) -> None:
    pool = dialler.pool
    idle = await pool.tunnel(key())
    busy = await pool.tunnel(key("pod-2"))
    use(busy)
    dialler.now += 200
    recent = await pool.tunnel(key("pod-3"))
    dialler.now += 101
    pool.sweep()
    assert [tunnel.closed for tunnel in (idle, busy, recent)] == [True, False, False]
    assert pool.ready(key()) is None


async def test_a_closed_pool_has_no_tunnels_and_makes_none(dialler: Dialler) -> None:
    tunnel = await dialler.pool.tunnel(key())
    handle = use(tunnel)
    dialler.held = trio.Event()
    failures: list[MeshError] = []

    async def want() -> None:
        try:
            await dialler.pool.tunnel(key("pod-2"))
        except PoolClosedError as error:
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(want)
        await trio.testing.wait_all_tasks_blocked(0.005)
        dialler.pool.close()
        assert handle.gone
        assert tunnel.closed
        dialler.held.set()
    assert len(failures) == 2
    assert dialler.ends[1].client.closed, "it was made too late"
    with pytest.raises(PoolClosedError):
        await dialler.pool.tunnel(key())
