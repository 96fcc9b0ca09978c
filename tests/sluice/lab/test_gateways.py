"""Which Gateways are waited for, and how Gateways and the kinds around them are held and shown."""

import json
from pathlib import Path

import pytest

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.names import OWN_CLASSES
from sluice.lab.columns import columns_of
from sluice.lab.errors import LabRefusedError
from sluice.lab.gateways import gateway_status, missing_classes, missing_of_gateway
from sluice.lab.objects import Objects
from tests.sluice.lab.worlds import World, documents

CLASS = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: %s, generation: 1}
spec: {controllerName: %s}
"""
OURS = "sluice.dev/gateway-controller"
GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop, generation: 2}
spec: {gatewayClassName: sluice-waypoint, listeners: [{name: m, port: 15008, protocol: HBONE}]}
"""


def condition(kind: str, status: str, reason: str, generation: int = 2) -> Json:
    return {
        "type": kind, "status": status, "reason": reason, "message": "why",
        "observedGeneration": generation,
    }  # fmt: skip


def gateway(*conditions: Json) -> KubernetesObject:
    (found,) = documents(GATEWAY)
    return found.patched({"status": {"conditions": [*conditions]}})


def missing(found: KubernetesObject, controller: str = OURS) -> str:
    objects = Objects(documents(CLASS % ("sluice-waypoint", controller)))
    return missing_of_gateway(found, objects, {found.key: found})


ACCEPTED = condition("Accepted", "True", "Accepted")
REFUSED = condition("Accepted", "False", "Invalid")


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ((), "to be looked at by the control plane"),
        (
            (condition("Accepted", "True", "Accepted", 1), condition("Programmed", "True", "P", 1)),
            "to be looked at by the control plane",
        ),
        ((ACCEPTED, condition("Programmed", "False", "AddressNotAssigned")), "why"),
        ((ACCEPTED, condition("Programmed", "False", "Pending")), "why"),
        ((ACCEPTED, condition("Programmed", "True", "Programmed")), ""),
        ((ACCEPTED, condition("Programmed", "False", "Invalid")), ""),
        (
            (
                condition("Accepted", "False", "Invalid"),
                condition("Programmed", "False", "Pending"),
            ),
            "",
        ),
    ],
)
def test_a_gateway_is_waited_for_as_long_as_waiting_helps(
    conditions: tuple[Json, ...], said: str
) -> None:
    assert missing(gateway(*conditions)) == said


def test_a_gateway_of_a_class_that_is_nobodys_or_anothers_is_not_waited_for() -> None:
    found = gateway()

    assert missing(found, "somebody.example/else") == ""
    assert missing_of_gateway(found, Objects(), {}) == ""


def test_classes_are_waited_for_until_they_are_there_and_looked_at() -> None:
    assert len([*missing_classes(Objects(), {})]) == len(OWN_CLASSES)
    held = [found for name in OWN_CLASSES for found in documents(CLASS % (name, OURS))]
    assert len([*missing_classes(Objects(held), {})]) == len(OWN_CLASSES)
    accepted: dict[str, Json] = {"status": {"conditions": [condition("Accepted", "True", "A", 1)]}}
    merged = {each.key: each.patched(accepted) for each in held}
    assert [*missing_classes(Objects(held), merged)] == []


def test_a_gateway_is_shown_with_its_addresses() -> None:
    addresses: Json = [{"type": "IPAddress", "value": "10.96.0.7"}, {"value": "way.shop"}]
    found = gateway(condition("Programmed", "True", "P")).patched(
        {"status": {"addresses": addresses}}
    )

    assert gateway_status(found) == {
        "namespace": "shop",
        "name": "way",
        "class": "sluice-waypoint",
        "address": "10.96.0.7",
        "addresses": ["10.96.0.7", "way.shop"],
        "programmed": True,
    }
    shown = {head: read(found) for head, read in columns_of("Gateway").items()}
    assert shown == {"CLASS": "sluice-waypoint", "ADDRESS": "10.96.0.7", "PROGRAMMED": "True"}


# What a store takes.

ROUTES = [
    ("GatewayClass", {"controllerName": "x"}),
    (
        "HTTPRoute",
        {
            "parentRefs": [{"group": "", "kind": "Service", "name": "web", "port": 80}],
            "hostnames": ["a.example"],
            "rules": [
                {
                    "name": "r",
                    "matches": [
                        {
                            "path": {"type": "PathPrefix", "value": "/"},
                            "headers": [{"name": "a", "value": "b"}],
                            "queryParams": [{"name": "a", "value": "b", "type": "Exact"}],
                            "method": "GET",
                        }
                    ],
                    "filters": [
                        {
                            "type": "RequestMirror",
                            "requestMirror": {
                                "backendRef": {"name": "w", "port": 80},
                                "fraction": {"numerator": 1},
                            },
                        },
                        {"type": "CORS", "cors": {"allowOrigins": ["*"], "maxAge": 5}},
                    ],
                    "backendRefs": [{"name": "w", "port": 80, "weight": 0, "filters": []}],
                    "timeouts": {"request": "1s", "backendRequest": "1s"},
                    "retry": {"attempts": 2, "codes": [503], "backoff": "10ms"},
                    "sessionPersistence": {"type": "Cookie", "sessionName": "s"},
                }
            ],
        },
    ),
    (
        "GRPCRoute",
        {"rules": [{"matches": [{"method": {"service": "s"}}], "backendRefs": [{"name": "w"}]}]},
    ),
    ("TCPRoute", {"rules": [{"backendRefs": [{"name": "w", "port": 80}]}]}),
    ("TLSRoute", {"hostnames": ["a"], "rules": [{"backendRefs": [{"name": "w"}]}]}),
    (
        "ReferenceGrant",
        {"from": [{"group": "", "kind": "x", "namespace": "y"}], "to": [{"kind": "Service"}]},
    ),
    (
        "BackendTLSPolicy",
        {
            "targetRefs": [{"group": "", "kind": "Service", "name": "x"}],
            "validation": {"hostname": "x", "wellKnownCACertificates": "System"},
        },
    ),
]
ISTIO = [
    (
        "networking.istio.io/v1",
        "DestinationRule",
        {"host": "web", "trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 1}}}},
    ),
    (
        "security.istio.io/v1beta1",
        "RequestAuthentication",
        {"jwtRules": [{"issuer": "x", "jwks": "{}", "fromHeaders": [{"name": "a"}]}]},
    ),
]
FILTERS = [
    (
        "sluice.dev/v1alpha1",
        "Filter",
        {"python": python, "config": {"plans": {"a": 1}}, "budgetMs": 5, "failure": "Open"},
    )
    for python in ("class A(Filter): pass", {"configMapRef": {"name": "x"}})
]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def whole(version: str, kind: str, spec: object) -> str:
    return json.dumps(
        {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, "spec": spec}
    )


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3", "v1alpha2"])
@pytest.mark.parametrize(("kind", "spec"), ROUTES)
def test_kinds_of_the_gateway_api_are_held_in_every_version(
    world: World, version: str, kind: str, spec: object
) -> None:
    world.apply(whole(f"gateway.networking.k8s.io/{version}", kind, spec))

    namespace = "" if kind == "GatewayClass" else "default"
    held = world.objects.get(ObjectKey(kind, namespace, "x"))
    assert held is not None
    assert held.get("metadata", "generation") == 1


@pytest.mark.parametrize(("version", "kind", "spec"), [*ISTIO, *FILTERS])
def test_kinds_of_istio_and_our_own_that_go_with_them_are_held(
    world: World, version: str, kind: str, spec: object
) -> None:
    world.apply(whole(version, kind, spec))

    assert len(world.objects.of(kind, "default")) == 1


def test_a_slip_in_a_route_is_named(world: World) -> None:
    with pytest.raises(LabRefusedError, match="did you mean backendRefs"):
        world.apply(
            whole("gateway.networking.k8s.io/v1", "HTTPRoute", {"rules": [{"backendRef": []}]})
        )
