import re

import pytest

from mesh.model.identity import Identity
from mesh.model.response_flag import ResponseFlag
from mesh.model.workload import Locality, Service, Workload
from mesh.observe.access_log import ConnectionRecord, ConnectionSecurity, Direction
from mesh.observe.metrics import (
    COUNTERS,
    CRL_REJECTIONS,
    LABELS,
    ON_DEMAND_DNS,
    OVERFLOW,
    REFUSED,
    SINGLE,
    SOCKETS,
    TRAFFIC,
    UNKNOWN,
    TrafficMetrics,
    labels_of,
)
from tests.mesh.worlds import at, pod
from tests.shared_data import shared

LABEL = re.compile(r'(\w+)="([^"]*)"')


def record(direction: Direction = Direction.OUTBOUND, source: str = "") -> ConnectionRecord:
    made = ConnectionRecord(
        direction=direction,
        source_address=at("10.0.0.1:40000"),
        destination_address=at("10.0.0.2:80"),
    )
    if source:
        made.source = pod(source)
        made.source_identity = Identity("cluster.local", "shop", source)
    return made


def recorded(file: str) -> list[dict[str, str]]:
    """The label sets of the counter of opened connections, as Istio's node proxy wrote them."""
    lines = shared(f"ztunnel/{file}").read_text().splitlines()
    return [
        dict(LABEL.findall(line))
        for line in lines
        if line.startswith("istio_tcp_connections_opened_total")
    ]


def record_of(labels: dict[str, str]) -> ConnectionRecord:
    """The record that Istio's node proxy counted under these labels."""
    outbound = labels["reporter"] == "source"
    made = record(Direction.OUTBOUND if outbound else Direction.INBOUND)
    made.source = workload_of("source", labels)
    made.destination = workload_of("destination", labels)
    made.source_identity = identity_of("source", labels)
    made.destination_identity = identity_of("destination", labels)
    if labels["destination_service"] != UNKNOWN:
        made.service = Service(
            name=labels["destination_service_name"],
            namespace=labels["destination_service_namespace"],
            hostname=labels["destination_service"],
        )
    made.flag = ResponseFlag(labels["response_flags"])
    made.security = ConnectionSecurity(labels["connection_security_policy"])
    return made


def workload_of(side: str, labels: dict[str, str]) -> Workload | None:
    if labels[f"{side}_workload"] == UNKNOWN:
        return None
    region, zone = labels[f"{side}_region"], labels[f"{side}_zone"]
    return Workload(
        uid="",
        name="pod",
        namespace=labels[f"{side}_workload_namespace"],
        workload_name=labels[f"{side}_workload"],
        canonical_name=labels[f"{side}_canonical_service"],
        canonical_revision=labels[f"{side}_canonical_revision"],
        cluster_id=labels[f"{side}_cluster"],
        locality=Locality(region.replace(UNKNOWN, ""), zone.replace(UNKNOWN, "")),
        services={},
    )


def identity_of(side: str, labels: dict[str, str]) -> Identity | None:
    principal = labels[f"{side}_principal"]
    return None if principal == UNKNOWN else Identity.parse(principal)


@pytest.mark.parametrize("file", ["metrics-source.txt", "metrics-destination.txt"])
def test_labels_have_istios_names_order_and_values(file: str) -> None:
    sets = recorded(file)
    assert len(sets) >= 2
    for labels in sets:
        assert tuple(labels) == LABELS
        assert labels_of(record_of(labels)) == tuple(labels.values())


def test_every_counter_is_one_of_istios() -> None:
    text = shared("ztunnel/metrics-source.txt").read_text()
    for name in COUNTERS:
        assert f"# TYPE {name} counter\n" in text
    assert f"# TYPE {SOCKETS} gauge\n" in text


def test_what_is_not_known_is_called_so() -> None:
    labels = dict(zip(LABELS, labels_of(record()), strict=True))
    assert labels.pop("reporter") == "source"
    assert labels.pop("request_protocol") == "tcp"
    assert labels.pop("response_flags") == "-"
    assert set(labels.values()) == {UNKNOWN}


def test_a_connection_is_counted_when_it_opens_and_when_it_ends() -> None:
    metrics = TrafficMetrics()
    one = record()
    metrics.observe_open(one)
    assert (SOCKETS, ("source",), (1,)) in metrics.rows()
    assert (TRAFFIC, labels_of(one), (1, 0, 0, 0, 0)) in metrics.rows()
    one.client_octets, one.server_octets = 10, 20
    metrics.observe_close(one)
    assert metrics.rows() == [
        (SOCKETS, ("source",), (0,)),
        (TRAFFIC, labels_of(one), (1, 1, 10, 20, 0)),
    ]


def test_received_is_what_the_client_sent_whoever_reports() -> None:
    metrics = TrafficMetrics()
    for direction in Direction:
        one = record(direction)
        one.client_octets = 7
        metrics.observe_open(one)
        metrics.observe_close(one)
    counts = [numbers for family, _, numbers in metrics.rows() if family == TRAFFIC]
    assert counts == [(1, 1, 7, 0, 0)] * len(Direction)


def test_a_failure_is_counted_apart() -> None:
    metrics = TrafficMetrics()
    one = record()
    one.flag = ResponseFlag.CONNECT
    metrics.observe_failure(one)
    assert metrics.rows() == [(TRAFFIC, labels_of(one), (0, 0, 0, 0, 1))]


def test_label_sets_are_bounded() -> None:
    metrics = TrafficMetrics(max_label_sets=2)
    for number in range(5):
        metrics.observe_open(record(source=f"client-{number}"))
    rows = [row for row in metrics.rows() if row[0] == TRAFFIC]
    assert len(rows) == 3
    overflow = rows[-1]
    assert overflow[1] == ("source", *(OVERFLOW for _ in LABELS[1:]))
    assert overflow[2][0] == 3


def test_what_is_turned_away_early_is_counted_by_its_code() -> None:
    metrics = TrafficMetrics()
    for code in ("no_healthy_endpoint", "no_healthy_endpoint", "self_call"):
        metrics.observe_refusal(Direction.OUTBOUND, code)
    metrics.observe_refusal(Direction.INBOUND, "tls_expired")
    assert metrics.rows() == [
        (REFUSED, ("source", "no_healthy_endpoint"), (2,)),
        (REFUSED, ("source", "self_call"), (1,)),
        (REFUSED, ("destination", "tls_expired"), (1,)),
    ]


def test_a_question_to_dns_is_counted_by_who_caused_it_and_the_name() -> None:
    metrics = TrafficMetrics()
    metrics.observe_resolution(pod("web"), "db.example.com")
    metrics.observe_resolution(pod("web"), "db.example.com")
    ((name, values, numbers),) = metrics.rows()
    assert (name, numbers) == (ON_DEMAND_DNS, (2,))
    labels = dict(zip(SINGLE[ON_DEMAND_DNS][1], values, strict=True))
    assert labels["hostname"] == "db.example.com"
    assert labels["source_principal"] == str(pod("web").identity)
    assert labels["source_cluster"] == pod("web").cluster_id


def test_a_revoked_peer_is_counted_by_our_side() -> None:
    metrics = TrafficMetrics()
    metrics.observe_revoked(Direction.INBOUND)
    assert metrics.rows() == [(CRL_REJECTIONS, ("destination",), (1,))]


def test_hostnames_are_bounded_too() -> None:
    metrics = TrafficMetrics(max_label_sets=2)
    for number in range(4):
        metrics.observe_resolution(pod("web"), f"{number}.example")
    *_, (name, labels, numbers) = metrics.rows()
    assert (name, numbers) == (ON_DEMAND_DNS, (2,))
    assert set(labels) == {OVERFLOW}
