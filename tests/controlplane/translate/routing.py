"""A small shop with a waypoint, and what becomes of routes in it."""

from collections.abc import Mapping

import yaml

from controlplane.translate.settings import Settings
from controlplane.translate.translation import Translation
from controlplane.translate.world import Translator
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.routes import Route, RouteRule
from mesh.runtime.manifests import parse

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/use-waypoint: way}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec: {gatewayClassName: sluice-waypoint, listeners: [{name: m, port: 15008, protocol: HBONE}]}
status: {addresses: [{value: 10.96.0.9}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.1
  ports: [{name: http, port: 80}, {name: grpc, port: 90}, {name: dns, port: 53, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: web-v2, namespace: shop}
spec:
  clusterIP: 10.96.0.2
  ports:
  - {name: http, port: 80}
  - {name: h2c, port: 81, appProtocol: kubernetes.io/h2c}
  - {name: ws, port: 82, appProtocol: kubernetes.io/ws}
  - {name: wss, port: 83, appProtocol: kubernetes.io/wss}
  - {name: udp, port: 84, protocol: UDP}
---
apiVersion: v1
kind: Service
metadata: {name: far, namespace: yard}
spec: {clusterIP: 10.96.0.3, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: shop}
spec: {type: ExternalName, externalName: shop.example}
"""
WEB = "shop/web.shop.svc.cluster.local"
WEB_V2 = "shop/web-v2.shop.svc.cluster.local"
FAR = "yard/far.yard.svc.cluster.local"
PARENT = {"group": "", "kind": "Service", "name": "web"}


def objects(*texts: str) -> dict[ObjectKey, KubernetesObject]:
    """The shop, and more objects."""
    found, problems = parse("\n---\n".join((SHOP, *texts)), "test")
    assert problems == []
    return {one.key: one for one in found}


def translated(*texts: str) -> Translation:
    """What becomes of the shop with more objects."""
    return Translator(Settings()).update(objects(*texts))


def manifest(kind: str, spec: object, name: str = "r", namespace: str = "shop") -> str:
    """An object of the Gateway API as YAML."""
    metadata = {"name": name, "namespace": namespace}
    version = "gateway.networking.k8s.io/v1"
    return yaml.safe_dump({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})


def with_rules(kind: str, *rules: object, **spec: object) -> str:
    """A route of the web service with these rules."""
    return manifest(kind, {"parentRefs": [PARENT], "rules": list(rules), **spec})


def routes(translation: Translation) -> list[Route]:
    """The routes that waypoints are told, by name."""
    return [
        told.value
        for _, told in sorted(translation.configuration.items())
        if isinstance(told.value, Route)
    ]


def rule(rule_: Mapping[str, object], kind: str = "HTTPRoute") -> RouteRule:
    """What becomes of one rule."""
    [route] = routes(translated(with_rules(kind, rule_)))
    [only] = route.rules
    return only


def parents(translation: Translation, kind: str = "HTTPRoute", name: str = "r") -> list[Json]:
    """The entries of a route's status."""
    status = translation.statuses.get(ObjectKey(kind, "shop", name), {})
    entries = status.get("parents", [])
    assert isinstance(entries, list)
    return entries


def conditions(
    translation: Translation, kind: str = "HTTPRoute", name: str = "r", entry: int = 0
) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition, by type, of one entry."""
    found = parents(translation, kind, name)[entry]
    assert isinstance(found, dict)
    listed = found["conditions"]
    assert isinstance(listed, list)
    return {
        str(each["type"]): (str(each["status"]), str(each["reason"]))
        for each in listed
        if isinstance(each, dict)
    }
