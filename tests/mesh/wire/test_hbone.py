"""CONNECT as Istio's node proxy writes it, and what of the answers counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.model.address import SocketAddress
from mesh.model.workload import Locality, Workload, WorkloadType
from mesh.wire import hbone

WEB = Workload(
    uid="web",
    name="web-1",
    namespace="town",
    workload_name="web",
    workload_type=WorkloadType.DEPLOYMENT,
    canonical_name="web-app",
    canonical_revision="v2",
    cluster_id="one",
    locality=Locality("r", "z"),
    services={},
)
BAGGAGE = (
    b"k8s.cluster.name=one,k8s.namespace.name=town,k8s.deployment.name=web,"
    b"service.name=web-app,service.version=v2,cloud.region=r,cloud.availability_zone=z"
)
TRACE = 0x0123456789ABCDEF0123456789ABCDEF_FEDCBA9876543210
V4 = SocketAddress.parse("10.0.0.1:40000")
V6 = SocketAddress.parse("[2001:db8::1]:40000")


def test_a_request_says_where_to_who_and_what_was_called() -> None:
    head = hbone.request("10.0.0.2:80", V4, WEB, trace=TRACE, service="bread.town.svc")
    assert head == (
        (b":method", b"CONNECT"),
        (b":authority", b"10.0.0.2:80"),
        (
            b"baggage",
            BAGGAGE,
        ),
        (b"forwarded", b'for="10.0.0.1:40000";host=bread.town.svc'),
        (b"traceparent", b"00-0123456789abcdef0123456789abcdef-fedcba9876543210-00"),
    )


def test_a_pod_that_was_called_is_no_host_and_ipv6_has_brackets() -> None:
    head = dict(hbone.request("[::2]:80", V6, WEB, trace=TRACE))
    assert head[b"forwarded"] == b'for="[2001:db8::1]:40000"'
    assert b"x-forwarded-network" not in head


def test_only_an_inner_request_names_the_network() -> None:
    head = dict(hbone.request("bread.town:80", V4, WEB, trace=TRACE, network="north"))
    assert head[b"x-forwarded-network"] == b"north"


def test_baggage_is_read_as_it_was_written() -> None:
    read = hbone.caller(hbone.baggage(WEB))
    assert read is not None
    assert hbone.baggage(read) == hbone.baggage(WEB)


@given(st.text())
def test_any_baggage_is_read_or_left(text: str) -> None:
    hbone.caller(text)


def test_baggage_that_says_nothing_is_nobody() -> None:
    assert hbone.caller("") is None
    assert hbone.caller("a,b=,service.name=x") is None


def test_only_a_200_is_let_through() -> None:
    hbone.check_accepted(hbone.accepted(WEB))
    hbone.check_accepted(hbone.accepted(None))
    with pytest.raises(hbone.ConnectRefusedError, match="http status: 401"):
        hbone.check_accepted(hbone.refused(401))
    with pytest.raises(hbone.ConnectRefusedError, match="none"):
        hbone.check_accepted(())


def test_a_waypoint_says_for_whom_it_carries_a_connection() -> None:
    told = hbone.forwarded(V4, by=V6, identity=WEB.identity, service="bread.town.svc")
    assert told == f'for="{V4}";by="{V6}";identity="{WEB.identity}";host=bread.town.svc'
    head = dict(hbone.carry_on("10.0.0.2:80", WEB, told=told, parent=hbone.traceparent(TRACE)))
    assert head[b"forwarded"] == told.encode()
    assert head[b"traceparent"].endswith(b"-00")


def test_a_connection_that_many_share_is_for_nobody() -> None:
    assert hbone.forwarded(None) == ""
    assert b"forwarded" not in dict(hbone.carry_on("10.0.0.2:80", WEB, told="", parent="00-1-1-00"))
