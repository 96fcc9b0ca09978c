"""Cluster DNS: which names there are, and what garbage does."""

from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.lab.dns import _message, answer
from sluice.lab.objects import Objects
from sluice.lab.zone import Zone
from tests.sluice.lab.worlds import SHOP, World

EXTERNAL = """
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: shop}
spec: {type: ExternalName, externalName: web.shop.svc.cluster.local}
"""
HEADLESS = """
apiVersion: v1
kind: Service
metadata: {name: pods, namespace: shop}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 3000}]}
"""


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    world = World(tmp_path)
    world.apply(f"{SHOP}---{EXTERNAL}---{HEADLESS}")
    one, two = world.objects.of("Pod", "shop")
    world.run(one, 2)
    world.run(two, 3, is_ready=False)
    return Zone(world.objects)


def asked(zone: Zone, name: str, kind: str = "A") -> dns.message.Message:
    octets = answer(dns.message.make_query(name, kind).to_wire(), zone, is_stream=False)
    assert octets is not None
    return dns.message.from_wire(octets)


def texts(response: dns.message.Message) -> list[str]:
    return [str(record) for found in response.answer for record in found]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.shop.svc.cluster.local", "A", ["10.96.1.0"]),
        ("WEB.Shop.svc.cluster.local", "A", ["10.96.1.0"]),
        ("web.shop.svc.cluster.local", "AAAA", []),
        ("pods.shop.svc.cluster.local", "A", ["10.244.1.2"]),
        ("10-244-1-2.pods.shop.svc.cluster.local", "A", ["10.244.1.2"]),
        ("10-244-1-3.shop.pod.cluster.local", "A", ["10.244.1.3"]),
        ("_http._tcp.web.shop.svc.cluster.local", "SRV", ["0 100 80 web.shop.svc.cluster.local."]),
        (
            "elsewhere.shop.svc.cluster.local",
            "A",
            ["web.shop.svc.cluster.local.", "10.96.1.0"],
        ),
        ("kube-dns.kube-system.svc.cluster.local", "A", ["10.96.0.10"]),
        ("shop.svc.cluster.local", "A", []),
    ],
)
def test_a_name_of_the_cluster_is_answered(
    zone: Zone, name: str, kind: str, expected: list[str]
) -> None:
    response = asked(zone, name, kind)

    assert texts(response) == expected
    assert response.rcode() == dns.rcode.NOERROR
    assert response.flags & dns.flags.AA


@pytest.mark.parametrize(
    "name",
    [
        "nobody.shop.svc.cluster.local",
        "example.com",
        "web.shop",
        "10-244-9-9.shop.pod.cluster.local",
    ],
)
def test_any_other_name_is_none(zone: Zone, name: str) -> None:
    response = asked(zone, name)

    assert response.rcode() == dns.rcode.NXDOMAIN
    assert [found.rdtype for found in response.authority] == [dns.rdatatype.SOA]


def test_an_answer_that_does_not_fit_says_so_and_fits_over_a_stream(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.apply(SHOP.replace("replicas: 2", "replicas: 40") + "---" + HEADLESS)
    for number, pod in enumerate(world.objects.of("Pod", "shop"), 2):
        world.run(pod, number)
    zone = Zone(world.objects)
    query = dns.message.make_query("pods.shop.svc.cluster.local", "A").to_wire()

    short = answer(query, zone, is_stream=False)
    whole = answer(query, zone, is_stream=True)

    assert short is not None
    assert len(short) <= 512
    assert dns.message.from_wire(short).flags & dns.flags.TC
    assert whole is not None
    assert len(texts(dns.message.from_wire(whole))) == 40


@given(st.binary(max_size=600))
def test_garbage_gives_an_answer_or_nothing(octets: bytes) -> None:
    answer(octets, Zone(Objects()), is_stream=False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40), st.integers(0, 60))
def test_a_broken_query_gives_an_answer_or_nothing(zone: Zone, noise: bytes, at: int) -> None:
    query = dns.message.make_query("web.shop.svc.cluster.local", "A", use_edns=True).to_wire()

    answer(query[:at] + noise + query[at + len(noise) :], zone, is_stream=True)


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(1, 20))
def test_where_a_stream_is_cut_does_not_matter(messages: list[bytes], size: int) -> None:
    octets = b"".join(len(each).to_bytes(2) + each for each in messages)
    buffer, seen = bytearray(), []
    for start in range(0, len(octets), size):
        buffer += octets[start : start + size]
        while (message := _message(buffer)) is not None:
            seen.append(message)

    assert seen == messages
    assert not buffer
