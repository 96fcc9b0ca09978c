"""Routes among the others: parents, backends, filters that are named, and what statuses say."""

import pytest

from controlplane.translate import world
from controlplane.translate.build import build
from controlplane.translate.built import Built
from controlplane.translate.facts import Facts
from controlplane.translate.read import read
from controlplane.translate.settings import Settings
from controlplane.translate.store import Store
from controlplane.translate.world import Translator
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.routes import Attachment, Backend, ExternalAuth, Filters, HeaderChange, Mirror
from tests.controlplane.translate.routing import (
    FAR,
    PARENT,
    WEB,
    WEB_V2,
    conditions,
    manifest,
    objects,
    parents,
    routes,
    rule,
    translated,
    with_rules,
)

V2 = {"name": "web-v2", "port": 80}
OK = ("True", "ResolvedRefs")


def told_to(text: str, name: str) -> frozenset[str]:
    return translated(text).configuration[name].waypoints


# Backends.


@pytest.mark.parametrize(
    ("ref", "backend", "resolved"),
    [
        (V2, Backend(service=WEB_V2, port=80), OK),
        ({**V2, "weight": 7}, Backend(service=WEB_V2, port=80, weight=7), OK),
        ({"name": "far", "namespace": "yard", "port": 80}, Backend(service=FAR, port=80), OK),
        ({**V2, "port": 81}, Backend(service=WEB_V2, port=81), OK),
        ({**V2, "port": 82}, Backend(service=WEB_V2, port=82), OK),
        (
            {**V2, "port": 83},
            Backend(service=WEB_V2, port=83, problem="route_backend_protocol"),
            ("False", "UnsupportedProtocol"),
        ),
        (
            {**V2, "port": 84},
            Backend(service=WEB_V2, port=84, problem="route_backend_protocol"),
            ("False", "UnsupportedProtocol"),
        ),
        (
            {"name": "nobody", "port": 80},
            Backend(problem="route_backend_unknown"),
            ("False", "BackendNotFound"),
        ),
        (
            {"name": "nobody", "port": 80, "weight": 0},
            Backend(problem="route_backend_unknown", weight=0),
            ("False", "BackendNotFound"),
        ),
        (
            {**V2, "port": 8080},
            Backend(problem="route_backend_unknown"),
            ("False", "BackendNotFound"),
        ),
        (
            {"name": "web-v2"},
            Backend(problem="route_backend_unknown"),
            ("False", "BackendNotFound"),
        ),
        (
            {"name": "elsewhere", "port": 80},
            Backend(problem="route_backend_unknown"),
            ("False", "BackendNotFound"),
        ),
        (
            {"group": "x.example", "kind": "Bucket", "name": "b"},
            Backend(problem="route_backend_kind"),
            ("False", "InvalidKind"),
        ),
    ],
)
def test_a_backend_is_looked_up_and_keeps_its_share(
    ref: dict[str, object], backend: Backend, resolved: tuple[str, str]
) -> None:
    found = translated(with_rules("HTTPRoute", {"backendRefs": [ref]}))
    [route] = routes(found)
    assert route.rules[0].backends == (backend,)
    assert conditions(found) == {"Accepted": ("True", "Accepted"), "ResolvedRefs": resolved}


def test_a_rule_without_backends_is_accepted_and_resolved() -> None:
    found = translated(with_rules("HTTPRoute", {"backendRefs": []}))
    assert conditions(found) == {"Accepted": ("True", "Accepted"), "ResolvedRefs": OK}


def test_filters_of_a_backend_are_its_own() -> None:
    change = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["X"]}}
    found = rule({"backendRefs": [{**V2, "filters": [change]}, V2]})
    changed = Filters(request_headers=HeaderChange(remove=("x",)))
    assert [each.filters for each in found.backends] == [changed, Filters()]


# Filters that name somebody.


def mirror(**more: object) -> dict[str, object]:
    return {"type": "RequestMirror", "requestMirror": {"backendRef": V2, **more}}


def test_requests_are_mirrored_to_services_that_exist() -> None:
    found = translated(
        with_rules(
            "HTTPRoute",
            {"filters": [
                mirror(), mirror(percent=20), mirror(fraction={"numerator": 1, "denominator": 3}),
                mirror(fraction={"numerator": 50}), mirror(percent=0),
                mirror(backendRef={"name": "nobody", "port": 80}),
            ]},
        )
    )  # fmt: skip
    [route] = routes(found)
    shares = [(each.numerator, each.denominator) for each in route.rules[0].filters.mirrors]
    assert shares == [(100, 100), (20, 100), (1, 3), (50, 100)]
    assert route.rules[0].filters.mirrors[0] == Mirror(service=WEB_V2, port=80)
    assert conditions(found)["ResolvedRefs"] == ("False", "BackendNotFound")


def auth(protocol: str, **more: object) -> dict[str, object]:
    return {"type": "ExternalAuth", "externalAuth": {
        "protocol": protocol, "backendRef": V2, **more}}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            auth("GRPC", grpc={"allowedHeaders": ["X-User"]}, forwardBody={"maxSize": 100}),
            ExternalAuth(is_grpc=True, service=WEB_V2, port=80, request_headers=("x-user",),
                         max_body_octets=100),
        ),
        (
            auth("HTTP", http={"path": "/check", "allowedHeaders": ["Cookie"],
                               "allowedResponseHeaders": ["X-User"]}),
            ExternalAuth(is_grpc=False, service=WEB_V2, port=80, path="/check",
                         request_headers=("cookie",), response_headers=("x-user",)),
        ),
        (
            auth("HTTP", backendRef={"name": "nobody", "port": 80}),
            ExternalAuth(is_grpc=False, service="", port=0, problem="route_backend_unknown"),
        ),
    ],
)  # fmt: skip
def test_somebody_else_is_asked(given: dict[str, object], expected: ExternalAuth) -> None:
    assert rule({"filters": [given]}).filters.external_auth == expected


FILTER = """
apiVersion: sluice.dev/v1alpha1
kind: Filter
metadata: {name: late, namespace: shop}
spec: {python: "x = 1"}
"""


def extension(group: str = "sluice.dev", kind: str = "Filter") -> dict[str, object]:
    named = {"group": group, "kind": kind, "name": "late"}
    return {"type": "ExtensionRef", "extensionRef": named}


@pytest.mark.parametrize(
    ("more", "named", "problem", "resolved"),
    [
        ((FILTER,), extension(), "", OK),
        ((), extension(), "route_filter_unknown", ("False", "BackendNotFound")),
        ((FILTER,), extension(kind="Rain"), "route_filter_kind", ("False", "InvalidKind")),
    ],
)
def test_a_filter_that_is_not_there_is_never_left_out(
    more: tuple[str, ...], named: dict[str, object], problem: str, resolved: tuple[str, str]
) -> None:
    found = translated(with_rules("HTTPRoute", {"filters": [named]}), *more)
    [route] = routes(found)
    assert route.rules[0].filters == Filters(extensions=("shop/late",), problem=problem)
    assert conditions(found)["ResolvedRefs"] == resolved


# Parents.


@pytest.mark.parametrize(
    ("parent", "attached", "accepted"),
    [
        ({}, [Attachment(WEB)], "Accepted"),
        ({"port": 80}, [Attachment(WEB, 80)], "Accepted"),
        ({"sectionName": "grpc"}, [Attachment(WEB, 90)], "Accepted"),
        ({"sectionName": "http", "port": 80}, [Attachment(WEB, 80)], "Accepted"),
        ({"sectionName": "http", "port": 90}, [], "NoMatchingParent"),
        ({"port": 8080}, [], "NoMatchingParent"),
        ({"port": 53}, [], "NoMatchingParent"),
        ({"sectionName": "admin"}, [], "NoMatchingParent"),
        ({"name": "elsewhere"}, [], "NoMatchingParent"),
        ({"name": "far", "namespace": "yard"}, [Attachment(FAR)], "Accepted"),
    ],
)
def test_a_route_has_the_ports_that_it_names(
    parent: dict[str, object], attached: list[Attachment], accepted: str
) -> None:
    found = translated(manifest("HTTPRoute", {"parentRefs": [{**PARENT, **parent}]}))
    assert [each for route in routes(found) for each in route.parents] == attached
    assert conditions(found)["Accepted"] == (str(accepted == "Accepted"), accepted)


def test_each_parent_has_an_entry_as_it_is_written_but_for_those_that_do_not_exist() -> None:
    refs = [
        {**PARENT, "port": 80},
        {**PARENT, "sectionName": "none"},
        {**PARENT, "name": "nobody"},
        {"name": "some-gateway"},
    ]
    found = translated(manifest("HTTPRoute", {"parentRefs": refs}))
    entries = [entry for entry in parents(found) if isinstance(entry, dict)]
    assert [entry["parentRef"] for entry in entries] == refs[:2]
    assert {entry["controllerName"] for entry in entries} == {"sluice.dev/gateway-controller"}
    assert conditions(found, entry=1)["Accepted"] == ("False", "NoMatchingParent")


@pytest.mark.parametrize("ref", [{**PARENT, "name": "nobody"}, {"name": "some-gateway"}])
def test_a_route_of_nobody_here_has_no_status_of_ours(ref: dict[str, object]) -> None:
    found = translated(manifest("HTTPRoute", {"parentRefs": [ref]}))
    assert parents(found) == []
    assert routes(found) == []


def test_the_core_group_is_written_as_nothing() -> None:
    found = translated(manifest("HTTPRoute", {"parentRefs": [{**PARENT, "group": "core"}]}))
    problems = found.problems[ObjectKey("HTTPRoute", "shop", "r")]
    assert problems == (
        "spec.parentRefs[0].group: 'core' has no Service: write '' for the one of Kubernetes",
    )


def test_the_age_of_a_route_is_kept() -> None:
    text = with_rules("HTTPRoute").replace(
        "  name: r\n", "  name: r\n  creationTimestamp: '1970-01-02T00:00:00Z'\n"
    )
    assert [route.created for route in routes(translated(text))] == [86_400]


# One kind for a port.


def of_kind(kind: str, namespace: str = "shop", **parent: object) -> str:
    ref = {**PARENT, "namespace": "shop", **parent}
    spec = {"parentRefs": [ref], "hostnames": ["a.example"], "rules": [{"backendRefs": []}]}
    return manifest(kind, spec, namespace=namespace)


KINDS = ["GRPCRoute", "HTTPRoute", "TLSRoute", "TCPRoute"]


@pytest.mark.parametrize("first", range(3))
def test_the_kind_that_comes_first_has_the_port(first: int) -> None:
    for later in KINDS[first + 1 :]:
        found = translated(of_kind(later), of_kind(KINDS[first]))
        assert conditions(found, KINDS[first])["Accepted"] == ("True", "Accepted")
        assert conditions(found, later)["Accepted"] == ("False", "Conflicted")
        assert len(routes(found)) == 1


def test_a_route_keeps_the_ports_that_no_other_kind_has() -> None:
    found = translated(of_kind("HTTPRoute"), of_kind("GRPCRoute", port=90))
    by_kind = {route.kind.name: route.parents for route in routes(found)}
    assert by_kind == {"HTTP": (Attachment(WEB, 80),), "GRPC": (Attachment(WEB, 90),)}
    assert conditions(found, "HTTPRoute")["Accepted"] == ("True", "Accepted")


def test_a_route_that_is_not_in_force_takes_nothing_away() -> None:
    bad = with_rules("GRPCRoute", {"matches": [{"method": {"type": "?"}}]})
    assert conditions(translated(of_kind("HTTPRoute"), bad))["Accepted"] == ("True", "Accepted")


def test_no_other_namespace_takes_a_services_own_routes_away() -> None:
    found = translated(of_kind("HTTPRoute"), of_kind("GRPCRoute", "yard"))
    assert conditions(found)["Accepted"] == ("True", "Accepted")
    assert len(routes(found)) == 2


# Waypoints.


def test_a_route_is_for_the_waypoints_of_its_services() -> None:
    assert told_to(with_rules("HTTPRoute"), "Route/HTTP/shop/r") == {"shop/way"}
    far = manifest("HTTPRoute", {"parentRefs": [{**PARENT, "name": "far", "namespace": "yard"}]})
    assert told_to(far, "Route/HTTP/shop/r") == frozenset()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("{istio.io/use-waypoint: none}", "NoWaypoint"),
        ("{istio.io/use-waypoint: nowhere}", "WaypointIsNotReady"),
        ("{istio.io/use-waypoint: way, istio.io/use-waypoint-namespace: yard}",
         "WaypointIsNotReady"),
    ],
)  # fmt: skip
def test_a_route_without_a_waypoint_says_that_it_has_no_effect(more: str, reason: str) -> None:
    service = f"""
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop, labels: {more}}}
spec: {{clusterIP: 10.96.0.1, ports: [{{name: http, port: 80}}]}}
"""
    found = conditions(translated(service, with_rules("HTTPRoute")))
    assert found["sluice.dev/WaypointMissing"] == ("True", reason)
    assert found["Accepted"] == ("True", "Accepted")


def test_a_waypoint_that_is_not_ready_is_told_already() -> None:
    unready = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec: {gatewayClassName: sluice-waypoint, listeners: [{name: m, port: 15008, protocol: HBONE}]}
"""
    found = translated(unready, with_rules("HTTPRoute"))
    assert found.configuration["Route/HTTP/shop/r"].waypoints == {"shop/way"}
    assert found.configuration["Waypoint/shop/way"].waypoints == {"shop/way"}
    assert conditions(found)["sluice.dev/WaypointMissing"] == ("True", "WaypointIsNotReady")


# What a change costs.


class Work:
    """Which objects were read and built."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.read: list[ObjectKey] = []
        self.built: list[ObjectKey] = []

        def noted_read(found: KubernetesObject, settings: Settings) -> Facts:
            self.read.append(found.key)
            return read(found, settings)

        def noted_build(store: Store, key: ObjectKey, facts: Facts | None) -> Built:
            self.built.append(key)
            return build(store, key, facts)

        patched.setattr(world, "read", noted_read)
        patched.setattr(world, "build", noted_build)

    def clear(self) -> None:
        self.read.clear()
        self.built.clear()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(monkeypatch)


def many(count: int, rules: int, service: str = "web") -> list[str]:
    body = [{"matches": [{"path": {"value": f"/{n}"}}], "backendRefs": [V2]} for n in range(rules)]
    spec = {"parentRefs": [{**PARENT, "name": service}], "rules": body}
    first = manifest("HTTPRoute", spec, "r-0")
    return [first.replace("r-0", f"r-{n}") for n in range(count)]


@pytest.mark.slow
def test_the_change_of_one_route_among_a_thousand_costs_that_one(work: Work) -> None:
    translator = Translator(Settings())
    before = objects(*many(1000, 10))
    assert len(translator.update(before).configuration) == 1001
    work.clear()

    key = ObjectKey("HTTPRoute", "shop", "r-7")
    now = {**before, key: before[key].patched({"spec": {"rules": [{"name": "new"}]}})}
    after = translator.update(now)

    assert work.read == [key]
    assert work.built == [key]
    assert after.changed.put_configuration == {"Route/HTTP/shop/r-7"}


def test_the_change_of_a_service_touches_the_routes_that_name_it(work: Work) -> None:
    translator = Translator(Settings())
    others = [text.replace("name: r-", "name: o-") for text in many(40, 1, "far")]
    others = [text.replace("web-v2", "far") for text in others]
    before = objects(*many(3, 1), *others)
    translator.update(before)
    work.clear()

    key = ObjectKey("Service", "shop", "web-v2")
    now = {**before, key: before[key].patched({"spec": {"ports": [{"port": 8080}]}})}
    after = translator.update(now)

    touched = {each.name for each in work.built if each.kind == "HTTPRoute"}
    assert touched == {"r-0", "r-1", "r-2"}
    assert after.changed.put_configuration == {f"Route/HTTP/shop/r-{n}" for n in range(3)}
