"""Which requests are traced."""

from dataclasses import dataclass
from typing import Final

CHANCES: Final = 2**64


@dataclass(frozen=True, slots=True)
class Sampler:
    """A decision that every proxy of a trace takes alike.

    The chance is the trace's own id, as OpenTelemetry's TraceIdRatioBased has it: who decides by
    the same ratio decides the same.
    """

    ratio: float = 1.0
    """Of traces that begin here, from 0 to 1."""
    heeds_parent: bool = True
    """Whether a caller's decision stands; else its requests are drawn as any other."""

    def samples(self, trace_id: bytes, parent: bool | None) -> bool:  # noqa: FBT001 - three values
        """Whether a request is traced.

        Args:
            trace_id: 16 octets.
            parent: what the caller has decided; None when it has said nothing.
        """
        if parent is not None and self.heeds_parent:
            return parent
        return int.from_bytes(trace_id[8:]) < self.ratio * CHANCES
