"""What a failed call tells its caller: as little as it needs."""

from typing import Final

from controlplane.callers import CallerRefusedError, ImpersonationRefusedError
from mesh.errors import MeshError, PeerError, UnavailableError
from mesh.runtime.grpc_bridge.server import StreamsExhaustedError
from mesh.runtime.grpc_bridge.status import Code, Status

REFUSED: Final = Status(Code.UNAUTHENTICATED, "request authenticate failure")
IMPERSONATION_REFUSED: Final = Status(
    Code.UNAUTHENTICATED, "request impersonation authentication failure"
)
"""Istio's words: its clients' users look for them."""


def status_of(error: MeshError) -> Status:
    """The status for a failure of ours."""
    match error:
        case CallerRefusedError():
            return REFUSED
        case ImpersonationRefusedError():
            return IMPERSONATION_REFUSED
        case StreamsExhaustedError():
            return Status(Code.RESOURCE_EXHAUSTED, str(error))
        case PeerError():
            return Status(Code.INVALID_ARGUMENT, str(error))
        case UnavailableError():
            return Status(Code.UNAVAILABLE, str(error))
        case _:
            return Status(Code.INTERNAL, "internal error; the server's log has it")
