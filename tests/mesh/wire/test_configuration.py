"""What a waypoint is told: what is written is read, and what is not known is refused."""

from contextlib import suppress
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.model.address import Ip
from mesh.model.routes import (
    Attachment,
    Backend,
    Filters,
    HeaderChange,
    PathMatch,
    PathMatchKind,
    RequestMatch,
    Route,
    RouteKind,
    RouteRule,
    ServiceTraffic,
    Waypoint,
)
from mesh.proto import configuration_pb2
from mesh.wire.configuration import configuration_from_bytes, configuration_to_bytes
from mesh.wire.configuration_values import (
    Configuration,
    configuration_json,
    configuration_name,
)
from mesh.wire.pack import pack, unpack
from mesh.wire.workload_fields import ResourceInvalidError
from tests.mesh.any_value import any_value

ROUTE: Final = Route(
    kind=RouteKind.HTTP,
    namespace="shop",
    name="cart",
    created=1_760_000_000,
    parents=(Attachment("shop/cart.shop.svc.cluster.local", 80),),
    rules=(
        RouteRule(
            matches=(RequestMatch(path=PathMatch(PathMatchKind.PREFIX, "/v2"), method="GET"),),
            filters=Filters(request_headers=HeaderChange(put=(("x", "1"),), remove=("y",))),
            backends=(Backend(service="shop/cart-v2.shop.svc.cluster.local", port=80, weight=9),),
            request_s=2.5,
        ),
    ),
)
WAYPOINT: Final = Waypoint(namespace="shop", name="waypoint", addresses=(Ip(bytes((10, 0, 0, 9))),))
TRAFFIC: Final = ServiceTraffic(
    namespace="shop", name="cart", service="shop/cart.shop.svc.cluster.local", max_requests=4
)


def message_of(kind: str, fields: object) -> bytes:
    message = configuration_pb2.Configuration(kind=kind, fields=pack(fields))
    return message.SerializeToString(deterministic=True)


def fields_of(value: Configuration) -> dict[object, object]:
    octets = configuration_to_bytes(value)
    fields = unpack(configuration_pb2.Configuration.FromString(octets).fields)
    assert isinstance(fields, dict)
    return dict(fields)


@given(any_value(Configuration))
def test_what_is_written_is_read(value: object) -> None:
    assert isinstance(value, Configuration)
    octets = configuration_to_bytes(value)

    assert configuration_from_bytes(octets, configuration_name(value)) == value
    assert configuration_to_bytes(configuration_from_bytes(octets)) == octets
    assert isinstance(configuration_json(value), dict)


@given(st.binary(max_size=200) | st.builds(message_of, st.just("Route"), st.binary()))
def test_garbage_raises_only_our_own_errors(octets: bytes) -> None:
    with suppress(MeshError):
        configuration_from_bytes(octets, "Route/HTTP/a/b")


@given(st.integers(min_value=0), st.binary(min_size=1, max_size=3))
def test_damage_is_refused_or_read_but_never_anything_else(where: int, patch: bytes) -> None:
    octets = configuration_to_bytes(ROUTE)
    where %= len(octets)
    with suppress(MeshError):
        configuration_from_bytes(octets[:where] + patch + octets[where + len(patch) :])


def test_a_field_that_has_its_usual_value_is_left_out() -> None:
    assert fields_of(WAYPOINT).keys() == {"namespace", "name", "addresses"}


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        ("Route", {"surprise": 1}, ""),
        ("Route", {"kind": 99}, "kind"),
        ("Route", {"kind": "HTTP"}, "kind"),
        ("Route", {"rules": ({"filters": {"newer": 1}},)}, "rules[0].filters"),
        ("Route", {"rules": ({"matches": ({"path": {"kind": 9, "value": ""}},)},)},
         "rules[0].matches[0].path.kind"),
        ("Route", {"rules": ({"request_s": 2},)}, "rules[0].request_s"),
        ("Route", {"created": True}, "created"),
        ("Sermon", {}, "kind"),
    ],
)  # fmt: skip
def test_what_is_not_known_here_makes_the_whole_resource_invalid(
    kind: str, change: dict[str, object], field: str
) -> None:
    octets = message_of(kind, fields_of(ROUTE) | change)

    with pytest.raises(ResourceInvalidError) as caught:
        configuration_from_bytes(octets, "Route/HTTP/shop/cart")

    assert caught.value.field == field


def test_a_field_that_must_be_given_is_missed_by_name() -> None:
    fields = fields_of(ROUTE)
    del fields["parents"]

    with pytest.raises(ResourceInvalidError, match="parents: is missing"):
        configuration_from_bytes(message_of("Route", fields))


def test_an_unknown_field_of_the_message_itself_is_not_passed_over() -> None:
    with pytest.raises(ResourceInvalidError, match="more than a kind"):
        configuration_from_bytes(configuration_to_bytes(ROUTE) + b"\x1a\x00")


def test_a_resource_that_calls_itself_otherwise_is_refused() -> None:
    with pytest.raises(ResourceInvalidError, match="calls itself"):
        configuration_from_bytes(configuration_to_bytes(ROUTE), "Route/HTTP/other/cart")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (ROUTE, "Route/HTTP/shop/cart"),
        (replace(ROUTE, kind=RouteKind.GRPC), "Route/GRPC/shop/cart"),
        (WAYPOINT, "Waypoint/shop/waypoint"),
        (replace(TRAFFIC, port=80), "ServiceTraffic/shop/cart/80"),
    ],
)
def test_names_begin_with_the_kind(value: Configuration, name: str) -> None:
    assert configuration_name(value) == name


def test_people_see_names_and_addresses_and_only_what_is_not_as_usual() -> None:
    assert configuration_json(WAYPOINT) == {
        "Waypoint": {"namespace": "shop", "name": "waypoint", "addresses": ["10.0.0.9"]}
    }
    shown = configuration_json(ROUTE)
    assert isinstance(shown, dict)
    route = shown["Route"]
    assert isinstance(route, dict)
    assert route["kind"] == "HTTP"
    assert route["rules"] == [
        {
            "matches": [{"path": {"kind": "PREFIX", "value": "/v2"}, "method": "GET"}],
            "filters": {"requestHeaders": {"put": [["x", "1"]], "remove": ["y"]}},
            "backends": [
                {"service": "shop/cart-v2.shop.svc.cluster.local", "port": 80, "weight": 9}
            ],
            "requestS": 2.5,
        }
    ]
