"""Spans told to a real collector."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import grpc
import pytest
import trio
import trio.testing

from mesh.model.span import Span, SpanKind
from mesh.observe.sampling import Sampler
from mesh.runtime.control.spans import (
    COLLECTOR_AWAY,
    COLLECTOR_REFUSED,
    CONTROL_FULL,
    DROPPED,
    EXPORTED,
    INVALID,
    MAX_TRIES,
    MAX_WAITING,
    WORKER_FULL,
    SpanExporter,
)
from mesh.runtime.tracing import Tracing
from mesh.wire.feed import Spans
from mesh.wire.otlp import Source
from mesh.wire.spans import pack_span
from tests.collector import Collector, attributes
from tests.pki import Authority

SOURCE = Source((("service.name", "edge.town"),), (("istio.namespace", "town"),), "1")


def tracing(collector: Collector, **changes: object) -> Tracing:
    fields: dict[str, object] = {
        "address": f"localhost:{collector.port}",
        "is_plain": collector.issued is None,
        "certificate": "",
        "headers": (),
        "timeout_s": 5.0,
        "sampler": Sampler(),
        "resource": (),
    }
    return Tracing(**{**fields, **changes})


def told(*names: str, lost: int = 0) -> Spans:
    spans = [
        Span(
            trace_id=b"t" * 16,
            span_id=b"s" * 8,
            name=name,
            kind=SpanKind.SERVER,
            start_ns=1,
            end_ns=2,
        )
        for name in names
    ]
    return Spans(b"".join(map(pack_span, spans)), len(spans), lost)


@asynccontextmanager
async def running(settings: Tracing) -> AsyncIterator[SpanExporter]:
    exporter = SpanExporter(settings, SOURCE, Random(1))
    async with trio.open_nursery() as services:
        services.start_soon(exporter.run)
        try:
            yield exporter
        finally:
            services.cancel_scope.cancel()


async def until(exporter: SpanExporter, collector: Collector, count: int) -> list[str]:
    """What the collector has heard, when it has heard so much and its answer has come."""
    await trio.to_thread.run_sync(collector.wait_spans, count)
    while not exporter.is_idle:
        await trio.testing.wait_all_tasks_blocked(0.001)
    return [span.name for span in collector.spans]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        yield made


def dropped(exporter: SpanExporter) -> dict[str, int]:
    return {reason: count for reason, count in exporter.dropped.items() if count}


async def test_a_collector_hears_who_tells_what(collector: Collector) -> None:
    async with running(tracing(collector, headers=(("x-tenant", "shop"),))) as exporter:
        exporter.take(told("one", "two"))
        assert await until(exporter, collector, 2) == ["one", "two"]
    assert attributes(collector.resources[0]) == {"service.name": "edge.town"}
    assert attributes(collector.spans[0]) == {"istio.namespace": "town"}
    assert collector.calls[0]["x-tenant"] == "shop"
    assert (exporter.exported, dropped(exporter)) == (2, {})


async def test_by_tls_the_collector_is_known_by_its_certificate(tmp_path: Path) -> None:
    authority, other = Authority(), Authority()
    roots, wrong = tmp_path / "roots.pem", tmp_path / "wrong.pem"
    roots.write_bytes(authority.roots)
    wrong.write_bytes(other.roots)
    with Collector(authority.issue(None, dns=["localhost"])) as collector:
        async with running(tracing(collector, certificate=str(wrong))) as doubtful:
            doubtful.take(told("no"))
            async with running(tracing(collector, certificate=str(roots))) as exporter:
                exporter.take(told("yes"))
                assert await until(exporter, collector, 1) == ["yes"]
        async with running(tracing(collector, certificate=str(tmp_path / "none"))) as blind:
            blind.take(told("no"))
    assert doubtful.exported == blind.exported == 0
    assert [span.name for span in collector.spans] == ["yes"]


async def pass_time(clock: trio.testing.MockClock, until: Callable[[], bool]) -> None:
    while not until():
        clock.jump(0.1)
        await trio.testing.wait_all_tasks_blocked(0.001)


async def test_what_cannot_be_taken_just_now_is_told_again(
    collector: Collector, mock_clock: trio.testing.MockClock
) -> None:
    collector.statuses = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED]
    async with running(tracing(collector, timeout_s=1e6)) as exporter:
        exporter.take(told("one"))
        await pass_time(mock_clock, lambda: exporter.exported == 1)
    assert [span.name for span in collector.spans] == ["one"]
    assert len(collector.calls) == 3
    assert not dropped(exporter)


async def test_a_collector_that_stays_away_costs_its_spans_only(
    collector: Collector, mock_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    collector.statuses = [grpc.StatusCode.UNAVAILABLE] * MAX_TRIES
    async with running(tracing(collector, timeout_s=1e6)) as exporter:
        exporter.take(told("lost", "too"))
        exporter.take(told("one"))
        await pass_time(mock_clock, lambda: exporter.exported == 1)
    assert [span.name for span in collector.spans] == ["one"]
    assert dropped(exporter) == {COLLECTOR_AWAY: 2}
    lines = [line for line in caplog.records if getattr(line, "code", "") == "collector_away"]
    assert len(lines) == 1


async def test_what_is_left_is_told_at_the_end(collector: Collector) -> None:
    exporter = SpanExporter(tracing(collector), SOURCE, Random(1))
    exporter.take(told("one"))
    exporter.take(told("two"))
    with trio.CancelScope() as ended:
        ended.cancel()
        await exporter.run()
    assert [span.name for span in collector.spans] == ["one", "two"]


def test_what_waits_is_bounded_and_the_rest_counted(collector: Collector) -> None:
    exporter = SpanExporter(tracing(collector), SOURCE, Random(1))
    for _ in range(MAX_WAITING + 2):
        exporter.take(told("a", "b", lost=1))
    assert dropped(exporter) == {CONTROL_FULL: 4, WORKER_FULL: MAX_WAITING + 2}


async def test_what_is_not_wanted_is_not_told_again(collector: Collector) -> None:
    collector.statuses = [grpc.StatusCode.INVALID_ARGUMENT]
    collector.rejects = 1
    async with running(tracing(collector)) as exporter:
        exporter.take(told("bad", "worse"))
        exporter.take(told("one", "two"))
        assert await until(exporter, collector, 2) == ["one", "two"]
    assert dropped(exporter) == {COLLECTOR_REFUSED: 3}
    assert exporter.exported == 1


async def test_a_worker_that_sends_garbage_is_counted(collector: Collector) -> None:
    async with running(tracing(collector)) as exporter:
        exporter.take(Spans(b"\xc1", 3, 0))
        exporter.take(told("one"))
        await until(exporter, collector, 1)
    assert dropped(exporter) == {INVALID: 3}


def test_what_is_counted_is_on_the_page(collector: Collector) -> None:
    exporter = SpanExporter(tracing(collector), SOURCE, Random(1))
    exporter.take(told("one", lost=4))
    families = {family.name: family for family in exporter.families()}
    assert set(families) == {EXPORTED, DROPPED}
    counts = {one.labels["reason"]: one.value for one in families[DROPPED].samples}
    assert counts[WORKER_FULL] == 4
    assert counts[COLLECTOR_AWAY] == 0
