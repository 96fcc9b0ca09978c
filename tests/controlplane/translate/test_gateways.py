"""What becomes of a Gateway: the objects that are made for it, and what its status says."""

from collections.abc import Iterator

import pytest
import yaml

from controlplane.translate.settings import Settings
from controlplane.translate.translation import Translation
from controlplane.translate.world import Translator
from mesh.model.fields import Json, Part
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.runtime.manifests import parse

KEY = ObjectKey("Gateway", "shop", "way")
MANAGED = "sluice.dev-gateway-controller"
GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop, uid: "7", labels: {team: blue}}
spec: {gatewayClassName: sluice-waypoint, listeners: [{name: m, port: 15008, protocol: HBONE}]}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata:
  {name: way, namespace: shop, labels: {gateway.istio.io/managed: sluice.dev-gateway-controller}}
spec: {clusterIP: 10.96.0.7, ports: [{name: m, port: 15008}]}
"""
POD = """
apiVersion: v1
kind: Pod
metadata:
  {name: way-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: way}}
status: {podIPs: [{ip: 10.0.0.7}], conditions: [{type: Ready, status: "True"}]}
"""


def translate(*texts: str, discovery_url: str = "") -> Translation:
    found = [one for text in texts for one in parse(text, "test")[0]]
    settings = Settings(root_certificate="PEM", discovery_url=discovery_url)
    return Translator(settings).update({one.key: one for one in found})


def status(translation: Translation, key: ObjectKey = KEY) -> Part:
    return Part(str(key), "status", {**translation.statuses[key]})


def condition(part: Part, kind: str) -> tuple[str, str]:
    (found,) = (one for one in part.parts("conditions") if one.text("type") == kind)
    return found.text("status"), found.text("reason")


def made(translation: Translation, kind: str) -> KubernetesObject:
    (found,) = (one for key, one in translation.objects.items() if key.kind == kind)
    return found


def annotated(notes: dict[str, str]) -> str:
    body = yaml.safe_load(GATEWAY)
    body["metadata"]["annotations"] = notes
    return yaml.safe_dump(body)


def with_spec(**fields: Json) -> str:
    body = yaml.safe_load(GATEWAY)
    body["spec"] |= fields
    return yaml.safe_dump(body)


# What is made.


def test_a_waypoint_gets_what_it_needs_and_the_root_certificate_comes_first() -> None:
    objects = [key for key in translate(GATEWAY).objects if key.kind != "GatewayClass"]

    assert objects == [
        ObjectKey("ConfigMap", "shop", "istio-ca-root-cert"),
        ObjectKey("ServiceAccount", "shop", "way"),
        ObjectKey("Service", "shop", "way"),
        ObjectKey("Deployment", "shop", "way"),
    ]


@pytest.mark.parametrize("kind", ["ServiceAccount", "Service", "Deployment"])
def test_everything_that_is_made_says_whose_it_is(kind: str) -> None:
    found = made(translate(GATEWAY), kind)

    assert found.labels == {
        "team": "blue",
        "gateway.networking.k8s.io/gateway-name": "way",
        "gateway.networking.k8s.io/gateway-class-name": "sluice-waypoint",
        "gateway.istio.io/managed": MANAGED,
    }
    assert found.get("metadata", "ownerReferences", 0, "uid") == "7"


def test_the_service_has_the_tunnel_and_the_readiness() -> None:
    spec = made(translate(GATEWAY), "Service").at("spec")

    ports = [(one.text("name"), one.number("port"), one.text("appProtocol"))
             for one in spec.parts("ports")]  # fmt: skip
    assert ports == [("status-port", 15021, "tcp"), ("m", 15008, "hbone")]
    assert spec.text("type") == "ClusterIP"


def test_the_pod_is_no_part_of_the_mesh_and_knows_what_it_serves() -> None:
    template = made(translate(GATEWAY), "Deployment").at("spec", "template")
    labels = template.at("metadata").strings("labels")
    (container,) = template.at("spec").parts("containers")
    env = {one.text("name"): one.text("value") for one in container.parts("env")}

    assert labels["istio.io/dataplane-mode"] == "none"
    assert labels["service.istio.io/canonical-name"] == "way"
    assert container.text("image") == "sluice/waypoint"
    assert env["GATEWAY_NAME"] == "way"
    assert env["XDS_ADDRESS"] == "https://istiod.istio-system.svc:15012"
    assert {"POD_NAME", "POD_NAMESPACE", "INSTANCE_IP", "SERVICE_ACCOUNT", "NODE_NAME"} <= set(env)


def test_prometheus_finds_the_pods_unless_the_gateway_says_otherwise() -> None:
    def annotations(gateway: str) -> dict[str, str]:
        template = made(translate(gateway), "Deployment").at("spec", "template")
        return template.at("metadata").strings("annotations")

    assert annotations(GATEWAY)["prometheus.io/scrape"] == "true"
    assert annotations(GATEWAY)["prometheus.io/port"] == "15020"
    assert annotations(GATEWAY)["prometheus.io/path"] == "/stats/prometheus"
    off = annotated({"prometheus.io/scrape": "false"})
    assert annotations(off)["prometheus.io/scrape"] == "false"


def test_where_the_control_plane_is_can_be_told() -> None:
    translation = translate(GATEWAY, discovery_url="https://10.0.0.1:15012")

    assert "https://10.0.0.1:15012" in yaml.safe_dump(made(translation, "Deployment").body)


def test_labels_of_the_gateway_do_not_put_its_pods_into_the_mesh() -> None:
    translation = translate(GATEWAY.replace("team: blue", "istio.io/dataplane-mode: ambient"))

    template = made(translation, "Deployment").at("spec", "template", "metadata")
    assert template.strings("labels")["istio.io/dataplane-mode"] == "none"


def test_infrastructure_says_what_is_copied_in_place_of_the_gateways_own() -> None:
    infrastructure: Json = {"labels": {"a": "b"}, "annotations": {"c": "d"}}
    service = made(translate(with_spec(infrastructure=infrastructure)), "Service")

    assert service.labels["a"] == "b"
    assert "team" not in service.labels
    assert service.annotations["c"] == "d"


def test_annotations_name_what_is_made() -> None:
    translation = translate(
        annotated(
            {
                "gateway.istio.io/name-override": "other",
                "gateway.istio.io/service-account": "baker",
                "networking.istio.io/service-type": "LoadBalancer",
            }
        )
    )

    assert made(translation, "Service").get("spec", "type") == "LoadBalancer"
    template = made(translation, "Deployment").at("spec", "template", "spec")
    assert template.text("serviceAccountName") == "baker"
    assert ObjectKey("Deployment", "shop", "other") in translation.objects
    # The account is the user's own, which is there or comes.
    assert not any(key.kind == "ServiceAccount" for key in translation.objects)


def test_nothing_is_made_for_a_waypoint_that_somebody_else_runs() -> None:
    by_hand = with_spec(addresses=[{"type": "Hostname", "value": "front"}])
    translation = translate(by_hand)

    assert {key.kind for key in translation.objects} == {"GatewayClass"}
    assert condition(status(translation), "Programmed") == ("False", "AddressNotUsable")
    there = translate(by_hand, SERVICE.replace("name: way", "name: front"))
    assert condition(status(there), "Programmed") == ("True", "Programmed")
    assert status(there).items("addresses") == [
        {"type": "Hostname", "value": "front.shop.svc.cluster.local"}
    ]


# Whose things are not touched.


@pytest.mark.parametrize(
    "manifest",
    [
        SERVICE.replace(MANAGED, "somebody"),
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: way, namespace: shop}}",
        "{apiVersion: v1, kind: ServiceAccount, metadata: {name: way, namespace: shop}}",
    ],
)
def test_what_is_a_users_is_left_alone_and_named(manifest: str) -> None:
    translation = translate(GATEWAY, manifest)
    (taken,) = parse(manifest, "test")[0]

    assert taken.key not in translation.objects
    assert condition(status(translation), "Accepted") == ("True", "Accepted")
    assert condition(status(translation), "Programmed") == ("False", "Invalid")
    (problem,) = translation.problems[KEY]
    assert str(taken.key) in problem


def test_classes_are_made_when_they_are_absent_and_never_overwritten() -> None:
    mine = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sluice-waypoint}
spec: {controllerName: somebody.example/else}
"""
    assert ObjectKey("GatewayClass", "", "sluice-waypoint") in translate().objects
    translation = translate(mine, GATEWAY)

    assert ObjectKey("GatewayClass", "", "sluice-waypoint") not in translation.objects
    assert KEY not in translation.statuses  # then its Gateways are not ours either
    assert {key.kind for key in translation.objects} == {"GatewayClass"}


def test_a_class_of_ours_that_exists_stays_wanted() -> None:
    texts = [yaml.safe_dump(one.body) for one in translate().objects.values()]

    assert translate(*texts).objects == translate().objects


def test_a_class_of_ours_under_another_name_is_ours() -> None:
    own = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: own, labels: {istio.io/waypoint-for: all}}
spec: {controllerName: sluice.dev/gateway-controller}
"""
    translation = translate(own, GATEWAY.replace("sluice-waypoint", "own"))

    key = ObjectKey("GatewayClass", "", "own")
    assert condition(status(translation, key), "Accepted") == ("True", "Accepted")
    assert condition(status(translation), "Accepted") == ("True", "Accepted")
    assert ObjectKey("Deployment", "shop", "way") in translation.objects


# Statuses.


def test_a_waypoint_has_an_address_once_a_pod_is_ready() -> None:
    before = status(translate(GATEWAY, SERVICE))
    after = status(translate(GATEWAY, SERVICE, POD))

    assert condition(before, "Programmed") == ("False", "AddressNotAssigned")
    assert before.items("addresses") == []
    assert condition(after, "Programmed") == ("True", "Programmed")
    assert after.items("addresses") == [
        {"type": "IPAddress", "value": "10.96.0.7"},
        {"type": "Hostname", "value": "way.shop.svc.cluster.local"},
    ]


def test_an_address_stays_when_no_pod_is_ready_any_more() -> None:
    had = GATEWAY + "status: {addresses: [{type: IPAddress, value: 10.96.0.7}]}\n"
    now = status(translate(had, SERVICE, POD.replace('"True"', '"False"')))

    assert condition(now, "Programmed") == ("False", "Pending")
    assert len(now.items("addresses")) == 2


def test_the_listener_says_which_routes_it_takes() -> None:
    kinds: Json = {"kinds": [{"kind": "HTTPRoute"}, {"kind": "Unknown"}]}
    listener: Json = {"name": "m", "port": 15008, "protocol": "HBONE", "allowedRoutes": kinds}
    (some,) = status(translate(with_spec(listeners=[listener]))).parts("listeners")
    (every,) = status(translate(GATEWAY, SERVICE, POD)).parts("listeners")

    assert [one.text("kind") for one in some.parts("supportedKinds")] == ["HTTPRoute"]
    assert condition(some, "ResolvedRefs") == ("False", "InvalidRouteKinds")
    assert {one.text("kind") for one in every.parts("supportedKinds")} == {
        "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute",
    }  # fmt: skip
    told = [condition(every, kind)[0] for kind in ("Accepted", "Programmed", "Conflicted")]
    assert told == ["True", "True", "False"]


def bad_specs() -> Iterator[tuple[str, str]]:
    hbone: dict[str, Json] = {"name": "m", "port": 15008, "protocol": "HBONE"}
    yield with_spec(listeners=[]), "ListenersNotValid"
    yield with_spec(listeners=[hbone, {**hbone, "name": "n", "port": 80}]), "ListenersNotValid"
    yield with_spec(listeners=[{**hbone, "protocol": "HTTP"}]), "ListenersNotValid"
    yield with_spec(listeners=[{**hbone, "port": 80}]), "ListenersNotValid"
    parameters: Json = {"parametersRef": {"group": "", "kind": "ConfigMap", "name": "x"}}
    yield with_spec(infrastructure=parameters), "InvalidParameters"
    yield with_spec(addresses=[{"type": "example.com/x", "value": "x"}]), "UnsupportedAddress"
    yield with_spec(gatewayClassName="sluice"), "Invalid"
    yield with_spec(gatewayClassName="sluice-east-west"), "Invalid"


@pytest.mark.parametrize(("manifest", "reason"), [*bad_specs()])
def test_what_is_not_served_says_why_and_gets_nothing(manifest: str, reason: str) -> None:
    translation = translate(manifest)

    assert condition(status(translation), "Accepted") == ("False", reason)
    assert condition(status(translation), "Programmed") == ("False", "Invalid")
    assert {key.kind for key in translation.objects} == {"GatewayClass"}
    assert translation.problems[KEY]


def test_the_gateway_of_another_network_is_where_it_says() -> None:
    addresses: Json = [{"type": "IPAddress", "value": "203.0.113.7"}]
    translation = translate(with_spec(gatewayClassName="istio-remote", addresses=addresses))

    assert status(translation).items("addresses") == addresses
    assert condition(status(translation), "Programmed") == ("True", "Programmed")


def test_a_gateway_of_somebody_elses_class_is_let_be() -> None:
    translation = translate(with_spec(gatewayClassName="istio"))

    assert KEY not in translation.statuses
