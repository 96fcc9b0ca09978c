"""Waypoints as clients: who is one, what it is told, and when it is sent away."""

from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.admission import Admission
from controlplane.callers import (
    Caller,
    CallerKindError,
    CallerNodeError,
    CallerRefusedError,
    CallerUntrustedError,
    WaypointAccountError,
    WaypointGatewayError,
    WaypointNodeError,
)
from controlplane.pods import Pods, pods_of
from controlplane.tokens import Subject
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.routes import Route, Waypoint
from mesh.runtime.grpc_bridge.client import GrpcFailedError
from mesh.runtime.manifests import ManifestFolder
from mesh.wire.configuration import CONFIGURATION_TYPE, configuration_from_bytes
from mesh.wire.discovery_catalogue import ADDRESS_TYPE
from mesh.wire.discovery_server import ClientNode
from tests.controlplane.running import Control, Talk, control, pod, until

LABEL = "gateway.networking.k8s.io/gateway-name"
ADMISSION = Admission(
    token_key=None,  # type: ignore[arg-type] # no token is looked at here
    trust_domain="cluster.local",
    cluster_id="Kubernetes",
    trusted=frozenset({"istio-system/ztunnel"}),
)


def labelled(name: str, gateway: str, account: str = "way") -> dict[str, Json]:
    return pod("shop", name, account=account, labels={LABEL: gateway})


def pods(*manifests: dict[str, Json]) -> Pods:
    found = [KubernetesObject.of(each, "test") for each in manifests]
    return replace(pods_of({each.key: each for each in found}), waypoints={"shop/way": "way"})


WORLD = pods(
    labelled("way-1", "way"),
    labelled("thief", "way", account="default"),
    labelled("lost", "nowhere"),
    pod("shop", "web", account="way"),
)


def caller(name: str, account: str = "way") -> Caller:
    return Caller("shop", account, name, f"u-{name}")


def node(name: str = "way-1", namespace: str = "shop", gateway: str = "way") -> ClientNode:
    return ClientNode("id", name, namespace, "a", "waypoint", gateway)


def test_a_pod_that_runs_as_its_gateways_account_is_its_waypoint() -> None:
    assert ADMISSION.reader(caller("way-1"), WORLD) == "shop/way"


@pytest.mark.parametrize(
    ("who", "refusal"),
    [
        (caller("web"), CallerUntrustedError),
        (Caller("shop", "way"), CallerUntrustedError),
        (caller("lost"), WaypointGatewayError),
        (caller("thief", "default"), WaypointAccountError),
    ],
    ids=["no label", "token bound to no pod", "no such Gateway", "another account"],
)
def test_who_is_no_waypoint_is_refused_by_name(
    who: Caller, refusal: type[CallerRefusedError]
) -> None:
    with pytest.raises(refusal):
        ADMISSION.reader(who, WORLD)


@pytest.mark.parametrize(
    ("said", "waypoint", "refusal"),
    [
        (node(namespace="yard"), "shop/way", CallerNodeError),
        (node(gateway="other"), "shop/way", WaypointNodeError),
        (node("way-2"), "shop/way", WaypointNodeError),
        (ClientNode("id", "way-1", "shop", "a"), "shop/way", CallerKindError),
        (node(), "", CallerKindError),
    ],
    ids=["another namespace", "another Gateway", "another pod", "a node proxy", "none"],
)
def test_a_node_id_must_be_that_of_the_callers_own_pod(
    said: ClientNode, waypoint: str, refusal: type[CallerRefusedError]
) -> None:
    ADMISSION.node(caller("way-1"), node(), "shop/way")
    with pytest.raises(refusal):
        ADMISSION.node(caller("way-1"), said, waypoint)


# Over the wire.

NODE_ID = "waypoint~192.0.2.9~way-1.shop~shop.svc.cluster.local"
SUBJECT = Subject(namespace="shop", service_account="way", pod="way-1", pod_uid="u-way-1", node="a")
GATEWAY: dict[str, Json] = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "Gateway",
    "metadata": {"name": "way", "namespace": "shop"},
    "spec": {
        "gatewayClassName": "sluice-waypoint",
        "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}],
    },
}
SERVICE: dict[str, Json] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop", "labels": {"istio.io/use-waypoint": "way"}},
    "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
}


def route(name: str, path: str, service: str = "web") -> dict[str, Json]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": service}],
            "rules": [{"matches": [{"path": {"value": path}}]}],
        },
    }


async def configuration(talk: Talk) -> list[Route | Waypoint]:
    """The next configuration."""
    response = await talk.next()
    assert response.type_url == CONFIGURATION_TYPE
    read = [configuration_from_bytes(one.resource.value, one.name) for one in response.resources]
    return [one for one in read if isinstance(one, Route | Waypoint)]


def with_a_waypoint(plane: Control) -> None:
    plane.write("way", GATEWAY, labelled("way-1", "way"))
    plane.write("routes", SERVICE, route("one", "/one"), route("none", "/none", "nobody"))


async def test_a_waypoint_is_told_of_itself_and_of_the_routes_of_its_services(
    tmp_path: Path,
) -> None:
    async with control(tmp_path) as plane:
        with_a_waypoint(plane)
        await plane.wait_taken(plane.generation)
        async with plane.discovery(plane.token(SUBJECT), NODE_ID, gateway="way") as talk:
            talk.ask(CONFIGURATION_TYPE)
            told = await configuration(talk)
            assert sorted(one.name for one in told) == ["one", "way"]
            itself = next(one for one in told if isinstance(one, Waypoint))
            assert (itself.account, itself.hostnames) == ("way", ("way.shop.svc.cluster.local",))

            plane.write("routes", SERVICE, route("one", "/other"))
            [changed] = await configuration(talk)
            assert isinstance(changed, Route)
            [match] = changed.rules[0].matches
            assert match.path is not None
            assert match.path.value == "/other"


@pytest.mark.parametrize("gateway", ["", "other"])
async def test_a_waypoint_that_is_vague_about_whose_it_is_is_sent_away(
    tmp_path: Path, gateway: str
) -> None:
    async with control(tmp_path) as plane:
        with_a_waypoint(plane)
        await plane.wait_taken(plane.generation)
        async with plane.discovery(plane.token(SUBJECT), NODE_ID, gateway=gateway) as talk:
            talk.ask(ADDRESS_TYPE)
            with pytest.raises(GrpcFailedError):
                await talk.next()


async def test_a_waypoint_is_sent_away_with_its_gateway(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        with_a_waypoint(plane)
        await plane.wait_taken(plane.generation)
        async with plane.discovery(plane.token(SUBJECT), NODE_ID, gateway="way") as talk:
            talk.ask(CONFIGURATION_TYPE)
            await configuration(talk)
            plane.write("way", labelled("way-1", "way"))
            with pytest.raises(GrpcFailedError, match="UNAUTHENTICATED"):
                await talk.next()


async def test_a_route_says_what_became_of_it_beside_what_others_say(tmp_path: Path) -> None:
    theirs: dict[str, Json] = {
        "parentRef": {"name": "their-gateway"},
        "controllerName": "example.com/other",
        "conditions": [],
    }
    one = route("one", "/one")
    one["metadata"] = {"name": "one", "namespace": "shop", "generation": 7}
    one["status"] = {"parents": [theirs]}
    async with control(tmp_path) as plane:
        plane.write("routes", SERVICE, one)
        found: list[Json] = []

        async def is_said() -> bool:
            objects = ManifestFolder(plane.manifests).read().objects
            parents = objects[ObjectKey("HTTPRoute", "shop", "one")].get("status", "parents")
            found[:] = parents if isinstance(parents, list) else []
            return len(found) == 2

        await until(is_said)

    assert found[0] == theirs
    ours = found[1]
    assert isinstance(ours, dict)
    assert ours["controllerName"] == "sluice.dev/gateway-controller"
    assert ours["parentRef"] == {"group": "", "kind": "Service", "name": "web"}
    said = ours["conditions"]
    assert isinstance(said, list)
    conditions = [each for each in said if isinstance(each, dict)]
    assert [(c["type"], c["status"], c["observedGeneration"]) for c in conditions] == [
        ("Accepted", "True", 7),
        ("ResolvedRefs", "True", 7),
        ("sluice.dev/WaypointMissing", "True", 7),
    ]
