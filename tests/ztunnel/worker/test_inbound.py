"""What a pod's 15008 answers, row by row, to a peer that shares no HTTP/2 with us."""

import datetime as dt
import socket
import threading
from collections.abc import Iterator

import pytest
from OpenSSL import SSL

from mesh.model.address import parse_ip
from mesh.model.identity import Identity
from mesh.model.workload import (
    ApplicationTunnel,
    GatewayAddress,
    Port,
    Service,
    TunnelHeader,
)
from tests.pki import Authority, Issued
from tests.ztunnel.worker.raw import RawPeer, stranger
from tests.ztunnel.worker.town import (
    MESH,
    SECONDS,
    Town,
    TownPod,
    deny,
    line_of,
    named,
    network_address,
)

pytestmark = [pytest.mark.netns, pytest.mark.slow]

CALLER = MESH.identity("town", "caller")
PAPERS = MESH.issue(CALLER)
VIP = "10.80.0.1"


def peer(place: Town, pod: TownPod) -> RawPeer:
    return stranger(place, pod.ip, PAPERS)


def refused(place: Town, authority: str, **more: str) -> tuple[str, bool, dict[str, object]]:
    """Status and whether the answer is whole, and the line about it."""
    with peer(place, place.pod("shop")) as raw:
        answer = raw.answer(raw.connect(authority, **more))
    line = place.line("far", direction="inbound", level="warn")
    assert line["message"] == "connection failed"
    return answer[b":status"].decode(), b":ended" in answer, dict(line)


def test_a_connect_is_answered_when_the_application_has_accepted(place: Town) -> None:
    shop = place.pod("shop")
    with shop.serving(8080, named(shop)), peer(place, shop) as raw:
        stream = raw.connect(f"{shop.ip}:8080")
        answer = raw.answer(stream)
        assert answer[b":status"] == b"200"
        assert b":ended" not in answer
        assert b"k8s.deployment.name=shop" in answer[b"baggage"]
        assert raw.read(stream) == f"shop sees {place.pod('stranger').ip}\n".encode()
        raw.send(stream, b"hello", end=True)
        assert raw.read(stream) == b"hello"
        assert raw.read(stream) == b""
    line = place.line("far", message="connection complete", direction="inbound")
    assert line["src.identity"] == str(CALLER)


def test_another_method_is_a_400(place: Town) -> None:
    with peer(place, place.pod("shop")) as raw:
        get = ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"x"))
        answer = raw.answer(raw.ask(*get))
    assert answer[b":status"] == b"400"
    assert b":ended" in answer
    line = place.line("far", direction="inbound", level="warn")
    assert line["error"] == "expected method CONNECT"


def test_an_authority_that_is_none_is_a_400(place: Town) -> None:
    status, whole, line = refused(place, "10.0.0.1")
    assert (status, whole, line["code"]) == ("400", True, "route_authority_invalid")


def test_an_address_that_is_not_the_pods_is_a_400(place: Town) -> None:
    status, whole, line = refused(place, "10.79.0.99:8080")
    assert (status, whole, line["code"]) == ("400", True, "route_ip_mismatch")
    assert str(line["error"]).startswith("ip mismatch: ")


@pytest.mark.parametrize("port", [15001, 15006, 15008])
def test_a_port_of_the_proxy_itself_is_a_503(place: Town, port: int) -> None:
    status, whole, line = refused(place, f"{place.pod('shop').ip}:{port}")
    assert (status, whole, line["code"]) == ("503", True, "route_self_call")


def test_a_hostname_that_nobody_knows_is_a_503(place: Town) -> None:
    status, whole, line = refused(place, "nobody.town.svc.cluster.local:80")
    assert (status, whole, line["code"]) == ("503", True, "route_no_service")


def test_a_hostname_is_resolved_to_the_pods_own_port(place: Town) -> None:
    shop = place.pod("shop")
    service, endpoints = place.service("bread", VIP, "shop")
    place.tell(endpoints, [service])
    with shop.serving(8080, named(shop)), peer(place, shop) as raw:
        stream = raw.connect(f"{service.hostname}:80")
        assert raw.answer(stream)[b":status"] == b"200"
        assert raw.read(stream).startswith(b"shop sees")


def test_a_pod_that_the_state_has_lost_is_a_503(place: Town) -> None:
    shop = place.pod("shop")
    with peer(place, shop) as raw:
        place.far.tell([place.pod("web").workload()])
        assert raw.answer(raw.connect(f"{shop.ip}:8080"))[b":status"] == b"503"


def test_a_policy_that_denies_is_a_401_counted_and_said(place: Town) -> None:
    place.tell(policies=[deny("no-callers", "caller")])
    shop = place.pod("shop")
    with shop.serving(8080, named(shop)), peer(place, shop) as raw:
        answer = raw.answer(raw.connect(f"{shop.ip}:8080"))
    assert answer[b":status"] == b"401"
    assert b":ended" in answer
    line = place.line("far", direction="inbound", level="error")
    assert line["error"] == (
        "connection closed due to policy rejection: explicitly denied by: town/no-callers"
    )
    assert line["code"] == "policy_denied"


def test_an_application_that_is_not_there_is_a_503_after_the_policies(place: Town) -> None:
    with peer(place, place.pod("shop")) as raw:
        answer = raw.answer(raw.connect(f"{place.pod('shop').ip}:8999"))
    assert answer[b":status"] == b"503"
    line = place.line("far", direction="inbound", level="error")
    assert line["code"] == "connect_failed"


def test_many_requests_share_a_tunnel_and_one_refusal_hurts_no_other(place: Town) -> None:
    shop = place.pod("shop")
    with shop.serving(8080, named(shop)), peer(place, shop) as raw:
        streams = [raw.connect(f"{shop.ip}:8080") for _ in range(20)]
        bad = raw.connect("10.79.0.99:8080")
        assert raw.answer(bad)[b":status"] == b"400"
        for stream in streams:
            assert raw.answer(stream)[b":status"] == b"200"
            raw.read(stream)
            raw.send(stream, b"?")
            assert raw.read(stream) == b"?"


def test_octets_that_come_before_the_answer_are_not_lost(place: Town) -> None:
    shop = place.pod("shop")
    with shop.serving(8080, named(shop)), peer(place, shop) as raw:
        stream = raw.connect(f"{shop.ip}:8080")
        raw.send(stream, b"early", end=True)
        assert raw.answer(stream)[b":status"] == b"200"
        octets = b""
        while piece := raw.read(stream):
            octets += piece
    assert octets.endswith(b"early")


# Waypoints behind the proxy.


def test_the_waypoint_of_a_service_is_let_in_with_its_address(place: Town) -> None:
    shop, way = place.pod("shop"), place.pod("bakery")
    to_way = GatewayAddress(network_address(way.ip), 15008)
    service, endpoints = place.service("bread", VIP, "shop", waypoint=to_way)
    place.tell(endpoints, [service])
    with way.serving(80, named(way)), stranger(place, way.ip, PAPERS) as raw:
        stream = raw.connect(f"{VIP}:80")
        assert raw.answer(stream)[b":status"] == b"200"
        assert raw.read(stream).startswith(b"bakery sees")
    del shop


def test_an_application_tunnel_begins_with_a_proxy_header(place: Town) -> None:
    way = place.pod("bakery")
    tunnel = ApplicationTunnel(TunnelHeader.PROXY, 15088)
    place.tell([way.workload(application_tunnel=tunnel)])
    with way.listen(15088) as application, stranger(place, way.ip, PAPERS) as raw:
        stream = raw.connect(f"{VIP}:80")
        accepted, far = application.accept()
        with accepted:
            accepted.settimeout(SECONDS)
            header = accepted.recv(65_536)
            assert raw.answer(stream)[b":status"] == b"200"
    assert header.startswith(b"\r\n\r\n\0\r\nQUIT\n\x21\x11")
    assert header[16:20] == parse_ip(place.pod("stranger").ip)
    assert header[20:24] == parse_ip(VIP)
    assert header[26:28] == (80).to_bytes(2, "big")
    assert header.endswith(b"\xd0" + len(str(CALLER)).to_bytes(2, "big") + str(CALLER).encode())
    assert far[0] in ("127.0.0.1", "::ffff:127.0.0.1")


# Bad peers: each is told in its own line, and an open connection does not notice.


@pytest.fixture
def bystander(place: Town) -> Iterator[socket.socket]:
    """A connection through the same listener; it must work afterwards."""
    shop = place.pod("shop")
    with shop.serving(8080, named(shop)), place.pod("web").dial(shop.ip, 8080) as client:
        line_of(client)
        yield client
        client.sendall(b"still here")
        assert client.recv(100) == b"still here"
        with place.pod("web").dial(shop.ip, 8080) as another:
            line_of(another)


def closes(connection: socket.socket) -> bool:
    try:
        while connection.recv(65_536):
            pass
    except ConnectionResetError:
        return True
    return True


@pytest.mark.parametrize(
    "octets",
    [b"\xff" * 2000, b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ids=["garbage", "http1", "http2-in-plain-text"],
)
@pytest.mark.usefixtures("bystander")
def test_what_is_no_tls_is_closed_with_one_line(place: Town, octets: bytes) -> None:
    with place.pod("stranger").dial(place.pod("shop").ip, 15008) as raw:
        raw.sendall(octets)
        assert closes(raw)
    line = place.line("far", message="connection failed", direction="inbound")
    assert line["code"] == "tls_handshake_failed"


@pytest.mark.usefixtures("bystander")
def test_http1_inside_tls_is_closed(place: Town) -> None:
    with peer(place, place.pod("shop")) as raw:
        raw.send_raw(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n")
        raw.wait_closed()


@pytest.mark.usefixtures("bystander")
def test_garbage_after_a_good_beginning_ends_that_tunnel_only(place: Town) -> None:
    shop = place.pod("shop")
    with peer(place, shop) as raw:
        stream = raw.connect(f"{shop.ip}:8080")
        raw.answer(stream)
        raw.send_raw(b"\0\0\0\xff\xff\xff\xff\xff\xff" * 3000)
        raw.wait_closed()


def test_half_a_frame_waits_and_hurts_nobody(place: Town, bystander: socket.socket) -> None:
    with peer(place, place.pod("shop")) as raw:
        raw.send_raw(b"\0\0\x10\1")
        bystander.sendall(b"meanwhile")
        assert bystander.recv(100) == b"meanwhile"


@pytest.mark.usefixtures("bystander")
def test_a_peer_that_goes_in_the_middle_of_a_handshake_is_forgotten(place: Town) -> None:
    with place.pod("stranger").dial(place.pod("shop").ip, 15008) as raw:
        raw.sendall(b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3")
    line = place.line("far", message="connection failed", direction="inbound")
    assert line["code"] == "tls_handshake_failed"


OTHER_DOMAIN = Authority("elsewhere.local")
OTHER_CHAIN = Authority()


@pytest.mark.parametrize(
    ("papers", "code"),
    [
        (
            MESH.issue(CALLER, begins=-dt.timedelta(hours=2), lasts=dt.timedelta(hours=1)),
            "tls_expired",
        ),
        (OTHER_CHAIN.issue(OTHER_CHAIN.identity("town", "caller")), "tls_untrusted"),
        (MESH.issue(Identity("elsewhere.local", "town", "caller")), "tls_trust_domain"),
        (MESH.issue(CALLER, more_uris=["spiffe://cluster.local/ns/x/sa/y"]), "tls_two_identities"),
        (MESH.issue(None), "tls_two_identities"),
    ],
    ids=["expired", "another-chain", "another-trust-domain", "two-uris", "no-uri"],
)
@pytest.mark.usefixtures("bystander")
def test_a_certificate_that_does_not_do_is_refused_by_name(
    place: Town, papers: Issued, code: str
) -> None:
    source, shop = place.pod("stranger"), place.pod("shop")
    with RawPeer(source, shop.ip, papers, MESH.roots) as raw:
        raw.wait_closed()
    line = place.line("far", message="connection failed", direction="inbound")
    assert line["code"] == code
    assert line["level"] == "warn"


@pytest.mark.usefixtures("bystander")
def test_a_peer_that_speaks_no_alpn_is_refused(place: Town) -> None:
    context = SSL.Context(SSL.TLS_METHOD)
    with place.pod("stranger").dial(place.pod("shop").ip, 15008) as sock:
        sock.settimeout(None)
        raw = SSL.Connection(context, sock)
        raw.set_connect_state()
        with pytest.raises(SSL.Error):  # noqa: PT012 - it may be noticed in either call
            raw.do_handshake()
            raw.recv(1)
    line = place.line("far", message="connection failed", direction="inbound")
    assert str(line["code"]).startswith("tls_")


def test_silence_on_a_named_port_is_no_service(place: Town) -> None:
    shop = place.pod("shop")
    service = Service(
        name="odd",
        namespace="town",
        hostname="odd.town.svc.cluster.local",
        ports=(Port(80, 0),),
    )
    place.tell([shop.workload(services={service.key: ()})], [service])
    status, _, line = refused(place, "odd.town.svc.cluster.local:80")
    assert (status, line["code"]) == ("503", "route_no_port")


def test_a_thousand_refusals_leave_nothing_behind(place: Town) -> None:
    shop = place.pod("shop")
    before = threading.active_count()
    with peer(place, shop) as raw:
        for _ in range(300):
            assert raw.answer(raw.connect("10.79.0.99:80"))[b":status"] == b"400"
        with shop.serving(8080, named(shop)):
            assert raw.answer(raw.connect(f"{shop.ip}:8080"))[b":status"] == b"200"
    assert threading.active_count() <= before + 1
