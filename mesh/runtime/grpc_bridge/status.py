"""How a call ends, in gRPC's words, for code that may not import grpcio."""

from dataclasses import dataclass
from enum import Enum


class Code(Enum):
    """The status codes that we use, by gRPC's names."""

    OK = "OK"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    UNAUTHENTICATED = "UNAUTHENTICATED"


@dataclass(frozen=True, slots=True)
class Status:
    """A code, and what the caller may know of the reason."""

    code: Code
    details: str = ""
