"""What a waypoint is told beside the workload API, as plain octets: a kind, and its fields.

The class of a value of mesh/model, and its fields by name (msgpack). Reading is strict: a class, a
field or a number that is not known here makes the value invalid as a whole, so that an older
waypoint never leaves out a newer condition. To carry another class, add it to `Configuration` and
say in `configuration_name` what it is called. No protobuf: a waypoint's workers read these.
"""

from collections.abc import Mapping
from typing import Final, get_args

from mesh.model.fields import Json
from mesh.model.request_policy import RequestPolicy, TokenPolicy
from mesh.model.routes import FilterProgram, Route, ServiceTraffic, Waypoint
from mesh.wire.pack import PackInvalidError, pack, unpack
from mesh.wire.shapes import Record, record
from mesh.wire.shapes_plain import ValueUnreadableError

Configuration = Route | Waypoint | ServiceTraffic | FilterProgram | RequestPolicy | TokenPolicy

_RECORDS: Final[Mapping[str, Record]] = {k.__name__: record(k) for k in get_args(Configuration)}


def configuration_name(value: Configuration) -> str:
    """What discovery calls a value: its class first, so that no two kinds meet."""
    place = f"{value.namespace}/{value.name}"
    match value:
        case Route():
            return f"Route/{value.kind.name}/{place}"
        case ServiceTraffic():
            return f"ServiceTraffic/{place}/{value.port}"
        case Waypoint() | FilterProgram() | RequestPolicy() | TokenPolicy():
            return f"{type(value).__name__}/{place}"


def configuration_fields(value: Configuration) -> tuple[str, bytes]:
    """The kind of a value, and its fields; equal values give equal octets."""
    kind = type(value).__name__
    return kind, pack(_RECORDS[kind].write(value))


def configuration_of(kind: str, fields: bytes) -> Configuration:
    """The value that a kind and its fields mean.

    Raises:
        ValueUnreadableError: it cannot be read here as a whole.
    """
    if kind not in _RECORDS:
        raise ValueUnreadableError("kind", f"{kind[:100]!r} is not known here")
    try:
        value = _RECORDS[kind].read(unpack(fields))
    except PackInvalidError as error:
        raise ValueUnreadableError("fields", str(error)) from None
    if not isinstance(value, Configuration):
        raise ValueUnreadableError("kind", f"{kind!r} is none of ours")
    return value


def configuration_json(value: Configuration) -> Json:
    """The value for people (`config_dump`): its class, and each field that is not as usual."""
    kind = type(value).__name__
    return {kind: _RECORDS[kind].show(value)}
