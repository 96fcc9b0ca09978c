"""A policy that this version cannot read closes what it may be for."""

import pytest

from mesh.model.request_policy import RequestPolicy, TokenPolicy
from mesh.wire.configuration_values import configuration_of
from waypoint.control.closing import closed

OURS = "shop/edge"


@pytest.mark.parametrize("kind", [RequestPolicy, TokenPolicy])
def test_a_policy_that_cannot_be_read_is_for_everything_that_we_serve(
    kind: type[RequestPolicy] | type[TokenPolicy],
) -> None:
    name = f"{kind.__name__}/shop/newer"
    found = closed(OURS, name)
    assert found is not None
    assert found.key == name
    policy = configuration_of(found.kind, found.octets)
    assert isinstance(policy, kind)
    assert policy.key == "shop/newer"
    assert policy.waypoints == (OURS,)
    assert policy.problem == "policy_unreadable"


@pytest.mark.parametrize("name", ["Route/HTTP/shop/a", "Waypoint/shop/edge", "odd", ""])
def test_what_refuses_nobody_has_no_stand_in(name: str) -> None:
    assert closed(OURS, name) is None
