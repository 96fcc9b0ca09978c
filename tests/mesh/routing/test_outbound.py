"""Outbound decisions, row by row of Istio's order."""

import pytest

from mesh.model.address import SocketAddress
from mesh.model.identity import Identity
from mesh.model.workload import (
    ApplicationTunnel,
    BalanceMode,
    IpFamilies,
    NetworkMode,
    Port,
    Scope,
    TunnelHeader,
    TunnelProtocol,
    Visibility,
    WeightedWaypoint,
    Workload,
    WorkloadStatus,
)
from mesh.routing.outbound import (
    Decision,
    DoubleHbone,
    Hbone,
    NeedsResolution,
    Passthrough,
    PlainTcp,
    Refused,
    choose,
)
from mesh.state.world import World
from tests.mesh.worlds import at, by_address, by_name, ip, pod, service, world

NONE = TunnelProtocol.NONE
CLIENT = pod("client", "10.0.0.1")
SERVER = pod("server", "10.0.0.2", serves=("shop/web",))
WEB = service("web", "10.96.0.1")
WAYPOINT = pod("wp", "10.0.0.8", serves=("shop/wp",))
WAYPOINT_SERVICE = service("wp", "10.96.0.8", ports=(Port(15008, 15008),))


def me(name: str) -> Identity:
    return Identity("cluster.local", "shop", name)


def decide(known: World, destination: str, source: Workload = CLIENT, draw: int = 0) -> Decision:
    return choose(known, source, at(destination), network="", chance=lambda n: draw % n)


def refused(decision: Decision) -> str:
    assert isinstance(decision, Refused)
    return decision.code


# Addresses that nobody has, and addresses of workloads.


def test_an_unknown_address_is_passed_through() -> None:
    assert decide(world(SERVER), "198.51.100.1:443") == Passthrough(at("198.51.100.1:443"))


def test_an_address_of_another_network_is_unknown_here() -> None:
    far = pod("far", "10.0.0.9", network="far")
    assert decide(world(far), "10.0.0.9:80") == Passthrough(at("10.0.0.9:80"))


def test_a_pod_with_a_tunnel_is_reached_by_it() -> None:
    assert decide(world(SERVER), "10.0.0.2:8080") == Hbone(
        at("10.0.0.2:15008"), "10.0.0.2:8080", frozenset({me("server")}), SERVER
    )


def test_a_pod_without_a_tunnel_is_reached_in_plain_text() -> None:
    plain = pod("server", "10.0.0.2", protocol=NONE)
    assert decide(world(plain), "10.0.0.2:8080") == PlainTcp(at("10.0.0.2:8080"), plain)


@pytest.mark.parametrize("node", ["node-a", "node-b"])
def test_the_same_node_makes_no_difference(node: str) -> None:
    assert isinstance(decide(world(pod("b", "10.0.0.3", node=node)), "10.0.0.3:80"), Hbone)


def test_a_pod_that_calls_itself_goes_by_its_own_tunnel() -> None:
    assert decide(world(CLIENT), "10.0.0.1:8080") == Hbone(
        at("10.0.0.1:15008"), "10.0.0.1:8080", frozenset({me("client")}), CLIENT
    )


def test_a_pod_of_the_hosts_network_is_not_known_by_its_address() -> None:
    shared = pod("shared", "192.0.2.1", mode=NetworkMode.HOST_NETWORK, serves=("shop/web",))
    known = world(shared, WEB)
    assert decide(known, "192.0.2.1:80") == Passthrough(at("192.0.2.1:80"))
    by_service = decide(known, "10.96.0.1:80")
    assert isinstance(by_service, Hbone)
    assert by_service.workload is shared


def test_an_ipv6_authority_is_bracketed() -> None:
    six = pod("six", "2001:db8::2")
    decision = decide(world(six), "[2001:db8::2]:80")
    assert isinstance(decision, Hbone)
    assert decision.authority == "[2001:db8::2]:80"
    assert decision.connect_to == at("[2001:db8::2]:15008")


@pytest.mark.parametrize("port", [15001, 15006, 15008])
@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "[::1]", "0.0.0.0", "[::]"])
def test_the_proxys_own_ports_are_refused_at_the_loopback(address: str, port: int) -> None:
    decision = decide(world(), f"{address}:{port}")
    assert refused(decision) == "route_self_call"
    assert isinstance(decision, Refused)
    assert decision.reason == "attempted recursive call to ourselves"


def test_other_ports_of_the_loopback_are_not_our_business() -> None:
    assert decide(world(), "127.0.0.1:8080") == Passthrough(at("127.0.0.1:8080"))
    assert decide(world(), "192.0.2.1:15001") == Passthrough(at("192.0.2.1:15001"))


# Services.


def test_a_service_is_reached_at_an_endpoints_target_port() -> None:
    assert decide(world(SERVER, WEB), "10.96.0.1:80") == Hbone(
        at("10.0.0.2:15008"), "10.0.0.2:8080", frozenset({me("server")}), SERVER, WEB
    )


def test_an_endpoint_without_a_tunnel_is_reached_in_plain_text() -> None:
    plain = pod("server", "10.0.0.2", serves=("shop/web",), protocol=NONE)
    decision = decide(world(plain, WEB), "10.96.0.1:80")
    assert decision == PlainTcp(at("10.0.0.2:8080"), plain, WEB)


def test_a_service_may_vouch_for_more_identities() -> None:
    web = service("web", "10.96.0.1", names=(str(me("other")), "web.example", "spiffe://x"))
    decision = decide(world(SERVER, web), "10.96.0.1:80")
    assert isinstance(decision, Hbone)
    assert decision.expected == {me("server"), me("other")}


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        (None, 80),
        (pod("server", "10.0.0.2", serves=("shop/web",), status=WorkloadStatus.UNHEALTHY), 80),
        (SERVER, 81),
    ],
    ids=["no endpoint", "none that is ready", "no such port"],
)
def test_a_service_without_an_endpoint_is_refused_never_passed_through(
    endpoint: Workload | None, port: int
) -> None:
    known = world(WEB, *((endpoint,) if endpoint else ()))
    decision = decide(known, f"10.96.0.1:{port}")
    assert refused(decision) == "route_no_endpoint"
    assert isinstance(decision, Refused)
    assert decision.reason == f"no healthy upstream: 10.96.0.1:{port}"


def test_each_endpoint_may_have_a_port_of_its_own() -> None:
    web = service("web", "10.96.0.1", ports=(Port(80, 0),))
    own = pod("own", "10.0.0.5", serves={"shop/web": (Port(80, 9999),)})
    decision = decide(world(web, own), "10.96.0.1:80")
    assert isinstance(decision, Hbone)
    assert decision.authority == "10.0.0.5:9999"


def test_a_service_that_chooses_nobody_leaves_it_to_the_application() -> None:
    web = service("web", "10.96.0.1", mode=BalanceMode.PASSTHROUGH)
    decision = decide(world(SERVER, web), "10.96.0.1:80")
    assert decision == PlainTcp(at("10.96.0.1:80"), None, web)


def test_an_address_of_both_a_workload_and_a_service_is_routed_as_the_service() -> None:
    web = service("web", "10.0.0.9")
    both = pod("both", "10.0.0.9", protocol=NONE)
    decision = decide(world(web, both, SERVER), "10.0.0.9:80")
    assert isinstance(decision, Hbone)
    assert decision.workload is SERVER
    # A dead one is refused all the same: Istio would pass it through.
    assert refused(decide(world(web, both), "10.0.0.9:80")) == "route_no_endpoint"


def test_such_an_address_is_no_services_so_the_services_waypoint_does_not_count() -> None:
    web = service("web", "10.0.0.9", waypoint=by_name("shop/wp"))
    both = pod("both", "10.0.0.9")
    decision = decide(world(web, both, SERVER, WAYPOINT, WAYPOINT_SERVICE), "10.0.0.9:80")
    assert isinstance(decision, Hbone)
    assert decision.workload is SERVER


def test_a_range_of_addresses_is_a_service_too() -> None:
    web = service("web", "10.96.0.0/16")
    decision = decide(world(SERVER, web), "10.96.7.7:80")
    assert isinstance(decision, Hbone)
    assert decision.workload is SERVER


def test_a_service_of_another_namespace_that_hides_is_nothing() -> None:
    web = service("web", "10.96.0.1", visibility=Visibility.NAMESPACE)
    stranger = pod("stranger", "10.0.0.66", namespace="yard")
    decision = decide(world(SERVER, web), "10.96.0.1:80", stranger)
    assert decision == Passthrough(at("10.96.0.1:80"))


# Which address of an endpoint.


@pytest.mark.parametrize(
    ("families", "called", "reached"),
    [
        (IpFamilies.AUTOMATIC, "10.96.0.1", "10.0.0.2"),
        (IpFamilies.AUTOMATIC, "2001:db8:96::1", "2001:db8::2"),
        (IpFamilies.DUAL, "2001:db8:96::1", "2001:db8::2"),
        (IpFamilies.IPV4_ONLY, "2001:db8:96::1", "10.0.0.2"),
        (IpFamilies.IPV6_ONLY, "10.96.0.1", "2001:db8::2"),
    ],
)
def test_an_address_like_the_called_one_within_what_the_service_allows(
    families: IpFamilies, called: str, reached: str
) -> None:
    web = service("web", "10.96.0.1", "2001:db8:96::1", families=families)
    dual = pod("dual", "10.0.0.2", "2001:db8::2", serves=("shop/web",))
    decision = decide(world(web, dual), str(SocketAddress(ip(called), 80)))
    assert isinstance(decision, Hbone)
    assert decision.connect_to.ip == ip(reached)


def test_the_address_that_was_called_is_kept_whatever_else_there_is() -> None:
    several = pod("several", "10.0.0.2", "10.0.0.3", "2001:db8::2")
    for called in ("10.0.0.3:80", "[2001:db8::2]:80"):
        decision = decide(world(several), called)
        assert isinstance(decision, Hbone)
        assert decision.authority == called


def test_an_endpoint_of_the_wrong_family_has_no_address() -> None:
    web = service("web", "10.96.0.1", families=IpFamilies.IPV6_ONLY)
    decision = decide(world(web, SERVER), "10.96.0.1:80")
    assert refused(decision) == "route_no_address"


def test_a_workload_with_a_hostname_only_waits_for_dns() -> None:
    named = pod("named", hostname="db.example", serves=("shop/web",), protocol=NONE)
    decision = decide(world(named, WEB), "10.96.0.1:80")
    assert isinstance(decision, NeedsResolution)
    assert decision.hostname == "db.example"
    found = [ip("2001:db8::7"), ip("192.0.2.7")]
    assert decision.fitting(found, lambda _n: 0) == PlainTcp(at("192.0.2.7:8080"), named, WEB)


# Waypoints.


def test_a_service_with_a_waypoint_goes_there_with_its_own_address_as_the_authority() -> None:
    web = service("web", "10.96.0.1", waypoint=by_name("shop/wp"))
    decision = decide(world(SERVER, web, WAYPOINT, WAYPOINT_SERVICE), "10.96.0.1:80")
    assert decision == Hbone(
        at("10.0.0.8:15008"), "10.96.0.1:80", frozenset({me("wp")}), WAYPOINT, web
    )


def test_a_waypoint_may_be_named_by_an_address() -> None:
    for gateway in (by_address("10.96.0.8"), by_address("10.0.0.8")):
        web = service("web", "10.96.0.1", waypoint=gateway)
        decision = decide(world(web, WAYPOINT, WAYPOINT_SERVICE), "10.96.0.1:80")
        assert isinstance(decision, Hbone)
        assert decision.connect_to == at("10.0.0.8:15008")


def test_a_waypoint_may_be_a_workload_with_a_hostname() -> None:
    alone = pod("alone", "10.0.0.7", hostname="alone.example")
    web = service("web", "10.96.0.1", waypoint=by_name("shop/alone.example"))
    decision = decide(world(web, alone), "10.96.0.1:80")
    assert isinstance(decision, Hbone)
    assert decision.workload is alone
    assert decision.connect_to == at("10.0.0.7:15008")


def test_a_waypoint_may_listen_on_another_port_and_be_vouched_for() -> None:
    moved = service("wp", ports=(Port(15009, 16000),), names=(str(me("wp-two")),))
    web = service("web", "10.96.0.1", waypoint=by_name("shop/wp", port=15009))
    decision = decide(world(web, WAYPOINT, moved), "10.96.0.1:80")
    assert isinstance(decision, Hbone)
    assert decision.connect_to == at("10.0.0.8:16000")
    assert decision.expected == {me("wp"), me("wp-two")}


def test_a_tunnelled_waypoint_needs_no_port_in_its_service() -> None:
    sandwich = pod(
        "wp",
        "10.0.0.8",
        serves=("shop/wp",),
        tunnel=ApplicationTunnel(TunnelHeader.PROXY, 15088),
    )
    web = service("web", "10.96.0.1", waypoint=by_name("shop/wp"))
    decision = decide(world(web, sandwich, service("wp", ports=())), "10.96.0.1:80")
    assert isinstance(decision, Hbone)
    assert decision.connect_to == at("10.0.0.8:15008")


@pytest.mark.parametrize(
    "gateway",
    [by_name("shop/nobody"), by_address("10.0.0.77"), by_name("shop/wp")],
    ids=["no such name", "no such address", "a service without endpoints"],
)
def test_a_waypoint_that_is_not_there_closes_the_way(gateway: object) -> None:
    assert isinstance(gateway, type(by_name("a/b")))
    web = service("web", "10.96.0.1", waypoint=gateway)
    decision = decide(world(SERVER, web, WAYPOINT_SERVICE), "10.96.0.1:80")
    assert refused(decision) == "route_waypoint_unknown"
    assert isinstance(decision, Refused)
    assert decision.reason.startswith("unknown waypoint: ")


def test_weighted_waypoints_are_drawn() -> None:
    two = pod("two", "10.0.0.9", hostname="two")
    weighted = (
        WeightedWaypoint(by_name("shop/wp"), 1),
        WeightedWaypoint(by_name("shop/two"), 3),
    )
    web = service("web", "10.96.0.1", weighted=weighted, waypoint=by_name("shop/nobody"))
    known = world(web, WAYPOINT, WAYPOINT_SERVICE, two)
    reached = []
    for draw in range(4):
        decision = decide(known, "10.96.0.1:80", draw=draw)
        assert isinstance(decision, Hbone)
        reached.append(decision.workload.name)
    assert reached == ["wp", "two", "two", "two"]


def test_weights_of_nothing_leave_the_single_waypoint() -> None:
    weighted = (WeightedWaypoint(by_name("shop/nobody"), 0),)
    web = service("web", "10.96.0.1", weighted=weighted, waypoint=by_name("shop/wp"))
    decision = decide(world(web, WAYPOINT, WAYPOINT_SERVICE), "10.96.0.1:80")
    assert isinstance(decision, Hbone)
    assert decision.workload is WAYPOINT


def test_a_waypoint_comes_before_the_applications_own_choice() -> None:
    web = service("web", "10.96.0.1", mode=BalanceMode.PASSTHROUGH, waypoint=by_name("shop/wp"))
    decision = decide(world(web, WAYPOINT, WAYPOINT_SERVICE), "10.96.0.1:80")
    assert isinstance(decision, Hbone)
    assert decision.authority == "10.96.0.1:80"


BEHIND = pod("behind", "10.0.0.3", waypoint=by_name("shop/wp"), serves=("shop/web",))


def test_a_workload_with_a_waypoint_is_reached_through_it() -> None:
    decision = decide(world(BEHIND, WAYPOINT, WAYPOINT_SERVICE), "10.0.0.3:8080")
    assert decision == Hbone(at("10.0.0.8:15008"), "10.0.0.3:8080", frozenset({me("wp")}), WAYPOINT)


def test_a_workloads_waypoint_does_not_count_for_a_service() -> None:
    decision = decide(world(BEHIND, WEB, WAYPOINT, WAYPOINT_SERVICE), "10.96.0.1:80")
    assert isinstance(decision, Hbone)
    assert decision.workload is BEHIND


def test_the_waypoint_itself_goes_straight() -> None:
    decision = decide(world(BEHIND, WAYPOINT, WAYPOINT_SERVICE), "10.0.0.3:8080", WAYPOINT)
    assert isinstance(decision, Hbone)
    assert decision.workload is BEHIND


def test_another_pod_with_the_waypoints_account_is_not_the_waypoint() -> None:
    imposter = pod("wp", "10.0.0.88", uid="Kubernetes//Pod/shop/wp-other")
    decision = decide(world(BEHIND, WAYPOINT, WAYPOINT_SERVICE, imposter), "10.0.0.3:80", imposter)
    assert isinstance(decision, Hbone)
    assert decision.workload is WAYPOINT


def test_a_workload_whose_waypoint_is_not_there_is_not_reached() -> None:
    decision = decide(world(BEHIND), "10.0.0.3:8080")
    assert refused(decision) == "route_waypoint_unknown"


def test_a_waypoint_by_hostname_only_waits_for_dns() -> None:
    named = pod("named", hostname="wp.example", serves=("shop/wp",))
    decision = decide(world(BEHIND, named, WAYPOINT_SERVICE), "10.0.0.3:8080")
    assert isinstance(decision, NeedsResolution)
    after = decision.fitting([ip("192.0.2.1")], lambda _n: 0)
    assert isinstance(after, Hbone)
    assert after.authority == "10.0.0.3:8080"
    assert after.connect_to == at("192.0.2.1:15008")


# Other networks.

FAR = pod("far", network="far", serves=("shop/web",), gateway=by_address("192.0.2.1", "far"))
GATEWAY = pod("gw", "192.0.2.1", network="far")
NAMED = service("web", "10.96.0.1", names=(str(me("far")),))


def test_an_endpoint_of_another_network_is_reached_through_its_gateway() -> None:
    assert decide(world(FAR, GATEWAY, NAMED), "10.96.0.1:80") == DoubleHbone(
        at("192.0.2.1:15008"),
        GATEWAY.uid,
        frozenset({me("gw")}),
        "web:80",
        NAMED,
        frozenset({me("far")}),
    )


def test_a_gateway_may_be_a_service_with_ports_of_its_own() -> None:
    far = pod("far", network="far", serves=("shop/web",), gateway=by_name("shop/gates", 15009))
    gates = service(
        "gates", ports=(Port(15009, 15010),), names=(str(me("gate-two")),), network="far"
    )
    behind = pod("gw", "192.0.2.1", network="far", serves=("shop/gates",))
    decision = decide(world(far, gates, behind, NAMED), "10.96.0.1:80")
    assert isinstance(decision, DoubleHbone)
    assert decision.connect_to == at("192.0.2.1:15010")
    assert decision.expected == {me("gw"), me("gate-two")}


def test_endpoints_near_come_before_those_of_another_network() -> None:
    near = pod("near", "10.0.0.2", serves=("shop/web",))
    scopes = (Scope.NETWORK,)
    web = service(
        "web", "10.96.0.1", names=(str(me("far")),), mode=BalanceMode.FAILOVER, scopes=scopes
    )
    assert isinstance(decide(world(FAR, GATEWAY, near, web), "10.96.0.1:80", draw=1), Hbone)
    gone = pod("near", "10.0.0.2", serves=("shop/web",), status=WorkloadStatus.UNHEALTHY)
    assert isinstance(decide(world(FAR, GATEWAY, gone, web), "10.96.0.1:80"), DoubleHbone)


def test_a_gateway_by_hostname_only_waits_for_dns() -> None:
    far = pod("far", network="far", serves=("shop/web",), gateway=by_name("shop/gw.example"))
    gateway = pod("gw", hostname="gw.example", network="far")
    decision = decide(world(far, gateway, NAMED), "10.96.0.1:80")
    assert isinstance(decision, NeedsResolution)
    assert isinstance(decision.fitting([ip("192.0.2.1")], lambda _n: 0), DoubleHbone)


def test_what_lacks_for_another_network_closes_the_way() -> None:
    addressed = pod("far", "10.0.0.9", network="far", serves=("shop/web",))
    cases = [
        (world(FAR, NAMED), "route_gateway_unknown"),
        (world(addressed, NAMED), "route_no_gateway"),
        (world(FAR, GATEWAY, WEB), "route_remote_identity_unknown"),
        (world(FAR, pod("gw", network="far"), NAMED), "route_gateway_unknown"),
    ]
    for known, code in cases:
        assert refused(decide(known, "10.96.0.1:80")) == code


def test_a_gateway_without_any_address_is_no_way() -> None:
    far = pod("far", network="far", serves=("shop/web",), gateway=by_name("shop/gates"))
    web = service("gates", ports=(Port(15008, 15008),), families=IpFamilies.IPV6_ONLY)
    gateway = pod("gw", "192.0.2.1", network="far", serves=("shop/gates",))
    decision = decide(world(far, gateway, web, NAMED), "10.96.0.1:80")
    assert refused(decision) == "route_no_address"


def test_another_network_is_reached_by_service_only() -> None:
    web = service("web", "10.0.0.9")
    both = pod("both", "10.0.0.9")
    decision = decide(world(web, both, FAR, GATEWAY), "10.0.0.9:80")
    assert refused(decision) == "route_remote_without_service"


def test_a_waypoint_of_another_network_is_reached_through_its_gateway() -> None:
    waypoint = pod("wp", network="far", serves=("shop/wp",), gateway=by_address("192.0.2.1", "far"))
    wp = service("wp", ports=(Port(15008, 15008),), names=(str(me("wp")),))
    web = service("web", "10.96.0.1", waypoint=by_name("shop/wp"))
    decision = decide(world(web, waypoint, wp, GATEWAY), "10.96.0.1:80")
    assert isinstance(decision, DoubleHbone)
    assert decision.authority == "web:80"
    assert decision.inner_expected == {me("wp")}


def test_a_workloads_waypoint_of_another_network_closes_the_way() -> None:
    waypoint = pod("wp", network="far", serves=("shop/wp",), gateway=by_address("192.0.2.1", "far"))
    decision = decide(world(BEHIND, waypoint, WAYPOINT_SERVICE, GATEWAY), "10.0.0.3:80")
    assert refused(decision) == "route_remote_without_service"


def test_a_waypoints_address_within_a_range_that_chooses_nobody_still_means_the_waypoint() -> None:
    everything = service("all", "0.0.0.0/0", mode=BalanceMode.PASSTHROUGH)
    web = service("web", "10.96.0.1", waypoint=by_address("10.0.0.8"))
    decision = decide(world(everything, web, WAYPOINT), "10.96.0.1:80")
    assert isinstance(decision, Hbone)
    assert decision.workload is WAYPOINT


def test_a_refused_waypoint_or_gateway_by_address_is_named_so() -> None:
    web = service("web", "10.96.0.1", waypoint=by_address("10.0.0.77", "net"))
    decision = decide(world(web), "10.96.0.1:80")
    assert isinstance(decision, Refused)
    assert decision.reason == "unknown waypoint: waypoint net/10.0.0.77:15008 not found"


# Services that choose by account.

BAKER = pod("baker", "10.0.0.2", serves=("shop/web",), of_account=by_name("shop/wp"))
COOK = pod("cook", "10.0.0.3", serves=("shop/web",))
MIXED = service("web", "10.96.0.1", by_account=True)


def by_account(draw: int, *more: Workload) -> Decision:
    known = world(BAKER, COOK, MIXED, WAYPOINT, WAYPOINT_SERVICE, *more)
    return decide(known, "10.96.0.1:80", draw=draw)


def test_an_endpoint_is_asked_for_at_the_waypoint_of_its_account() -> None:
    found = sorted((by_account(draw) for draw in range(2)), key=str)

    assert found == [
        Hbone(at("10.0.0.3:15008"), "10.0.0.3:8080", frozenset({me("cook")}), COOK, MIXED),
        Hbone(at("10.0.0.8:15008"), "10.0.0.2:8080", frozenset({me("wp")}), WAYPOINT, MIXED),
    ]


def test_an_accounts_waypoint_that_is_not_there_is_not_gone_past() -> None:
    known = world(BAKER, COOK, MIXED)
    found = [decide(known, "10.96.0.1:80", draw=draw) for draw in range(2)]

    assert [refused(one) for one in found if isinstance(one, Refused)] == ["route_waypoint_unknown"]


def test_the_others_go_by_the_waypoint_of_the_service() -> None:
    second = pod("second", "10.0.0.9", serves=("shop/second",))
    front = service("second", "10.96.0.9", ports=(Port(15008, 15008),))
    mixed = service("web", "10.96.0.1", by_account=True, waypoint=by_name("shop/second"))
    known = world(BAKER, COOK, mixed, WAYPOINT, WAYPOINT_SERVICE, second, front)
    found = [decide(known, "10.96.0.1:80", draw=draw) for draw in range(2)]

    ways = {(one.workload.name, one.authority) for one in found if isinstance(one, Hbone)}
    assert ways == {("wp", "10.0.0.2:8080"), ("second", "10.96.0.1:80")}


def test_the_account_says_nothing_where_the_service_does_not_choose_by_it() -> None:
    plain = service("web", "10.96.0.1")
    known = world(BAKER, plain, WAYPOINT, WAYPOINT_SERVICE)
    decision = decide(known, "10.96.0.1:80")

    assert isinstance(decision, Hbone)
    assert decision.workload is BAKER


def test_a_service_that_chooses_by_account_and_has_no_endpoint_is_refused() -> None:
    assert refused(decide(world(MIXED), "10.96.0.1:80")) == "route_no_endpoint"
