from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric

from mesh.model.identity import Identity
from mesh.observe.request_collector import request_families
from mesh.observe.request_metrics import (
    BUCKETS,
    EJECTED,
    EVENTS,
    LABELS,
    OVERFLOW,
    REQUESTS,
    RequestMetrics,
    Side,
)
from tests.mesh.worlds import pod, service

CLIENT = pod("client", "10.0.0.1")
SERVER = pod("server", "10.0.0.2")


def observed(
    metrics: RequestMetrics, source: Side, destination: Side, *, status: int = 200, ms: float = 3
) -> None:
    metrics.observe(
        source,
        destination,
        is_grpc=False,
        status=status,
        grpc_status="",
        flag="-",
        duration_ms=ms,
        request_octets=7,
        response_octets=2000,
    )


def one(metrics: RequestMetrics) -> dict[str, str]:
    ((name, labels, numbers),) = metrics.rows()
    assert name == REQUESTS
    assert len(numbers) == 1 + 3 * (BUCKETS + 1)
    return dict(zip(LABELS, labels, strict=True))


def test_a_request_has_istios_labels() -> None:
    metrics = RequestMetrics()
    source = metrics.source(CLIENT, CLIENT.identity)
    observed(metrics, source, metrics.destination(SERVER, service("web")))
    labels = one(metrics)
    assert labels["reporter"] == "waypoint"
    assert labels["source_principal"] == str(CLIENT.identity)
    assert labels["destination_principal"] == str(SERVER.identity)
    assert labels["destination_service"] == "web"
    assert labels["destination_service_namespace"] == "shop"
    assert labels["request_protocol"] == "http"
    assert labels["response_code"] == "200"
    assert labels["response_flags"] == "-"
    assert labels["connection_security_policy"] == "mutual_tls"
    assert labels["source_canonical_service"] == "unknown"


def test_who_is_not_known_is_said_to_be_unknown() -> None:
    metrics = RequestMetrics()
    identity = Identity("cluster.local", "far", "caller")
    observed(metrics, metrics.source(None, identity), metrics.destination(None, None))
    labels = one(metrics)
    assert labels["source_workload_namespace"] == "far"
    assert labels["destination_workload"] == "unknown"


def test_equal_ends_are_one_side_and_one_row() -> None:
    metrics = RequestMetrics()
    for _ in range(3):
        observed(metrics, metrics.source(CLIENT, None), metrics.destination(SERVER, None))
    ((_, _, numbers),) = metrics.rows()
    assert numbers[0] == 3
    assert metrics.source(CLIENT, None) is metrics.source(CLIENT, None)


def test_label_sets_are_bounded() -> None:
    metrics = RequestMetrics(max_label_sets=4)
    for number in range(20):
        client = pod(f"c{number}", "10.0.0.1")
        observed(metrics, metrics.source(client, None), metrics.destination(SERVER, None))
        metrics.note(EJECTED, f"shop/s{number}")
    rows = metrics.rows()
    assert len([row for row in rows if row[0] == REQUESTS]) <= 5
    assert sum(row[2][0] for row in rows if row[0] == REQUESTS) == 20
    events = {row[1]: row[2][0] for row in rows if row[0] == EVENTS}
    assert len(events) == 5
    assert events[EJECTED, OVERFLOW] == 16


class Families:
    """A registry of one answer."""

    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def collect(self) -> list[Metric]:
        return self.families


def text(*workers: RequestMetrics) -> str:
    rows = [row for each in workers for row in each.rows()]
    return generate_latest(Families(list(request_families(rows)))).decode()  # type: ignore[arg-type] - it collects


def test_the_workers_counts_are_added_up_for_prometheus() -> None:
    one_worker, other = RequestMetrics(), RequestMetrics()
    for metrics, ms in ((one_worker, 3), (one_worker, 0.2), (other, 400)):
        observed(metrics, metrics.source(CLIENT, None), metrics.destination(SERVER, None), ms=ms)
    one_worker.note(EJECTED, "shop/web")
    written = text(one_worker, other)
    lines = [line for line in written.splitlines() if not line.startswith("#")]
    (total,) = [line for line in lines if line.startswith("istio_requests_total{")]
    assert total.endswith(" 3.0")
    duration = [line for line in lines if line.startswith("istio_request_duration_milliseconds")]
    buckets = {
        line.partition('le="')[2].partition('"')[0]: line.rpartition(" ")[2] for line in duration
    }
    assert buckets["0.5"] == "1.0"
    assert buckets["5"] == "2.0"
    assert buckets["500"] == "3.0"
    assert buckets["+Inf"] == "3.0"
    (whole,) = [line for line in duration if "_sum{" in line]
    assert whole.endswith(" 403.2")
    assert (
        'sluice_waypoint_events_total{destination_service="shop/web",event="endpoint_ejected"}'
        in written
    )
