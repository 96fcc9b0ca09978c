"""The workload API against the recordings of Istio's control plane, and with any values."""

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.model.address import V4_MAPPED
from mesh.model.policy import Authorization
from mesh.model.workload import Service, Visibility, Workload
from mesh.proto import security_pb2, workload_pb2
from mesh.wire.workload_api import (
    ResourceInvalidError,
    address_from_bytes,
    address_resource,
    authorization_from_bytes,
    authorization_resource,
    service_from_proto,
    service_to_proto,
    workload_from_proto,
    workload_to_proto,
)
from tests.mesh.values import POLICIES, SERVICES, WORKLOADS
from tests.mesh.worlds import ip, pod
from tests.shared_data import shared


def recordings() -> Iterator[tuple[str, str, bytes]]:
    """Kind, name and octets of every resource that Istio's control plane was seen to send."""
    for file in sorted(Path(shared("istiod")).glob("*/expected.json")):
        for kind, resources in json.loads(file.read_text())["resources"].items():
            for resource in resources:
                yield kind, resource["name"], base64.b64decode(resource["bytes"])


def usual(message: workload_pb2.Address) -> workload_pb2.Address:
    """With what is usual left out: Istio writes it now and then, and means the same."""
    if message.HasField("workload"):
        workload = message.workload
        if workload.service_account == "default":
            workload.ClearField("service_account")
        if workload.cluster_id == "Kubernetes":
            workload.ClearField("cluster_id")
    return message


def test_every_recorded_resource_is_the_same_after_reading_and_writing() -> None:
    seen = {"Address": 0, "Authorization": 0}
    for kind, name, octets in recordings():
        seen[kind] += 1
        if kind == "Address":
            again = address_resource(address_from_bytes(octets, name))
            read = workload_pb2.Address.FromString
            assert usual(read(again)) == usual(read(octets)), name
        else:
            again = authorization_resource(authorization_from_bytes(octets, name))
            policy = security_pb2.Authorization.FromString
            assert policy(again) == policy(octets), name
    assert seen["Address"] > 200
    assert seen["Authorization"] > 20


def test_every_recorded_resource_has_the_name_that_discovery_gives_it() -> None:
    for kind, name, octets in recordings():
        if kind == "Address":
            value = address_from_bytes(octets)
            assert name == (value.uid if isinstance(value, Workload) else value.key)
        else:
            assert name == authorization_from_bytes(octets).key


@pytest.mark.slow
@given(st.one_of(WORKLOADS, SERVICES))
def test_any_workload_or_service_comes_back(value: Workload | Service) -> None:
    assert address_from_bytes(address_resource(value)) == value


@pytest.mark.slow
@settings(max_examples=50)
@given(POLICIES)
def test_any_policy_comes_back(value: Authorization) -> None:
    assert authorization_from_bytes(authorization_resource(value)) == value


@given(st.binary(max_size=200))
def test_any_octets_are_a_resource_or_an_error_of_ours(octets: bytes) -> None:
    for read in (address_from_bytes, authorization_from_bytes):
        with suppress(MeshError):
            read(octets, "its name")


@pytest.mark.slow
@settings(max_examples=50)
@given(st.one_of(WORKLOADS, SERVICES), st.data())
def test_a_damaged_resource_is_one_or_an_error_of_ours(
    value: Workload | Service, data: st.DataObject
) -> None:
    octets = bytearray(address_resource(value))
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with suppress(MeshError):
        address_from_bytes(bytes(octets))


# Defaults.


def test_what_is_left_out_of_a_workload_is_what_is_usual() -> None:
    workload = workload_from_proto(workload_pb2.Workload(uid="u"))
    assert workload == Workload(uid="u", name="", namespace="", services={})
    assert workload.trust_domain == "cluster.local"
    assert workload.service_account == "default"
    assert workload.cluster_id == "Kubernetes"
    assert workload.capacity == 1


def test_what_is_usual_is_left_out_of_a_message() -> None:
    message = workload_to_proto(replace(pod("p"), service_account="default"))
    assert message.trust_domain == ""
    assert message.service_account == ""
    assert message.cluster_id == "Kubernetes"
    assert not message.HasField("capacity")
    assert not message.HasField("locality")
    assert not message.HasField("waypoint")


def test_a_capacity_of_nothing_is_not_the_usual_one() -> None:
    message = workload_pb2.Workload(uid="u", capacity={"value": 0})
    assert workload_from_proto(message).capacity == 0


def test_a_v4_mapped_address_is_the_ipv4_address_that_it_means() -> None:
    mapped = V4_MAPPED + ip("192.0.2.1")
    message = workload_pb2.Workload(uid="u", addresses=[mapped])
    assert workload_from_proto(message).addresses == (ip("192.0.2.1"),)


@pytest.mark.parametrize(("length", "prefix", "octets"), [(120, 24, 4), (96, 0, 4), (64, 64, 16)])
def test_a_range_of_v4_mapped_addresses_is_one_of_ipv4(
    length: int, prefix: int, octets: int
) -> None:
    address = workload_pb2.NetworkAddress(address=V4_MAPPED + ip("192.0.2.0"), length=length)
    message = workload_pb2.Service(hostname="h", addresses=[address])
    (read,) = service_from_proto(message).addresses
    assert (read.prefix, len(read.ip)) == (prefix, octets)


def test_a_visibility_that_nobody_knows_is_public() -> None:
    message = service_to_proto(Service(name="s", namespace="n", hostname="h"))
    message.visibility = 7
    assert service_from_proto(message).visibility is Visibility.PUBLIC
    message.visibility = workload_pb2.Service.Visibility.NAMESPACE
    assert service_from_proto(message).visibility is Visibility.NAMESPACE


def test_equal_values_are_equal_octets_whatever_the_order_of_a_mapping() -> None:
    one = pod("p", serves=("a/a", "b/b", "c/c"))
    other = pod("p", serves=("c/c", "b/b", "a/a"))
    assert address_resource(one) == address_resource(other)


def test_what_repeats_is_one_object() -> None:
    octets = [address_resource(pod(f"p{n}", serves=("shop/web",))) for n in range(2)]
    first, second = map(address_from_bytes, octets)
    assert isinstance(first, Workload)
    assert isinstance(second, Workload)
    assert first.services is second.services
    assert first.locality is second.locality
    assert first.node is second.node


# What is refused, and how it is named.

GATEWAY = workload_pb2.GatewayAddress(hbone_mtls_port=15008)
TUNNEL = workload_pb2.ApplicationTunnel
PORT = workload_pb2.Port


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"uid": ""}, "uid"),
        ({"addresses": [b"123"]}, "addresses"),
        ({"addresses": [b""]}, "addresses"),
        ({"tunnel_protocol": 2}, "tunnel_protocol"),
        ({"tunnel_protocol": 9}, "tunnel_protocol"),
        ({"workload_type": 4}, "workload_type"),
        ({"status": 2}, "status"),
        ({"network_mode": 2}, "network_mode"),
        ({"waypoint": GATEWAY}, "waypoint"),
        ({"network_gateway": GATEWAY}, "network_gateway"),
        (
            {"waypoint": {"hbone_mtls_port": 70_000, "hostname": {"hostname": "h"}}},
            "waypoint",
        ),
        ({"waypoint": {"address": {"address": b"12"}}}, "waypoint"),
        ({"application_tunnel": {"protocol": 2}}, "application_tunnel.protocol"),
        ({"application_tunnel": {"port": 65_536}}, "application_tunnel.port"),
        ({"services": {"a/b": {"ports": [PORT(service_port=65_536)]}}}, "services"),
        ({"services": {"a/b": {"ports": [{"app_protocol": 6}]}}}, "services"),
    ],
)
def test_a_workload_that_cannot_be_meant_is_refused_with_the_fields_name(
    fields: dict[str, object], field: str
) -> None:
    message = workload_pb2.Workload(**{"uid": "cluster//Pod/n/p", **fields})
    refused(workload_pb2.Address(workload=message), message.uid, field)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"hostname": ""}, "hostname"),
        ({"addresses": [{"address": b"12345"}]}, "addresses"),
        ({"addresses": [{"address": b"1234", "length": 33}]}, "addresses"),
        ({"addresses": [{"address": b"123", "length": 3}]}, "addresses"),
        ({"ports": [PORT(target_port=65_536)]}, "ports"),
        ({"ports": [{"app_protocol": 6}]}, "ports"),
        ({"waypoint": GATEWAY}, "waypoint"),
        ({"weighted_waypoints": [{"destination": GATEWAY}]}, "weighted_waypoints"),
        ({"weighted_waypoints": [{"weight": 1}]}, "weighted_waypoints"),
        ({"load_balancing": {"mode": 4}}, "load_balancing.mode"),
        ({"load_balancing": {"routing_preference": [7]}}, "load_balancing.routing_preference"),
        ({"load_balancing": {"health_policy": 2}}, "load_balancing.health_policy"),
        ({"ip_families": 4}, "ip_families"),
    ],
)
def test_a_service_that_cannot_be_meant_is_refused_with_the_fields_name(
    fields: dict[str, object], field: str
) -> None:
    message = workload_pb2.Service(**{"namespace": "n", "hostname": "h", **fields})
    refused(workload_pb2.Address(service=message), f"n/{message.hostname}", field)


def refused(message: workload_pb2.Address, resource: str, field: str) -> None:
    with pytest.raises(ResourceInvalidError) as caught:
        address_from_bytes(message.SerializeToString(), "name")
    assert (caught.value.resource, caught.value.field) == (resource, field)
    assert str(caught.value).startswith(f"{resource}: {field}: ")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"scope": 3}, "scope"),
        ({"action": 2}, "action"),
        ({"namespaces": [{}]}, "namespaces"),
        ({"not_principals": [{}]}, "not_principals"),
        ({"source_ips": [{"address": b"123"}]}, "source_ips"),
        ({"source_ips": [{"address": b"1234", "length": 33}]}, "source_ips"),
        ({"not_destination_ips": [{"address": b""}]}, "not_destination_ips"),
        ({"destination_ports": [65_536]}, "destination_ports"),
        ({"not_destination_ports": [70_000]}, "not_destination_ports"),
    ],
)
def test_a_policy_that_is_half_understood_is_refused(fields: dict[str, object], field: str) -> None:
    own = {name: value for name, value in fields.items() if name in ("name", "scope", "action")}
    match = {name: value for name, value in fields.items() if name not in own}
    group = {"rules": [{"matches": [match]}]}
    message = security_pb2.Authorization(
        **{"namespace": "n", "name": "p", **own, "groups": [group]}
    )
    with pytest.raises(ResourceInvalidError) as caught:
        authorization_from_bytes(message.SerializeToString())
    assert (caught.value.resource, caught.value.field) == (f"n/{message.name}", field)


def test_nothing_is_neither_a_workload_nor_a_service() -> None:
    with pytest.raises(ResourceInvalidError) as caught:
        address_from_bytes(b"", "its name")
    assert str(caught.value) == "its name: type: neither workload nor service"


def test_octets_that_are_no_message_are_named_by_what_discovery_says() -> None:
    for read in (address_from_bytes, authorization_from_bytes):
        with pytest.raises(ResourceInvalidError) as caught:
            read(b"\xff", "its name")
        assert caught.value.resource == "its name"


def test_a_waypoint_of_an_account_that_cannot_be_meant_is_refused() -> None:
    odd = workload_pb2.Workload(uid="u")
    odd.extensions.add(name="sluice.dev/account-waypoint")

    with pytest.raises(ResourceInvalidError, match="extensions"):
        workload_from_proto(odd)


def test_extensions_of_others_are_passed_over() -> None:
    message = workload_pb2.Workload(uid="u")
    message.extensions.add(name="somebody.example/else")

    assert workload_from_proto(message) == workload_from_proto(workload_pb2.Workload(uid="u"))
