"""A span: one piece of work in a trace, as it is told to a collector."""

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

Attribute: TypeAlias = tuple[str, str | int]


class SpanKind(IntEnum):
    """Which side of a call a span tells, by OpenTelemetry's numbers."""

    SERVER = 2
    CLIENT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span that has ended."""

    trace_id: bytes
    """16 octets."""
    span_id: bytes
    """8 octets."""
    parent_id: bytes = b""
    """8 octets, or none: the first of its trace."""
    has_remote_parent: bool = False
    """Whether the parent was told by the caller, rather than being ours."""
    state: str = ""
    """The caller's `tracestate`, as it came."""
    name: str
    kind: SpanKind
    start_ns: int
    """Since the epoch."""
    end_ns: int
    attributes: tuple[Attribute, ...] = ()
    is_error: bool = False
