"""Whatever stands in a route, a traffic rule or a filter: others go on, and it can be sent."""

import copy
from collections.abc import Iterator
from typing import Final

import yaml
from hypothesis import given
from hypothesis import strategies as st

from controlplane.publish import Publisher, configuration_resource
from controlplane.translate.settings import Settings
from controlplane.translate.world import Translator
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject
from mesh.runtime.manifests import Snapshot
from tests.controlplane.translate.routing import objects

ROUTE: Final = """
parentRefs: [{group: "", kind: Service, name: web, port: 80, sectionName: http}]
hostnames: [a.example]
rules:
- name: all
  matches:
  - {path: {type: Exact, value: /a}, method: GET}
  - headers: [{name: a, type: RegularExpression, value: b}]
    queryParams: [{name: a, value: b}]
  timeouts: {request: 2s, backendRequest: 1s}
  retry: {codes: [503], attempts: 2, backoff: 1s}
  sessionPersistence: {type: Cookie, absoluteTimeout: 1h, cookieConfig: {lifetimeType: Permanent}}
  filters:
  - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}], remove: [c]}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}, percent: 5}}
  - {type: CORS, cors: {allowOrigins: ["*"], allowMethods: [GET], maxAge: 9}}
  - {type: ExtensionRef, extensionRef: {group: sluice.dev, kind: Filter, name: f}}
  - type: ExternalAuth
    externalAuth:
      protocol: HTTP
      backendRef: {name: web, port: 80}
      http: {path: /x}
      forwardBody: {maxSize: 9}
  backendRefs:
  - name: web-v2
    port: 80
    weight: 3
    filters:
    - type: RequestRedirect
      requestRedirect: {scheme: https, port: 1, path: {type: ReplaceFullPath, replaceFullPath: /}}
"""
GRPC: Final = ROUTE.replace("method: GET", "method: {service: a.B, method: C}")
TRAFFIC: Final = """
host: web
trafficPolicy:
  connectionPool: {tcp: {maxConnections: 1, connectTimeout: 1s}, http: {maxRetries: 1}}
  outlierDetection: {consecutive5xxErrors: 1, interval: 1s}
  loadBalancer: {simple: RANDOM}
  portLevelSettings: [{port: {number: 80}}]
"""
FILTER: Final = """
python: x = 1
config: {a: 1}
budgetMs: 5
failure: Open
"""
KINDS: Final = [
    ("gateway.networking.k8s.io/v1", "HTTPRoute", ROUTE),
    ("gateway.networking.k8s.io/v1", "GRPCRoute", GRPC),
    ("gateway.networking.k8s.io/v1", "TLSRoute", ROUTE),
    ("gateway.networking.k8s.io/v1", "TCPRoute", ROUTE),
    ("networking.istio.io/v1", "DestinationRule", TRAFFIC),
    ("sluice.dev/v1alpha1", "Filter", FILTER),
]
ANYTHING: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(
        ["", "/", "1s", "*", "\n", "99999h", "Exact", "RegularExpression", "a" * 5000]
    ),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)


def places(value: Json) -> Iterator[tuple[dict[str, Json] | list[Json], str | int]]:
    """Every place inside a value."""
    if isinstance(value, dict):
        for name in value:
            yield value, name
            yield from places(value[name])
    elif isinstance(value, list):
        for index in range(len(value)):
            yield value, index
            yield from places(value[index])


def manifest_of(version: str, kind: str, spec: Json) -> dict[str, Json]:
    metadata: dict[str, Json] = {"name": "f", "namespace": "shop"}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


@given(st.sampled_from(KINDS), st.lists(st.tuples(st.integers(min_value=0), ANYTHING), max_size=3))
def test_no_object_stops_the_others_and_what_is_made_of_it_can_be_sent(
    kind: tuple[str, str, str], changes: list[tuple[int, Json]]
) -> None:
    version, name, text = kind
    spec: Json = yaml.safe_load(text)
    for where, value in changes:
        every = list(places(spec))
        if not every:
            break
        holder, at = every[where % len(every)]
        match holder, at:
            case dict(), str():
                holder[at] = copy.deepcopy(value)
            case list(), int():
                holder[at] = copy.deepcopy(value)
            case _:
                pass
    found = KubernetesObject.of(manifest_of(version, name, spec))
    world = {**objects(), found.key: found}

    translation = Translator(Settings()).update(world)
    for told in translation.configuration.values():
        configuration_resource(told)
    assert "shop/web.shop.svc.cluster.local" in translation.services


def test_an_unbroken_one_of_each_kind_is_published() -> None:
    world = objects()
    for version, kind, text in KINDS[:1] + KINDS[4:]:
        found = KubernetesObject.of(manifest_of(version, kind, yaml.safe_load(text)))
        world[found.key] = found
    publication = Publisher(Settings()).update(Snapshot(1, world))
    [catalogue] = [c for t, c in publication.published.catalogues.items() if "sluice" in t]
    assert sorted(catalogue.resources) == [
        "FilterProgram/shop/f",
        "Route/HTTP/shop/f",
        "ServiceTraffic/shop/f/0",
        "ServiceTraffic/shop/f/80",
        "Waypoint/shop/way",
    ]
