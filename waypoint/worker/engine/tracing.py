"""The trace of a request: which it belongs to, and what was sent on for it.

1. A caller's decision to record is heeded as the sampler says (`mesh.observe.sampling`).
2. Of a request that is not traced, what its caller said goes on as it came; when that was nothing,
   or could not be read, a trace begins here that nobody records, so that all behind us agree.
3. Each sending to an endpoint is a span of its own, and the parent of what the endpoint does.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from mesh.model.span import Span
from mesh.observe.sampling import Sampler
from mesh.wire.http.messages import RequestHead
from mesh.wire.trace_context import drop_state, put_parent, read_context, write_parent
from waypoint.worker.engine.destination import Target

NANO: Final = 1_000_000_000
TRACE_ID_BITS: Final = 128
SPAN_ID_BITS: Final = 64


class Sending:
    """One sending of a traced request to an endpoint."""

    __slots__ = ("_clock", "began", "ended", "error", "span_id", "status", "target")

    def __init__(self, span_id: bytes, target: Target, clock: Callable[[], float]) -> None:
        """It begins."""
        self.span_id = span_id
        self.target = target
        self._clock = clock
        self.began = clock()
        self.ended: float | None = None
        self.status = 0
        """Of the answer; 0: there was none."""
        self.error = ""
        """Why it has failed, in one word."""

    def end(self) -> None:
        """Nothing more comes of it."""
        self.ended = self._clock()


class Trace:
    """A request that is traced."""

    __slots__ = (
        "_began",
        "_start_ns",
        "_tracer",
        "parent_id",
        "sendings",
        "span_id",
        "state",
        "trace_id",
    )

    def __init__(self, tracer: "Tracer", trace_id: bytes, parent_id: bytes, state: bytes) -> None:
        """Begin the request's own span; `parent_id` is the caller's, empty when there is none."""
        self._tracer = tracer
        self.trace_id = trace_id
        self.span_id = tracer.new_id(SPAN_ID_BITS)
        self.parent_id = parent_id
        self.state = state
        self.sendings: list[Sending] = []
        self._start_ns = round(tracer.epoch() * NANO)
        self._began = tracer.clock()

    def send(self, head: RequestHead, target: Target) -> Sending:
        """The request goes to an endpoint, which is told its parent in the head."""
        tracer = self._tracer
        made = Sending(tracer.new_id(SPAN_ID_BITS), target, tracer.clock)
        self.sendings.append(made)
        put_parent(head.fields, write_parent(self.trace_id, made.span_id, is_sampled=True))
        return made

    def at_ns(self, time: float) -> int:
        """A time of the worker's clock, since the epoch."""
        return self._start_ns + round((time - self._began) * NANO)

    def tell(self, span: Span) -> None:
        """A span of it has ended."""
        self._tracer.tell(span)


class Tracer:
    """One worker's."""

    __slots__ = ("_random", "_sampler", "clock", "epoch", "tell")

    def __init__(
        self,
        sampler: Sampler,
        random: Random,
        clock: Callable[[], float],
        epoch: Callable[[], float],
        tell: Callable[[Span], None],
    ) -> None:
        """Trace what a sampler wants.

        Args:
            sampler: which.
            random: for ids.
            clock: the worker's.
            epoch: seconds since the epoch.
            tell: where spans go.
        """
        self._sampler = sampler
        self._random = random
        self.clock = clock
        self.epoch = epoch
        self.tell = tell

    def begin(self, head: RequestHead) -> Trace | None:
        """Read what a request's head says of its trace, and mend it there.

        Returns:
            None when it is not traced. Else the head names the request's own span as the parent of
            whatever is sent for it.
        """
        fields = head.fields
        told = read_context(fields)
        trace_id = self.new_id(TRACE_ID_BITS) if told is None else told.trace_id
        is_sampled = self._sampler.samples(trace_id, None if told is None else told.is_sampled)
        if told is None or not told.state:
            drop_state(fields)
        if is_sampled:
            trace = Trace(
                self,
                trace_id,
                b"" if told is None else told.span_id,
                b"" if told is None else told.state,
            )
            put_parent(fields, write_parent(trace_id, trace.span_id, is_sampled=True))
            return trace
        if told is None:
            span_id = self.new_id(SPAN_ID_BITS)
            put_parent(fields, write_parent(trace_id, span_id, is_sampled=False))
        elif told.is_sampled:  # else who is behind us would hang its spans on one that never comes
            put_parent(fields, write_parent(trace_id, told.span_id, is_sampled=False))
        return None

    def new_id(self, bits: int) -> bytes:
        """A random id, not all zero."""
        return (self._random.getrandbits(bits) or 1).to_bytes(bits // 8)
