"""The pool's own rules; that it carries real connections is tested with the worker."""

from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from mesh.errors import MeshError, UnavailableError
from mesh.model.address import SocketAddress
from mesh.model.identity import Identity
from mesh.runtime.pool import DestinationChangedError, Limits, Pool, PoolClosedError, PoolKey

SHOP = PoolKey(
    SocketAddress.parse("10.0.0.1:15008"), "shop", frozenset({Identity("m", "town", "shop")})
)
FARM = PoolKey(
    SocketAddress.parse("10.0.0.2:15008"), "farm", frozenset({Identity("m", "town", "farm")})
)


class RefusedError(UnavailableError):
    code = "test_refused"


@dataclass(eq=False)
class FakeTunnel:
    """What a pool asks of a tunnel, and nothing else."""

    streams: int = 0
    room: int = 1000
    closed: bool = False
    ticks: int = 0

    def drain(self) -> None:
        self.room = 0

    def close(self) -> None:
        self.closed = True

    def tick(self, now: float) -> None:
        del now
        self.ticks += 1


@dataclass
class Place:
    dialled: list[FakeTunnel] = field(default_factory=list)
    gate: trio.Event = field(default_factory=trio.Event)
    error: MeshError | None = None
    now: float = 0.0

    def __post_init__(self) -> None:
        self.gate.set()
        self.pool = Pool(self.dial, Limits(streams=2, idle_s=10.0), lambda: self.now)  # type: ignore[arg-type]

    async def dial(self, _key: PoolKey) -> FakeTunnel:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.dialled.append(FakeTunnel())
        return self.dialled[-1]

    async def use(self, key: PoolKey = SHOP) -> FakeTunnel:
        tunnel = await self.pool.tunnel(key)
        tunnel.streams += 1  # type: ignore[misc]
        return tunnel  # type: ignore[return-value]


async def test_connections_share_a_tunnel_up_to_its_limit_and_it_comes_back() -> None:
    place = Place()
    first = await place.use()
    assert await place.use() is first
    second = await place.use()
    assert second is not first
    first.streams = 0
    assert place.pool.ready(SHOP) is first
    assert place.pool.ready(FARM) is None


async def test_one_dials_and_the_others_wait(nursery: trio.Nursery) -> None:
    place = Place(gate=trio.Event())
    place.gate = trio.Event()
    got: list[FakeTunnel] = []

    async def one() -> None:
        got.append(await place.use())

    for _ in range(2):
        nursery.start_soon(one)
    await trio.testing.wait_all_tasks_blocked()
    place.gate.set()
    await trio.testing.wait_all_tasks_blocked()
    assert len(place.dialled) == 1
    assert got == place.dialled * 2


async def test_a_failure_is_shared_by_all_who_waited_and_not_remembered(
    nursery: trio.Nursery,
) -> None:
    place = Place(error=RefusedError("no"))
    place.gate = trio.Event()
    failures: list[MeshError] = []

    async def one() -> None:
        try:
            await place.use()
        except MeshError as error:
            failures.append(error)

    for _ in range(3):
        nursery.start_soon(one)
    await trio.testing.wait_all_tasks_blocked()
    place.gate.set()
    await trio.testing.wait_all_tasks_blocked()
    assert failures == [place.error] * 3
    place.error = None
    await place.use()


async def test_a_cancelled_dial_leaves_the_next_one_free(nursery: trio.Nursery) -> None:
    place = Place()
    place.gate = trio.Event()
    with trio.move_on_after(0):
        await place.use()
    nursery.start_soon(place.use)
    await trio.testing.wait_all_tasks_blocked()
    place.gate.set()
    await trio.testing.wait_all_tasks_blocked()
    assert len(place.dialled) == 1


async def test_a_changed_workload_gets_no_new_stream_and_keeps_its_old_ones() -> None:
    place = Place()
    shop, farm = await place.use(SHOP), await place.use(FARM)
    place.pool.evict({"shop"}, lambda _key: True)
    assert place.pool.ready(SHOP) is shop
    place.pool.evict({"shop"}, lambda _key: False)
    assert place.pool.ready(SHOP) is None
    assert place.pool.ready(FARM) is farm
    assert not shop.closed
    place.pool.tick()
    assert (shop.ticks, farm.ticks) == (1, 1)
    place.pool.forget(shop)  # type: ignore[arg-type]
    place.pool.tick()
    assert (shop.ticks, farm.ticks) == (1, 2)


async def test_what_changes_while_it_is_dialled_is_not_used(nursery: trio.Nursery) -> None:
    place = Place()
    place.gate = trio.Event()
    failures: list[MeshError] = []

    async def one() -> None:
        try:
            await place.use()
        except DestinationChangedError as error:
            failures.append(error)

    for _ in range(2):
        nursery.start_soon(one)
    await trio.testing.wait_all_tasks_blocked()
    place.pool.evict({"shop"}, lambda _key: False)
    place.gate.set()
    await trio.testing.wait_all_tasks_blocked()
    assert len(failures) == 2
    assert [tunnel.closed for tunnel in place.dialled] == [True]
    assert place.pool.ready(SHOP) is None


async def test_idle_tunnels_go_and_used_ones_stay() -> None:
    place = Place()
    idle, used = await place.use(SHOP), await place.use(FARM)
    idle.streams = 0
    place.now = 11.0
    place.pool.sweep()
    assert (idle.room, used.room > 0) == (0, True)


async def test_closing_ends_every_tunnel() -> None:
    place = Place()
    tunnels = [await place.use(SHOP), await place.use(FARM)]
    place.pool.evict({"shop"}, lambda _key: False)
    place.pool.close()
    assert all(tunnel.closed for tunnel in tunnels)
    with pytest.raises(PoolClosedError):
        await place.use()
