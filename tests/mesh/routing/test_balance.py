import random
from collections import Counter

import pytest

from mesh.model.workload import (
    ApplicationTunnel,
    BalanceMode,
    HealthPolicy,
    Locality,
    Port,
    Scope,
    Service,
    TunnelHeader,
    Workload,
    WorkloadStatus,
)
from mesh.routing.balance import Purpose, pick, target_port, weighted
from tests.mesh.worlds import by_address, delta, pod, service, world

HERE = Locality("r1", "z1", "s1")
SOURCE = pod("client", "10.0.0.1", node="n1", locality=HERE)
KEY = "shop/web"
PROXY = ApplicationTunnel(TunnelHeader.PROXY, 15088)
FAILOVER = BalanceMode.FAILOVER
STRICT = BalanceMode.STRICT


def endpoint(name: str, **fields: object) -> Workload:
    return pod(name, f"10.1.0.{ord(name[-1])}", serves=(KEY,), **fields)


def drawn(
    web: Service,
    *endpoints: Workload,
    port: int = 80,
    source: Workload = SOURCE,
    purpose: Purpose = Purpose.DESTINATION,
) -> set[str]:
    """Every workload that some draw gives."""
    known = world(web, *endpoints)
    found = set()
    for number in range(20):
        picked = pick(known, web, source, port, purpose, lambda n, draw=number: draw % n)
        found |= {picked.workload.name} if picked else set()
    return found


def test_every_endpoint_gets_its_turn() -> None:
    assert drawn(service("web"), endpoint("a"), endpoint("b")) == {"a", "b"}


def test_only_a_healthy_endpoint_is_chosen_unless_the_service_wants_all() -> None:
    sick = endpoint("b", status=WorkloadStatus.UNHEALTHY)
    assert drawn(service("web"), endpoint("a"), sick) == {"a"}
    assert drawn(service("web"), sick) == set()
    assert drawn(service("web", health=HealthPolicy.ALLOW_ALL), endpoint("a"), sick) == {"a", "b"}


def test_an_endpoint_must_be_reachable_somehow() -> None:
    nowhere = pod("x", serves=(KEY,))
    named = pod("named", serves=(KEY,), hostname="db.example")
    far = pod("far", serves=(KEY,), network="far", gateway=by_address("192.0.2.1"))
    near = pod("near", serves=(KEY,), gateway=by_address("192.0.2.1"))
    lost = pod("lost", serves=(KEY,), network="far")
    assert drawn(service("web"), nowhere, named, far, near, lost) == {"named", "far"}


@pytest.mark.parametrize(
    ("ports", "own", "asked", "expected"),
    [
        ((Port(80, 8080),), (), 80, 8080),
        ((Port(80, 8080),), (), 81, None),
        ((Port(80, 8080),), (Port(80, 9090),), 80, 9090),
        ((Port(80, 8080),), (Port(81, 9090),), 80, 8080),
        ((Port(80, 0),), (Port(80, 9090),), 80, 9090),
        ((Port(80, 0),), (), 80, None),
        ((Port(80, 0),), (Port(80, 0),), 80, None),
        ((), (Port(80, 9090),), 80, None),
    ],
)
def test_the_endpoints_own_port_comes_before_the_services(
    ports: tuple[Port, ...], own: tuple[Port, ...], asked: int, expected: int | None
) -> None:
    web = service("web", ports=ports)
    workload = pod("a", "10.1.0.1", serves={KEY: own})
    assert target_port(web, workload, asked, Purpose.DESTINATION) == expected


def test_a_tunnelled_waypoint_keeps_a_port_that_nobody_lists() -> None:
    web = service("web", ports=())
    behind = pod(
        "w", "10.1.0.1", serves=(KEY,), tunnel=ApplicationTunnel(TunnelHeader.PROXY, 15088)
    )
    assert target_port(web, behind, 15008, Purpose.WAYPOINT) == 15008
    assert target_port(web, behind, 15008, Purpose.DESTINATION) is None
    assert target_port(web, pod("w"), 15008, Purpose.WAYPOINT) is None
    assert target_port(service("web", ports=(Port(15008, 0),)), behind, 15008, Purpose.WAYPOINT)


NEAR = endpoint("a", node="n1", locality=HERE)
ZONE = endpoint("b", node="n2", locality=HERE)
REGION = endpoint("c", node="n3", locality=Locality("r1", "z2", "s9"))
AWAY = endpoint("d", node="n4", locality=Locality("r2", "z1", "s1"))
OTHER_NETWORK = pod(
    "e",
    "10.1.0.5",
    serves=(KEY,),
    network="far",
    node="n5",
    locality=HERE,
    gateway=by_address("192.0.2.1"),
)
OTHER_NETWORK_AWAY = pod(
    "f",
    "10.1.0.6",
    serves=(KEY,),
    network="far",
    node="n6",
    locality=Locality("r9"),
    gateway=by_address("192.0.2.1"),
)
PLACES = (Scope.REGION, Scope.ZONE, Scope.SUBZONE, Scope.NODE)


@pytest.mark.parametrize(
    ("mode", "scopes", "endpoints", "expected"),
    [
        (BalanceMode.UNSPECIFIED, PLACES, (NEAR, AWAY), {"a", "d"}),
        (STRICT, (Scope.NODE,), (NEAR, ZONE), {"a"}),
        (STRICT, (Scope.NODE,), (ZONE, AWAY), set()),
        (STRICT, (Scope.REGION, Scope.NODE), (NEAR, ZONE), {"a"}),
        (STRICT, (), (NEAR, AWAY), {"a", "d"}),
        (FAILOVER, PLACES, (NEAR, ZONE, REGION, AWAY), {"a"}),
        (FAILOVER, PLACES, (ZONE, REGION, AWAY), {"b"}),
        (FAILOVER, PLACES, (REGION, AWAY), {"c"}),
        (FAILOVER, PLACES, (AWAY,), {"d"}),
        (FAILOVER, PLACES, (), set()),
        (FAILOVER, (), (NEAR, AWAY), {"a", "d"}),
        # The zone of another region is another zone, whatever it is called.
        (FAILOVER, (Scope.REGION, Scope.ZONE), (AWAY, REGION), {"c"}),
        # A network that is listed first outweighs everything else ...
        (FAILOVER, (Scope.NETWORK, *PLACES), (AWAY, OTHER_NETWORK), {"d"}),
        # ... and does not make all that is in another network alike.
        (FAILOVER, (Scope.NETWORK, *PLACES), (OTHER_NETWORK, OTHER_NETWORK_AWAY), {"e"}),
        # Elsewhere it is a scope like the others.
        (FAILOVER, (Scope.REGION, Scope.NETWORK), (NEAR, OTHER_NETWORK), {"a"}),
        (FAILOVER, (Scope.CLUSTER, Scope.UNSPECIFIED), (NEAR, AWAY), {"a", "d"}),
    ],
)
def test_scopes_decide_who_is_near_enough(
    mode: BalanceMode,
    scopes: tuple[Scope, ...],
    endpoints: tuple[Workload, ...],
    expected: set[str],
) -> None:
    assert drawn(service("web", mode=mode, scopes=scopes), *endpoints) == expected


def test_a_cluster_is_a_scope() -> None:
    two = pod("t", "10.2.0.1", serves=(KEY,), cluster="two")
    web = service("web", mode=STRICT, scopes=(Scope.CLUSTER,))
    assert drawn(web, NEAR, two) == {"a"}


def test_capacity_weighs() -> None:
    web = service("web")
    known = world(web, endpoint("a", capacity=3), endpoint("b"), endpoint("c", capacity=0))
    chance = random.Random(7).randrange
    counts = Counter(
        picked.workload.name
        for _ in range(4000)
        if (picked := pick(known, web, SOURCE, 80, Purpose.DESTINATION, chance))
    )
    assert set(counts) == {"a", "b"}
    assert 0.7 < counts["a"] / 4000 < 0.8


@pytest.mark.parametrize(
    ("weights", "draw", "expected"),
    [
        ((), 0, None),
        ((0,), 0, None),
        ((0, 0), 0, None),
        ((5,), 0, 0),
        ((1, 2), 0, 0),
        ((1, 2), 1, 1),
        ((1, 2), 2, 1),
        ((0, 2, 1), 2, 2),
    ],
)
def test_a_draw_is_in_proportion_to_the_weights(
    weights: tuple[int, ...], draw: int, expected: int | None
) -> None:
    assert weighted(weights, lambda _total: draw) == expected


def test_a_choice_knows_of_every_change() -> None:
    web = service("web")
    known = world(web, endpoint("a"), endpoint("b"))

    def names() -> set[str]:
        picks = (
            pick(known, web, SOURCE, 80, Purpose.DESTINATION, lambda n, d=draw: d % n)
            for draw in range(9)
        )
        return {picked.workload.name for picked in picks if picked}

    assert names() == {"a", "b"}
    known.apply(delta(endpoint("b", status=WorkloadStatus.UNHEALTHY), version=2))
    assert names() == {"a"}
    known.apply(delta(endpoint("c"), version=3))
    assert names() == {"a", "c"}
    known.apply(delta(version=4, removed=(endpoint("a").uid,)))
    assert names() == {"c"}
    web = service("web", ports=(Port(81, 81),))
    known.apply(delta(web, version=5))
    assert names() == set()


def test_callers_of_different_places_get_different_endpoints() -> None:
    web = service("web", mode=FAILOVER, scopes=(Scope.NODE,))
    known = world(web, NEAR, ZONE)
    for node, expected in (("n1", "a"), ("n2", "b"), ("n1", "a")):
        source = pod("client", "10.0.0.1", node=node, locality=HERE)
        picked = pick(known, web, source, 80, Purpose.DESTINATION, lambda _n: 0)
        assert picked is not None
        assert picked.workload.name == expected
