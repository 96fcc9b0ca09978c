"""What a node proxy counts of its pods' DNS queries: Istio's `istio_dns_*` (unstable there)."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric

from mesh.model.workload import Workload
from mesh.wire.dns import TYPE_A, TYPE_AAAA
from mesh.wire.feed_answers import MetricRow

REQUESTS: Final = "istio_dns_requests"
UPSTREAM_REQUESTS: Final = "istio_dns_upstream_requests"
UPSTREAM_FAILURES: Final = "istio_dns_upstream_failures"
UPSTREAM_SECONDS: Final = "istio_dns_upstream_request_duration_seconds"
COUNTERS: Final = {
    REQUESTS: "DNS queries of pods (unstable).",
    UPSTREAM_REQUESTS: "DNS queries that were carried on to a server (unstable).",
    UPSTREAM_FAILURES: "DNS queries for which no server had an answer (unstable).",
}
LABELS: Final = (
    "request_query_type",
    "request_protocol",
    "source_canonical_service",
    "source_canonical_revision",
)
BOUNDS: Final = (0.0005, 0.001, 0.01, 0.1, 1.0, 5.0)
MAX_LABEL_SETS: Final = 2000
UNKNOWN: Final = "unknown"
OTHER: Final = "other"
"""Every record type but addresses: a pod may ask for 65,536 of them."""
_KINDS: Final = {TYPE_A: "A", TYPE_AAAA: "AAAA"}

Labels = tuple[str, ...]


@dataclass(slots=True)
class DnsMetrics:
    """The counters of one worker."""

    max_label_sets: int = MAX_LABEL_SETS
    _counts: dict[tuple[str, Labels], int] = field(default_factory=dict)
    _times: dict[Labels, list[int]] = field(default_factory=dict)
    """For each label set: the sum in microseconds, then how many fell into each bucket."""

    def count(self, name: str, labels: Labels) -> None:
        """One more of COUNTERS; `labels` are of `labels_of`."""
        key = name, labels
        if key not in self._counts and len(self._counts) >= self.max_label_sets:
            key = name, ("overflow",) * len(LABELS)
        self._counts[key] = self._counts.get(key, 0) + 1

    def observe_upstream(self, labels: Labels, seconds: float) -> None:
        """A query that was carried on has been answered."""
        if labels not in self._times and len(self._times) >= self.max_label_sets:
            labels = ("overflow",) * len(LABELS)
        times = self._times.setdefault(labels, [0] * (len(BOUNDS) + 2))
        times[0] += round(seconds * 1e6)
        times[1 + bisect_left(BOUNDS, seconds)] += 1

    def rows(self) -> list[MetricRow]:
        """Everything counted so far; `dns_families` reads them."""
        return [
            *((name, labels, (number,)) for (name, labels), number in self._counts.items()),
            *((UPSTREAM_SECONDS, labels, tuple(each)) for labels, each in self._times.items()),
        ]


def labels_of(kind: int, client: Workload | None, *, is_stream: bool) -> Labels:
    """The values of LABELS for a query."""
    return (
        _KINDS.get(kind, OTHER),
        "tcp" if is_stream else "udp",
        (client.canonical_name if client else "") or UNKNOWN,
        (client.canonical_revision if client else "") or UNKNOWN,
    )


def dns_families(rows: Iterable[MetricRow]) -> Iterator[Metric]:
    """The families of all DNS metrics; rows of other families are passed over.

    Args:
        rows: those of all workers, in any order.
    """
    sums: dict[tuple[str, Labels], tuple[int, ...]] = {}
    for name, labels, numbers in rows:
        if name in COUNTERS or name == UPSTREAM_SECONDS:
            held = sums.get((name, labels), (0,) * len(numbers))
            sums[name, labels] = tuple(a + b for a, b in zip(held, numbers, strict=True))
    for name, text in COUNTERS.items():
        counter = CounterMetricFamily(name, text, labels=LABELS)
        for (family, labels), numbers in sums.items():
            if family == name:
                counter.add_metric(labels, numbers[0])
        yield counter
    histogram = HistogramMetricFamily(
        UPSTREAM_SECONDS, "How long servers took to answer (unstable).", labels=LABELS
    )
    ends = [*map(str, BOUNDS), "+Inf"]
    for (family, labels), numbers in sums.items():
        if family == UPSTREAM_SECONDS:
            buckets = zip(ends, map(float, accumulate(numbers[1:])), strict=True)
            histogram.add_metric(labels, list(buckets), numbers[0] / 1e6)
    yield histogram
