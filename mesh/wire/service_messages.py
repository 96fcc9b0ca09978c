"""Services as messages of the workload API, both ways."""

import sys
from typing import Final

from mesh.model.workload import (
    NO_BALANCING,
    BalanceMode,
    HealthPolicy,
    IpFamilies,
    LoadBalancing,
    Scope,
    Service,
    Visibility,
    WeightedWaypoint,
)
from mesh.proto import workload_pb2
from mesh.wire.workload_extensions import chooses_by_account, service_extensions
from mesh.wire.workload_fields import (
    FieldReader,
    gateway_message,
    network_address_message,
    port_messages,
)

FAMILIES: Final = {member.value: member for member in IpFamilies}
SCOPES: Final = {member.value: member for member in Scope}
BALANCE_MODES: Final = {member.value: member for member in BalanceMode}
HEALTH_POLICIES: Final = {member.value: member for member in HealthPolicy}


def service_from_proto(message: workload_pb2.Service) -> Service:
    """The value of a message. A visibility that we do not know is PUBLIC, as in Istio.

    Raises:
        ResourceInvalidError: a number that no other enumeration has, an address of a wrong length,
            a port out of range, or no hostname.
    """
    read = FieldReader(f"{message.namespace}/{message.hostname}")
    if not message.hostname:
        raise read.wrong("hostname", "empty")
    hidden = message.visibility == Visibility.NAMESPACE.value
    return Service(
        name=message.name,
        namespace=sys.intern(message.namespace),
        hostname=sys.intern(message.hostname),
        addresses=tuple([read.network_address("addresses", each) for each in message.addresses]),
        ports=read.ports("ports", message.ports),
        subject_alt_names=tuple(message.subject_alt_names),
        waypoint=(
            read.gateway("waypoint", message.waypoint) if message.HasField("waypoint") else None
        ),
        weighted_waypoints=tuple(
            [
                WeightedWaypoint(read.gateway("weighted_waypoints", each.destination), each.weight)
                for each in message.weighted_waypoints
            ]
        ),
        load_balancing=(
            _balancing(read, message.load_balancing)
            if message.HasField("load_balancing")
            else NO_BALANCING
        ),
        ip_families=read.member("ip_families", FAMILIES, message.ip_families),
        canonical=message.canonical,
        ingress_use_waypoint=message.ingress_use_waypoint,
        visibility=Visibility.NAMESPACE if hidden else Visibility.PUBLIC,
        chooses_by_account=chooses_by_account(message.extensions),
    )


def _balancing(read: FieldReader, message: workload_pb2.LoadBalancing) -> LoadBalancing:
    where = "load_balancing"
    return LoadBalancing(
        read.member(f"{where}.mode", BALANCE_MODES, message.mode),
        tuple(
            [
                read.member(f"{where}.routing_preference", SCOPES, number)
                for number in message.routing_preference
            ]
        ),
        read.member(f"{where}.health_policy", HEALTH_POLICIES, message.health_policy),
    )


def service_to_proto(service: Service) -> workload_pb2.Service:
    """The message of a value."""
    return workload_pb2.Service(
        name=service.name,
        namespace=service.namespace,
        hostname=service.hostname,
        addresses=map(network_address_message, service.addresses),
        ports=port_messages(service.ports),
        subject_alt_names=service.subject_alt_names,
        waypoint=gateway_message(service.waypoint),
        weighted_waypoints=[
            workload_pb2.WeightedWaypoint(
                destination=gateway_message(each.destination), weight=each.weight
            )
            for each in service.weighted_waypoints
        ],
        load_balancing=_balancing_message(service.load_balancing),
        ip_families=service.ip_families.name,
        canonical=service.canonical,
        ingress_use_waypoint=service.ingress_use_waypoint,
        extensions=service_extensions(by_account=service.chooses_by_account),
        visibility=service.visibility.name,
    )


def _balancing_message(balancing: LoadBalancing) -> workload_pb2.LoadBalancing | None:
    if balancing == NO_BALANCING:
        return None
    scopes = workload_pb2.LoadBalancing.Scope
    modes = workload_pb2.LoadBalancing.Mode
    return workload_pb2.LoadBalancing(
        mode=modes.Name(balancing.mode),
        routing_preference=[scopes.Name(scope) for scope in balancing.routing_preference],
        health_policy=balancing.health_policy.name,
    )
