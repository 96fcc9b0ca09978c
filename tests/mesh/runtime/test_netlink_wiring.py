"""Cables, addresses and routes, in the kernel."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.runtime.netlink_wiring import Wiring, WiringError, set_kernel, wire
from mesh.runtime.netns import create_netns, inside, open_netns, remove_netns

pytestmark = pytest.mark.netns
HOME = Path("/proc/thread-self/ns/net")


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Two namespaces that are joined by a cable."""
    paths = [Path(f"/run/netns/test-wiring-{name}") for name in ("here", "there")]
    for path in paths:
        create_netns(path)
    here, there = (open_netns(path) for path in paths)
    for netns in (here, there):
        set_kernel(netns, {"ipv6/conf/default/accept_dad": "0"})
    wire(here, lambda wiring: wiring.veth("eth0", "eth0", there))
    for number, netns in enumerate((here, there), 1):
        wire(netns, lambda wiring, number=number: configure(wiring, number))
    yield here, there
    os.close(here)
    os.close(there)
    for path in paths:
        remove_netns(path)


def configure(wiring: Wiring, number: int) -> None:
    wiring.up("lo")
    wiring.up("eth0")
    wiring.address("eth0", f"192.0.2.{number}/32")
    wiring.address("eth0", f"2001:db8::{number}/64")
    wiring.route("192.0.2.0/24", link="eth0")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_ends_of_a_cable_reach_each_other_at_once(
    ends: tuple[int, int], family: socket.AddressFamily
) -> None:
    here, there = ends
    host = "192.0.2.1" if family == socket.AF_INET else "2001:db8::1"
    with inside(here):
        listener = socket.create_server((host, 0), family=family)
    with inside(there):
        client = socket.socket(family)
    with listener, client:
        client.settimeout(2)
        client.connect(listener.getsockname()[:2])


def test_a_route_leads_through_a_gateway(ends: tuple[int, int]) -> None:
    _, there = ends
    wire(there, lambda wiring: wiring.route("198.51.100.0/24", via="192.0.2.1", link="eth0"))

    with inside(there):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.connect(("198.51.100.9", 9))
        assert client.getsockname()[0] == "192.0.2.2"


def test_bridges_are_made_and_links_removed_twice(ends: tuple[int, int]) -> None:
    here, there = ends

    def work(wiring: Wiring) -> None:
        wiring.bridge("br0")
        wiring.veth("port", "other", there, bridge="br0")
        wiring.remove("port")
        wiring.remove("port")

    wire(here, work)


def test_what_the_kernel_refuses_is_said_and_the_thread_is_home(ends: tuple[int, int]) -> None:
    here, _ = ends
    before = HOME.stat().st_ino

    with pytest.raises(WiringError, match="no link nowhere"):
        wire(here, lambda wiring: wiring.up("nowhere"))
    with pytest.raises(WiringError, match="network of a namespace"):
        wire(here, lambda wiring: wiring.bridge("eth0"))
    with pytest.raises(WiringError, match="net/ipv4/nothing"):
        set_kernel(here, {"ipv4/nothing": "1"})
    assert HOME.stat().st_ino == before
