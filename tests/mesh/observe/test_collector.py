from prometheus_client.core import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from mesh.observe.collector import traffic_families
from mesh.observe.metrics import COUNTERS, FAILED, LABELS, REFUSED, SOCKETS, TRAFFIC
from tests.shared_data import shared

LABEL_VALUES = tuple(f"value-{name}" for name in LABELS)
ROWS = (
    (TRAFFIC, LABEL_VALUES, (3, 2, 10, 20, 0)),
    (SOCKETS, ("source",), (1,)),
    (TRAFFIC, LABEL_VALUES, (1, 1, 1, 1, 0)),
    (SOCKETS, ("source",), (4,)),
    (SOCKETS, ("destination",), (2,)),
)


class Rows:
    def collect(self) -> list[Metric]:
        return list(traffic_families(ROWS))


def numbers(families: list[Metric], name: str) -> list[float]:
    return [sample.value for one in families for sample in one.samples if sample.name == name]


def test_the_counts_of_all_workers_are_added_up() -> None:
    families = Rows().collect()
    assert numbers(families, "istio_tcp_connections_opened_total") == [4]
    assert numbers(families, "istio_tcp_connections_closed_total") == [3]
    assert numbers(families, "istio_tcp_received_bytes_total") == [11]
    assert numbers(families, "istio_tcp_sent_bytes_total") == [21]
    assert numbers(families, SOCKETS) == [5, 2]


def test_a_label_set_that_never_failed_has_no_line_for_it() -> None:
    assert numbers(Rows().collect(), f"{FAILED}_total") == []
    failed = traffic_families([(TRAFFIC, LABEL_VALUES, (0, 0, 0, 0, 2))])
    assert numbers(list(failed), f"{FAILED}_total") == [2]


def test_both_texts_name_the_metrics_as_istios_node_proxy_does() -> None:
    registry = CollectorRegistry()
    registry.register(Rows())
    recorded = shared("ztunnel/metrics-source.txt").read_text()
    for text in (generate_latest(registry).decode(), generate_openmetrics(registry).decode()):
        for name in COUNTERS:
            assert f"{name}_total{{" in text or name == FAILED
            assert f"{name}_total{{" in recorded
        assert f'{SOCKETS}{{reporter="source"}}' in text


def test_counters_of_their_own_labels_are_added_up_too() -> None:
    rows = [
        (REFUSED, ("source", "self_call"), (1,)),
        (REFUSED, ("source", "self_call"), (2,)),
        (REFUSED, ("source", "no_route"), (1,)),
    ]
    assert numbers(list(traffic_families(rows)), f"{REFUSED}_total") == [3, 1]
