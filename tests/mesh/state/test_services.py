import pytest

from mesh.model.workload import Service, Visibility
from mesh.state.services import Services, masked
from tests.mesh.worlds import ip, service


def services(*these: Service) -> Services:
    made = Services()
    for one in these:
        assert made.put(one)
    return made


HERE = service("web", "10.96.0.1", hostname="web.example")
THERE = service("web", "10.96.0.1", namespace="yard", hostname="web.example")
CANONICAL = service("web", "10.96.0.1", namespace="main", hostname="web.example", canonical=True)


@pytest.mark.parametrize(
    ("known", "namespace", "expected"),
    [
        ((THERE, CANONICAL, HERE), "shop", HERE),
        ((THERE, CANONICAL, HERE), "other", CANONICAL),
        ((THERE, HERE), "other", THERE),
        ((HERE, THERE), "other", HERE),
    ],
    ids=["own namespace", "canonical", "first", "first the other way"],
)
def test_several_services_share_a_name_and_an_address(
    known: tuple[Service, ...], namespace: str, expected: Service
) -> None:
    held = services(*known)
    assert held.named("web.example", namespace) is expected
    assert held.at("", ip("10.96.0.1"), namespace) is expected


def test_a_service_for_its_namespace_is_seen_by_no_other() -> None:
    hidden = service("h", "10.96.0.5", visibility=Visibility.NAMESPACE)
    held = services(hidden)
    assert held.named("h", "yard") is None
    assert held.at("", ip("10.96.0.5"), "yard") is None
    assert held.named("h", "shop") is hidden


def test_own_namespace_then_the_longest_range_then_the_canonical_one() -> None:
    own = service("own", "10.0.0.0/8")
    long = service("long", "10.1.0.0/16", namespace="yard")
    kubernetes = service("k", "10.0.0.0/8", namespace="main", canonical=True)
    held = services(kubernetes, own, long)
    assert held.at("", ip("10.1.0.1"), "shop") is own
    assert held.at("", ip("10.1.0.1"), "other") is long
    assert held.at("", ip("10.2.0.1"), "other") is kubernetes
    assert held.at("", ip("11.0.0.1"), "other") is None


def test_a_hidden_range_is_passed_over() -> None:
    hidden = service("h", "10.1.0.0/16", visibility=Visibility.NAMESPACE)
    wide = service("w", "10.0.0.0/8", namespace="yard")
    assert services(hidden, wide).at("", ip("10.1.0.1"), "yard") is wide


@pytest.mark.parametrize(
    ("inside", "outside"), [("2001:db8::1", "2001:db9::1"), ("2001:db8:ffff::", "10.0.0.1")]
)
def test_ranges_of_both_families_are_apart(inside: str, outside: str) -> None:
    held = services(service("six", "2001:db8::/32"))
    assert held.at("", ip(inside), "shop") is not None
    assert held.at("", ip(outside), "shop") is None


def test_an_address_is_one_of_its_network_only() -> None:
    far = service("far", "10.96.0.1", "10.0.0.0/8", network="far")
    held = services(far)
    assert held.at("", ip("10.96.0.1"), "shop") is None
    assert held.at("far", ip("10.96.0.1"), "shop") is far
    assert held.at("far", ip("10.2.0.1"), "shop") is far


def test_an_equal_service_changes_nothing() -> None:
    held = services(HERE)
    assert not held.put(service("web", "10.96.0.1", hostname="web.example"))


def test_a_service_that_goes_leaves_the_others() -> None:
    range_of_two = service("r", "10.0.0.0/8", "10.96.0.1")
    held = services(HERE, THERE, range_of_two)
    assert held.remove("shop/r")
    assert not held.remove("shop/r")
    assert held.at("", ip("10.9.0.1"), "shop") is None
    assert held.at("", ip("10.96.0.1"), "yard") is THERE
    assert held.remove("shop/web.example")
    assert held.remove("yard/web.example")
    assert held.named("web.example", "shop") is None
    assert len(held) == 0
    assert list(held) == []
    assert list(held.values()) == []


def test_two_services_may_have_one_range() -> None:
    held = services(service("a", "10.0.0.0/8"), service("b", "10.0.0.0/8"))
    assert held.remove("shop/a")
    found = held.at("", ip("10.0.0.1"), "shop")
    assert found is not None
    assert found.name == "b"


def test_a_prefix_of_nothing_holds_everything() -> None:
    assert masked(ip("10.0.0.1"), 0) == masked(ip("192.0.2.1"), 0)
    assert services(service("all", "0.0.0.0/0")).at("", ip("192.0.2.1"), "shop") is not None


def test_a_service_that_names_a_range_twice_goes_whole() -> None:
    held = services(service("twice", "10.0.0.0/8", "10.0.0.0/8"))
    assert held.remove("shop/twice")
    assert held.at("", ip("10.0.0.1"), "shop") is None
