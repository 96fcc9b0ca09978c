"""LOCAL_XDS documents: what they mean, every problem at once, and `config_dump` read back."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ConfigError
from mesh.model.address import parse_ip
from mesh.model.policy import Action, Cidr, Match, PolicyScope, StringMatch, StringMatchKind
from mesh.model.workload import (
    BalanceMode,
    GatewayAddress,
    HealthPolicy,
    Locality,
    NamespacedHostname,
    NetworkAddress,
    NetworkMode,
    Port,
    Scope,
    Service,
    TunnelHeader,
    TunnelProtocol,
    Workload,
    WorkloadStatus,
    WorkloadType,
)
from mesh.runtime.control.config_dump import policy_json, service_json, workload_json
from mesh.wire.discovery_client import ADDRESS_TYPE, AUTHORIZATION_TYPE
from ztunnel.config import Config
from ztunnel.control.local_state import LocalState, load, parse

WORLD = """
workloads:
- uid: cluster//Pod/shop/web
  name: web
  namespace: shop
  workloadIps: [10.0.0.1, "fd00::1"]
  protocol: HBONE
  networkMode: HostNetwork
  network: east
  serviceAccount: web
  workloadName: web
  workloadType: pod
  canonicalName: web
  canonicalRevision: v1
  hostname: web.example
  node: node-a
  nativeTunnel: true
  applicationTunnel: {protocol: PROXY, port: 15088}
  waypoint: {destination: shop/way.shop.svc, hboneMtlsPort: 15008}
  networkGateway: {destination: east/192.0.2.1, hboneMtlsPort: 15008}
  authorizationPolicies: [shop/deny]
  status: Unhealthy
  clusterId: east
  locality: {region: r, zone: z, subzone: s}
  capacity: 3
  services:
    shop/web.shop.svc: {80: 8080, "443": 8443}
services:
- name: web
  namespace: shop
  hostname: web.shop.svc
  vips: [east/10.1.0.1, "/10.1.0.2"]
  cidrVips: [{network: "", cidr: 198.51.100.0/24}]
  ports: {80: 8080}
  subjectAltNames: ["spiffe://cluster.local/ns/shop/sa/web"]
  waypoint: {destination: /10.2.0.1, hboneMtlsPort: 15008}
  weightedWaypoints: [{destination: {destination: shop/way, hboneMtlsPort: 15008}, weight: 2}]
  loadBalancer: {mode: Failover, routingPreferences: [Region, zone], healthPolicy: AllowAll}
  ipFamilies: Dual
  canonical: true
  visibility: Namespace
policies:
- name: deny
  namespace: shop
  scope: WorkloadSelector
  action: Deny
  dryRun: false
  rules:
  - - - {notPrincipals: [{Presence: []}], destinationPorts: [80]}
      - {sourceIps: [192.0.2.0/24, "::1"], namespaces: [{Exact: a}, {Prefix: b}, {Suffix: c}]}
      - {serviceAccounts: [{namespace: shop, serviceAccount: web}]}
"""


def problems_of(written: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(written, "world.yaml")
    return caught.value.problems


def the_workload(state: LocalState) -> Workload:
    (found,) = [one for one in state.resources if isinstance(one, Workload)]
    return found


def the_service(state: LocalState) -> Service:
    (found,) = [one for one in state.resources if isinstance(one, Service)]
    return found


def test_every_field_of_a_workload_is_read() -> None:
    workload = the_workload(parse(WORLD, "w"))
    assert workload.addresses == (parse_ip("10.0.0.1"), parse_ip("fd00::1"))
    assert workload.protocol is TunnelProtocol.HBONE
    assert workload.network_mode is NetworkMode.HOST_NETWORK
    assert workload.workload_type is WorkloadType.POD
    assert workload.status is WorkloadStatus.UNHEALTHY
    assert workload.native_tunnel
    assert workload.application_tunnel is not None
    assert workload.application_tunnel.protocol is TunnelHeader.PROXY
    assert workload.waypoint == GatewayAddress(NamespacedHostname("shop", "way.shop.svc"), 15008)
    gateway = GatewayAddress(NetworkAddress("east", parse_ip("192.0.2.1")), 15008)
    assert workload.network_gateway == gateway
    assert workload.locality == Locality("r", "z", "s")
    assert workload.services == {"shop/web.shop.svc": (Port(80, 8080), Port(443, 8443))}
    assert (workload.cluster_id, workload.capacity) == ("east", 3)
    assert workload.trust_domain == "cluster.local"


def test_every_field_of_a_service_is_read() -> None:
    service = the_service(parse(WORLD, "w"))
    assert service.addresses == (
        NetworkAddress("east", parse_ip("10.1.0.1")),
        NetworkAddress("", parse_ip("10.1.0.2")),
        NetworkAddress("", parse_ip("198.51.100.0"), 24),
    )
    assert service.load_balancing.mode is BalanceMode.FAILOVER
    assert service.load_balancing.routing_preference == (Scope.REGION, Scope.ZONE)
    assert service.load_balancing.health_policy is HealthPolicy.ALLOW_ALL
    assert service.weighted_waypoints[0].weight == 2
    assert service.canonical


def test_every_field_of_a_policy_is_read() -> None:
    (policy,) = parse(WORLD, "w").by_type()[AUTHORIZATION_TYPE].values()
    assert (policy.scope, policy.action) == (PolicyScope.WORKLOAD_SELECTOR, Action.DENY)  # type: ignore[union-attr]
    assert policy.rules[0][0][0] == Match(  # type: ignore[union-attr]
        not_principals=(StringMatch(StringMatchKind.PRESENCE),), destination_ports=(80,)
    )
    assert policy.rules[0][0][1].source_ips == (  # type: ignore[union-attr]
        Cidr(parse_ip("192.0.2.0"), 24),
        Cidr(parse_ip("::1"), 128),
    )


def test_what_config_dump_shows_can_be_read_back() -> None:
    state = parse(WORLD, "w")
    (policy,) = [one for one in state.resources if not isinstance(one, Workload | Service)]
    workload, service = workload_json(the_workload(state)), service_json(the_service(state), ())
    # Two fields that a dump shows in another shape, as Istio's node proxy does.
    workload["services"] = {"shop/web.shop.svc": {"80": 8080, "443": 8443}}
    del service["endpoints"]
    dump = {"workloads": [workload], "services": [service], "policies": [policy_json(policy)]}
    assert parse(json.dumps(dump), "dump") == state


def test_little_is_needed() -> None:
    state = parse("workloads: [{uid: a, name: a, namespace: n}]", "w")
    assert the_workload(state).service_account == "default"
    assert parse("", "w") == LocalState()


def test_resources_are_named_as_discovery_names_them() -> None:
    by_type = parse(WORLD, "w").by_type()
    assert set(by_type[ADDRESS_TYPE]) == {"cluster//Pod/shop/web", "shop/web.shop.svc"}
    assert set(by_type[AUTHORIZATION_TYPE]) == {"shop/deny"}


def test_every_problem_is_reported_at_once_with_its_place() -> None:
    problems = problems_of(
        """
workloads:
- {uid: a, name: a, namespace: n, workloadIps: [nonsense], protocol: UDP, colour: red}
- {uid: b, name: 7, services: {web: {80: x}}}
- [not, a, mapping]
services:
- {name: s, namespace: n, hostname: h, vips: [10.0.0.1], ports: {http: 80}}
policies:
- {name: p, namespace: n, rules: [[[{sourceIps: [10.0.0.0/99], principals: [{Regex: x}]}]]]}
extra: true
"""
    )
    text = "\n".join(problems)
    for place in (
        "workloads[0].workloadIps[0]: write an IP address",
        "workloads[0].protocol: write one of TCP, HBONE",
        "workloads[0].colour: unknown field",
        "workloads[1].name: write a text",
        "workloads[1].namespace: is missing",
        "workloads[1].services: 'web': write NAMESPACE/HOSTNAME",
        "workloads[2]: write a mapping",
        "services[0].vips[0]: write NETWORK/IP",
        "services[0].ports: write SERVICE-PORT: TARGET-PORT",
        "policies[0].dryRun: write true or false",
        "sourceIps[0]: write IP or IP/PREFIX",
        "principals[0]: write {Exact|Prefix|Suffix: TEXT}",
        "extra: unknown field",
    ):
        assert place in text
    assert all(problem.startswith("world.yaml: ") for problem in problems)


def test_two_of_one_name_are_a_problem() -> None:
    twice = "{uid: a, name: a, namespace: n}"
    assert "two of this name" in problems_of(f"workloads: [{twice}, {twice}]")[0]


@pytest.mark.parametrize("written", ["[", "7", "- a"])
def test_a_document_of_another_kind_is_an_error(written: str) -> None:
    assert len(problems_of(written)) == 1


def test_it_is_read_from_the_variable_or_the_file(tmp_path: Path) -> None:
    dedicated = {"PROXY_MODE": "dedicated", "PROXY_WORKLOAD_INFO": "a/b/c"}
    path = tmp_path / "world.yaml"
    path.write_text(WORLD)
    by_path = Config.from_env({**dedicated, "LOCAL_XDS_PATH": str(path)})
    by_text = Config.from_env({**dedicated, "LOCAL_XDS": WORLD})
    assert load(by_path) == load(by_text) == parse(WORLD, "w")
    assert load(Config.from_env({})) == LocalState()
    with pytest.raises(ConfigError, match="LOCAL_XDS_PATH"):
        load(Config.from_env({**dedicated, "LOCAL_XDS_PATH": str(tmp_path / "none")}))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["workloads", "services", "policies", "uid", "rules", "ports", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(values)
def test_any_document_is_read_or_its_problems_are_named(document: object) -> None:
    try:
        parse(json.dumps(document), "w")
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - either outcome is fine
