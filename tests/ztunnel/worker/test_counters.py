"""Every WARN line about a connection has its number, and so has every question to DNS."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from bench.sluice import Worker
from mesh.model.workload import Workload
from mesh.observe.metrics import ON_DEMAND_DNS, REFUSED, SINGLE
from mesh.wire.feed_answers import read_metrics
from tests.ztunnel.worker.town import Town, line_of, named

pytestmark = [pytest.mark.netns, pytest.mark.slow]

VIP = "10.80.0.1"


def count(worker: Worker, name: str, **wanted: str) -> int:
    """A counter's number, over all label sets that have these values."""
    labels = SINGLE[name][1]
    return sum(
        numbers[0]
        for family, values, numbers in read_metrics(worker.ask("metrics"))
        if family == name and wanted.items() <= dict(zip(labels, values, strict=True)).items()
    )


def counting(worker: Worker, name: str, **wanted: str) -> Callable[[], int]:
    """How much is counted from now on."""
    before = count(worker, name, **wanted)
    return lambda: count(worker, name, **wanted) - before


def test_a_refusal_by_routing_is_counted_by_the_code_of_its_line(place: Town) -> None:
    service, _ = place.service("bread", VIP)
    place.tell([], [service])
    counted = counting(place.near, REFUSED, reporter="source", code="route_no_endpoint")
    assert place.pod("web").is_refused(VIP, 80)
    assert place.line("near", level="warn")["code"] == "route_no_endpoint"
    assert counted() == 1


def test_a_peer_that_speaks_no_tls_is_counted_by_the_code_of_its_line(place: Town) -> None:
    counted = counting(place.far, REFUSED, reporter="destination", code="tls_handshake_failed")
    with place.pod("stranger").dial(place.pod("shop").ip, 15008) as client, suppress(OSError):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while client.recv(100):
            pass
    assert place.line("far", level="warn")["code"] == "tls_handshake_failed"
    assert counted() == 1


def test_a_connection_that_asks_dns_is_counted_by_its_source_and_the_name(place: Town) -> None:
    service, _ = place.service("far-away", VIP)
    outside = Workload(
        uid="Kubernetes//ServiceEntry/town/far-away",
        name="far-away",
        namespace="town",
        hostname="localhost",
        services={service.key: service.ports},
    )
    place.tell([outside], [service])
    web = place.pod("web")
    counted = counting(
        place.near,
        ON_DEMAND_DNS,
        hostname="localhost",
        source_workload="web",
        source_principal=str(web.identity),
    )
    with web.serving(8080, named(web)):
        for _ in range(2):
            with web.dial(VIP, 80) as client:
                line_of(client)
    assert counted() == 2
