"""Tells a collector what the workers have traced: OTLP over gRPC.

1. Nothing waits for the collector but spans: what does not fit is dropped, and counted.
2. What the collector could not take just now is told again, a few times (OTLP's specification says
   after which statuses); what it does not want is dropped.
3. At the end there is one more moment for what is left.
"""

import logging
from collections.abc import Iterator
from random import Random
from typing import Final

import trio
from prometheus_client.metrics_core import CounterMetricFamily, Metric

from mesh.errors import PeerError, UnavailableError
from mesh.runtime.backoff import doubling, spread
from mesh.runtime.control.control_plane import SYSTEM_ROOTS
from mesh.runtime.grpc_bridge.client import GrpcClient, GrpcFailedError, Method, Target
from mesh.runtime.tracing import Tracing
from mesh.wire.feed import Spans
from mesh.wire.otlp import EXPORT, ExportAnswer, Source, export_request, read_export_answer
from mesh.wire.spans import read_spans

MAX_WAITING: Final = 256
"""Messages of workers, 32 KiB each: some ten thousand spans."""

MAX_TRIES: Final = 5
FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 4.0
LAST_S: Final = 2.0
RETRIED: Final = frozenset(
    ("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS")
)
EXPORTED: Final = "sluice_spans_exported"
DROPPED: Final = "sluice_spans_dropped"

WORKER_FULL: Final = "worker_full"
CONTROL_FULL: Final = "control_full"
COLLECTOR_AWAY: Final = "collector_away"
COLLECTOR_REFUSED: Final = "collector_refused"
INVALID: Final = "invalid"
REASONS: Final = (WORKER_FULL, CONTROL_FULL, COLLECTOR_AWAY, COLLECTOR_REFUSED, INVALID)

log = logging.getLogger(__name__)


def _as_it_is(octets: bytes) -> bytes:
    return octets


METHOD: Final[Method[bytes, ExportAnswer]] = Method(EXPORT, _as_it_is, read_export_answer)


class CollectorRootsError(UnavailableError):
    """The certificates by which the traces' collector is known cannot be read just now."""

    code = "collector_roots"

    def __init__(self, path: str, reason: str) -> None:
        """Keep the path and the reason."""
        super().__init__(f"{path} (OTEL_EXPORTER_OTLP_CERTIFICATE): {reason}")
        self.path, self.reason = path, reason


class SpanExporter:
    """One collector's client."""

    def __init__(self, tracing: Tracing, source: Source, chance: Random) -> None:
        """Nothing is told before `run`.

        Args:
            tracing: where.
            source: who tells.
            chance: for jitter.
        """
        self._tracing, self._source, self._chance = tracing, source, chance
        self._put, self._waiting = trio.open_memory_channel[Spans](MAX_WAITING)
        self._client: GrpcClient | None = None
        self._at_work: Spans | None = None
        self._is_away = False
        self.exported = 0
        self.dropped = dict.fromkeys(REASONS, 0)
        """By reason."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to tell."""
        return self._at_work is None and not self._waiting.statistics().current_buffer_used

    def take(self, spans: Spans) -> None:
        """A worker has told something."""
        self.dropped[WORKER_FULL] += spans.lost
        try:
            self._put.send_nowait(spans)
        except trio.WouldBlock:
            self.dropped[CONTROL_FULL] += spans.count

    async def run(self) -> None:
        """Tell until cancelled.

        Cancellation: what is left is told once more, within LAST_S; a collector that has not
            answered yet may hear it twice.
        """
        try:
            async for spans in self._waiting:
                await self._tell(spans)
        finally:
            with trio.move_on_after(LAST_S, shield=True):
                await self._tell_rest()
            self._hang_up()

    async def _tell_rest(self) -> None:
        try:
            while True:
                await self._try(self._at_work or self._waiting.receive_nowait())
                self._at_work = None
        except trio.WouldBlock:
            pass
        except UnavailableError as error:
            log.info("spans are left", extra={"code": error.code, "error": str(error)})

    async def _tell(self, spans: Spans) -> None:
        self._at_work = spans
        delays = spread(doubling(FIRST_WAIT_S, LONGEST_WAIT_S), self._chance)
        for number in range(1, MAX_TRIES + 1):
            try:
                await self._try(spans)
            except UnavailableError as error:
                self._note_away(error)
                if not _is_retried(error):
                    self.dropped[COLLECTOR_REFUSED] += spans.count
                    break
                if number == MAX_TRIES:
                    self.dropped[COLLECTOR_AWAY] += spans.count
                else:
                    await trio.sleep(next(delays))
            else:
                break
        self._at_work = None

    async def _try(self, spans: Spans) -> None:
        try:
            request = export_request(self._source, read_spans(spans.octets))
        except PeerError as error:
            self.dropped[INVALID] += spans.count
            log.warning("a worker's spans are left out", extra={"code": error.code})
            return
        answer = await self._call(request)
        self._is_away = False
        rejected = min(answer.rejected, spans.count)
        self.dropped[COLLECTOR_REFUSED] += rejected
        self.exported += spans.count - rejected
        if answer.reason:
            extra = {"code": "spans_rejected", "count": rejected, "error": answer.reason}
            log.warning("the collector does not want all spans", extra=extra)

    async def _call(self, request: bytes) -> ExportAnswer:
        client = self._client = self._client or GrpcClient(await self._target())
        answer: ExportAnswer | None = None
        with trio.move_on_after(self._tracing.timeout_s):
            try:
                answer = await client.unary(METHOD, request, self._tracing.headers)
            except GrpcFailedError:
                self._hang_up()
                raise
        if answer is None:
            self._hang_up()
            raise GrpcFailedError(EXPORT, "DEADLINE_EXCEEDED", "no answer in time")
        return answer

    async def _target(self) -> Target:
        tracing = self._tracing
        if tracing.is_plain:
            return Target(tracing.address, b"", is_plain=True)
        path = tracing.certificate or str(SYSTEM_ROOTS)
        try:
            roots = await trio.Path(path).read_bytes()
        except OSError as error:
            raise CollectorRootsError(path, error.strerror or str(error)) from None
        return Target(tracing.address, roots)

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _note_away(self, error: UnavailableError) -> None:
        """Once for each time that the collector goes away."""
        if not self._is_away:
            self._is_away = True
            where = self._tracing.address
            extra = {"code": "collector_away", "collector": where, "error": str(error)}
            log.warning("the collector does not take spans", extra=extra)

    def families(self) -> Iterator[Metric]:
        """What was counted."""
        yield CounterMetricFamily(EXPORTED, "Spans that the collector took.", value=self.exported)
        dropped = CounterMetricFamily(
            DROPPED, "Spans that were dropped, and why.", labels=("reason",)
        )
        for reason, count in self.dropped.items():
            dropped.add_metric((reason,), count)
        yield dropped


def _is_retried(error: UnavailableError) -> bool:
    return not isinstance(error, GrpcFailedError) or error.status in RETRIED
