"""What a waypoint is told beside the workload API, as octets (docs/decisions/0006).

A resource is the message `sluice.waypoint.v1.Configuration`: the class of a value of mesh/model,
and its fields by name. Reading is strict: a class, a field or a number that is not known here makes
the resource invalid as a whole, so that an older waypoint never leaves out a newer condition.
To carry another class, add it to `Configuration` and say in `configuration_name` what it is called.
"""

from collections.abc import Mapping
from typing import Final, get_args

from google.protobuf.message import DecodeError

from mesh.model.fields import Json
from mesh.model.routes import FilterProgram, Route, ServiceTraffic, Waypoint
from mesh.proto import configuration_pb2
from mesh.wire.pack import PackInvalidError, pack, unpack
from mesh.wire.shapes import Record, record
from mesh.wire.shapes_plain import ValueUnreadableError
from mesh.wire.workload_fields import ResourceInvalidError

CONFIGURATION_TYPE: Final = "type.googleapis.com/sluice.waypoint.v1.Configuration"

Configuration = Route | Waypoint | ServiceTraffic | FilterProgram

_RECORDS: Final[Mapping[str, Record]] = {k.__name__: record(k) for k in get_args(Configuration)}


def configuration_name(value: Configuration) -> str:
    """What discovery calls a value: its class first, so that no two kinds meet."""
    place = f"{value.namespace}/{value.name}"
    match value:
        case Route():
            return f"Route/{value.kind.name}/{place}"
        case ServiceTraffic():
            return f"ServiceTraffic/{place}/{value.port}"
        case Waypoint() | FilterProgram():
            return f"{type(value).__name__}/{place}"


def configuration_to_bytes(value: Configuration) -> bytes:
    """The octets of a value; equal values give equal octets."""
    kind = type(value).__name__
    fields = pack(_RECORDS[kind].write(value))
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
    if message.kind not in _RECORDS:
        raise ResourceInvalidError(name, "kind", f"{message.kind[:100]!r} is not known here")
    try:
        value = _RECORDS[message.kind].read(unpack(message.fields))
    except PackInvalidError as error:
        raise ResourceInvalidError(name, "fields", str(error)) from None
    except ValueUnreadableError as error:
        raise ResourceInvalidError(name, error.field, error.reason) from None
    if not isinstance(value, Configuration):
        raise ResourceInvalidError(name, "kind", f"{message.kind!r} is none of ours")
    if name and configuration_name(value) != name:
        raise ResourceInvalidError(name, "", f"calls itself {configuration_name(value)[:200]!r}")
    return value


def configuration_json(value: Configuration) -> Json:
    """The value for people (`config_dump`): its class, and each field that is not as usual."""
    kind = type(value).__name__
    return {kind: _RECORDS[kind].show(value)}
