"""Dialling from inside a pod: at once, later, never, and from somebody else's address."""

import socket

import pytest
import trio

from mesh.model.address import SocketAddress, parse_ip
from mesh.runtime.netlink_wiring import set_kernel
from mesh.runtime.netns import netns_id, netns_of
from mesh.runtime.worker import dial as dialling
from mesh.runtime.worker.dial import (
    ConnectFailedError,
    ConnectTimedOutError,
    Dial,
    Way,
    dial,
    source_for,
)
from tests.ztunnel.worker.town import Town, TownPod
from ztunnel.config import Config

pytestmark = [pytest.mark.netns]

CONFIG = Config.from_env({"NODE_NAME": "here"})


def way(pod: TownPod, *, spoofs: bool = False) -> Way:
    return Way(pod.netns, CONFIG.keepalive, CONFIG.packet_mark, spoofs)


def address(host: str, port: int) -> SocketAddress:
    return SocketAddress(parse_ip(host), port)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_local_application_needs_no_wait(place: Town, host: str) -> None:
    shop = place.pod("shop")
    with shop.listen(8080) as listening:
        made = Dial(way(shop), address(host, 8080))
        assert made.connected
        with made.connection as connection, listening.accept()[0]:
            assert netns_id(netns_of(connection)) == netns_id(shop.netns)
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == 0x539
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 180


async def test_a_refusal_says_so_at_once(place: Town) -> None:
    with pytest.raises(ConnectFailedError, match="refused"):
        Dial(way(place.pod("shop")), address("127.0.0.1", 8999))


async def test_another_pod_is_waited_for(place: Town) -> None:
    shop, web = place.pod("shop"), place.pod("stranger")
    with web.listen(8080), await dial(way(shop), address(web.ip, 8080)) as connection:
        assert connection.getpeername() == (web.ip, 8080)


async def test_silence_ends_at_the_deadline(place: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "CONNECT_SECONDS", 0.05)
    with pytest.raises(ConnectTimedOutError, match="no answer within"):
        await dial(way(place.pod("shop")), address("10.79.0.200", 8080))


async def test_a_cancelled_dial_closes_its_socket(place: Town) -> None:
    made = Dial(way(place.pod("shop")), address("10.79.0.200", 8080))
    with trio.move_on_after(0.01):
        await made.wait()
    assert made.connection.fileno() == -1


@pytest.mark.parametrize(
    ("host", "source"), [("10.79.0.4", "10.79.0.77"), ("fd79::4", "fd79::77")], ids=["v4", "v6"]
)
async def test_an_application_sees_the_client_that_is_dialled_for(
    place: Town, host: str, source: str
) -> None:
    shop = place.pod("shop")
    with shop.listen(8080) as listening:
        made = Dial(way(shop, spoofs=True), address(host, 8080), parse_ip(source))
        with await made.wait() as connection, listening.accept()[0] as accepted:
            assert accepted.getpeername()[0].removeprefix("::ffff:") == source
            connection.sendall(b"!")
            assert accepted.recv(1) == b"!"
            accepted.sendall(b"?")
            with trio.fail_after(5):
                await trio.lowlevel.wait_readable(connection)
            assert connection.recv(1) == b"?"


async def test_without_a_free_port_of_the_client_it_says_why(place: Town) -> None:
    shop = place.pod("shop")
    with shop.listen(8080) as listening:
        set_kernel(shop.netns, {"ipv4/ip_local_port_range": "50000 50000"})
        try:
            first = await Dial(
                way(shop, spoofs=True), address(shop.ip, 8080), parse_ip("10.79.0.77")
            ).wait()
            with first, listening.accept()[0], pytest.raises(ConnectFailedError, match="assign"):
                Dial(way(shop, spoofs=True), address(shop.ip, 8080), parse_ip("10.79.0.77"))
        finally:
            set_kernel(shop.netns, {"ipv4/ip_local_port_range": "32768 60999"})


async def test_a_silent_attempt_from_a_foreign_address_is_tried_again(
    place: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialling, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(dialling, "SPOOFED_SECONDS", 0.02)
    made = Dial(
        way(place.pod("shop"), spoofs=True), address("10.79.0.200", 8080), parse_ip("10.79.0.77")
    )
    first = made.connection
    with pytest.raises(ConnectTimedOutError):
        await made.wait()
    assert made.connection is not first
    assert first.fileno() == -1


def test_only_a_foreign_client_is_worth_spoofing(place: Town) -> None:
    shop = place.pod("shop")
    client, target = parse_ip("10.79.0.77"), address(shop.ip, 80)
    assert source_for(way(shop, spoofs=True), client, target) == client
    assert source_for(way(shop), client, target) is None
    assert source_for(way(shop, spoofs=True), parse_ip(shop.ip), target) is None
    assert source_for(way(shop, spoofs=True), client, address("127.0.0.1", 80)) is None
    assert source_for(way(shop, spoofs=True), parse_ip("::1"), address(shop.ip6, 80)) is None
