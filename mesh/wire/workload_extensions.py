"""What we say in the workload API beyond Istio: extensions, which other readers pass over.

The waypoint of a workload's account, and that a service chooses its endpoint before its waypoint.
"""

from collections.abc import Iterable
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError

from mesh.model.workload import GatewayAddress
from mesh.proto import workload_pb2
from mesh.wire.workload_fields import FieldReader, gateway_message

ACCOUNT_WAYPOINT: Final = "sluice.dev/account-waypoint"
"""Of a workload; its content is an `istio.workload.GatewayAddress`."""
BY_ACCOUNT: Final = "sluice.dev/chooses-by-account"
"""Of a service; that it is there is all."""


def account_waypoint_of(
    read: FieldReader, extensions: Iterable[workload_pb2.Extension]
) -> GatewayAddress | None:
    """The waypoint of a workload's account, if it has one.

    Raises:
        ResourceInvalidError: it is there, and says nothing that can be meant.
    """
    for each in extensions:
        if each.name == ACCOUNT_WAYPOINT:
            message = workload_pb2.GatewayAddress()
            try:
                is_gateway = each.config.Unpack(message)
            except DecodeError:
                is_gateway = False
            if not is_gateway:
                raise read.wrong("extensions", f"{ACCOUNT_WAYPOINT} holds no gateway address")
            return read.gateway("extensions", message)
    return None


def chooses_by_account(extensions: Iterable[workload_pb2.Extension]) -> bool:
    """Whether a service says that it chooses by account."""
    return any(each.name == BY_ACCOUNT for each in extensions)


def workload_extensions(waypoint: GatewayAddress | None) -> list[workload_pb2.Extension]:
    """The extensions of a workload whose account has this waypoint."""
    message = gateway_message(waypoint)
    if message is None:
        return []
    content = AnyMessage()
    content.Pack(message, deterministic=True)
    return [workload_pb2.Extension(name=ACCOUNT_WAYPOINT, config=content)]


def service_extensions(*, by_account: bool) -> list[workload_pb2.Extension]:
    """The extensions of a service."""
    return [workload_pb2.Extension(name=BY_ACCOUNT)] if by_account else []
