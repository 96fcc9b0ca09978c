"""Discovery against a real server: use, rejection, reconnection, silence."""

import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from random import Random

import pytest
import trio
import trio.testing

from mesh.proto.security_pb2 import Authorization
from mesh.proto.workload_pb2 import Address, TunnelProtocol, Workload
from mesh.runtime.control import discovery as module
from mesh.runtime.control.control_plane import ControlPlane
from mesh.runtime.control.discovery import Discovery
from mesh.runtime.control.store import TYPES, Store
from mesh.runtime.settings import Api
from mesh.wire.discovery_client import (
    ADDRESS_TYPE,
    AUTHORIZATION_TYPE,
    DiscoveryClient,
    make_node,
)
from mesh.wire.feed import StateDelta
from tests.control_plane import ControlPlane as Served
from tests.pki import Authority

PATIENCE_S = 8.0
WEB = "Kubernetes//Pod/shop/web"


def address(name: str, **fields: object) -> Address:
    uid = f"Kubernetes//Pod/shop/{name}"
    made = Workload(uid=uid, name=name, namespace="shop", addresses=[b"\x0a\0\0\1"])
    for field, value in fields.items():
        setattr(made, field, value)
    return Address(workload=made)


@pytest.fixture
def served() -> Iterator[Served]:
    with Served(Authority()) as running:
        running.put(ADDRESS_TYPE, WEB, address("web"))
        yield running


async def soon(condition: Callable[[], bool]) -> None:
    """Until the server's threads have seen something: nothing tells us when."""
    with trio.fail_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - see above
            await trio.sleep(0.005)


class Followed:
    """A discovery client and what it did."""

    def __init__(self, served: Served, store: Store, retained: dict[str, dict[str, str]]) -> None:
        self.store, self.deltas, self.applied = store, list[StateDelta](), list[int]()
        self.may_apply = trio.Event()
        self.may_apply.set()
        api = Api(served.address, served.authority.roots.decode(), "", ())
        self.changed = trio.lowlevel.ParkingLot()
        self.discovery = Discovery(
            ControlPlane("XDS", api, "token"),
            DiscoveryClient(make_node("ztunnel~1.1.1.1~z.ns~ns.svc", {}), TYPES, retained),
            store,
            self._on_change,
            self._applied,
            Random(1),
        )

    def _on_change(self, delta: StateDelta) -> None:
        self.deltas.append(delta)
        self.changed.unpark_all()

    async def _applied(self, version: int) -> None:
        await self.may_apply.wait()
        self.applied.append(version)

    async def until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE_S):
            while not condition():
                await self.changed.park()

    def names(self) -> set[str]:
        return {name for held in self.store.octets().values() for name in held}


@pytest.fixture
async def followed(served: Served) -> AsyncIterator[Followed]:
    async with trio.open_nursery() as nursery:
        made = Followed(served, Store(before=100), {})
        nursery.start_soon(made.discovery.run)
        yield made
        nursery.cancel_scope.cancel()


async def test_the_state_begins_when_both_types_have_come(followed: Followed) -> None:
    await followed.until(lambda: followed.discovery.is_current)
    assert followed.names() == {WEB}
    assert followed.store.version == 101


async def test_changes_and_removals_are_new_versions(served: Served, followed: Followed) -> None:
    await followed.until(lambda: followed.discovery.is_current)
    served.put(ADDRESS_TYPE, "Kubernetes//Pod/shop/two", address("two"))
    await followed.until(lambda: followed.store.version == 102)
    served.remove(ADDRESS_TYPE, WEB)
    await followed.until(lambda: followed.store.version == 103)
    assert followed.names() == {"Kubernetes//Pod/shop/two"}


async def test_a_response_is_acknowledged_only_when_the_workers_have_it(
    served: Served, followed: Followed
) -> None:
    await followed.until(lambda: followed.discovery.is_current)
    await soon(lambda: len(served.asked.queue) == 4)
    followed.may_apply = trio.Event()
    served.put(ADDRESS_TYPE, "Kubernetes//Pod/shop/two", address("two"))
    await followed.until(lambda: followed.store.version == 102)
    await trio.sleep(0.05)
    assert len(served.asked.queue) == 4
    followed.may_apply.set()
    await soon(lambda: len(served.asked.queue) == 5)
    assert followed.applied[-1] == 102


async def test_a_resource_that_cannot_be_used_is_rejected_alone(
    served: Served, followed: Followed
) -> None:
    await followed.until(lambda: followed.discovery.is_current)
    bad = address("bad", tunnel_protocol=TunnelProtocol.LEGACY_ISTIO_MTLS)
    served.put(ADDRESS_TYPE, "Kubernetes//Pod/shop/bad", bad)
    served.put(ADDRESS_TYPE, "Kubernetes//Pod/shop/two", address("two"))
    await followed.until(lambda: len(followed.names()) == 2)
    assert followed.names() == {WEB, "Kubernetes//Pod/shop/two"}
    await soon(lambda: any(r.HasField("error_detail") for r in served.asked.queue))
    nacks = [r for r in served.asked.queue if r.HasField("error_detail")]
    assert nacks[0].error_detail.message.startswith("Kubernetes//Pod/shop/bad: ")


async def test_after_a_break_it_asks_for_what_has_changed_since(
    served: Served, followed: Followed
) -> None:
    await followed.until(lambda: followed.discovery.is_current)
    await trio.to_thread.run_sync(served.stop)
    served.put(ADDRESS_TYPE, "Kubernetes//Pod/shop/two", address("two"))
    served.start()
    await followed.until(lambda: len(followed.names()) == 2)
    again = [r for r in served.asked.queue if r.initial_resource_versions]
    assert dict(again[0].initial_resource_versions) == {WEB: "1"}
    sent = [delta for delta in followed.deltas if delta.workloads]
    assert [one.name for one in sent[-1].workloads] == ["two"]
    assert sum(followed.discovery.counts.terminations.values()) >= 1
    assert followed.discovery.counts.messages[ADDRESS_TYPE] >= 2


async def test_a_saved_state_is_current_when_the_server_has_nothing_to_say_of_a_type(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENCE_S", 0.05)
    store = Store(before=100)
    store.load(77, {})
    followed = Followed(served, store, {})

    class Half(DiscoveryClient):
        """As if one type never came."""

        @property
        def is_synced(self) -> bool:
            return False

    followed.discovery._client = Half(make_node("n", {}), TYPES)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(followed.discovery.run)
        nursery.start_soon(followed.discovery.accept_silence)
        await followed.until(lambda: followed.discovery.is_current)
        nursery.cancel_scope.cancel()


async def test_a_server_that_is_not_there_is_tried_again_and_again() -> None:
    served = Served(Authority(), port=1)
    followed = Followed(served, Store(before=100), {})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(followed.discovery.run)
        counts = followed.discovery.counts
        await soon(lambda: counts.terminations.get("ConnectionError", 0) >= 3)
        nursery.cancel_scope.cancel()
    assert not followed.discovery.is_current


async def test_a_file_that_cannot_be_read_is_tried_again(served: Served) -> None:
    followed = Followed(served, Store(before=100), {})
    api = dataclasses.replace(Api(served.address, "", "", ()), root_ca="/nowhere/roots.pem")
    followed.discovery._server = ControlPlane("XDS", api, "token")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(followed.discovery.run)
        counts = followed.discovery.counts
        await soon(lambda: counts.terminations.get("Error", 0) >= 2)
        nursery.cancel_scope.cancel()


async def test_policies_are_read_as_well(served: Served, followed: Followed) -> None:
    await followed.until(lambda: followed.discovery.is_current)
    served.put(AUTHORIZATION_TYPE, "shop/deny", Authorization(name="deny", namespace="shop"))
    await followed.until(lambda: "shop/deny" in followed.names())
    assert followed.deltas[-1].policies[0].key == "shop/deny"
