"""ServiceEntries and WorkloadEntries beyond what the recordings show."""

from collections.abc import Mapping

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controlplane.translate.settings import Settings
from controlplane.translate.translation import Translation
from controlplane.translate.world import Translator
from mesh.model.address import format_ip
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.request_policy import RequestPolicy
from mesh.model.routes import Attachment, Route, ServiceTraffic
from mesh.model.workload import Visibility
from tests.controlplane.translate.routing import objects, routes, translated, with_rules

HTTP = {"number": 80, "name": "http", "protocol": "HTTP"}
PLACE = "Kubernetes/networking.istio.io"


def outside(
    kind: str,
    name: str,
    spec: Mapping[str, object],
    namespace: str = "shop",
    created: str = "",
) -> str:
    """A ServiceEntry or a WorkloadEntry as YAML."""
    metadata = {"name": name, "namespace": namespace}
    if created:
        metadata["creationTimestamp"] = created
    version = "networking.istio.io/v1"
    return yaml.safe_dump(
        {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {**spec}}
    )


def entry(
    name: str, *hosts: str, namespace: str = "shop", created: str = "", **spec: object
) -> str:
    """A ServiceEntry with one port."""
    spec = {"ports": [HTTP], "resolution": "STATIC", **spec}
    return outside("ServiceEntry", name, {"hosts": list(hosts), **spec}, namespace, created)


def owners(found: Translation, host: str) -> dict[str, tuple[str, bool]]:
    """By namespace, the object that has a host, and whether it has it for all."""
    return {
        service.namespace: (service.name, service.canonical)
        for service in found.services.values()
        if service.hostname == host
    }


def addresses(found: Translation, host: str, namespace: str = "shop") -> list[str]:
    return [format_ip(each.ip) for each in found.services[f"{namespace}/{host}"].addresses]


def said(found: Translation, name: str, kind: str = "ServiceEntry") -> str:
    return "\n".join(found.problems.get(ObjectKey(kind, "shop", name), ()))


# Who has a host.


def test_the_oldest_entry_of_a_namespace_has_a_host_and_the_other_is_told() -> None:
    places = [{"address": "172.20.0.1"}]
    older = entry("b", "x.example.com", created="2026-01-01T00:00:00Z", endpoints=places)
    younger = entry("a", "x.example.com", created="2026-01-02T00:00:00Z", endpoints=places)
    found = translated(younger, older)

    assert owners(found, "x.example.com") == {"shop": ("b", True)}
    assert said(found, "a") == (
        "spec.hosts: ServiceEntry shop/b has x.example.com already: no effect for this host"
    )
    assert f"{PLACE}/ServiceEntry/shop/a/172.20.0.1" not in found.workloads


def test_a_service_comes_before_any_entry_of_its_host() -> None:
    host = "web.shop.svc.cluster.local"
    found = translated(entry("a", host, created="2020-01-01T00:00:00Z"))
    assert owners(found, host) == {"shop": ("web", True)}
    elsewhere = translated(entry("a", host, namespace="yard"))
    assert owners(elsewhere, host) == {"shop": ("web", True), "yard": ("a", False)}


def test_each_namespace_has_a_host_and_the_oldest_has_it_for_all() -> None:
    older = entry("a", "x.example.com", namespace="yard", created="2026-01-01T00:00:00Z")
    younger = entry("b", "x.example.com", created="2026-01-02T00:00:00Z")
    found = translated(older, younger)
    assert owners(found, "x.example.com") == {"shop": ("b", False), "yard": ("a", True)}


def test_a_host_passes_on_when_who_has_it_goes() -> None:
    older = entry("b", "x.example.com", created="2026-01-01T00:00:00Z")
    younger = entry("a", "x.example.com", created="2026-01-02T00:00:00Z")
    translator = Translator(Settings())
    both = objects(older, younger)
    translator.update(both)
    left = {key: one for key, one in both.items() if key.name != "b"}
    assert owners(translator.update(left), "x.example.com") == {"shop": ("a", True)}
    assert owners(translator.update(both), "x.example.com") == {"shop": ("b", True)}


@pytest.mark.parametrize(
    ("names", "seen", "told"),
    [
        ([], Visibility.PUBLIC, ""),
        (["*"], Visibility.PUBLIC, ""),
        (["."], Visibility.NAMESPACE, ""),
        (["shop"], Visibility.NAMESPACE, ""),
        ([".", "yard"], Visibility.NAMESPACE, "spec.exportTo: yard: only '.' and '*'"),
    ],
)
def test_who_may_see_an_entry(names: list[str], seen: Visibility, told: str) -> None:
    found = translated(entry("a", "x.example.com", exportTo=names))
    assert found.services["shop/x.example.com"].visibility is seen
    assert told in said(found, "a")


# Addresses of our own choice.


def test_addresses_are_kept_when_the_control_plane_starts_anew() -> None:
    first = objects(entry("m", "m.example.com"), entry("n", "n.example.com"))
    found = Translator(Settings()).update(first)
    assert addresses(found, "m.example.com") == ["240.240.0.1", "2001:2::1"]
    status = {
        key: {"addresses": found.statuses[key]["addresses"]}
        for key in first
        if key.kind == "ServiceEntry"
    }
    later = objects(entry("a", "a.example.com"))
    for key, one in first.items():
        later[key] = one.patched({"status": {**status[key]}}) if key in status else one

    anew = Translator(Settings()).update(later)

    for host in ("m.example.com", "n.example.com"):
        assert addresses(anew, host) == addresses(found, host)
    assert addresses(anew, "a.example.com") == ["240.240.0.3", "2001:2::3"]


def test_of_two_who_say_that_they_have_an_address_the_older_keeps_it() -> None:
    both = objects(
        entry("a", "a.example.com", created="2026-01-02T00:00:00Z"),
        entry("b", "b.example.com", created="2026-01-01T00:00:00Z"),
    )
    for name in "ab":
        key = ObjectKey("ServiceEntry", "shop", name)
        address: Json = {"host": f"{name}.example.com", "value": "240.240.0.9"}
        both[key] = both[key].patched({"status": {"addresses": [address]}})
    found = Translator(Settings()).update(both)
    assert addresses(found, "b.example.com") == ["240.240.0.9", "2001:2::2"]
    assert addresses(found, "a.example.com") == ["240.240.0.1", "2001:2::1"]


def test_an_address_that_a_user_writes_is_taken_from_who_was_given_it() -> None:
    translator = Translator(Settings())
    held = objects(entry("a", "a.example.com"))
    assert addresses(translator.update(held), "a.example.com")[0] == "240.240.0.1"
    wanting = entry("b", "b.example.com", addresses=["240.240.0.1"])
    found = translator.update({**held, **objects(wanting)})
    assert addresses(found, "b.example.com") == ["240.240.0.1"]
    assert addresses(found, "a.example.com") == ["240.240.0.2", "2001:2::1"]


def test_nonsense_in_a_status_is_passed_over() -> None:
    odd = objects(entry("a", "a.example.com"))
    key = ObjectKey("ServiceEntry", "shop", "a")
    nonsense: list[Json] = [1, {"host": "a.example.com", "value": "x"}, {"host": "a.example.com"},
                {"host": "a.example.com", "value": "10.0.0.1"}]  # fmt: skip
    odd[key] = odd[key].patched({"status": {"addresses": nonsense}})
    found = Translator(Settings()).update(odd)
    assert addresses(found, "a.example.com") == ["240.240.0.1", "2001:2::1"]


# Slips.


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"hosts": []}, "spec.hosts: must hold 1 to 256 names"),
        ({"hosts": [f"{'a.' * 126}aa"]}, "spec.hosts[0]: 'a.a."),
        ({"hosts": ["*"]}, "spec.hosts[0]: '*' is no host's name"),
        ({"hosts": ["a b"]}, "is no host's name"),
        ({"addresses": ["10.0.0.0/33"]}, "'10.0.0.0/33' is no range"),
        ({"addresses": ["x"]}, "'x' is no address"),
        ({"resolution": "MAGIC"}, "spec.resolution: 'MAGIC' is none"),
        ({"location": "MOON"}, "spec.location: must be MESH_EXTERNAL"),
        ({"ports": [{"number": 0}]}, "0 is no port"),
        ({"ports": [{"name": "x"}]}, "spec.ports[0].number: must be a port"),
        (
            {"workloadSelector": {"labels": {"a": "b"}}, "endpoints": [{"address": "10.0.0.1"}]},
            "spec.endpoints: excludes workloadSelector",
        ),
    ],
)
def test_an_entry_that_makes_no_sense_has_no_effect_and_says_why(
    spec: dict[str, object], told: str
) -> None:
    written = {"hosts": ["x.example.com"], "ports": [HTTP], **spec}
    found = translated(outside("ServiceEntry", "a", written))
    assert told in said(found, "a")
    assert not [service for service in found.services.values() if service.name == "a"]
    assert "shop/web.shop.svc.cluster.local" in found.services


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, "spec.address: must be an address or a name, unless"),
        ({"address": "10.0.0.256"}, "is neither an address nor a host's name"),
        ({"address": "unix:///run/x"}, "a socket of Unix cannot be reached"),
        ({"address": "10.0.0.1", "ports": {"http": 0}}, "spec.ports.http"),
        ({"address": "10.0.0.1", "weight": -1}, "spec.weight"),
    ],
)
def test_a_machine_that_makes_no_sense_has_no_effect_and_says_why(
    spec: dict[str, object], told: str
) -> None:
    found = translated(outside("WorkloadEntry", "a", spec))
    assert told in said(found, "a", "WorkloadEntry")
    assert not found.workloads


def test_a_network_without_a_gateway_is_told() -> None:
    found = translated(outside("WorkloadEntry", "a", {"network": "moon"}))
    assert "spec.network: no Gateway leads to 'moon'" in said(found, "a", "WorkloadEntry")


def test_one_bad_endpoint_costs_the_others_nothing() -> None:
    places = [{"address": "10.0.0.999"}, {"address": "172.20.0.1"}, {"address": "unix:///x"}]
    found = translated(entry("a", "x.example.com", endpoints=places))
    assert list(found.workloads) == [f"{PLACE}/ServiceEntry/shop/a/172.20.0.1"]
    assert said(found, "a").count("left out") == 2


def test_an_entry_by_name_whose_endpoints_are_all_bad_is_not_reached_by_its_own_name() -> None:
    places = [{"address": "10.0.0.999"}]
    assert not translated(entry("a", "x.example.com", resolution="DNS", endpoints=places)).workloads


def test_endpoints_of_an_entry_without_resolution_have_no_effect() -> None:
    found = translated(
        entry("a", "x.example.com", resolution="NONE", endpoints=[{"address": "172.20.0.1"}])
    )
    assert not found.workloads
    assert "spec.endpoints: have no effect with resolution NONE" in said(found, "a")


def test_an_address_that_another_has_too_is_told_and_no_more_once_the_other_is_gone() -> None:
    translator = Translator(Settings())
    both = objects(
        entry("a", "a.example.com", addresses=["10.97.0.1"]),
        entry("b", "b.example.com", addresses=["10.97.0.1"]),
        entry("c", "c.example.com", addresses=["10.96.0.1"]),
    )
    found = translator.update(both)
    assert "spec.addresses: 10.97.0.1 is ServiceEntry shop/b's too" in said(found, "a")
    assert "10.97.0.1 is ServiceEntry shop/a's too" in said(found, "b")
    assert "10.96.0.1 is Service shop/web's too" in said(found, "c")
    gone = (ObjectKey("ServiceEntry", "shop", "b"), ObjectKey("Service", "shop", "web"))
    found = translator.update({key: one for key, one in both.items() if key not in gone})
    assert (said(found, "a"), said(found, "c")) == ("", "")


# Waypoints.


REF = {"group": "networking.istio.io", "kind": "ServiceEntry", "name": "a"}


def only(found: Translation) -> Route:
    [route] = routes(found)
    return route


def test_a_route_of_an_entry_is_for_all_of_its_hosts() -> None:
    found = translated(
        entry("a", "x.example.com", "y.example.com"),
        with_rules("HTTPRoute", {"backendRefs": [{"name": "web", "port": 80}]}, parentRefs=[REF]),
    )
    assert only(found).parents == (
        Attachment("shop/x.example.com"), Attachment("shop/y.example.com")
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["TCPRoute", "TLSRoute", "GRPCRoute"])
def test_routes_of_every_kind_can_be_an_entrys(kind: str) -> None:
    spec = {"hostnames": ["x.example.com"]} if kind == "TLSRoute" else {}
    rule = {"backendRefs": [{"name": "web", "port": 80}]}
    found = translated(
        entry("a", "x.example.com"), with_rules(kind, rule, parentRefs=[REF], **spec)
    )
    assert only(found).parents == (Attachment("shop/x.example.com"),)


@pytest.mark.parametrize(
    ("host", "port", "service", "problem"),
    [
        ("x.example.com", 80, "shop/x.example.com", ""),
        ("web.shop.svc.cluster.local", 80, "shop/web.shop.svc.cluster.local", ""),
        ("far.yard.svc.cluster.local", 80, "yard/far.yard.svc.cluster.local", ""),
        ("hidden.example.com", 80, "", "http_backend_unknown"),
        ("x.example.com", 81, "", "http_backend_unknown"),
        ("nobody.example.com", 80, "", "http_backend_unknown"),
    ],
)
def test_a_backend_can_be_named_by_its_host(
    host: str, port: int, service: str, problem: str
) -> None:
    backend = {"group": "networking.istio.io", "kind": "Hostname", "name": host, "port": port}
    found = translated(
        entry("a", "x.example.com"),
        entry("hidden", "hidden.example.com", namespace="yard", exportTo=["."]),
        with_rules("HTTPRoute", {"backendRefs": [backend]}),
    )
    [rule] = only(found).rules
    [told] = rule.backends
    assert (told.service, bool(told.problem)) == (service, bool(problem))


@pytest.mark.parametrize(
    ("namespace", "counts"), [("shop", True), ("istio-system", True), ("yard", False)]
)
def test_a_traffic_rule_can_be_for_a_host_of_an_entry(namespace: str, counts: bool) -> None:
    rule = outside("DestinationRule", "d", {"host": "x.example.com"}, namespace)
    found = translated(entry("a", "x.example.com"), rule)
    told = [t.value for t in found.configuration.values() if isinstance(t.value, ServiceTraffic)]
    assert [each.service for each in told] == (["shop/x.example.com"] if counts else [])


def test_a_policy_can_be_for_an_entry() -> None:
    policy = yaml.safe_dump(
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {"name": "p", "namespace": "shop"},
            "spec": {"targetRefs": [REF], "rules": [{}]},
        }
    )
    found = translated(entry("a", "x.example.com"), policy)
    [told] = [t.value for t in found.configuration.values() if isinstance(t.value, RequestPolicy)]
    assert told.targets == (Attachment("shop/x.example.com"),)


def test_a_machine_is_an_endpoint_of_every_service_that_selects_it() -> None:
    web = """
apiVersion: v1
kind: Service
metadata: {name: sel, namespace: shop}
spec: {clusterIP: 10.96.0.7, selector: {app: x}, ports: [{name: http, port: 80}]}
"""
    machine = outside("WorkloadEntry", "m", {"address": "172.20.0.9", "labels": {"app": "x"}})
    chosen = entry("a", "x.example.com", workloadSelector={"labels": {"app": "x"}})
    found = translated(web, machine, chosen)
    workload = found.workloads[f"{PLACE}/WorkloadEntry/shop/m"]
    assert set(workload.services) == {"shop/sel.shop.svc.cluster.local", "shop/x.example.com"}
    assert workload.addresses == (bytes((172, 20, 0, 9)),)


# Nonsense.

WORDS = [
    "hosts",
    "addresses",
    "ports",
    "endpoints",
    "number",
    "name",
    "protocol",
    "targetPort",
    "resolution",
    "labels",
    "address",
    "workloadSelector",
    "network",
    "locality",
    "weight",
    "serviceAccount",
    "exportTo",
    "subjectAltNames",
]
ODD = ["10.0.0.1", "10.0.0.0/8", "::1/64", "x.example.com", "*.x", "unix:///a", "STATIC", "DNS"]
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(ODD),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6)
    ),
    max_leaves=12,
)


@pytest.mark.slow
@given(
    st.sampled_from(["ServiceEntry", "WorkloadEntry"]),
    st.dictionaries(st.sampled_from(WORDS), VALUES),
    VALUES,
)
def test_no_nonsense_costs_other_objects_anything(
    kind: str, spec: dict[str, Json], status: Json
) -> None:
    metadata: Json = {"name": "odd", "namespace": "shop"}
    odd: dict[str, Json] = {
        "apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata,
        "spec": {"hosts": ["x.example.com"], **spec}, "status": {"addresses": status},
    }  # fmt: skip
    one = KubernetesObject.of(odd)
    found = Translator(Settings()).update({**NEIGHBOURS, one.key: one})
    assert "shop/y.example.com" in found.services


NEIGHBOURS = objects(entry("good", "y.example.com"))
