"""Plain text to a pod, and policies that come into force while connections are open."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mesh.model.policy import PolicyScope
from mesh.model.workload import TunnelProtocol
from tests.ztunnel.worker.town import Town, deny, line_of, named, strict

pytestmark = [pytest.mark.netns, pytest.mark.slow]


def is_cut(connection: socket.socket) -> bool:
    """Whether an open connection has been reset."""
    try:
        connection.sendall(b"?")
        while connection.recv(100):
            pass
    except OSError:
        return True
    return False


@contextmanager
def talking(place: Town, who: str = "web", whom: str = "shop") -> Iterator[socket.socket]:
    """A connection that has proved to work."""
    server = place.pod(whom)
    with server.serving(8080, named(server)), place.pod(who).dial(server.ip, 8080) as client:
        line_of(client)
        yield client


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_plain_text_is_served_from_its_own_address_when_no_policy_forbids_it(
    place: Town, family: str
) -> None:
    shop, outside = place.pod("shop"), place.pod("stranger")
    target, source = (shop.ip, outside.ip) if family == "v4" else (shop.ip6, outside.ip6)
    with shop.serving(8080, named(shop)), outside.dial(target, 8080) as client:
        assert line_of(client) == f"shop sees {source}"
        client.sendall(b"?")
        assert client.recv(10) == b"?"
    line = place.line("far", message="connection complete", direction="inbound")
    assert str(line["dst.addr"]).endswith(":8080")
    assert line["dst.workload"] == "shop"
    assert "src.identity" not in line


def test_strict_refuses_plain_text_and_not_the_tunnel(place: Town) -> None:
    shop = place.pod("shop")
    place.tell([shop.workload(authorization_policies=("town/strict",))], policies=[strict()])
    with shop.serving(8080, named(shop)):
        assert place.pod("stranger").is_refused(shop.ip, 8080)
        with place.pod("web").dial(shop.ip, 8080) as client:
            assert line_of(client).startswith("shop sees")
    line = place.line("far", direction="inbound", level="error")
    assert line["code"] == "policy_denied"
    assert "explicitly denied by: town/strict" in str(line["error"])


def test_a_policy_that_the_workload_names_and_nobody_knows_refuses(place: Town) -> None:
    shop = place.pod("shop")
    place.tell([shop.workload(authorization_policies=("town/unheard-of",))])
    with shop.serving(8080, named(shop)):
        assert place.pod("web").is_refused(shop.ip, 8080)
    line = place.line("far", direction="inbound", level="error")
    assert line["code"] == "policy_missing"
    line = place.line("near", direction="outbound", level="error")
    assert line["error"] == "http status: 401"


@pytest.mark.parametrize("scope", [PolicyScope.GLOBAL, PolicyScope.NAMESPACE])
def test_a_policy_that_begins_to_apply_ends_what_it_forbids_and_nothing_else(
    place: Town, scope: PolicyScope
) -> None:
    bakery = place.pod("bakery")
    with (
        talking(place, "web") as web,
        bakery.serving(8080, named(bakery)),
        place.pod("way").dial(bakery.ip, 8080) as way,
    ):
        line_of(way)
        place.tell(policies=[deny("no-web", "web", where=scope)])
        assert is_cut(web)
        way.sendall(b"still here")
        assert way.recv(100) == b"still here"
    line = place.line("far", direction="inbound", level="error")
    assert line["error"] == "connection closed due to policy change"
    assert line["code"] == "policy_changed"
    assert line["src.workload"] == "web"


def test_strict_that_comes_to_be_attached_ends_open_plain_text(place: Town) -> None:
    shop = place.pod("shop")
    with talking(place, "stranger") as plain, talking(place, "web", "bakery") as tunnelled:
        place.tell([shop.workload(authorization_policies=("town/strict",))], policies=[strict()])
        assert is_cut(plain)
        tunnelled.sendall(b"!")
        assert tunnelled.recv(1) == b"!"


def test_an_unrelated_change_of_the_state_disturbs_no_connection(place: Town) -> None:
    with talking(place) as client:
        for _ in range(5):
            place.tell(policies=[deny("no-way", "way")])
            place.tell()
        client.sendall(b"!")
        assert client.recv(1) == b"!"


def test_a_workload_that_the_state_loses_keeps_its_connections(place: Town) -> None:
    with talking(place) as client:
        place.far.tell([place.pod("web").workload()])
        client.sendall(b"!")
        assert client.recv(1) == b"!"


# Calls to the proxy's own ports (a pod cannot make it talk to itself).


@pytest.mark.parametrize("port", [15001, 15006, 15008])
@pytest.mark.parametrize("target", ["itself", "loopback", "another"])
def test_a_captured_pod_that_calls_the_proxys_ports_gets_nothing(
    place: Town, target: str, port: int
) -> None:
    web = place.pod("web")
    host = {"itself": web.ip, "loopback": "127.0.0.1", "another": place.pod("shop").ip}[target]
    if port == 15008 and target != "another":
        with web.dial(host, port) as client:
            client.sendall(b"not TLS\r\n\r\n")
            try:
                assert client.recv(100)[:1] in (b"", b"\x15")  # the end, or a TLS alert
            except ConnectionResetError:
                return
    else:
        assert web.is_refused(host, port)


@pytest.mark.parametrize("port", [15001, 15006])
def test_an_outsider_that_calls_the_proxys_ports_gets_nothing(place: Town, port: int) -> None:
    assert place.pod("stranger").is_refused(place.pod("shop").ip, port)
    line = place.line("far", direction="inbound", level="warn")
    assert line["error"] == "attempted recursive call to ourselves"


def test_a_pod_that_is_not_hbone_in_the_state_cannot_be_driven_in_circles(place: Town) -> None:

    web = place.pod("web")
    place.tell([web.workload(protocol=TunnelProtocol.NONE)])
    assert web.is_refused(web.ip, 15001)
    line = place.line("near", direction="outbound", level="warn")
    assert line["code"] == "self_call"
