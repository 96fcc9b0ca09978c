"""The answers' route, and a pod's sockets, in the kernel."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.redirection.rules import Family
from mesh.runtime.capture import raise_loopback
from mesh.runtime.netlink import add_answer_route, addresses, remove_answer_route
from mesh.runtime.netlink_sockets import connections, end_connection
from mesh.runtime.netlink_wiring import WiringError, wire
from mesh.runtime.netns import NetnsGoneError, create_netns, inside, open_netns, remove_netns

pytestmark = pytest.mark.netns
POD = Path("/run/netns/test-netlink-pod")


@pytest.fixture
def pod() -> Iterator[int]:
    create_netns(POD)
    netns = open_netns(POD)
    raise_loopback(netns)
    yield netns
    os.close(netns)
    remove_netns(POD)


def ip(*words: str, netns: int | None = None) -> str:
    """What `ip` prints, here or in a namespace."""
    command = ["/usr/sbin/ip", *words]
    if netns is None:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    with inside(netns):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return child.communicate()[0]


def everything() -> str:
    return "".join(
        ip(*words)
        for words in (["addr"], ["rule"], ["-6", "rule"], ["route", "show", "table", "all"])
    )


@pytest.mark.parametrize(("family", "flag"), [(Family.V4, "-4"), (Family.V6, "-6")])
def test_answers_get_a_route_of_their_own_in_the_pod_only(
    pod: int, family: Family, flag: str
) -> None:
    before = everything()

    assert add_answer_route(pod, family)
    assert not add_answer_route(pod, family)

    assert "32764:\tfrom all fwmark 0x111/0xfff lookup 100" in ip(flag, "rule", netns=pod)
    assert "local default dev lo" in ip(flag, "route", "show", "table", "100", netns=pod)
    remove_answer_route(pod, family)
    remove_answer_route(pod, family)
    assert "fwmark" not in ip(flag, "rule", netns=pod)
    assert ip(flag, "route", "show", "table", "all", "dev", "lo", netns=pod).count("default") == 0
    assert everything() == before


def test_a_route_that_vanished_comes_back(pod: int) -> None:
    add_answer_route(pod, Family.V4)
    ip("route", "flush", "table", "100", netns=pod)

    assert add_answer_route(pod, Family.V4)
    assert not add_answer_route(pod, Family.V4)


def test_a_namespace_whose_loopback_is_down_is_a_clear_error() -> None:
    create_netns(path := Path("/run/netns/test-netlink-down"))
    netns = open_netns(path)
    try:
        with pytest.raises(WiringError):
            add_answer_route(netns, Family.V6)
    finally:
        os.close(netns)
        remove_netns(path)


def test_a_descriptor_that_is_no_namespace_is_a_clear_error() -> None:
    with Path("/dev/null").open() as file, pytest.raises(NetnsGoneError):
        add_answer_route(file.fileno(), Family.V4)


def test_addresses_are_told_without_the_loopback_s(pod: int) -> None:
    wire(pod, lambda wiring: wiring.bridge("eth0"))
    wire(pod, lambda wiring: wiring.address("eth0", "10.77.0.9/24"))

    assert "10.77.0.9" in addresses(pod)
    assert "127.0.0.1" not in addresses(pod)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connection_of_a_pod_is_seen_and_ended(pod: int, host: str) -> None:
    with inside(pod):
        listening = socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
        client = socket.create_connection(listening.getsockname()[:2])
    client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x539)
    port = listening.getsockname()[1]
    accepted, _ = listening.accept()
    with listening, client, accepted:
        found = connections(pod)

        assert [each.local.port for each in found if each.is_listening] == [port]
        (ours,) = (each for each in found if each.mark == 0x539)
        assert ours.remote.port == port
        assert end_connection(pod, ours)
        assert not end_connection(pod, ours)
        with pytest.raises(ConnectionAbortedError):
            client.recv(1)
        with pytest.raises(ConnectionResetError):
            accepted.recv(1)


def test_a_cookie_tells_a_connection_from_its_successor_on_the_same_ports(pod: int) -> None:
    with inside(pod):
        one, two = socket.socket(), socket.socket()
    with one, two:
        one.bind(("127.0.0.1", 4321))
        one.listen()
        (first,) = connections(pod)
        one.close()
        two.bind(("127.0.0.1", 4321))
        two.listen()
        (second,) = connections(pod)

    assert first.local == second.local
    assert first.cookie != second.cookie


@pytest.mark.slow
def test_a_dump_of_many_sockets_is_whole(pod: int) -> None:
    made: list[socket.socket] = []
    try:
        with inside(pod):
            for _ in range(600):
                made.append(socket.socket())  # noqa: PERF401 - closed even if one fails
        for port, each in enumerate(made, 2000):
            each.bind(("127.0.0.1", port))
            each.listen()

        assert {each.local.port for each in connections(pod)} == set(range(2000, 2600))
    finally:
        for each in made:
            each.close()
