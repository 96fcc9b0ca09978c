"""Traces through a real waypoint: from a client's header to an endpoint's, and to a collector."""

import http.client
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import grpc
import pytest

from mesh.proto.otlp_trace_pb2 import Span
from tests.collector import Collector, attributes
from tests.waypoint.edge import Edge, edge, reaching
from tests.waypoint.test_http import answer, dialled, http_service
from tests.ztunnel.proxy import PATIENCE_S
from tests.ztunnel.worker.town import OUTSIDE, Town

pytestmark = [pytest.mark.netns, pytest.mark.slow]

HONEY = "10.80.0.40"
COLLECTOR_PORT = 4317
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAID = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=1"}
SPANS = re.compile(r"^sluice_spans_(exported|dropped)_total(\{.*?\})? (\S+)$", re.MULTILINE)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        yield made


@pytest.fixture
def traced(
    place: Town, tmp_path_factory: pytest.TempPathFactory, collector: Collector
) -> Iterator[Edge]:
    told = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://localhost:{COLLECTOR_PORT}",
        "OTEL_RESOURCE_ATTRIBUTES": "team=honey",
    }
    with (
        reaching(place.pod(OUTSIDE), COLLECTOR_PORT, collector.port),
        edge(place, tmp_path_factory.mktemp("traced"), **told) as running,
    ):
        running.proxy.wait_ready()
        yield running


@contextmanager
def served(edge: Edge) -> Iterator[http.client.HTTPConnection]:
    """A client of a service behind the waypoint, whose endpoint says what it was asked."""
    honey, pods = http_service(edge, "honey", HONEY, "shop")
    edge.tell(pods, [honey])
    edge.place.settle()
    with (
        edge.place.pod("shop").serving(8080, answer("shop")),
        closing(dialled(edge, HONEY)) as made,
    ):
        yield made


def ask(client: http.client.HTTPConnection, **headers: str) -> dict[str, str]:
    """The header fields that the endpoint has heard."""
    client.request("GET", "/jar?full=1", headers=headers)
    found = client.getresponse()
    assert found.status == 200
    lines = found.read().decode().splitlines()[1:]
    fields = (line.partition(":") for line in lines)
    return {name.lower(): value.strip() for name, _, value in fields}


def counted(edge: Edge) -> dict[str, float]:
    """How many spans were exported, and dropped by reason."""
    page = edge.proxy.page("stats", "/metrics")[1]
    return {(labels or kind): float(value) for kind, labels, value in SPANS.findall(page)}


def until(condition: Callable[[], bool]) -> None:
    """Look again and again: nothing tells when another process has counted."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def by_kind(spans: list[Span]) -> tuple[Span, Span]:
    """The server's and the client's."""
    own, sent = sorted(spans, key=lambda span: span.kind)
    assert (own.kind, sent.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    return own, sent


def test_a_trace_goes_from_the_client_through_the_waypoint_to_the_endpoint(
    traced: Edge, collector: Collector
) -> None:
    with served(traced) as client:
        heard = ask(client, **SAID)
    own, sent = by_kind(collector.wait_spans(2))
    assert own.trace_id.hex() == sent.trace_id.hex() == TRACE
    assert own.parent_span_id.hex() == CALLER
    assert sent.parent_span_id == own.span_id
    assert heard["traceparent"] == f"00-{TRACE}-{sent.span_id.hex()}-01"
    assert heard["tracestate"] == own.trace_state == "vendor=1"
    assert own.start_time_unix_nano <= sent.start_time_unix_nano
    assert sent.end_time_unix_nano <= own.end_time_unix_nano
    assert abs(time.time() - own.end_time_unix_nano / 1e9) < 60
    told = attributes(own)
    assert (told["url.path"], told["http.response.status_code"]) == ("/jar", 200)
    assert told["source_workload"] == "web"
    assert told["istio.canonical_service"] == "edge"
    assert attributes(sent)["network.peer.address"] == traced.place.pod("shop").ip
    who = attributes(collector.resources[0])
    assert (who["service.name"], who["team"]) == ("edge.town", "honey")
    until(lambda: counted(traced)["exported"] == 2)
    assert not any(value for key, value in counted(traced).items() if key != "exported")


def test_a_collector_that_is_away_disturbs_nobody_and_what_is_lost_is_counted(
    traced: Edge, collector: Collector
) -> None:
    collector.stop()
    with served(traced) as client:
        assert ask(client, **SAID)["traceparent"] != SAID["traceparent"]
        traced.proxy.wait_line("the collector does not take spans")
        assert ask(client)
        collector.start()
        ask(client, **SAID)
        collector.wait_spans(2)
        until(lambda: counted(traced)["exported"] >= 2)
        collector.statuses = [grpc.StatusCode.INVALID_ARGUMENT]
        ask(client, **SAID)
        until(lambda: counted(traced)['{reason="collector_refused"}'] > 0)


def test_spans_of_the_last_second_are_not_lost(traced: Edge, collector: Collector) -> None:
    with served(traced) as client:
        ask(client, **SAID)
    traced.proxy.process.send_signal(signal.SIGTERM)
    collector.wait_spans(2)
    assert traced.proxy.exit_code() == 0


def test_a_successor_of_control_tells_what_the_workers_kept(
    traced: Edge, collector: Collector
) -> None:
    with served(traced) as client:
        traced.proxy.kill("control")
        ask(client, **SAID)
        by_kind(collector.wait_spans(2))


def test_without_a_collector_nothing_is_changed(shared: Edge) -> None:
    with served(shared) as client:
        heard = ask(client, **SAID)
        assert {name: heard[name] for name in SAID} == SAID
        assert "traceparent" not in ask(client)
    assert not counted(shared)
