"""Which CONNECT a waypoint takes, and how it reaches whom it is for."""

import pytest

from mesh.model.address import Ip, SocketAddress, parse_ip
from mesh.model.routes import Waypoint
from mesh.model.workload import (
    AppProtocol,
    BalanceMode,
    GatewayAddress,
    Port,
    TunnelProtocol,
    Visibility,
    WeightedWaypoint,
    Workload,
)
from mesh.routing.balance import Endpoint
from mesh.routing.decisions import Decision, Hbone, NeedsResolution, PlainTcp, Refused
from mesh.routing.inbound import Refusal
from mesh.routing.waypoint import Called, admit, bounded, choose, way_to
from mesh.state.world import World
from tests.mesh.worlds import at, by_address, by_name, pod, service, world

EDGE_IP = "10.0.9.9"
EDGE = Waypoint(
    namespace="shop",
    name="edge",
    addresses=(parse_ip("10.96.9.9"),),
    hostnames=("edge.shop.svc",),
    serves_services=True,
    serves_workloads=True,
)
OWN = pod("edge-1", EDGE_IP)
OURS = by_address("10.96.9.9")
HTTP = (Port(80, 8080, AppProtocol.HTTP11), Port(6379, 6379, AppProtocol.TCP))
WEB = service("web", "10.96.0.1", ports=HTTP, waypoint=OURS)
SERVER = pod("server", "10.0.0.2", serves=("shop/web",), waypoint=OURS)


def ask(known: World, authority: str, waypoint: Waypoint | None = EDGE) -> Called | Refusal:
    headers = {b":method": b"CONNECT", b":authority": authority.encode()}
    return admit(known, waypoint, headers, network="", namespace="shop")


def admitted(decision: Called | Refusal) -> Called:
    assert isinstance(decision, Called), decision
    return decision


def refused(decision: Called | Refusal) -> tuple[int, str]:
    assert isinstance(decision, Refusal), decision
    return decision.status, decision.code


# Heads.


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b":method": b"GET", b":authority": b"10.96.0.1:80"},
        {b":method": b"CONNECT", b":authority": b"10.96.0.1:80", b":protocol": b"websocket"},
    ],
)
def test_what_is_no_plain_connect_is_refused(headers: dict[bytes, bytes]) -> None:
    decision = admit(world(WEB), EDGE, headers, network="", namespace="shop")
    assert refused(decision) == (400, "route_not_connect")


@pytest.mark.parametrize("authority", ["", "web", "10.96.0.1", "10.96.0.1:0", "10.96.0.300:80"])
def test_an_authority_has_to_be_a_place_with_a_port(authority: str) -> None:
    assert refused(ask(world(WEB), authority)) == (400, "route_authority_invalid")


def test_nobody_is_served_before_the_control_plane_has_said_what_is_ours() -> None:
    assert refused(ask(world(WEB), "10.96.0.1:80", None)) == (503, "route_waypoint_untold")


# Services.


def test_a_bound_service_is_admitted_by_its_address() -> None:
    destination = admitted(ask(world(WEB, SERVER), "10.96.0.1:80"))
    assert destination == Called(
        port=80, app_protocol=AppProtocol.HTTP11, address=at("10.96.0.1:80"), service=WEB
    )


def test_a_bound_service_is_admitted_by_its_hostname() -> None:
    destination = admitted(ask(world(WEB), f"{WEB.hostname}:6379"))
    assert (destination.service, destination.port, destination.app_protocol) == (
        WEB,
        6379,
        AppProtocol.TCP,
    )
    assert destination.address is None


def test_a_waypoint_may_be_named_by_its_hostname() -> None:
    named = service("web", "10.96.0.1", ports=HTTP, waypoint=by_name("shop/edge.shop.svc"))
    assert admitted(ask(world(named), "10.96.0.1:80")).service == named


def test_one_of_several_weighted_waypoints_is_one() -> None:
    weighted = service(
        "web",
        "10.96.0.1",
        ports=HTTP,
        waypoint=by_address("10.96.7.7"),
        weighted=(
            WeightedWaypoint(by_address("10.96.7.7"), 90),
            WeightedWaypoint(OURS, 10),
        ),
    )
    assert admitted(ask(world(weighted), "10.96.0.1:80")).service == weighted


@pytest.mark.parametrize(
    "other",
    [
        None,
        by_address("10.96.7.7"),
        by_name("other/edge.shop.svc"),
        by_name("shop/other.shop.svc"),
    ],
)
def test_a_service_of_another_waypoint_or_none_is_not_forwarded(
    other: GatewayAddress | None,
) -> None:
    stray = service("web", "10.96.0.1", ports=HTTP, waypoint=other)
    assert refused(ask(world(stray), "10.96.0.1:80")) == (421, "route_not_this_waypoint")


def test_a_waypoint_for_workloads_only_serves_no_service() -> None:
    only = Waypoint(
        namespace="shop",
        name="edge",
        addresses=EDGE.addresses,
        serves_services=False,
        serves_workloads=True,
    )
    assert refused(ask(world(WEB), "10.96.0.1:80", only)) == (421, "route_not_this_waypoint")


@pytest.mark.parametrize(
    ("authority", "code"),
    [
        ("10.96.0.77:80", "route_destination_unknown"),
        ("cake.shop.svc:80", "route_no_service"),
        ("10.96.0.1:81", "route_no_port"),
    ],
)
def test_what_is_not_there_is_not_found(authority: str, code: str) -> None:
    assert refused(ask(world(WEB), authority)) == (404, code)


def test_a_service_that_the_client_cannot_see_is_not_there() -> None:
    hidden = service(
        "web",
        "10.96.0.1",
        namespace="private",
        ports=HTTP,
        waypoint=OURS,
        visibility=Visibility.NAMESPACE,
    )
    assert refused(ask(world(hidden), "10.96.0.1:80")) == (404, "route_destination_unknown")


# Workloads.


def test_a_bound_workload_is_admitted_by_its_address() -> None:
    destination = admitted(ask(world(WEB, SERVER), "10.0.0.2:8080"))
    assert (destination.workload, destination.port) == (SERVER, 8080)
    assert destination.app_protocol is AppProtocol.HTTP11
    assert destination.service == WEB, "a hint for the log"


def test_what_a_workload_speaks_may_be_unknown() -> None:
    assert admitted(ask(world(SERVER), "10.0.0.2:9")).app_protocol is AppProtocol.UNKNOWN


def test_a_workload_of_no_waypoint_is_not_forwarded() -> None:
    free = pod("server", "10.0.0.2")
    assert refused(ask(world(free), "10.0.0.2:8080")) == (421, "route_not_this_waypoint")


def test_a_waypoint_for_services_serves_no_workload() -> None:
    only = Waypoint(namespace="shop", name="edge", addresses=EDGE.addresses)
    assert refused(ask(world(SERVER), "10.0.0.2:80", only)) == (421, "route_not_this_waypoint")


def test_the_ports_of_a_proxy_are_nobodys_application() -> None:
    assert refused(ask(world(SERVER), "10.0.0.2:15008")) == (503, "route_self_call")


# Waypoints of service accounts.

ACCOUNT = Waypoint(namespace="shop", name="edge", addresses=EDGE.addresses, accounts=("baker",))


def test_an_accounts_waypoint_serves_the_workloads_of_the_account_only() -> None:
    baker = pod("a", "10.0.0.2", account="baker")
    other = pod("b", "10.0.0.3", account="other", waypoint=OURS)
    far = pod("c", "10.0.0.4", account="baker", namespace="away", waypoint=OURS)
    known = world(baker, other, far)
    assert admitted(ask(known, "10.0.0.2:80", ACCOUNT)).workload == baker
    assert refused(ask(known, "10.0.0.3:80", ACCOUNT))[0] == 421
    assert refused(ask(known, "10.0.0.4:80", ACCOUNT))[0] == 421


def test_an_accounts_waypoint_serves_a_service_whose_endpoints_are_all_its_own() -> None:
    web = service("web", "10.96.0.1", ports=HTTP)
    baker = pod("a", "10.0.0.2", account="baker", serves=("shop/web",))
    assert admitted(ask(world(web, baker), "10.96.0.1:80", ACCOUNT)).service == web
    other = pod("b", "10.0.0.3", account="other", serves=("shop/web",))
    assert refused(ask(world(web, baker, other), "10.96.0.1:80", ACCOUNT))[0] == 421
    assert refused(ask(world(web), "10.96.0.1:80", ACCOUNT))[0] == 421


# Going on.


def first(_: int) -> int:
    return 0


def onward(known: World, destination: Called, source: Workload = OWN) -> Decision:
    return choose(known, destination, source, first)


def test_an_endpoint_that_speaks_hbone_gets_a_tunnel_to_its_own_proxy() -> None:
    known = world(WEB, SERVER)
    way = onward(known, admitted(ask(known, "10.96.0.1:80")))
    assert isinstance(way, Hbone)
    assert way.connect_to == at("10.0.0.2:15008")
    assert (way.authority, way.workload) == ("10.0.0.2:8080", SERVER)
    assert way.expected == {SERVER.identity}


def test_an_endpoint_outside_the_mesh_gets_plain_text() -> None:
    plain = pod("server", "10.0.0.2", serves=("shop/web",), protocol=TunnelProtocol.NONE)
    known = world(WEB, plain)
    way = onward(known, admitted(ask(known, "10.96.0.1:80")))
    assert way == PlainTcp(at("10.0.0.2:8080"), plain, WEB)


def test_a_called_workload_is_the_only_endpoint() -> None:
    known = world(WEB, SERVER)
    way = onward(known, admitted(ask(known, "10.0.0.2:9000")))
    assert isinstance(way, Hbone)
    assert way.authority == "10.0.0.2:9000"


def test_a_service_without_endpoint_goes_nowhere() -> None:
    known = world(WEB)
    way = onward(known, admitted(ask(known, "10.96.0.1:80")))
    assert isinstance(way, Refused)
    assert way.code == "route_no_endpoint"


def test_a_service_that_chooses_nobody_gets_what_was_called() -> None:
    through = service(
        "web",
        "10.96.0.1",
        ports=HTTP,
        waypoint=OURS,
        mode=BalanceMode.PASSTHROUGH,
    )
    known = world(through)
    way = onward(known, admitted(ask(known, "10.96.0.1:80")))
    assert way == PlainTcp(at("10.96.0.1:80"), None, through)
    named = onward(known, admitted(ask(known, f"{through.hostname}:80")))
    assert isinstance(named, Refused)


def test_an_endpoint_in_another_network_is_out_of_reach() -> None:
    way = way_to(Endpoint(pod("far", "10.0.0.2", network="north"), 80), OWN)
    assert isinstance(way, Refused)
    assert way.code == "route_no_gateway"


def test_an_endpoint_is_reached_by_an_address_like_the_called_one() -> None:
    both = pod("server", "10.0.0.2", "fd00::2")
    v6 = SocketAddress(parse_ip("fd00::77"), 80)
    assert reached(way_to(Endpoint(both, 80), OWN, v6)) == parse_ip("fd00::2")
    assert reached(way_to(Endpoint(both, 80), OWN)) == parse_ip("10.0.0.2")


def reached(way: Decision) -> Ip:
    assert isinstance(way, Hbone)
    return way.connect_to.ip


def test_an_endpoint_that_is_only_a_name_has_to_be_looked_up() -> None:
    named = pod("server", hostname="db.example", protocol=TunnelProtocol.NONE)
    assert isinstance(way_to(Endpoint(named, 80), OWN), NeedsResolution)


# Endpoints before which their account's waypoint stands.


def test_a_waypoint_leaves_endpoints_to_the_waypoint_of_their_account() -> None:
    mixed = service("web", "10.96.0.1", ports=HTTP, waypoint=OURS, by_account=True)
    own = pod("baker", "10.0.0.2", serves=("shop/web",), of_account=by_name("shop/baker"))
    other = pod("cook", "10.0.0.3", serves=("shop/web",))

    def chosen(*workloads: Workload) -> set[str]:
        known = world(mixed, OWN, *workloads)
        destination = admitted(ask(known, "10.96.0.1:80"))
        found = [choose(known, destination, OWN, lambda n, d=draw: d % n) for draw in range(2)]
        return {one.workload.name for one in found if isinstance(one, Hbone)}

    assert chosen(own, other) == {"cook"}
    assert chosen(own) == {"baker"}  # a route has led here


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "::ffff:127.0.0.1",
    ],
)
@pytest.mark.parametrize("protocol", list(TunnelProtocol))
def test_no_way_leads_to_the_waypoint_itself_or_to_its_node(
    ip: str, protocol: TunnelProtocol
) -> None:
    way = way_to(Endpoint(pod("odd", ip, protocol=protocol), 15000), OWN)
    found = bounded(way, OWN)
    assert isinstance(found, Refused)
    assert found.code == "route_off_limits"


def first_of(_number: int) -> int:
    return 0


def test_a_name_that_means_the_waypoint_itself_leads_nowhere() -> None:
    named = pod("odd", hostname="odd.example", protocol=TunnelProtocol.NONE)
    question = way_to(Endpoint(named, 15000), OWN)
    assert isinstance(question, NeedsResolution)
    assert bounded(question, OWN) is question
    answered = question.fitting([parse_ip("127.0.0.1")], first_of)
    assert isinstance(bounded(answered, OWN), Refused)


def test_any_other_way_stays_as_it_is() -> None:
    way = way_to(Endpoint(SERVER, 8080), OWN)
    assert bounded(way, OWN) is way
    there = way_to(Endpoint(pod("near", "127.0.0.2"), 8080), OWN)
    assert bounded(there, pod("near-edge", "127.0.0.1")) is there
