"""The workload API: what a control plane tells of workloads, services and policies, as octets.

A resource is a protobuf message, `istio.workload.Address` or `istio.security.Authorization`; the
messages are in mesh/proto, their values in mesh/model. Reading is strict: what cannot be meant as
it stands makes the resource invalid as a whole, and the error says which resource and field. A
policy that is half understood would be another policy. Of `extensions` we carry
our own (workload_extensions.py).
"""

from google.protobuf.message import DecodeError

from mesh.model.policy import Authorization
from mesh.model.workload import Service, Workload
from mesh.proto import security_pb2, workload_pb2
from mesh.wire.policy_messages import authorization_from_proto, authorization_to_proto
from mesh.wire.service_messages import service_from_proto, service_to_proto
from mesh.wire.workload_fields import ResourceInvalidError
from mesh.wire.workload_messages import workload_from_proto, workload_to_proto

__all__ = [
    "ResourceInvalidError",
    "address_from_bytes",
    "address_resource",
    "authorization_from_bytes",
    "authorization_from_proto",
    "authorization_resource",
    "authorization_to_proto",
    "service_from_proto",
    "service_to_proto",
    "workload_from_proto",
    "workload_to_proto",
]


def address_resource(value: Workload | Service) -> bytes:
    """The octets of an Address; equal values give equal octets."""
    if isinstance(value, Workload):
        message = workload_pb2.Address(workload=workload_to_proto(value))
    else:
        message = workload_pb2.Address(service=service_to_proto(value))
    return message.SerializeToString(deterministic=True)


def authorization_resource(value: Authorization) -> bytes:
    """The octets of an Authorization; equal values give equal octets."""
    return authorization_to_proto(value).SerializeToString(deterministic=True)


def address_from_bytes(octets: bytes, name: str = "") -> Workload | Service:
    """The workload or service of an Address.

    Args:
        octets: the message.
        name: what discovery calls the resource, for the error when nothing of it can be read.

    Raises:
        ResourceInvalidError: the octets are no such message, or its content is not valid.
    """
    message = workload_pb2.Address()
    try:
        message.ParseFromString(octets)
    except DecodeError as error:
        raise ResourceInvalidError(name, "", str(error)) from None
    match message.WhichOneof("type"):
        case "workload":
            return workload_from_proto(message.workload)
        case "service":
            return service_from_proto(message.service)
        case _:
            raise ResourceInvalidError(name, "type", "neither workload nor service")


def authorization_from_bytes(octets: bytes, name: str = "") -> Authorization:
    """The policy of an Authorization. Arguments and errors as `address_from_bytes`."""
    message = security_pb2.Authorization()
    try:
        message.ParseFromString(octets)
    except DecodeError as error:
        raise ResourceInvalidError(name, "", str(error)) from None
    return authorization_from_proto(message)
