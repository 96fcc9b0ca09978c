"""Workloads as messages of the workload API, both ways.

Istio leaves out what is usual: an empty trust domain means `cluster.local`, an empty account
`default`, an empty cluster `Kubernetes`, no capacity 1.
"""

import sys
from typing import Final

from mesh.model.workload import (
    NO_LOCALITY,
    ApplicationTunnel,
    NetworkMode,
    TunnelHeader,
    TunnelProtocol,
    Workload,
    WorkloadStatus,
    WorkloadType,
)
from mesh.proto import workload_pb2
from mesh.wire.workload_extensions import account_waypoint_of, workload_extensions
from mesh.wire.workload_fields import (
    FieldReader,
    gateway_message,
    port_messages,
    shared_locality,
    shared_services,
    shared_texts,
)

TRUST_DOMAIN: Final = "cluster.local"
SERVICE_ACCOUNT: Final = "default"
CLUSTER: Final = "Kubernetes"

TUNNELS: Final = {member.value: member for member in TunnelProtocol}
TYPES: Final = {member.value: member for member in WorkloadType}
STATUSES: Final = {member.value: member for member in WorkloadStatus}
MODES: Final = {member.value: member for member in NetworkMode}
HEADERS: Final = {member.value: member for member in TunnelHeader}


def workload_from_proto(message: workload_pb2.Workload) -> Workload:
    """The value of a message.

    Raises:
        ResourceInvalidError: a number that no enumeration has (LEGACY_ISTIO_MTLS among them), an
            address of a wrong length, a port out of range, or no uid.
    """
    read = FieldReader(message.uid)
    if not message.uid:
        raise read.wrong("uid", "empty")
    gateway = message.network_gateway if message.HasField("network_gateway") else None
    waypoint = message.waypoint if message.HasField("waypoint") else None
    intern = sys.intern
    return Workload(
        uid=message.uid,
        name=message.name,
        namespace=intern(message.namespace),
        addresses=tuple([read.ip("addresses", octets) for octets in message.addresses]),
        hostname=message.hostname,
        network=intern(message.network),
        protocol=read.member("tunnel_protocol", TUNNELS, message.tunnel_protocol),
        trust_domain=intern(message.trust_domain or TRUST_DOMAIN),
        service_account=intern(message.service_account or SERVICE_ACCOUNT),
        waypoint=None if waypoint is None else read.gateway("waypoint", waypoint),
        network_gateway=None if gateway is None else read.gateway("network_gateway", gateway),
        application_tunnel=_application_tunnel(read, message),
        node=intern(message.node),
        canonical_name=intern(message.canonical_name),
        canonical_revision=intern(message.canonical_revision),
        workload_type=read.member("workload_type", TYPES, message.workload_type),
        workload_name=intern(message.workload_name),
        native_tunnel=message.native_tunnel,
        authorization_policies=shared_texts(tuple(message.authorization_policies)),
        status=read.member("status", STATUSES, message.status),
        cluster_id=intern(message.cluster_id or CLUSTER),
        locality=shared_locality(
            message.locality.region, message.locality.zone, message.locality.subzone
        ),
        network_mode=read.member("network_mode", MODES, message.network_mode),
        capacity=message.capacity.value if message.HasField("capacity") else 1,
        account_waypoint=account_waypoint_of(read, message.extensions),
        services=shared_services(
            tuple(
                [
                    (key, read.ports("services", ports.ports))
                    for key, ports in sorted(message.services.items())
                ]
            )
        ),
    )


def _application_tunnel(
    read: FieldReader, message: workload_pb2.Workload
) -> ApplicationTunnel | None:
    if not message.HasField("application_tunnel"):
        return None
    tunnel = message.application_tunnel
    return ApplicationTunnel(
        read.member("application_tunnel.protocol", HEADERS, tunnel.protocol),
        read.port("application_tunnel.port", tunnel.port),
    )


def workload_to_proto(workload: Workload) -> workload_pb2.Workload:
    """The message of a value, with what is usual left out as Istio's control plane does."""
    locality = workload.locality
    tunnel = workload.application_tunnel
    return workload_pb2.Workload(
        uid=workload.uid,
        name=workload.name,
        namespace=workload.namespace,
        addresses=workload.addresses,
        hostname=workload.hostname,
        network=workload.network,
        tunnel_protocol=workload.protocol.name,
        trust_domain="" if workload.trust_domain == TRUST_DOMAIN else workload.trust_domain,
        service_account=(
            "" if workload.service_account == SERVICE_ACCOUNT else workload.service_account
        ),
        waypoint=gateway_message(workload.waypoint),
        network_gateway=gateway_message(workload.network_gateway),
        application_tunnel=None
        if tunnel is None
        else workload_pb2.ApplicationTunnel(protocol=tunnel.protocol.name, port=tunnel.port),
        node=workload.node,
        canonical_name=workload.canonical_name,
        canonical_revision=workload.canonical_revision,
        workload_type=workload.workload_type.name,
        workload_name=workload.workload_name,
        native_tunnel=workload.native_tunnel,
        authorization_policies=workload.authorization_policies,
        status=workload.status.name,
        cluster_id=workload.cluster_id,
        locality=None
        if locality == NO_LOCALITY
        else workload_pb2.Locality(
            region=locality.region, zone=locality.zone, subzone=locality.subzone
        ),
        network_mode=workload.network_mode.name,
        capacity=None if workload.capacity == 1 else {"value": workload.capacity},
        extensions=workload_extensions(workload.account_waypoint),
        services={
            key: workload_pb2.PortList(ports=port_messages(ports))
            for key, ports in workload.services.items()
        },
    )
