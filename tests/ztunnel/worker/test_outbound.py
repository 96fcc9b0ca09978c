"""Where an application's connection goes, and how it arrives: real rules, real workers."""

import queue
import socket
import struct

import pytest

from mesh.model.workload import (
    GatewayAddress,
    NamespacedHostname,
    TunnelProtocol,
    Workload,
    WorkloadStatus,
)
from tests.ztunnel.worker.town import (
    SECONDS,
    Town,
    TownPod,
    line_of,
    named,
    network_address,
)

pytestmark = [pytest.mark.netns, pytest.mark.slow]

VIP = "10.80.0.1"


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_a_connection_carries_both_identities_and_the_clients_address(
    place: Town, family: str
) -> None:
    web, shop = place.pod("web"), place.pod("shop")
    target, source = (shop.ip, web.ip) if family == "v4" else (shop.ip6, web.ip6)
    with shop.serving(8080, named(shop)), web.dial(target, 8080) as client:
        assert line_of(client) == f"shop sees {source}"
        client.sendall(b"bread, please")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"bread, please"
        assert client.recv(100) == b""
    for who, direction in (("near", "outbound"), ("far", "inbound")):
        line = place.line(who, message="connection complete", direction=direction)
        assert line["src.identity"] == str(web.identity)
        assert line["dst.identity"] == str(shop.identity)
        assert (line["src.workload"], line["dst.workload"]) == ("web", "shop")
        assert line["level"] == "info"
        assert str(line["dst.addr"]).endswith(":15008")
        assert str(line["dst.hbone_addr"]).endswith(":8080")
        assert "error" not in line
    assert line["bytes_recv"] == 13


def test_a_client_may_end_first_and_still_read_everything(place: Town) -> None:
    def answer_after_the_end(accepted: socket.socket) -> None:
        total = 0
        while octets := accepted.recv(65_536):
            total += len(octets)
        accepted.sendall(b"x" * total)

    with (
        place.pod("shop").serving(8080, answer_after_the_end),
        place.pod("web").dial(place.pod("shop").ip, 8080) as client,
    ):
        client.sendall(b"y" * 300_000)
        client.shutdown(socket.SHUT_WR)
        total = 0
        while octets := client.recv(65_536):
            total += len(octets)
    assert total == 300_000


def test_a_server_may_end_first_and_still_read_everything(place: Town) -> None:
    read: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def end_then_read(accepted: socket.socket) -> None:
        accepted.shutdown(socket.SHUT_WR)
        while octets := accepted.recv(65_536):
            read.put(octets)

    with (
        place.pod("shop").serving(8080, end_then_read),
        place.pod("web").dial(place.pod("shop").ip, 8080) as client,
    ):
        assert client.recv(1) == b""
        client.sendall(b"late")
        assert read.get(timeout=SECONDS) == b"late"


def test_a_clients_reset_reaches_the_server(place: Town) -> None:
    seen: queue.SimpleQueue[str] = queue.SimpleQueue()

    def wait_for_the_end(accepted: socket.socket) -> None:
        accepted.sendall(b"!")
        try:
            accepted.recv(1)
        except ConnectionResetError:
            seen.put("reset")

    with place.pod("shop").serving(8080, wait_for_the_end):
        client = place.pod("web").dial(place.pod("shop").ip, 8080)
        assert client.recv(1) == b"!"
        reset(client)
        line = place.line("far", message="connection complete", direction="inbound")
        assert seen.get(timeout=SECONDS) == "reset"
    assert "error" not in line


def test_a_servers_reset_reaches_the_client(place: Town) -> None:
    def greet_and_reset(accepted: socket.socket) -> None:
        accepted.sendall(b"!")
        accepted.recv(1)
        reset(accepted)

    with (
        place.pod("shop").serving(8080, greet_and_reset),
        place.pod("web").dial(place.pod("shop").ip, 8080) as client,
    ):
        assert client.recv(1) == b"!"
        client.sendall(b"?")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_service_address_reaches_all_its_endpoints(place: Town) -> None:
    service, endpoints = place.service("bread", VIP, "shop", "bakery")
    place.tell(endpoints, [service])
    shop, bakery = place.pod("shop"), place.pod("bakery")
    seen = set()
    with shop.serving(8080, named(shop)), bakery.serving(8080, named(bakery)):
        for _ in range(50):
            with place.pod("web").dial(VIP, 80) as client:
                seen.add(line_of(client).split()[0])
    assert seen == {"shop", "bakery"}
    line = place.line("near", message="connection complete", direction="outbound")
    assert line["dst.service"] == service.hostname


def test_a_pod_may_call_itself_through_its_service(place: Town) -> None:
    service, endpoints = place.service("self", VIP, "web")
    place.tell(endpoints, [service])
    web = place.pod("web")
    with web.serving(8080, named(web)), web.dial(VIP, 80) as client:
        assert line_of(client) == f"web sees {web.ip}"


def test_a_service_without_a_healthy_endpoint_is_refused_and_said(place: Town) -> None:
    service, endpoints = place.service("bread", VIP, "shop")
    ill = place.pod("shop").workload(
        services=endpoints[0].services, status=WorkloadStatus.UNHEALTHY
    )
    place.tell([ill], [service])
    assert place.pod("web").is_refused(VIP, 80)
    line = place.line("near", message="connection failed", direction="outbound")
    assert line["level"] == "warn"
    assert line["code"] == "route_no_endpoint"
    assert "no healthy upstream" in str(line["error"])


def test_an_address_that_nobody_knows_is_passed_through_untouched(place: Town) -> None:
    stranger, web = place.pod("stranger"), place.pod("web")
    with stranger.serving(8080, named(stranger)), web.dial(stranger.ip, 8080) as client:
        assert line_of(client) == f"stranger sees {web.ip}"
    line = place.line("near", message="connection complete", direction="outbound")
    assert line["dst.addr"] == f"{stranger.ip}:8080"
    assert "dst.hbone_addr" not in line
    assert "dst.identity" not in line


def test_a_workload_outside_the_mesh_is_called_in_plain_text(place: Town) -> None:
    stranger = place.pod("stranger")
    place.tell([stranger.workload(protocol=TunnelProtocol.NONE)])
    with (
        stranger.serving(8080, named(stranger)),
        place.pod("web").dial(stranger.ip, 8080) as client,
    ):
        line_of(client)
    line = place.line("near", message="connection complete", direction="outbound")
    assert line["dst.workload"] == "stranger"
    assert "dst.identity" not in line


def test_a_destination_that_refuses_plain_text_is_a_reset_and_an_error(place: Town) -> None:
    assert place.pod("web").is_refused(place.pod("stranger").ip, 8999)
    line = place.line("near", message="connection complete", direction="outbound", level="error")
    assert line["code"] == "connect_failed"


def test_an_application_that_refuses_is_a_503_and_a_reset(place: Town) -> None:
    assert place.pod("web").is_refused(place.pod("shop").ip, 8999)
    line = place.line("near", message="connection complete", direction="outbound", level="error")
    assert line["error"] == "http status: 503"
    line = place.line("far", message="connection complete", direction="inbound", level="error")
    assert "refused" in str(line["error"]).lower()


def test_a_proxy_that_does_not_listen_is_an_error(place: Town) -> None:
    stranger = place.pod("stranger")
    place.tell([stranger.workload()])  # the state says HBONE, and nobody is there
    assert place.pod("web").is_refused(stranger.ip, 8080)
    line = place.line("near", message="connection complete", direction="outbound", level="error")
    assert line["code"] == "connect_failed"


def test_a_proxy_of_another_identity_gets_no_octet(place: Town) -> None:
    shop = place.pod("shop")
    place.near.tell(
        [pod.workload() for pod in place.pods.values() if pod.name not in ("shop", "stranger")]
        + [shop.workload(service_account="somebody-else")]
    )
    with shop.serving(8080, named(shop)):
        assert place.pod("web").is_refused(shop.ip, 8080)
    line = place.line("near", message="connection complete", direction="outbound", level="error")
    assert line["code"] == "tls_unexpected_identity"


def test_only_a_hostname_is_resolved_by_the_system(place: Town) -> None:
    service, endpoints = place.service("far-away", VIP)
    outside = Workload(
        uid="Kubernetes//ServiceEntry/town/far-away",
        name="far-away",
        namespace="town",
        hostname="localhost",
        services={service.key: service.ports},
    )
    place.tell([*endpoints, outside], [service])
    web = place.pod("web")
    with web.serving(8080, named(web)), web.dial(VIP, 80) as client:
        assert line_of(client) == "web sees 127.0.0.1"


def test_a_hostname_that_dns_does_not_know_is_an_error(place: Town) -> None:
    service, _ = place.service("far-away", VIP)
    outside = Workload(
        uid="Kubernetes//ServiceEntry/town/far-away",
        name="far-away",
        namespace="town",
        hostname="nowhere.invalid",
        services={service.key: service.ports},
    )
    place.tell([outside], [service])
    assert place.pod("web").is_refused(VIP, 80)
    line = place.line("near", message="connection failed", direction="outbound")
    assert line["code"] == "name_unknown"


# Hand-offs.


def waypoint(pod: TownPod, port: int = 15008) -> GatewayAddress:
    return GatewayAddress(network_address(pod.ip), port)


def test_a_service_with_a_waypoint_is_handed_to_it_with_the_called_address(place: Town) -> None:
    way = place.pod("way")
    service, endpoints = place.service("bread", VIP, "shop", waypoint=waypoint(way))
    place.tell(endpoints, [service])
    # A sandwiched waypoint: its own node proxy ends the tunnel and hands over what was called.
    with way.serving(80, named(way)), place.pod("web").dial(VIP, 80) as client:
        assert line_of(client).startswith("way sees")
    line = place.line("near", message="connection complete", direction="outbound")
    assert line["dst.hbone_addr"] == f"{VIP}:80"
    assert line["dst.identity"] == str(way.identity)


def test_a_pod_with_a_waypoint_is_reached_through_it_and_not_by_itself_again(place: Town) -> None:
    way, shop = place.pod("way"), place.pod("shop")
    place.tell([shop.workload(waypoint=waypoint(way))])
    # From the waypoint itself the way is direct: no loop.
    with shop.serving(8080, named(shop)), way.dial(shop.ip, 8080) as client:
        assert line_of(client) == f"shop sees {way.ip}"
    line = place.line("near", message="connection complete", direction="outbound")
    assert line["dst.identity"] == str(shop.identity)


def test_an_unknown_waypoint_is_refused_not_passed_by(place: Town) -> None:
    nobody = GatewayAddress(NamespacedHostname("town", "nobody"), 15008)
    service, endpoints = place.service("bread", VIP, "shop", waypoint=nobody)
    place.tell(endpoints, [service])
    assert place.pod("web").is_refused(VIP, 80)
    line = place.line("near", message="connection failed", direction="outbound")
    assert line["code"] == "route_waypoint_unknown"


# No stale pools.


def test_a_pooled_tunnel_is_used_again_and_left_when_its_workload_moves(place: Town) -> None:
    shop, bakery, web = place.pod("shop"), place.pod("bakery"), place.pod("web")
    service, endpoints = place.service("bread", VIP, "shop")
    place.tell(endpoints, [service])
    with (
        shop.serving(8080, named(shop)),
        bakery.serving(8080, named(bakery)),
        web.dial(VIP, 80) as kept,
    ):
        assert line_of(kept) == f"shop sees {web.ip}"
        # The same uid, elsewhere and as somebody else, as when an address is used again.
        moved = shop.workload(
            addresses=bakery.workload().addresses,
            service_account="bakery",
            services=endpoints[0].services,
        )
        gone = bakery.workload(addresses=())
        place.near.tell([web.workload(), moved, gone], [service])
        with web.dial(VIP, 80) as client:
            assert line_of(client) == f"bakery sees {web.ip}"
        kept.sendall(b"still here")
        assert kept.recv(100) == b"still here"
