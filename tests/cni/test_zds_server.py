"""The agent's side of ZDS, with a real SEQPACKET peer."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from cni.zds_server import Enrolled, NoProxyError, ProxyRefusedError, ZdsServer
from mesh.wire import zds
from mesh.wire.feed import PodInfo

POD = PodInfo("uid-1", "front", "shop", "front")
OTHER = PodInfo("uid-2", "stock", "shop", "stock")


class Proxy:
    """A node proxy as far as ZDS goes."""

    def __init__(self, connection: trio.socket.SocketType) -> None:
        self.connection = connection

    async def hears(self) -> tuple[zds.Request, int]:
        """The next request, and how many descriptors came with it."""
        packet, ancillary, _, _ = await self.connection.recvmsg(1024, socket.CMSG_SPACE(4))
        descriptors = [int.from_bytes(octets[:4], "little") for _, _, octets in ancillary]
        for descriptor in descriptors:
            os.close(descriptor)
        return zds.decode_request(packet, len(descriptors)), len(descriptors)

    async def answers(self, error: str = "") -> zds.Request:
        """Take a request and answer it."""
        request, _ = await self.hears()
        await self.connection.send(zds.encode_response(error))
        return request


@dataclass
class Served:
    server: ZdsServer
    path: Path
    pods: list[Enrolled]
    changes: list[int] = field(default_factory=list)

    @asynccontextmanager
    async def proxy(self, *, greet: bool = True) -> AsyncIterator[Proxy]:
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            await connection.connect(str(self.path))
            proxy = Proxy(connection)
            if greet:
                await connection.send(zds.encode_hello())
                while not isinstance(await proxy.answers(), zds.SnapshotSent):
                    pass
                before = self.server.connected
                while self.server.connected == before:
                    await trio.lowlevel.checkpoint()
            yield proxy


@pytest.fixture
async def served(tmp_path: Path, nursery: trio.Nursery) -> Served:
    pods: list[Enrolled] = []
    found = Served(
        ZdsServer(lambda: (pod for pod in pods), lambda: None), tmp_path / "run" / "zds.sock", pods
    )
    await nursery.start(found.server.serve, found.path)
    return found


async def test_a_proxy_is_told_all_pods_and_then_that_these_are_all(served: Served) -> None:
    with (served.path.parent / "ns").open("w") as netns:
        served.pods += [Enrolled(POD, netns.fileno()), Enrolled(OTHER, None)]
        async with served.proxy(greet=False) as proxy:
            await proxy.connection.send(zds.encode_hello())

            assert await proxy.hears() == (zds.AddPod(POD), 1)
            await proxy.connection.send(zds.encode_response())
            assert await proxy.hears() == (zds.KeepPod("uid-2"), 0)
            await proxy.connection.send(zds.encode_response())
            assert await proxy.answers() == zds.SnapshotSent()


async def test_the_socket_is_for_the_owner_only(served: Served) -> None:
    assert served.path.stat().st_mode & 0o777 == 0o600


async def test_without_a_proxy_a_pod_is_not_added(served: Served) -> None:
    with pytest.raises(NoProxyError, match="is ztunnel running"):
        await served.server.add(POD, 0)


async def test_a_pod_is_added_at_the_newest_and_deleted_at_all(
    served: Served, nursery: trio.Nursery
) -> None:
    async with served.proxy() as old, served.proxy() as new:
        nursery.start_soon(served.server.add, POD, 0)
        assert await new.answers() == zds.AddPod(POD)
        nursery.start_soon(served.server.delete, POD.uid)
        assert await old.answers() == zds.DelPod(POD.uid)
        assert await new.answers() == zds.DelPod(POD.uid)


async def test_the_proxys_refusal_is_the_answer(served: Served, nursery: trio.Nursery) -> None:
    async with served.proxy() as proxy:
        nursery.start_soon(proxy.answers, "port 15008 is taken")

        with pytest.raises(ProxyRefusedError, match="port 15008 is taken"):
            await served.server.add(POD, 0)
        assert served.server.connected == 1


async def test_a_pod_that_comes_during_the_snapshot_waits_for_its_turn(
    served: Served, nursery: trio.Nursery
) -> None:
    async with served.proxy(greet=False) as proxy:
        await proxy.connection.send(zds.encode_hello())
        request, _ = await proxy.hears()
        assert request == zds.SnapshotSent()
        nursery.start_soon(served.server.add, POD, 0)
        await trio.testing.wait_all_tasks_blocked()
        await proxy.connection.send(zds.encode_response())

        assert await proxy.answers() == zds.AddPod(POD)


@pytest.mark.parametrize("nonsense", [b"\xff\xff", b"\x08\x07"])
async def test_a_peer_that_does_not_say_hello_is_cut_off(served: Served, nonsense: bytes) -> None:
    async with served.proxy(greet=False) as proxy:
        await proxy.connection.send(nonsense)

        assert await proxy.connection.recv(1) == b""
        assert served.server.connected == 0


async def test_a_proxy_that_talks_out_of_turn_is_cut_off(served: Served) -> None:
    async with served.proxy() as proxy:
        await proxy.connection.send(zds.encode_response())

        assert await proxy.connection.recv(1) == b""
        assert served.server.connected == 0


async def test_a_proxy_that_hangs_up_while_it_is_asked_is_no_proxy(
    served: Served, nursery: trio.Nursery
) -> None:
    async with served.proxy() as proxy:

        async def hang_up() -> None:
            await proxy.hears()
            proxy.connection.close()

        nursery.start_soon(hang_up)
        with pytest.raises(ProxyRefusedError):
            await served.server.add(POD, 0)
        assert served.server.connected == 0


async def test_a_silent_proxy_is_cut_off(
    served: Served, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    async with served.proxy(greet=False) as proxy:
        assert await proxy.connection.recv(1) == b""
