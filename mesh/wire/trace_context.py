"""W3C Trace Context: `traceparent` and `tracestate` (W3C Recommendation, 23 November 2021).

    traceparent = version "-" trace-id "-" parent-id "-" trace-flags
                   00         32 digits    16 digits     2 digits      (hexadecimal, lower case)

1. What cannot be read is as if it had not come: the trace begins anew, without its state (4.3).
2. A version that we do not know is read as far as version 00 goes, and passed on as 00 (4.2).
3. `tracestate` goes on as it came, for we have nothing to say in it; one that cannot be read is
   taken out, and the trace goes on (3.3.1.4).
"""

import re
from dataclasses import dataclass
from typing import Final

from mesh.wire.http.messages import Fields, joined, values

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"
SAMPLED: Final = 1
MAX_MEMBERS: Final = 32

_PARENT: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?",
    re.DOTALL,
)
_KEY: Final = rb"[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}"
_VALUE: Final = rb"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER: Final = re.compile(rb"(?:" + _KEY + rb")=" + _VALUE)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """What a caller says of the trace that a request belongs to."""

    trace_id: bytes
    """16 octets, not all zero."""
    span_id: bytes
    """8 octets, not all zero: the caller's span."""
    is_sampled: bool
    """Whether the caller records it."""
    state: bytes = b""
    """All of `tracestate`; empty when there is none that can be read."""


def read_context(fields: Fields) -> TraceContext | None:
    """What a request's fields say; None when they say nothing that can be read."""
    parents = list(values(fields, TRACEPARENT))
    found = _PARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if more is not None and version == b"00":
        return None
    return TraceContext(
        bytes.fromhex(trace_id.decode()),
        bytes.fromhex(span_id.decode()),
        bool(int(flags, 16) & SAMPLED),
        _state(joined(fields, TRACESTATE)),
    )


def _state(told: bytes | None) -> bytes:
    members = [member.strip(b" \t") for member in (told or b"").split(b",")]
    members = [member for member in members if member]
    if len(members) > MAX_MEMBERS or not all(map(_MEMBER.fullmatch, members)):
        return b""
    return told or b""


def write_parent(trace_id: bytes, span_id: bytes, *, is_sampled: bool) -> bytes:
    """The value of `traceparent`.

    Args:
        trace_id: 16 octets.
        span_id: 8 octets: the span whose work the request is.
        is_sampled: whether that span is recorded.
    """
    return b"00-%b-%b-%02x" % (trace_id.hex().encode(), span_id.hex().encode(), is_sampled)


def put_parent(fields: Fields, value: bytes) -> None:
    """Make this the request's only `traceparent`, in place."""
    fields[:] = [field for field in fields if field[0] != TRACEPARENT]
    fields.append((TRACEPARENT, value))


def drop_state(fields: Fields) -> None:
    """Take `tracestate` out, in place: it belongs to no trace that goes on, or cannot be read."""
    fields[:] = [field for field in fields if field[0] != TRACESTATE]
