"""What a waypoint is told beside the workload API, as octets (docs/decisions/0006).

A resource is the message `sluice.waypoint.v1.Configuration`, which holds what
mesh/wire/configuration_values.py makes of a value.
"""

from typing import Final

from google.protobuf.message import DecodeError

from mesh.proto import configuration_pb2
from mesh.wire.configuration_values import (
    Configuration,
    configuration_fields,
    configuration_name,
    configuration_of,
)
from mesh.wire.shapes_plain import ValueUnreadableError
from mesh.wire.workload_fields import ResourceInvalidError

CONFIGURATION_TYPE: Final = "type.googleapis.com/sluice.waypoint.v1.Configuration"


def configuration_to_bytes(value: Configuration) -> bytes:
    """The octets of a value; equal values give equal octets."""
    kind, fields = configuration_fields(value)
    message = configuration_pb2.Configuration(kind=kind, fields=fields)
    return message.SerializeToString(deterministic=True)


def configuration_from_bytes(octets: bytes, name: str = "") -> Configuration:
    """The value that the octets mean.

    Args:
        octets: the message.
        name: what discovery calls the resource: it must be the value's own name; empty: any.

    Raises:
        ResourceInvalidError: the octets are no such message, the value cannot be read here as a
            whole, or it is called otherwise.
    """
    message = configuration_pb2.Configuration()
    try:
        message.ParseFromString(octets)
    except DecodeError as error:
        raise ResourceInvalidError(name, "", str(error)) from None
    message.DiscardUnknownFields()
    if message.SerializeToString(deterministic=True) != octets:
        raise ResourceInvalidError(name, "", "more than a kind and fields")
    try:
        value = configuration_of(message.kind, message.fields)
    except ValueUnreadableError as error:
        raise ResourceInvalidError(name, error.field, error.reason) from None
    if name and configuration_name(value) != name:
        raise ResourceInvalidError(name, "", f"calls itself {configuration_name(value)[:200]!r}")
    return value
