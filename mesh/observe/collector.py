"""The workers' counters, added up, as Prometheus families for a node's `/metrics`.

The text is prometheus_client's; a worker that ended takes its counts along, which Prometheus knows
as the reset of a counter.
"""

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from mesh.observe.metrics import COUNTERS, FAILED, LABELS, SINGLE, SOCKETS, TRAFFIC, Labels
from mesh.wire.feed_answers import MetricRow


def traffic_families(rows: Iterable[MetricRow]) -> Iterator[Metric]:
    """The families of all traffic metrics, each label set once.

    Args:
        rows: those of all workers, in any order.
    """
    sums: dict[tuple[str, Labels], tuple[int, ...]] = {}
    for name, labels, numbers in rows:
        held = sums.get((name, labels), (0,) * len(numbers))
        sums[name, labels] = tuple(old + new for old, new in zip(held, numbers, strict=True))
    for position, (name, text) in enumerate(COUNTERS.items()):
        family = CounterMetricFamily(name, text, labels=LABELS)
        for (kind, labels), numbers in sums.items():
            # Few label sets ever fail: a zero for each of the others would be noise.
            if kind == TRAFFIC and (numbers[position] or name != FAILED):
                family.add_metric(labels, numbers[position])
        yield family
    gauge = GaugeMetricFamily(SOCKETS, "Open connections (unstable).", labels=("reporter",))
    for (kind, labels), numbers in sums.items():
        if kind == SOCKETS:
            gauge.add_metric(labels, numbers[0])
    yield gauge
    for name, (text, own_labels) in SINGLE.items():
        single = CounterMetricFamily(name, text, labels=own_labels)
        for (kind, labels), numbers in sums.items():
            if kind == name:
                single.add_metric(labels, numbers[0])
        yield single
