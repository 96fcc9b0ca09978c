"""The workers' request counters, added up, as Prometheus families for a waypoint's `/metrics`."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric

from mesh.observe.request_metrics import (
    BOUNDS,
    BUCKETS,
    DURATION,
    EVENT_LABELS,
    EVENTS,
    FILTER_LABELS,
    FILTERS,
    LABELS,
    POLICIES,
    POLICY_LABELS,
    REQUEST_OCTETS,
    REQUESTS,
    REQUESTS_TOTAL,
    RESPONSE_OCTETS,
    Labels,
)
from mesh.wire.feed_answers import MetricRow

_COUNTERS: Final = (
    (EVENTS, "What happened to requests and endpoints (unstable).", EVENT_LABELS),
    (POLICIES, "Requests and connections that policies refused, or matched.", POLICY_LABELS),
    (FILTERS, "Failures of users' filters.", FILTER_LABELS),
)


def request_families(rows: Iterable[MetricRow]) -> Iterator[Metric]:
    """The families of all request metrics; rows of other families are passed over.

    Args:
        rows: those of all workers, in any order.
    """
    sums: dict[tuple[str, Labels], tuple[int, ...]] = {}
    for name, labels, numbers in rows:
        if name in (REQUESTS, EVENTS, POLICIES, FILTERS):
            held = sums.get((name, labels), (0,) * len(numbers))
            sums[name, labels] = tuple(a + b for a, b in zip(held, numbers, strict=True))
    requests = {labels: numbers for (name, labels), numbers in sums.items() if name == REQUESTS}
    total = CounterMetricFamily(REQUESTS_TOTAL, "Requests that had an answer.", labels=LABELS)
    for labels, numbers in requests.items():
        total.add_metric(labels, numbers[0])
    yield total
    texts = {
        DURATION: "From a request's head to the end of its answer.",
        REQUEST_OCTETS: "The content of requests.",
        RESPONSE_OCTETS: "The content of answers.",
    }
    for position, (name, text) in enumerate(texts.items()):
        family = HistogramMetricFamily(name, text, labels=LABELS)
        begin = 1 + position * (BUCKETS + 1)
        unit = 1000 if name == DURATION else 1
        for labels, numbers in requests.items():
            counts = numbers[begin + 1 : begin + 1 + BUCKETS]
            family.add_metric(labels, _buckets(counts), numbers[begin] / unit)
        yield family
    for name, text, names in _COUNTERS:
        counter = CounterMetricFamily(name, text, labels=names)
        for (family_name, labels), numbers in sums.items():
            if family_name == name:
                counter.add_metric(labels, numbers[0])
        yield counter


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    ends = [*(str(bound) for bound in BOUNDS), "+Inf"]
    return list(zip(ends, map(float, accumulate(counts)), strict=True))
