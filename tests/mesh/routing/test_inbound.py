"""Inbound decisions: which CONNECT is meant for a pod, and what to dial."""

import pytest

from mesh.model.address import SocketAddress
from mesh.model.workload import (
    ApplicationTunnel,
    Port,
    Service,
    TunnelHeader,
    Visibility,
    WeightedWaypoint,
    Workload,
)
from mesh.routing.inbound import Dial, Refusal, admit, likely_service
from mesh.state.world import World
from tests.mesh.worlds import at, by_address, by_name, pod, service, world

NEAR = at("10.0.0.2:15008")
SERVER = pod("server", "10.0.0.2", serves=("shop/web",))
WEB = service("web", "10.96.0.1")
PROXY = ApplicationTunnel(TunnelHeader.PROXY, 15088)
RAW = ApplicationTunnel(TunnelHeader.NONE)


def ask(
    known: World,
    authority: str,
    local: Workload | None = SERVER,
    near: SocketAddress = NEAR,
    *,
    loopback: bool = True,
    **more: bytes,
) -> Dial | Refusal:
    headers = {b":method": b"CONNECT", b":authority": authority.encode()}
    headers |= {name.replace("_", "-").encode(): value for name, value in more.items()}
    return admit(known, local, headers, near, loopback=loopback)


def dial(decision: Dial | Refusal) -> Dial:
    assert isinstance(decision, Dial), decision
    return decision


def refusal(decision: Dial | Refusal) -> tuple[int, str]:
    assert isinstance(decision, Refusal), decision
    return decision.status, decision.code


# Heads.


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b":method": b"GET", b":authority": b"10.0.0.2:80"},
        {b":method": b"CONNECT", b":authority": b"10.0.0.2:80", b":protocol": b"websocket"},
    ],
)
def test_only_a_plain_connect_is_served(headers: dict[bytes, bytes]) -> None:
    decision = admit(world(SERVER), SERVER, headers, NEAR)
    assert decision == Refusal(400, "expected method CONNECT", "route_not_connect")


@pytest.mark.parametrize(
    "authority",
    [
        "",
        "10.0.0.2",
        "10.0.0.2:",
        "10.0.0.2:0",
        "10.0.0.2:65536",
        "10.0.0.2:http",
        "10.0.0:80",
        "2001:db8::1:80",
        "[2001:db8::1]",
        "web",
        "web:0",
        "web:65536",
        "web:1000000",
        ":80",
        "we b:80",
        "web/x:80",
        "user@web:80",
        "wéb:80",
    ],
)
def test_an_authority_is_an_address_or_a_hostname_with_a_port(authority: str) -> None:
    headers = {b":method": b"CONNECT", b":authority": authority.encode("latin-1")}
    decision = admit(world(SERVER), SERVER, headers, NEAR)
    assert refusal(decision) == (400, "route_authority_invalid")


def test_a_pod_that_the_state_does_not_know_is_not_served() -> None:
    assert refusal(ask(world(), "10.0.0.2:80", None)) == (503, "route_workload_unknown")


# By address.


def test_the_pods_own_address_is_dialled() -> None:
    decision = dial(ask(world(SERVER), "10.0.0.2:8080"))
    assert decision.destination == decision.connect_to == at("10.0.0.2:8080")
    assert decision.proxy_target is None
    assert not decision.from_gateway


def test_an_ipv6_pod_is_dialled_too() -> None:
    six = pod("six", "2001:db8::2")
    decision = dial(ask(world(six), "[2001:db8::2]:8080", six, at("[2001:db8::2]:15008")))
    assert decision.connect_to == at("[2001:db8::2]:8080")


def test_another_address_is_not_meant_for_us() -> None:
    other = pod("other", "10.0.0.3")
    decision = ask(world(SERVER, other), "10.0.0.3:8080")
    assert refusal(decision) == (400, "route_ip_mismatch")
    assert isinstance(decision, Refusal)
    assert decision.reason == "ip mismatch: 10.0.0.2:15008 != 10.0.0.3:8080"
    assert refusal(ask(world(SERVER), "198.51.100.1:80")) == (400, "route_ip_mismatch")


@pytest.mark.parametrize("port", [15001, 15006, 15008])
def test_the_proxys_own_ports_are_not_dialled(port: int) -> None:
    decision = ask(world(SERVER), f"10.0.0.2:{port}")
    assert refusal(decision) == (503, "route_self_call")
    hostname = service("web", ports=(Port(80, port),))
    assert refusal(ask(world(SERVER, hostname), "web:80")) == (503, "route_self_call")


def test_an_application_tunnel_to_an_own_port_is_not_dialled() -> None:
    local = pod("wp", "10.0.0.2", tunnel=ApplicationTunnel(TunnelHeader.PROXY, 15008))
    assert refusal(ask(world(local), "10.0.0.2:80", local)) == (503, "route_self_call")


# As a waypoint.

WP = pod("wp", "10.0.0.2", serves=("shop/wp",))
WP_SERVICE = service("wp", "10.96.0.8", ports=(Port(15008, 15008),))


@pytest.mark.parametrize(
    "gateway", [by_name("shop/wp"), by_address("10.96.0.8"), by_address("10.0.0.2")]
)
def test_a_waypoint_serves_the_workloads_and_services_that_are_attached_to_it(
    gateway: object,
) -> None:
    assert isinstance(gateway, type(by_name("a/b")))
    behind = pod("behind", "10.0.0.3", waypoint=gateway)
    attached = service("attached", "10.96.0.3", waypoint=gateway)
    known = world(WP, WP_SERVICE, behind, attached)
    assert dial(ask(known, "10.0.0.3:80", WP)).destination == at("10.0.0.2:80")
    assert dial(ask(known, "10.96.0.3:80", WP)).destination == at("10.0.0.2:80")


def test_a_waypoint_that_is_one_of_several_by_weight_serves_its_share() -> None:
    weighted = (WeightedWaypoint(by_name("shop/wp"), 1),)
    attached = service("attached", "10.96.0.3", weighted=weighted, waypoint=by_name("shop/x"))
    dial(ask(world(WP, WP_SERVICE, attached), "10.96.0.3:80", WP))


def test_a_waypoint_serves_nobody_else() -> None:
    other_waypoint = pod("other-wp", "10.0.0.9", hostname="other")
    behind_other = pod("behind", "10.0.0.3", waypoint=by_name("shop/other"))
    plain = service("plain", "10.96.0.4")
    known = world(WP, WP_SERVICE, other_waypoint, behind_other, plain)
    for authority in ("10.0.0.3:80", "10.96.0.4:80", "10.0.0.9:80"):
        assert refusal(ask(known, authority, WP)) == (400, "route_ip_mismatch")


def test_a_waypoint_of_a_service_is_not_that_of_its_workloads_nor_the_other_way() -> None:
    workload = pod("w", "10.0.0.3", serves=("shop/attached",))
    attached = service("attached", "10.96.0.3", waypoint=by_name("shop/wp"))
    known = world(WP, WP_SERVICE, workload, attached)
    assert refusal(ask(known, "10.0.0.3:80", WP)) == (400, "route_ip_mismatch")
    workload = pod("w", "10.0.0.3", serves=("shop/attached",), waypoint=by_name("shop/wp"))
    known = world(WP, WP_SERVICE, workload, service("attached", "10.96.0.3"))
    assert refusal(ask(known, "10.96.0.3:80", WP)) == (400, "route_ip_mismatch")


def test_a_waypoint_with_a_hostname_of_its_own_is_known_by_it() -> None:
    alone = pod("alone", "10.0.0.2", hostname="alone")
    behind = pod("behind", "10.0.0.3", waypoint=by_name("shop/alone"))
    dial(ask(world(alone, behind), "10.0.0.3:80", alone))


# By hostname.


@pytest.mark.parametrize(
    ("web", "local", "port"),
    [
        (service("web"), SERVER, 8080),
        (service("web", ports=(Port(80, 0),)), pod("s", serves={"shop/web": (Port(80, 7),)}), 7),
        (service("web"), pod("s", serves={"shop/web": (Port(80, 0),)}), 8080),
        (service("web"), pod("s", serves={"shop/web": (Port(80, 9090),)}), 9090),
    ],
    ids=["the service's", "a named one", "none of its own", "its own"],
)
def test_a_hostname_gives_the_port(web: Service, local: Workload, port: int) -> None:
    decision = dial(ask(world(web, local), "web:80", local))
    assert decision.destination == SocketAddress(NEAR.ip, port)
    assert decision.service is web


def test_a_hostname_must_be_known_and_have_the_port() -> None:
    hidden = service("secret", namespace="yard", visibility=Visibility.NAMESPACE)
    known = world(SERVER, WEB, hidden)
    assert refusal(ask(known, "nobody:80")) == (503, "route_no_service")
    assert refusal(ask(known, "secret:80")) == (503, "route_no_service")
    assert refusal(ask(known, "web:81")) == (503, "route_no_port")
    unnamed = service("web", ports=(Port(80, 0),))
    assert refusal(ask(world(SERVER, unnamed), "web:80")) == (503, "route_no_port")


# Application tunnels.


def test_a_raw_tunnel_takes_any_authority_at_its_own_port() -> None:
    local = pod("wp", "10.0.0.2", tunnel=RAW)
    decision = dial(ask(world(local), "10.96.0.1:80", local))
    assert decision.destination == decision.connect_to == at("10.0.0.2:80")
    assert decision.proxy_target is None
    fixed = pod("wp", "10.0.0.2", tunnel=ApplicationTunnel(TunnelHeader.NONE, 9000))
    assert dial(ask(world(fixed), "10.96.0.1:80", fixed)).connect_to == at("10.0.0.2:9000")


@pytest.mark.parametrize("authority", ["10.0.0.2:80", "10.96.0.1:80", "10.0.0.3:8080"])
def test_a_proxy_header_tells_what_was_called(authority: str) -> None:
    local = pod("wp", "10.0.0.2", tunnel=PROXY)
    decision = dial(ask(world(local, WEB), authority, local))
    assert decision.destination == at("10.0.0.2:15088")
    assert decision.connect_to == at("127.0.0.1:15088")
    assert decision.proxy_target == at(authority)


def test_the_loopback_is_of_the_pods_family_and_can_be_left() -> None:
    local = pod("wp", "2001:db8::2", tunnel=PROXY)
    near = at("[2001:db8::2]:15008")
    assert dial(ask(world(local), "10.96.0.1:80", local, near)).connect_to == at("[::1]:15088")
    at_home = dial(ask(world(local), "10.96.0.1:80", local, near, loopback=False))
    assert at_home.connect_to == at_home.destination == at("[2001:db8::2]:15088")


def test_of_a_hostname_the_best_address_is_told() -> None:
    local = pod("wp", "10.0.0.2", tunnel=PROXY, serves=("shop/web",))
    web = service("web", "2001:db8::1", "10.96.0.1", "10.0.0.0/8")
    assert dial(ask(world(local, web), "web:80", local)).proxy_target == at("10.96.0.1:80")
    far = service("web", "10.96.9.9", network="far")
    assert dial(ask(world(local, far), "web:80", local)).proxy_target == at("10.96.9.9:80")
    headless = service("web")
    assert refusal(ask(world(local, headless), "web:80", local)) == (503, "route_no_vip")


def test_a_tunnelled_service_needs_no_port() -> None:
    local = pod("wp", "10.0.0.2", tunnel=PROXY)
    web = service("web", "10.96.0.1", ports=())
    assert dial(ask(world(local, web), "web:80", local)).connect_to == at("127.0.0.1:15088")


# What is told for logs.


def test_a_hinted_service_is_believed_if_the_workload_serves_it() -> None:
    api = service("api", "10.96.0.2")
    local = pod("server", "10.0.0.2", serves=("shop/web", "shop/api", "shop/gone"))
    known = world(local, WEB, api, service("other"))
    for hint, expected in (("web", WEB), ("api", api), ("other", api), ("", api)):
        head = f'for="10.0.0.1:4000";host={hint}'.encode()
        assert dial(ask(known, "10.0.0.2:80", local, forwarded=head)).service is expected
    quoted = dial(ask(known, "10.0.0.2:80", local, forwarded=b'Host="web"')).service
    assert quoted is WEB
    assert likely_service(known, local) is api
    assert likely_service(known, pod("alone")) is None


@pytest.mark.parametrize(
    ("header", "expected"), [(b"east", True), (b"WEST", False), (b"west", False), (b"", True)]
)
def test_a_caller_of_another_network_came_by_a_gateway(header: bytes, expected: bool) -> None:
    local = pod("server", "10.0.0.2", network="west")
    decision = dial(ask(world(local), "10.0.0.2:80", local, x_forwarded_network=header))
    assert decision.from_gateway is expected


def test_where_only_one_port_is_offered_all_others_are_refused() -> None:
    headers = {b":method": b"CONNECT", b":authority": b"10.0.0.2:15020"}
    decision = admit(world(SERVER), SERVER, headers, NEAR, only_port=15020)
    assert dial(decision).connect_to == at("10.0.0.2:15020")
    headers[b":authority"] = b"10.0.0.2:15000"
    decision = admit(world(SERVER), SERVER, headers, NEAR, only_port=15020)
    assert refusal(decision) == (403, "route_not_offered")
