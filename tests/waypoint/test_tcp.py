"""TCP through a waypoint: real clients and node proxies before it, real ones behind it."""

import socket

import pytest

from mesh.model.identity import Identity
from mesh.model.routes import Waypoint
from mesh.model.workload import TunnelProtocol
from tests.waypoint.edge import IDENTITY, OURS, SELF, Edge
from tests.ztunnel.worker.raw import RawPeer
from tests.ztunnel.worker.town import MESH, line_of, named

pytestmark = [pytest.mark.netns, pytest.mark.slow]

BREAD = "10.80.0.20"
CAKE = "10.80.0.21"


def read_all(connection: socket.socket) -> bytes:
    octets = b""
    while piece := connection.recv(65_536):
        octets += piece
    return octets


def peer(edge: Edge, account: str = "web") -> RawPeer:
    """A client of the waypoint that shares no code with it."""
    papers = MESH.issue(MESH.identity("town", account))
    return RawPeer(edge.pod, edge.pod.ip, papers, MESH.roots)


@pytest.fixture
def bakery(shared: Edge) -> Edge:
    bread, pods = shared.bound("bread", BREAD, "shop")
    shared.tell(pods, [bread])
    shared.place.settle()
    return shared


def test_a_connection_reaches_an_endpoint_in_the_mesh_and_comes_back(bakery: Edge) -> None:
    web, shop = bakery.place.pod("web"), bakery.place.pod("shop")
    payload = bytes(range(256)) * 4096
    with shop.serving(8080, named(shop)), web.dial(BREAD, 80) as client:
        # The endpoint's proxy dials for whoever came by the tunnel: that was the waypoint.
        assert line_of(client) == f"shop sees {bakery.pod.ip}"
        client.sendall(payload)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == payload
    there = bakery.place.line("far", direction="inbound", message="connection complete")
    assert there["src.identity"] == str(IDENTITY)
    line = bakery.proxy.wait_line(r"connection complete\t.*direction=\"waypoint\"")[0]
    assert line


def test_the_line_in_the_log_has_both_ends_and_the_octets(bakery: Edge) -> None:
    web, shop = bakery.place.pod("web"), bakery.place.pod("shop")
    with shop.serving(8080, named(shop)), web.dial(BREAD, 80) as client:
        line_of(client)
        client.shutdown(socket.SHUT_WR)
        read_all(client)
    pattern = rf'connection complete\tsrc.addr={web.ip}:\d+ src.workload="web"(.*)'
    words = bakery.proxy.wait_line(pattern)[1]
    assert f'src.identity="{web.identity}"' in words
    assert f"dst.addr={shop.ip}:15008" in words
    assert f"dst.hbone_addr={shop.ip}:8080" in words
    assert 'dst.service="bread.town.svc.cluster.local"' in words
    assert f'dst.identity="{shop.identity}"' in words
    assert "error" not in words


def test_an_endpoint_outside_the_mesh_is_reached_in_plain_text(shared: Edge) -> None:
    cake, pods = shared.bound("cake", CAKE, "gate", protocol=TunnelProtocol.NONE)
    shared.tell(pods, [cake])
    web, gate = shared.place.pod("web"), shared.place.pod("gate")
    with gate.serving(8080, named(gate)), web.dial(CAKE, 80) as client:
        assert line_of(client) == f"gate sees {shared.pod.ip}"
        client.sendall(b"x" * 100_000)
        client.shutdown(socket.SHUT_WR)
        assert len(read_all(client)) == 100_000


def test_a_pod_is_reached_by_its_own_address_through_its_waypoint(shared: Edge) -> None:
    shop = shared.place.pod("shop")
    shared.tell([shop.workload(waypoint=OURS)])
    web = shared.place.pod("web")
    with shop.serving(8081, named(shop)), web.dial(shop.ip, 8081) as client:
        assert line_of(client) == f"shop sees {shared.pod.ip}"


def test_a_reset_goes_through(bakery: Edge) -> None:
    web, shop = bakery.place.pod("web"), bakery.place.pod("shop")

    def slam(accepted: socket.socket) -> None:
        accepted.recv(1)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with shop.serving(8080, slam), web.dial(BREAD, 80) as client:
        client.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_an_endpoint_that_does_not_listen_is_a_refusal(bakery: Edge) -> None:
    assert bakery.place.pod("web").is_refused(BREAD, 80)
    bakery.proxy.wait_line(r'connection complete\t.*http status: 503.*code="connect_refused"')


def test_a_service_without_endpoint_is_a_refusal(shared: Edge) -> None:
    bread, _ = shared.bound("bread", BREAD)
    shared.tell([], [bread])
    with peer(shared) as client:
        assert client.answer(client.connect(f"{BREAD}:80"))[b":status"] == b"503"
    shared.proxy.wait_line(r'connection failed\t.*code="route_no_endpoint"')


@pytest.mark.parametrize(
    ("authority", "status", "code"),
    [
        ("10.80.0.99:80", b"404", "route_destination_unknown"),
        ("bread.town.svc.cluster.local:81", b"404", "route_no_port"),
        ("nobody.town.svc.cluster.local:80", b"404", "route_no_service"),
        ("10.80.0.22:80", b"421", "route_not_this_waypoint"),
        ("10.79.0.5:8080", b"421", "route_not_this_waypoint"),
        ("garbage", b"400", "route_authority_invalid"),
    ],
)
def test_what_is_not_bound_to_the_waypoint_is_never_forwarded(
    shared: Edge, authority: str, status: bytes, code: str
) -> None:
    bread, pods = shared.bound("bread", BREAD, "shop")
    stray, others = shared.bound("stray", "10.80.0.22", "bakery", waypoint=None)
    shared.tell([*pods, *others], [bread, stray])
    with peer(shared) as client:
        answer = client.answer(client.connect(authority))
    assert (answer[b":status"], answer[b":ended"]) == (status, b"yes")
    shared.proxy.wait_line(rf'connection failed\t.*code="{code}"')


def test_what_is_no_connect_is_refused(bakery: Edge) -> None:
    with peer(bakery) as client:
        stream = client.ask(
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":path", b"/"),
            (b":authority", f"{BREAD}:80".encode()),
        )
        assert client.answer(stream)[b":status"] == b"400"


def test_a_waypoint_that_was_told_nothing_of_itself_serves_nobody(shared: Edge) -> None:
    bread, pods = shared.bound("bread", BREAD, "shop")
    shared.tell(pods, [bread], [])
    with peer(shared) as client:
        assert client.answer(client.connect(f"{BREAD}:80"))[b":status"] == b"503"
    shared.tell(pods, [bread], [SELF])
    shop = shared.place.pod("shop")
    with shop.serving(8080, named(shop)), peer(shared) as client:
        assert client.answer(client.connect(f"{BREAD}:80"))[b":status"] == b"200"


def test_a_waypoint_of_an_account_serves_what_runs_as_it(shared: Edge) -> None:
    bread, pods = shared.bound("bread", BREAD, "shop", waypoint=None)
    shared.tell(pods, [bread], [Waypoint(namespace="town", name="edge", accounts=("shop",))])
    shop = shared.place.pod("shop")
    with shop.serving(8080, named(shop)), peer(shared) as client:
        by_service = client.connect(f"{BREAD}:80")
        by_pod = client.connect(f"{shop.ip}:8080")
        other = client.connect(f"{shared.place.pod('bakery').ip}:8080")
        assert client.answer(by_service)[b":status"] == b"200"
        assert client.answer(by_pod)[b":status"] == b"200"
        assert client.answer(other)[b":status"] == b"421"


def test_a_client_of_another_trust_domain_is_not_let_in(bakery: Edge) -> None:
    papers = MESH.issue(Identity("elsewhere", "town", "web"))
    with RawPeer(bakery.pod, bakery.pod.ip, papers, MESH.roots) as client:
        client.wait_closed()
    bakery.proxy.wait_line(r'connection failed\t.*code="tls_trust_domain"')


def test_the_endpoint_hears_for_whom_the_waypoint_calls(bakery: Edge) -> None:
    """The endpoint's proxy knows the service by the hint that the waypoint passes on."""
    web, shop = bakery.place.pod("web"), bakery.place.pod("shop")
    with shop.serving(8080, named(shop)), web.dial(BREAD, 80) as client:
        line_of(client)
    line = bakery.place.line("far", direction="inbound", message="connection complete")
    assert line["dst.service"] == "bread.town.svc.cluster.local"
    assert line["src.workload"] == "edge"


def test_what_came_for_a_refused_connection_leaves_room_for_others(bakery: Edge) -> None:
    with peer(bakery) as client:
        for _ in range(60):  # more than a tunnel's window, if nobody gave it back
            stream = client.connect(f"{BREAD}:80")
            for _ in range(4):
                client.send(stream, bytes(16_000))
            client.send(stream, b"", end=True)
            assert client.answer(stream)[b":status"] == b"503"


def test_a_waypoint_listens_on_ipv6_too(bakery: Edge) -> None:
    shop, papers = bakery.place.pod("shop"), MESH.issue(MESH.identity("town", "web"))
    with (
        shop.serving(8080, named(shop)),
        RawPeer(bakery.pod, bakery.pod.ip6, papers, MESH.roots) as client,
    ):
        stream = client.connect("bread.town.svc.cluster.local:80")
        assert client.answer(stream)[b":status"] == b"200"
        assert client.read(stream).startswith(b"shop sees")
