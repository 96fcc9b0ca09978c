from dataclasses import replace

import pytest

from controlplane.translate.settings import Settings
from controlplane.translate.translation import Changed, Translation
from controlplane.translate.world import Translator
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.workload import (
    ApplicationTunnel,
    BalanceMode,
    GatewayAddress,
    NamespacedHostname,
    Port,
    Scope,
    TunnelHeader,
)
from mesh.runtime.manifests import parse

SHOP = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: one}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""
WEB = "Kubernetes//Pod/shop/web"
WEB_SERVICE = "shop/web.shop.svc.cluster.local"


def objects(*texts: str) -> dict[ObjectKey, KubernetesObject]:
    found, problems = parse("\n---\n".join(texts), "test")
    assert problems == []
    return {one.key: one for one in found}


def translate(*texts: str, settings: Settings | None = None) -> Translation:
    return Translator(settings or Settings()).update(objects(*texts))


def test_the_meshs_own_names_come_from_the_settings() -> None:
    settings = Settings(
        cluster_id="east", trust_domain="shop.example", cluster_domain="c.example", network="net"
    )
    translation = translate(SHOP, settings=settings)

    workload = translation.workloads["east//Pod/shop/web"]
    assert str(workload.identity) == "spiffe://shop.example/ns/shop/sa/default"
    assert (workload.cluster_id, workload.network) == ("east", "net")
    assert workload.services == {"shop/web.shop.svc.c.example": (Port(80, 8080),)}
    service = translation.services["shop/web.shop.svc.c.example"]
    assert [address.network for address in service.addresses] == ["net"]


def test_values_that_did_not_change_are_the_same_and_nothing_is_told_of_them() -> None:
    translator = Translator(Settings())
    before = objects(SHOP)
    first = translator.update(before)
    key = ObjectKey("Pod", "shop", "web")

    # Another object that means the same, as when only its resourceVersion rose.
    again = translator.update({**before, key: before[key].patched({"metadata": {"x": "y"}})})

    assert first.changed == Changed(frozenset({WEB}), frozenset({WEB_SERVICE}))
    assert again.changed == Changed()
    assert again.workloads is first.workloads
    assert again.services is first.services


def test_an_older_translation_stays_as_it_was() -> None:
    translator = Translator(Settings())
    first = translator.update(objects(SHOP))

    second = translator.update({})

    assert list(first.workloads) == [WEB]
    assert second.workloads == {}
    assert second.changed.removed_workloads == {WEB}
    assert second.changed.removed_services == {WEB_SERVICE}


def test_an_object_that_makes_no_sense_keeps_what_it_said_before() -> None:
    translator = Translator(Settings())
    translator.update(objects(SHOP))

    broken = translator.update(objects(SHOP.replace("10.0.0.1", "10.0.0.one")))
    mended = translator.update(objects(SHOP))

    assert list(broken.workloads) == [WEB]
    assert broken.changed == Changed()
    (told,) = broken.sentences
    assert told.startswith("Pod shop/web: status.podIPs[0].ip: '10.0.0.one' is no address: write")
    assert told.endswith("; what it said before stays in force")
    assert mended.problems == {}


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("port: 80", "port: 80000", "spec.ports[0].port: 80000 is no port"),
        ("port: 80", "port: http", "spec.ports[0].port: must be a whole number, is the string"),
        ("port: 80,", "", "spec.ports[0].port: must be a port"),
        ("8080", "'8080'", "spec.ports[0].targetPort: '8080' is no port name"),
        ("8080", "0", "spec.ports[0].targetPort: 0 is no port"),
        ("10.96.0.1", "10.96.0.256", "spec.clusterIPs: '10.96.0.256' is no address"),
        ("clusterIP:", "ipFamilies: [IPv5], x:", "spec.ipFamilies: must hold IPv4, IPv6 or both"),
        ("selector: {app: web}", "selector: web", "spec.selector: must be a mapping"),
    ],
)
def test_a_service_that_makes_no_sense_has_no_effect_and_says_why(
    old: str, new: str, sentence: str
) -> None:
    translation = translate(SHOP.replace(old, new))

    (told,) = translation.sentences
    assert told.startswith(f"Service shop/web: {sentence}")
    assert told.endswith("; it has no effect")
    assert translation.services == {}
    assert translation.workloads[WEB].services == {}


NOT_YET = "is not read yet, so the object has no effect"
UNKNOWN = "is unknown and has no effect: check the spelling"


@pytest.mark.parametrize(
    ("version", "kind", "sentence"),
    [
        ("networking.istio.io/v1", "WorkloadGroup", NOT_YET),
        ("networking.istio.io/v1", "Gateway", NOT_YET),
        ("gateway.networking.k8s.io/v1", "UDPRoute", NOT_YET),
        ("v1", "Sevrice", f"v1 Sevrice {UNKNOWN}"),
        (
            "policy.linkerd.io/v1",
            "AuthorizationPolicy",
            f"policy.linkerd.io/v1 AuthorizationPolicy {UNKNOWN}",
        ),
    ],
)
def test_a_kind_that_has_no_effect_says_so(version: str, kind: str, sentence: str) -> None:
    found = translate(f"{{apiVersion: {version}, kind: {kind}, metadata: {{name: x}}}}")

    assert list(found.problems.values()) == [(f"kind: {sentence}",)]


@pytest.mark.parametrize(
    "manifest",
    [
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}}",
        "{apiVersion: v1, kind: ServiceAccount, metadata: {name: x}}",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}",
    ],
)
def test_kinds_that_mean_nothing_to_a_mesh_are_passed_over(manifest: str) -> None:
    assert replace(translate(manifest), objects={}) == Translation()


@pytest.mark.parametrize("version", ["v1alpha3", "v1beta1", "v1"])
def test_every_version_of_a_group_is_read(version: str) -> None:
    translation = translate(
        SHOP,
        f"{{apiVersion: security.istio.io/{version}, kind: PeerAuthentication,"
        " metadata: {name: x, namespace: shop}, spec: {mtls: {mode: STRICT}}}",
    )

    assert translation.workloads[WEB].authorization_policies == (
        "istio-system/istio_converted_static_strict",
    )


GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1beta1
kind: Gateway
metadata: {name: light, namespace: shop}
spec: {gatewayClassName: bright, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
status: {addresses: [{value: 10.96.0.9}, {type: Hostname, value: light.example}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata:
  name: bright
  labels: {istio.io/waypoint-for: all}
  annotations: {ambient.istio.io/waypoint-inbound-binding: PROXY/15088}
---
apiVersion: v1
kind: Namespace
metadata:
  {name: shop, labels: {istio.io/use-waypoint: light, istio.io/ingress-use-waypoint: "true"}}
---
apiVersion: v1
kind: Pod
metadata: {name: light, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: light}}
status: {podIPs: [{ip: 10.0.0.9}]}
"""


def test_what_a_gateway_does_not_say_its_class_says() -> None:
    translation = translate(SHOP, GATEWAY)

    waypoint = GatewayAddress(NamespacedHostname("shop", "light.example"), 15008)
    assert translation.workloads[WEB].waypoint == waypoint
    assert translation.services[WEB_SERVICE].waypoint == waypoint
    assert translation.services[WEB_SERVICE].ingress_use_waypoint
    own = translation.workloads["Kubernetes//Pod/shop/light"]
    assert own.waypoint is None
    assert own.application_tunnel == ApplicationTunnel(TunnelHeader.PROXY, 15088)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "istio.io/waypoint-for: all",
            "istio.io/waypoint-for: everything",
            "GatewayClass bright: metadata.labels[istio.io/waypoint-for]: 'everything' accepts",
        ),
        (
            "PROXY/15088",
            "PROXY/http",
            "Pod shop/light: metadata.labels[gateway.networking.k8s.io/gateway-name]: waypoint-",
        ),
        (
            "use-waypoint: light",
            "use-waypoint: dark",
            "Namespace shop: metadata.labels[istio.io/use-waypoint]: there is no Gateway shop/dark",
        ),
        (
            "protocol: HBONE",
            "protocol: HTTP",
            "Namespace shop: metadata.labels[istio.io/use-waypoint]: Gateway shop/light is no way",
        ),
        (
            "istio.io/use-waypoint: light",
            "istio.io/use-waypoint: light, istio.io/use-waypoint-canary: x",
            "Service shop/web: metadata.labels[istio.io/use-waypoint-canary]: annotation istio.io",
        ),
        (
            "value: 10.96.0.9",
            "value: light",
            "Gateway shop/light: status.addresses[0].value: 'light' is no address",
        ),
    ],
)
def test_a_waypoint_that_cannot_be_as_asked_is_told(old: str, new: str, sentence: str) -> None:
    assert old in GATEWAY
    told = translate(SHOP, GATEWAY.replace(old, new)).sentences

    assert [one for one in told if one.startswith(sentence)] != []


def test_a_waypoint_elsewhere_admits_namespaces_by_expressions() -> None:
    gateway = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: light, namespace: lights, labels: {istio.io/waypoint-for: service}}
spec:
  listeners:
  - name: mesh
    port: 15008
    protocol: HBONE
    allowedRoutes:
      namespaces:
        from: Selector
        selector:
          matchExpressions:
          - {key: kubernetes.io/metadata.name, operator: In, values: [shop, till]}
          - {key: closed, operator: %s}
status: {addresses: [{value: 10.96.0.9}]}
---
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio.io/use-waypoint: light, istio.io/use-waypoint-namespace: lights}
"""
    for operator, is_admitted in (("DoesNotExist", True), ("Exists", False), ("Maybe", False)):
        found = translate(SHOP, gateway % operator).services[WEB_SERVICE]
        assert (found.waypoint is not None) == is_admitted


def test_the_local_networks_gateway_is_told_to_every_pod() -> None:
    translation = translate(
        SHOP,
        """
apiVersion: v1
kind: Namespace
metadata: {name: istio-system, labels: {topology.istio.io/network: home}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gate, namespace: gates, labels: {topology.istio.io/network: home}}
spec: {gatewayClassName: istio-remote}
status: {addresses: [{type: Hostname, value: gate.example}]}
""",
    )

    gateway = GatewayAddress(NamespacedHostname("gates", "gate.example"), 15008)
    assert translation.workloads[WEB].network_gateway == gateway
    told = translation.workloads["NetworkGateway/home/gate.example/15008"]
    assert (told.hostname, told.service_account) == ("gate.example", "gate-istio-remote")


def test_a_services_own_preference_beats_its_namespaces() -> None:
    namespace = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, annotations: {networking.istio.io/traffic-distribution: prefersamenode}}
"""
    inherited = translate(SHOP, namespace).services[WEB_SERVICE].load_balancing
    local = SHOP.replace("clusterIP", "internalTrafficPolicy: Local, clusterIP")
    own = translate(local, namespace).services[WEB_SERVICE].load_balancing

    assert (inherited.mode, inherited.routing_preference[-1]) == (BalanceMode.FAILOVER, Scope.NODE)
    assert (own.mode, own.routing_preference) == (BalanceMode.STRICT, (Scope.NODE,))
