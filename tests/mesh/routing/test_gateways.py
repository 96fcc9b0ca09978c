from mesh.model.identity import Identity
from mesh.routing.balance import Purpose
from mesh.routing.gateways import find_gateway, identities_of, is_gateway, wanted_ip, waypoint_of
from tests.mesh.worlds import by_address, by_name, ip, pod, service, world

CLIENT = pod("client", "10.0.0.1")


def test_a_service_without_waypoints_has_none() -> None:
    assert waypoint_of(service("web"), lambda _n: 0) is None


def test_a_service_comes_before_a_workload_of_the_same_hostname() -> None:
    both = world(service("wp", hostname="wp", ports=()), pod("wp", "10.0.0.8", hostname="wp"))
    found = find_gateway(both, by_name("shop/wp"), CLIENT, Purpose.WAYPOINT, lambda _n: 0)
    assert found is None


def test_every_holder_of_an_address_is_the_gateway() -> None:
    one = pod("one", "10.0.0.8")
    two = pod("two", "10.0.0.8")
    known = world(one, two)
    assert is_gateway(known, by_address("10.0.0.8"), two)
    assert not is_gateway(known, by_address("10.0.0.8"), CLIENT)


def test_identities_are_read_from_what_looks_like_one() -> None:
    assert identities_of(None) == frozenset()
    web = service("web", names=("spiffe://td/ns/n/sa/a", "spiffe://td", "example.com"))
    assert identities_of(web) == {Identity("td", "n", "a")}


def test_a_gateways_own_address_is_wanted_before_one_like_the_called() -> None:
    assert wanted_ip(by_address("10.0.0.8"), ip("2001:db8::1")) == ip("10.0.0.8")
    assert wanted_ip(by_name("a/b"), ip("2001:db8::1")) == ip("2001:db8::1")
