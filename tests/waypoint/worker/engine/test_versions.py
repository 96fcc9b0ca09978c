"""One version of HTTP on this side, another on that; gRPC; content under random pauses."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.model.routes import Retry, RouteRule
from mesh.model.workload import AppProtocol, Port
from mesh.runtime.http.stream import Loss
from mesh.wire.http.messages import RequestHead, ResponseHead, first
from tests.mesh.runtime.http.users import Caller as Asked
from tests.waypoint.worker.engine.stage import Stage, endpoint, to, web
from tests.waypoint.worker.engine.test_exchange import field, status

GRPC = (b"content-type", b"application/grpc")


def stage_of(*, server: bool, speaks: AppProtocol | None = None) -> Stage:
    """`server`: the endpoint speaks HTTP/2."""
    told = speaks or (AppProtocol.HTTP2 if server else AppProtocol.HTTP11)
    stage = Stage(web(Port(80, 8080, told)), endpoint("a"))
    if server:
        stage.in_http2.add("a")
    return stage


@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("server", [False, True])
def test_versions_are_translated(client: bool, server: bool) -> None:
    stage = stage_of(server=server)
    connection = stage.client(is_http2=client)
    for target in ("/one", "/chunked?two"):
        asked = stage.send(connection, target, "POST", [(b"x-a", b"1")], b"x" * 100_000)
        stage.run()
        assert status(asked) == 200
        assert asked.content == b"x" * 100_000
        assert asked.is_whole
    assert (b"x-trailer", b"there") in asked.trailers
    head = stage.server("a").requests[0].head
    assert (head.authority, head.target) == (b"web", b"/one")
    assert head.version == (20 if server else 11)
    assert not stage.bugs
    assert len(stage.opened) == 1


def test_many_requests_share_a_connection_of_http2() -> None:
    stage = stage_of(server=True)
    stage.server("a").echoes = False
    connection = stage.client(is_http2=True)
    asked = [stage.send(connection, f"/{number}") for number in range(50)]
    stage.run()
    assert stage.opened == [("a", 8080)]
    for served in reversed(stage.server("a").requests):
        served.reply(content=served.head.target)
    stage.run()
    assert [bytes(one.content) for one in asked] == [b"/%d" % number for number in range(50)]


def test_more_requests_than_a_connection_takes_get_another_one() -> None:
    stage = stage_of(server=True)
    stage.server("a").echoes = False
    connections = [stage.client(is_http2=True) for _ in range(3)]
    asked = [stage.send(connection) for connection in connections for _ in range(100)]
    stage.run()
    assert 2 <= len(stage.opened) <= 3
    for served in list(stage.server("a").requests):
        served.reply()
    stage.run()
    for served in stage.server("a").requests[len(asked) :]:
        served.reply()
    stage.run()
    assert [status(one) for one in asked] == [200] * 300


def test_where_nobody_said_what_is_spoken_the_clients_version_is_used() -> None:
    stage = stage_of(server=True, speaks=AppProtocol.UNKNOWN)
    asked = stage.send(stage.client(is_http2=True))
    stage.run()
    assert (status(asked), stage.versions) == (200, [True])


def test_grpc_goes_by_http2_whatever_the_port_says_with_its_trailers() -> None:
    stage = stage_of(server=True, speaks=AppProtocol.HTTP11)
    stage.server("a").echoes = False
    asked = stage.send(stage.client(is_http2=True), "/s/M", "POST", [GRPC], b"\0\0\0\0\0")
    stage.run()
    assert stage.versions == [True]
    served = stage.server("a").requests[0]
    served.stream.answer(ResponseHead(200, [GRPC]))
    served.stream.send(b"\0\0\0\0\0")
    served.stream.finish([(b"grpc-status", b"5"), (b"grpc-message", b"none")])
    stage.run()
    assert asked.trailers == [(b"grpc-status", b"5"), (b"grpc-message", b"none")]
    ((_, labels, _),) = stage.context.metrics.rows()
    assert labels[-5:-1] == ("grpc", "200", "5", "-")


def test_a_call_in_both_directions_flows_as_it_comes() -> None:
    stage = stage_of(server=True)
    stage.server("a").echoes = False
    connection = stage.client(is_http2=True)
    asked = Asked()
    head = RequestHead(b"POST", b"/s/Talk", b"web", [GRPC], version=20)
    asked.stream = connection.open(head, asked, end=False)
    stage.run()
    served = stage.server("a").requests[0]
    served.stream.answer(ResponseHead(200, [GRPC]))
    for number in range(5):
        asked.stream.send(b"ask%d" % number)
        stage.run()
        assert served.content.endswith(b"ask%d" % number)
        served.stream.send(b"say%d" % number)
        stage.run()
        assert asked.content.endswith(b"say%d" % number)
    asked.stream.finish([])
    stage.run()
    assert served.is_whole
    served.stream.finish([(b"grpc-status", b"0")])
    stage.run()
    assert asked.is_whole
    assert not stage.context.live


def test_a_server_that_ends_a_call_early_ends_it_for_the_client() -> None:
    stage = stage_of(server=True)
    stage.server("a").echoes = False
    asked = Asked()
    head = RequestHead(b"POST", b"/s/Talk", b"web", [GRPC], version=20)
    asked.stream = stage.client(is_http2=True).open(head, asked, end=False)
    asked.stream.send(b"begun")
    stage.run()
    stage.server("a").requests[0].stream.answer(
        ResponseHead(200, [GRPC, (b"grpc-status", b"3")]), end=True
    )
    stage.run()
    assert field(asked, b"grpc-status") == b"3"
    assert asked.is_whole
    assert not stage.context.live
    assert not stage.bugs


def test_one_reset_stream_leaves_the_others_of_its_connection() -> None:
    stage = stage_of(server=True)
    stage.server("a").echoes = False
    connection = stage.client(is_http2=True)
    one, other = stage.send(connection, "/1"), stage.send(connection, "/2")
    stage.run()
    stage.server("a").requests[0].stream.answer(ResponseHead(200, [], 100))
    stage.run()
    stage.server("a").requests[0].stream.reset()
    stage.server("a").requests[1].reply()
    stage.run()
    assert one.loss is Loss.RESET
    assert status(other) == 200


def test_a_client_that_resets_its_stream_resets_only_that_request() -> None:
    stage = stage_of(server=True)
    stage.server("a").echoes = False
    connection = stage.client(is_http2=True)
    one, other = stage.send(connection, "/1"), stage.send(connection, "/2")
    stage.run()
    assert one.stream is not None
    one.stream.reset()
    stage.run()
    assert stage.server("a").requests[0].lost_with is not None
    stage.server("a").requests[1].reply()
    stage.run()
    assert status(other) == 200


def test_a_connection_that_the_endpoint_leaves_is_replaced_for_what_it_has_not_seen() -> None:
    stage = stage_of(server=True)
    stage.server("a").echoes = False
    connection = stage.client(is_http2=True)
    asked = stage.send(connection, "/1")
    stage.run()
    stage.server("a").requests[0].reply()
    stage.run()
    wire = stage.wires[1]
    wire.left.on_its_way.clear()
    late = stage.send(connection, "/2", "POST", content=b"x")
    while stage.round_end:
        stage.round_end.popleft()()
    stage.wires[0].left.deliver(1 << 20)
    # GOAWAY: nothing after the first stream was processed.
    wire.left.on_its_way.clear()
    wire.right.write(bytes.fromhex("0000080700000000000000000100000000"))
    stage.run()
    assert status(asked) == 200
    assert len(stage.opened) == 2
    stage.server("a").requests[-1].reply()
    stage.run()
    assert status(late) == 200


# Content, however it is cut and whoever is slow.


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    client=st.booleans(),
    server=st.booleans(),
    up=st.integers(0, 400_000),
    retries=st.booleans(),
)
def test_content_arrives_whole_whatever_the_pauses(
    seed: int, client: bool, server: bool, up: int, retries: bool
) -> None:
    chance = random.Random(seed)
    stage = stage_of(server=server)
    retry = Retry(attempts=3, codes=(503,), backoff_s=0.01) if retries else None
    stage.route(RouteRule(backends=(to(),), retry=retry))
    payload = chance.randbytes(up)
    asked = Asked()
    head = RequestHead(b"POST", b"/chunked", b"web", [], version=20 if client else 11)
    asked.stream = stage.client(is_http2=client).open(head, asked, end=False)
    at = 0
    has_ended = False
    for _ in range(20_000):
        for wire in stage.wires:
            wire.step = chance.choice([1, 100, 5_000, 100_000])
        if not asked.stream.is_full and not has_ended:
            size = chance.randint(1, 60_000)
            if at < len(payload):
                asked.stream.send(payload[at : at + size])
                at += size
            else:
                asked.stream.finish([])
                has_ended = True
        _move(stage, chance)
        if asked.is_whole:
            break
    stage.run()
    assert asked.answer is not None
    assert asked.answer.status == 200
    assert bytes(asked.content) == payload
    assert first(asked.trailers, b"x-trailer") == b"there"
    assert not stage.context.live
    assert not stage.bugs
    load = stage.context.destinations.of_service("shop/web", 80).load
    assert (load.requests, load.pending, load.retries) == (0, 0, 0)


def _move(stage: Stage, chance: random.Random) -> None:
    while stage.round_end:
        stage.round_end.popleft()()
    for wire in stage.wires:
        for end in (wire.left, wire.right):
            if chance.random() < 0.6:
                end.deliver(wire.step)
