"""Traffic rules and filters: what counts, what is said of the rest, and who is told."""

import json
from collections.abc import Mapping

import pytest
import yaml

from controlplane.translate.translation import Translation
from mesh.model.kubernetes import ObjectKey
from mesh.model.routes import FilterProgram, Route, ServiceTraffic
from tests.controlplane.translate.routing import WEB, manifest, translated, with_rules

OTHER_WAYPOINT = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: other, namespace: yard}
spec: {gatewayClassName: sluice-waypoint, listeners: [{name: m, port: 15008, protocol: HBONE}]}
"""


def rule(policy: object = None, name: str = "d", namespace: str = "shop", host: str = "web") -> str:
    return whole({"host": host, "trafficPolicy": policy}, name, namespace)


def whole(spec: Mapping[str, object], name: str = "d", namespace: str = "shop") -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
    )


def traffic(found: Translation) -> list[ServiceTraffic]:
    return [
        told.value for told in found.configuration.values()
        if isinstance(told.value, ServiceTraffic)
    ]  # fmt: skip


def problems(found: Translation, name: str = "d", namespace: str = "shop") -> tuple[str, ...]:
    return found.problems.get(ObjectKey("DestinationRule", namespace, name), ())


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, {}),
        (
            {"connectionPool": {
                "tcp": {"maxConnections": 7, "connectTimeout": "1.5s", "idleTimeout": "1h"},
                "http": {"http1MaxPendingRequests": 1, "http2MaxRequests": 2,
                         "maxRequestsPerConnection": 3, "maxRetries": 4}}},
            {"max_connections": 7, "connect_s": 1.5, "idle_s": 3600.0, "max_pending": 1,
             "max_requests": 2, "max_requests_per_connection": 3, "max_retries": 4},
        ),
        (
            {"connectionPool": {"tcp": {"idleTimeout": "1h"}, "http": {"idleTimeout": "30s"}}},
            {"idle_s": 30.0},
        ),
        ({"outlierDetection": {}}, {"consecutive_errors": 5}),
        (
            {"outlierDetection": {
                "consecutive5xxErrors": 0, "consecutiveGatewayErrors": 2, "interval": "1s",
                "baseEjectionTime": "500ms", "maxEjectionPercent": 100, "minHealthPercent": 50}},
            {"consecutive_errors": 0, "consecutive_gateway_errors": 2, "ejection_interval_s": 1.0,
             "ejection_s": 0.5, "max_ejected_percent": 100, "min_healthy_percent": 50},
        ),
        ({"loadBalancer": {"simple": "ROUND_ROBIN"}}, {"balance": "ROUND_ROBIN"}),
        ({"loadBalancer": {"simple": "LEAST_CONN"}}, {"balance": "LEAST_REQUEST"}),
        ({"loadBalancer": {"simple": "RANDOM"}}, {"balance": "RANDOM"}),
    ],
)  # fmt: skip
def test_what_is_read(policy: object, expected: dict[str, object]) -> None:
    found = translated(rule(policy))
    assert traffic(found) == [
        ServiceTraffic(namespace="shop", name="d", service=WEB, **expected)  # type: ignore[arg-type]
    ]
    assert problems(found) == ()


def test_a_port_has_its_own_settings_and_inherits_none() -> None:
    levels = [{"port": {"number": 80}, "loadBalancer": {"simple": "RANDOM"}}]
    tcp = {"tcp": {"maxConnections": 7}}
    found = translated(rule({"connectionPool": tcp, "portLevelSettings": levels}))
    by_port = {each.port: (each.balance, each.max_connections) for each in traffic(found)}
    assert by_port == {0: ("LEAST_REQUEST", 7), 80: ("RANDOM", 0)}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"subsets": [{"name": "v1"}]}, "spec.subsets"),
        ({"exportTo": ["."]}, "spec.exportTo"),
        ({"workloadSelector": {"matchLabels": {}}}, "spec.workloadSelector"),
        ({"trafficPolicy": {"tls": {"mode": "SIMPLE"}}}, "spec.trafficPolicy.tls"),
        (
            {"trafficPolicy": {"loadBalancer": {"consistentHash": {}}}},
            "spec.trafficPolicy.loadBalancer.consistentHash",
        ),
        (
            {"trafficPolicy": {"connectionPool": {"http": {"h2UpgradePolicy": "UPGRADE"}}}},
            "spec.trafficPolicy.connectionPool.http.h2UpgradePolicy",
        ),
        (
            {"trafficPolicy": {"portLevelSettings": [{"port": {"number": 80}, "tls": {}}]}},
            "spec.trafficPolicy.portLevelSettings[0].tls",
        ),
    ],
)
def test_what_is_not_read_is_named(spec: dict[str, object], field: str) -> None:
    found = translated(whole({"host": "web", **spec}))
    assert problems(found) == (f"{field}: is not supported and has no effect: take it away",)
    assert traffic(found)


@pytest.mark.parametrize(
    "policy",
    [
        {"loadBalancer": {"simple": "PASSTHROUGH"}},
        {"connectionPool": {"tcp": {"connectTimeout": "soon"}}},
        {"connectionPool": {"tcp": {"maxConnections": -1}}},
        {"outlierDetection": {"maxEjectionPercent": 101}},
        {"portLevelSettings": [{"loadBalancer": {}}]},
    ],
)
def test_a_value_that_cannot_be_makes_the_rule_have_no_effect(policy: object) -> None:
    found = translated(rule(policy))
    assert traffic(found) == []
    assert "it has no effect" in problems(found)[0]


@pytest.mark.parametrize(
    ("host", "counts"),
    [
        ("web", True),
        ("web.shop", True),
        ("web.shop.svc", True),
        ("web.shop.svc.cluster.local", True),
        ("nobody", False),
        ("elsewhere", False),
        ("*.shop.svc.cluster.local", False),
        ("far.yard", False),
        ("shop.example.com", False),
        ("", False),
    ],
)
def test_a_host_means_a_service_of_the_rules_own_namespace(host: str, counts: bool) -> None:
    found = translated(rule(host=host))
    assert bool(traffic(found)) == counts
    assert bool(problems(found)) != counts


def test_of_several_rules_the_services_own_namespace_and_then_age_decide() -> None:
    older = rule(name="z").replace("  name: z\n", "  name: z\n  creationTimestamp: '2020'\n")
    newer = rule(name="a").replace("  name: a\n", "  name: a\n  creationTimestamp: '2021'\n")
    root = rule(name="r", namespace="istio-system", host="web.shop")
    found = translated(newer, older, root)
    assert [each.name for each in traffic(found)] == ["z"]
    assert "DestinationRule shop/z counts" in problems(found, "a")[0]
    assert "DestinationRule shop/z counts" in problems(found, "r", "istio-system")[0]
    assert [each.name for each in traffic(translated(root))] == ["r"]


def test_every_waypoint_is_told_since_any_may_have_the_service_as_a_backend() -> None:
    found = translated(rule(), OTHER_WAYPOINT)
    assert found.configuration["ServiceTraffic/shop/d/0"].waypoints == {"shop/way", "yard/other"}


# Filters.

USES = with_rules(
    "HTTPRoute",
    {"filters": [{"type": "ExtensionRef", "extensionRef": {
        "group": "sluice.dev", "kind": "Filter", "name": "f"}}]},
)  # fmt: skip
TEXTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: texts, namespace: shop}
data: {filter.py: "x = 1", other: "y = 2"}
"""


def program(spec: Mapping[str, object], *more: str) -> tuple[FilterProgram, Translation]:
    version, metadata = "sluice.dev/v1alpha1", {"name": "f", "namespace": "shop"}
    body = {"apiVersion": version, "kind": "Filter", "metadata": metadata, "spec": spec}
    found = translated(yaml.safe_dump(body), *more)
    told = found.configuration["FilterProgram/shop/f"].value
    assert isinstance(told, FilterProgram)
    return told, found


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"python": "x = 1"}, FilterProgram(namespace="shop", name="f", source="x = 1")),
        (
            {"python": "x", "config": {"b": [1, None], "a": "c"}, "budgetMs": 250,
             "failure": "Open"},
            FilterProgram(
                namespace="shop", name="f", source="x", budget_s=0.25, fails_open=True,
                config=json.dumps({"a": "c", "b": [1, None]})),
        ),
        (
            {"python": {"configMapRef": {"name": "texts"}}},
            FilterProgram(namespace="shop", name="f", source="x = 1"),
        ),
        (
            {"python": {"configMapRef": {"name": "texts", "key": "other"}}},
            FilterProgram(namespace="shop", name="f", source="y = 2"),
        ),
    ],
)  # fmt: skip
def test_a_filter_has_its_source_here_or_in_a_config_map(
    spec: dict[str, object], expected: FilterProgram
) -> None:
    told, found = program(spec, TEXTS)
    assert told == expected
    assert found.statuses[ObjectKey("Filter", "shop", "f")] == {
        "conditions": [
            {"type": "Accepted", "status": "True", "reason": "Accepted",
             "message": "Waypoints whose routes name it have it"}
        ]
    }  # fmt: skip


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"python": "  "},
        {"python": "é" * (64 * 1024 + 1)},
        {"python": {"configMapRef": {"name": "nobody"}}},
        {"python": {"configMapRef": {"name": "texts", "key": "nothing"}}},
    ],
)
def test_a_filter_without_a_source_is_there_and_fails(spec: dict[str, object]) -> None:
    told, found = program(spec, TEXTS)
    assert (told.source, told.problem) == ("", "route_filter_source")
    assert found.problems[ObjectKey("Filter", "shop", "f")]


def test_a_filter_goes_to_the_waypoints_whose_routes_name_it() -> None:
    _, found = program({"python": "x"})
    assert found.configuration["FilterProgram/shop/f"].waypoints == frozenset()
    _, found = program({"python": "x"}, USES)
    assert found.configuration["FilterProgram/shop/f"].waypoints == {"shop/way"}


BORROWED = """
apiVersion: v1
kind: Namespace
metadata: {name: yard, labels: {istio.io/use-waypoint: way, istio.io/use-waypoint-namespace: shop}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec:
  gatewayClassName: sluice-waypoint
  listeners:
  - {name: m, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: All}}}
status: {addresses: [{value: 10.96.0.9}]}
---
apiVersion: sluice.dev/v1alpha1
kind: Filter
metadata: {name: f, namespace: yard}
spec: {python: "x = 1"}
"""


@pytest.mark.parametrize(
    "parent",
    [
        {"group": "", "kind": "Service", "name": "web", "namespace": "shop"},
        {"group": "", "kind": "Service", "name": "far"},
    ],
    ids=["of another's service", "of an own service at another's waypoint"],
)
def test_no_route_brings_code_to_another_namespaces_waypoint(parent: dict[str, str]) -> None:
    named = {"group": "sluice.dev", "kind": "Filter", "name": "f"}
    filters = [{"type": "ExtensionRef", "extensionRef": named}]
    spec = {"parentRefs": [parent], "rules": [{"filters": filters}]}
    found = translated(manifest("HTTPRoute", spec, namespace="yard"), BORROWED)
    told = found.configuration["Route/HTTP/yard/r"]
    assert told.waypoints == {"shop/way"}
    assert isinstance(told.value, Route)
    assert told.value.rules[0].filters.problem == "route_filter_foreign"
    assert found.configuration["FilterProgram/yard/f"].waypoints == frozenset()
    status = json.dumps(found.statuses[ObjectKey("HTTPRoute", "yard", "r")])
    assert "RefNotPermitted" in status
    assert "shop/way" in status
