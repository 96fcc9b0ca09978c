"""A waypoint's configuration in a worker: what comes counts at once, what goes goes at the end."""

import pytest

from mesh.errors import MeshError
from mesh.model.routes import ServiceTraffic, Waypoint
from mesh.state.configurations import Configurations
from mesh.wire.configuration_values import (
    Configuration,
    configuration_fields,
    configuration_name,
)
from mesh.wire.feed import Configured, StateDelta

EDGE = Waypoint(namespace="shop", name="edge")
BREAD = ServiceTraffic(namespace="shop", name="bread", service="shop/bread.shop", max_requests=1)
CAKE = ServiceTraffic(namespace="shop", name="cake", service="shop/cake.shop")


def carried(*values: Configuration) -> tuple[Configured, ...]:
    return tuple(
        Configured(configuration_name(value), *configuration_fields(value)) for value in values
    )


def held() -> Configurations:
    kept = Configurations("shop", "edge")
    kept.apply(StateDelta(1, last=True, reset=True, configuration=carried(EDGE, BREAD)))
    return kept


def test_a_waypoint_finds_itself_by_its_gateways_name() -> None:
    assert held().waypoint == EDGE
    assert Configurations("shop", "other").waypoint is None


def test_what_comes_is_there_at_once_and_named() -> None:
    kept = held()
    changed = kept.apply(StateDelta(2, last=False, configuration=carried(BREAD, CAKE)))
    assert changed == {configuration_name(CAKE)}
    assert set(kept.values.values()) == {EDGE, BREAD, CAKE}


def test_what_goes_goes_when_the_version_is_whole() -> None:
    kept, name = held(), configuration_name(BREAD)
    assert kept.apply(StateDelta(2, last=False, removed_configuration=(name,))) == frozenset()
    assert name in kept.values
    assert kept.apply(StateDelta(2, last=True)) == {name}
    assert name not in kept.values


def test_what_is_removed_and_comes_again_stays() -> None:
    kept, name = held(), configuration_name(BREAD)
    kept.apply(StateDelta(2, last=False, removed_configuration=(name,)))
    assert kept.apply(StateDelta(2, last=True, configuration=carried(BREAD))) == frozenset()
    assert name in kept.values


def test_an_unfinished_version_is_forgotten_with_its_removals() -> None:
    kept, name = held(), configuration_name(BREAD)
    kept.apply(StateDelta(2, last=False, removed_configuration=(name,)))
    assert kept.apply(StateDelta(3, last=True)) == frozenset()
    assert name in kept.values


def test_after_a_reset_only_what_was_named_again_is_left() -> None:
    kept = held()
    kept.apply(StateDelta(2, last=False, reset=True, configuration=carried(EDGE)))
    assert kept.apply(StateDelta(2, last=True, configuration=carried(CAKE))) == {
        configuration_name(BREAD),
        configuration_name(CAKE),
    }
    assert set(kept.values.values()) == {EDGE, CAKE}


def test_octets_that_are_no_configuration_are_an_error_of_ours() -> None:
    kept = held()
    with pytest.raises(MeshError):
        kept.apply(
            StateDelta(2, last=True, configuration=(Configured("Route/x", "Route", b"\xff"),))
        )
    assert kept.waypoint == EDGE
