"""Whatever changes, an update gives what a translation from nothing would give."""

from collections.abc import Mapping

import pytest

from controlplane.translate.read import read
from controlplane.translate.settings import Settings
from controlplane.translate.translation import Changed, Translation
from controlplane.translate.world import Translator
from mesh.model.fields import FieldInvalidError, Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.runtime.manifests import parse
from tests.controlplane.translate.recordings import world
from tests.controlplane.translate.test_recordings import WORLDS

Objects = Mapping[ObjectKey, KubernetesObject]

EVERYTHING = """
apiVersion: v1
kind: Namespace
metadata: {name: istio-system, labels: {topology.istio.io/network: home}}
---
apiVersion: v1
kind: Namespace
metadata:
  {name: shop, labels: {istio.io/use-waypoint: light, istio.io/ingress-use-waypoint: "true"}}
---
apiVersion: v1
kind: Node
metadata: {name: one, labels: {topology.kubernetes.io/zone: a}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata:
  name: bright
  labels: {istio.io/waypoint-for: all}
  annotations: {ambient.istio.io/waypoint-inbound-binding: PROXY/15088}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: light, namespace: shop}
spec: {gatewayClassName: bright, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
status: {addresses: [{value: 10.96.0.9}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gate, namespace: istio-system, labels: {topology.istio.io/network: home}}
spec: {gatewayClassName: istio-remote}
status: {addresses: [{value: 192.0.2.7}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  {name: own, namespace: shop, uid: "9", annotations: {istio.io/for-service-account: default}}
spec: {gatewayClassName: sluice-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: hand, namespace: shop}
spec:
  gatewayClassName: sluice-waypoint
  addresses: [{type: Hostname, value: old}]
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sluice}
spec: {controllerName: somebody.example/else}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: own, namespace: shop}
---
apiVersion: v1
kind: Service
metadata:
  {name: own, namespace: shop, labels: {gateway.istio.io/managed: sluice.dev-gateway-controller}}
spec: {clusterIP: 10.96.0.8, ports: [{name: mesh, port: 15008}]}
---
apiVersion: v1
kind: Pod
metadata:
  {name: own-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: own}}
spec: {nodeName: one}
status: {podIPs: [{ip: 10.0.0.8}], conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-2, namespace: shop, labels: {app: web}}
spec: {serviceAccountName: other, nodeName: one}
status: {podIPs: [{ip: 10.0.0.11}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: old, namespace: shop}
spec: {clusterIP: 10.96.0.2, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: old-1, namespace: shop, labels: {kubernetes.io/service-name: old}}
addressType: IPv4
endpoints:
- addresses: [172.20.0.1]
- {addresses: [10.0.0.1], targetRef: {kind: Pod, name: web, namespace: shop, uid: "1"}}
ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, uid: "1", labels: {app: web}}
spec:
  nodeName: one
  containers: [{name: web, ports: [{name: web, containerPort: 8080}]}]
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata:
  {name: light-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: light}}
spec: {nodeName: one}
status: {podIPs: [{ip: 10.0.0.2}]}
---
apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata: {name: by-label, namespace: shop}
spec: {selector: {matchLabels: {app: web}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: everywhere, namespace: istio-system}
spec:
  selector: {matchLabels: {app: web}}
  action: DENY
  rules: [{to: [{operation: {ports: ["1"]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: at-the-waypoint, namespace: shop}
spec:
  targetRefs:
  - {kind: Service, name: web}
  - {kind: Gateway, group: gateway.networking.k8s.io, name: light}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: mesh, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, portLevelMtls: {"8080": {mode: PERMISSIVE}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  parentRefs: [{group: "", kind: Service, name: web}]
  rules:
  - filters:
    - {type: ExtensionRef, extensionRef: {group: sluice.dev, kind: Filter, name: late}}
    backendRefs: [{name: old, port: 80}, {name: nobody, port: 80, weight: 0}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: web, port: 80}]
  rules: [{backendRefs: [{name: old, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: web, namespace: yard}
spec:
  parentRefs: [{group: "", kind: Service, name: web, namespace: shop}]
  rules: [{backendRefs: [{name: web, namespace: shop, port: 80}]}]
---
apiVersion: sluice.dev/v1alpha1
kind: Filter
metadata: {name: late, namespace: shop}
spec: {python: {configMapRef: {name: texts}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: texts, namespace: shop}
data: {filter.py: "x = 1"}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {host: web, trafficPolicy: {connectionPool: {tcp: {maxConnections: 3}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: younger, namespace: shop, creationTimestamp: "2026-01-02T00:00:00Z"}
spec: {host: web.shop.svc.cluster.local}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: whole, namespace: shop}
spec: {mtls: {mode: UNSET}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web, namespace: shop, labels: {app: web, istio.io/use-waypoint: light}}
spec: {address: 172.20.0.5, serviceAccount: other, ports: {web: 8090, tcp: 8091}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: far, namespace: shop, labels: {app: web}}
spec: {network: home}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  hosts: [rows.example.com, more.example.com]
  resolution: STATIC
  ports: [{name: tcp, number: 5432, protocol: TCP}]
  endpoints: [{address: 172.20.0.6}, {network: home, labels: {istio.io/use-waypoint: light}}]
status:
  addresses:
  - {host: rows.example.com, value: 240.240.0.1}
  - {host: more.example.com, value: 240.240.0.2}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: selecting, namespace: shop, creationTimestamp: "2026-01-02T00:00:00Z"}
spec:
  hosts: [rows.example.com, web.shop.svc.cluster.local, "*.wild.example.com"]
  resolution: STATIC
  workloadSelector: {labels: {app: web}}
  ports: [{name: web, number: 80, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: abroad, namespace: yard, labels: {app: web}}
spec:
  hosts: [rows.example.com]
  addresses: [172.20.1.0/24]
  resolution: DNS
  ports: [{number: 80, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: outside, namespace: shop}
spec: {host: rows.example.com}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: outside, namespace: istio-system}
spec: {host: rows.example.com}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: outside, namespace: shop}
spec:
  parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: outside}]
  rules:
  - backendRefs:
    - {name: web, port: 80}
    - {group: networking.istio.io, kind: Hostname, name: rows.example.com, port: 5432}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: outside, namespace: shop}
spec:
  targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: outside}]
  rules: [{to: [{operation: {methods: [GET]}}]}]
"""


def everything() -> dict[ObjectKey, KubernetesObject]:
    found, problems = parse(EVERYTHING, "everything")
    assert problems == []
    return {one.key: one for one in found}


def without(objects: Objects, key: ObjectKey) -> dict[ObjectKey, KubernetesObject]:
    return {other: one for other, one in objects.items() if other != key}


def patched(
    objects: Objects, key: ObjectKey, patch: dict[str, Json]
) -> dict[ObjectKey, KubernetesObject]:
    return {**objects, key: objects[key].patched(patch)}


def values(translation: Translation) -> tuple[object, ...]:
    return (
        translation.workloads,
        translation.services,
        translation.policies,
        translation.problems,
        translation.configuration,
        translation.statuses,
        translation.objects,
    )


PATCHES: list[dict[str, Json]] = [
    {"metadata": {"labels": None, "annotations": None}},
    {"spec": None},
    {"status": None},
    {"metadata": {"labels": {"app": "other", "topology.istio.io/network": "elsewhere"}}},
    {"spec": {"selector": None, "mtls": {"mode": "PERMISSIVE"}, "action": "AUDIT"}},
    {"spec": {"ports": [{"name": "http", "port": 81}], "rules": [{"filters": [{"type": "?"}]}]}},
    {"spec": {"network": "home", "hosts": ["more.example.com"], "resolution": "NONE"}},
    {"spec": {"python": "x = 1", "host": "web", "parentRefs": []}, "data": {"filter.py": "y = 2"}},
]


def makes_sense(one: KubernetesObject) -> bool:
    try:
        read(one, USUAL)
    except FieldInvalidError:
        return False
    return True


def steps(objects: Objects) -> list[tuple[str, Objects]]:
    """One object at a time: gone, otherwise in several ways, back."""
    found: list[tuple[str, Objects]] = []
    for key in objects:
        found.append((f"{key} is gone", without(objects, key)))
        for number, patch in enumerate(PATCHES):
            if key.kind.endswith("Entry") and not makes_sense(objects[key].patched(patch)):
                continue  # what it said before counts
            found.append((f"{key} with patch {number}", patched(objects, key, patch)))
        found.append((f"{key} is back", objects))
    return found


USUAL = Settings()


def settled(objects: Objects) -> Objects:
    """With the addresses that entries have been given: these stay whatever happens to others."""
    statuses = Translator(USUAL).update(objects).statuses
    given = {key: s["addresses"] for key, s in statuses.items() if key.kind == "ServiceEntry"
             and "addresses" in s}  # fmt: skip
    return {
        key: one.patched({"status": {"addresses": given[key]}}) if key in given else one
        for key, one in objects.items()
    }


def check(objects: Objects, settings: Settings = USUAL) -> None:
    translator = Translator(settings)
    before = translator.update(objects)
    for what, now in steps(objects):
        after = translator.update(now)
        fresh = Translator(settings).update(now)
        assert values(after) == values(fresh), what
        assert after.changed == difference(before, after), what
        before = after


def difference(before: Translation, after: Translation) -> Changed:
    """What changed, by comparing everything."""
    names = [
        (
            frozenset(name for name, value in new.items() if old.get(name) != value),
            frozenset(old.keys() - new.keys()),
        )
        for old, new in (
            (before.workloads, after.workloads),
            (before.services, after.services),
            (before.policies, after.policies),
            (before.configuration, after.configuration),
        )
    ]
    (put, gone), (put_configuration, gone_configuration) = zip(*names[:3], strict=True), names[3]
    return Changed(*put, *gone, put_configuration, gone_configuration)


@pytest.mark.slow
def test_an_update_is_the_same_as_a_translation_from_nothing() -> None:
    check(settled(everything()))


@pytest.mark.slow
def test_so_it_is_where_waypoints_are_made_unasked() -> None:
    shop = ObjectKey("Namespace", "", "shop")
    objects = patched(settled(everything()), shop, {"metadata": {"labels": None}})
    check(objects, Settings(auto_waypoint=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_an_update_of_a_recorded_world_is_the_same_too(name: str) -> None:
    check(settled(world(name).objects))
