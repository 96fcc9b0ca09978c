"""A tunnel within a tunnel, through a gateway that carries octets it cannot read."""

import socket
import threading

import pytest

from mesh.model.identity import Identity
from mesh.model.names import PACKET_MARK
from mesh.model.workload import GatewayAddress, Port, TunnelProtocol, Workload
from mesh.runtime.netns import inside
from tests.ztunnel.worker.town import SECONDS, Town, TownPod, line_of, named, network_address

pytestmark = [pytest.mark.netns, pytest.mark.slow]

VIP = "10.80.0.1"
FORWARDING = 15443


def carry(source: socket.socket, sink: socket.socket) -> None:
    try:
        while octets := source.recv(65_536):
            sink.sendall(octets)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


def forward_to(gate: TownPod, host: str) -> object:
    """An application that hands everything on to a tunnel port, as a gateway does."""

    def serve(accepted: socket.socket) -> None:
        with inside(gate.netns):
            far = socket.socket()
        with far:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, PACKET_MARK)  # it is a proxy
            far.settimeout(SECONDS)
            far.connect((host, 15008))
            back = threading.Thread(target=carry, args=(far, accepted), daemon=True)
            back.start()
            carry(accepted, far)
            back.join()

    return serve


def build(place: Town, *, expected: Identity) -> None:
    """On the near node the service is in another network, behind the gateway."""
    shop, gate, web = place.pod("shop"), place.pod("gate"), place.pod("web")
    service, _ = place.service("bread", VIP, subject_alt_names=(str(expected),))
    over_there = Workload(
        uid="north/shop",
        name="shop",
        namespace="town",
        network="north",
        protocol=TunnelProtocol.HBONE,
        network_gateway=GatewayAddress(network_address(gate.ip), 15008),
        services={service.key: (Port(80, 8080),)},
    )
    place.near.tell([web.workload(), gate.workload(), over_there], [service])
    place.far.tell(
        [
            web.workload(),
            shop.workload(services={service.key: (Port(80, 8080),)}),
            gate.workload(services={service.key: (Port(80, FORWARDING),)}),
        ],
        [service],
    )


def test_a_service_of_another_network_is_reached_through_its_gateway(place: Town) -> None:
    shop, gate, web = place.pod("shop"), place.pod("gate"), place.pod("web")
    build(place, expected=shop.identity)
    with (
        shop.serving(8080, named(shop)),
        gate.serving(FORWARDING, forward_to(gate, shop.ip)),  # type: ignore[arg-type]
        web.dial(VIP, 80) as client,
    ):
        assert line_of(client) == f"shop sees {gate.ip}"
        client.sendall(b"x" * 1_000_000)
        client.shutdown(socket.SHUT_WR)
        total = 0
        while octets := client.recv(65_536):
            total += len(octets)
        assert total == 1_000_000
    line = place.line("near", message="connection complete", direction="outbound")
    assert line["dst.identity"] == str(shop.identity)
    assert line["dst.workload"] == "shop"
    assert line["dst.hbone_addr"] == "bread.town.svc.cluster.local:80"
    assert line["dst.service"] == "bread.town.svc.cluster.local"
    # The gateway's proxy saw a connection to the gateway; the shop's one saw the caller itself.
    line = place.line("far", direction="inbound", dst__workload="shop")
    assert line["src.identity"] == str(web.identity)


def test_only_the_services_own_identities_may_end_the_inner_tunnel(place: Town) -> None:
    shop, gate, web = place.pod("shop"), place.pod("gate"), place.pod("web")
    build(place, expected=place.pod("bakery").identity)
    with (
        shop.serving(8080, named(shop)),
        gate.serving(FORWARDING, forward_to(gate, shop.ip)),  # type: ignore[arg-type]
    ):
        assert web.is_refused(VIP, 80)
    line = place.line("near", direction="outbound", level="error")
    assert line["code"] == "tls_unexpected_identity"


def test_a_gateway_that_reaches_nobody_is_an_error(place: Town) -> None:
    build(place, expected=place.pod("shop").identity)
    assert place.pod("web").is_refused(VIP, 80)
    line = place.line("near", direction="outbound", level="error")
    assert line["error"] == "http status: 503"
