"""What a waypoint counts of requests, as Istio's dashboards ask for it."""

import re
import threading
import time

import pytest

from tests.repo.tree import ROOT
from tests.waypoint.edge import Edge
from tests.waypoint.test_http import answer, ask, dialled, http_service
from tests.ztunnel.worker.town import MESH

pytestmark = [pytest.mark.netns, pytest.mark.slow]

HONEY = "10.80.0.45"
SAMPLE = re.compile(r"^(?P<name>istio_re[a-z_]+)\{(?P<labels>.*)\} (?P<value>\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')
SIDE = {
    *("workload", "workload_namespace", "principal", "app", "version", "cluster"),
    *("canonical_service", "canonical_revision"),
}
ISTIOS_LABELS = {
    "reporter",
    *(f"source_{label}" for label in SIDE),
    *(f"destination_{label}" for label in SIDE),
    *("destination_service", "destination_service_name", "destination_service_namespace"),
    *("request_protocol", "response_code", "grpc_response_status", "response_flags"),
    "connection_security_policy",
}
"""Of istio.io's "Istio Standard Metrics", those of HTTP and gRPC; Envoy writes them all, always."""
HISTOGRAMS = {
    *("istio_request_duration_milliseconds", "istio_request_bytes", "istio_response_bytes"),
}
BUCKETS = (
    *("0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000"),
    *("30000", "60000", "300000", "600000", "1800000", "3600000", "+Inf"),
)
"""Envoy's."""


def samples(edge: Edge, path: str) -> list[tuple[str, dict[str, str], float]]:
    page = edge.proxy.page("stats", path)[1]
    return [
        (found["name"], dict(LABEL.findall(found["labels"])), float(found["value"]))
        for found in SAMPLE.finditer(page)
    ]


def test_requests_are_counted_by_istios_names_and_labels(shared: Edge) -> None:
    honey, pods = http_service(shared, "honey", HONEY, "shop")
    shared.tell(pods, [honey])
    shared.place.settle()
    with shared.place.pod("shop").serving(8080, answer("shop")):
        client = dialled(shared, HONEY)
        assert ask(client)[0] == 200
        client.close()
    deadline = time.monotonic() + 10
    while not (found := samples(shared, "/metrics")):
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
    assert samples(shared, "/stats/prometheus") == found, "where Istio's Prometheus looks"
    by_name = {name for name, _, _ in found}
    parts = {f"{name}_{part}" for name in HISTOGRAMS for part in ("bucket", "count", "sum")}
    assert by_name == {"istio_requests_total", *parts}
    for name, labels, _ in found:
        assert labels.keys() - {"le"} == ISTIOS_LABELS, name
    total = next(labels for name, labels, _ in found if name == "istio_requests_total")
    told = {
        "reporter": "waypoint",
        "source_workload": "web",
        "source_workload_namespace": "town",
        "source_principal": str(MESH.identity("town", "web")),
        "source_canonical_service": "web",
        "source_app": "web",
        "destination_workload": "shop",
        "destination_workload_namespace": "town",
        "destination_principal": str(MESH.identity("town", "shop")),
        "destination_service": "honey.town.svc.cluster.local",
        "destination_service_name": "honey",
        "destination_service_namespace": "town",
        "request_protocol": "http",
        "response_code": "200",
        "response_flags": "-",
        "grpc_response_status": "",
        "connection_security_policy": "mutual_tls",
    }
    assert told.items() <= total.items()
    for name in HISTOGRAMS:
        ends = tuple(labels["le"] for one, labels, _ in found if one == f"{name}_bucket")
        assert ends == BUCKETS

    sums = {name: value for name, _, value in found if name.endswith("_sum")}
    assert sums["istio_request_bytes_sum"] == 0
    assert sums["istio_response_bytes_sum"] > 0
    assert sums["istio_request_duration_milliseconds_sum"] > 0


def test_the_page_of_metrics_names_what_a_waypoint_counts(shared: Edge) -> None:
    page = (ROOT / "docs" / "reference" / "waypoint-metrics.md").read_text()
    told = shared.proxy.page("stats", "/metrics")[1]
    names = set(re.findall(r"^# TYPE (\w+) ", told, re.MULTILINE))
    missing = {name for name in names if f"`{name.removesuffix('_total')}`" not in page}
    assert missing == set()
