"""Requests through the engine: what goes on, what comes back, and what is added on the way."""

import pytest

from mesh.model.routes import (
    Backend,
    Cors,
    Filters,
    HeaderChange,
    PathMatch,
    PathMatchKind,
    PathModifier,
    PathModifierKind,
    Redirect,
    RequestMatch,
    Rewrite,
    RouteRule,
    Session,
    Waypoint,
)
from mesh.model.workload import AppProtocol, Port
from mesh.runtime.http.stream import Loss
from mesh.wire.http.messages import RequestHead, ResponseHead, first
from tests.mesh.runtime.http.users import Caller as Asked
from tests.mesh.worlds import pod, service
from tests.waypoint.worker.engine.stage import CLIENT, Stage, endpoint, to, web
from waypoint.worker.engine import heads
from waypoint.worker.engine.body import Body
from waypoint.worker.engine.context import Settings


def status(asked: Asked) -> int:
    assert asked.answer is not None
    return asked.answer.status


def field(asked: Asked, name: bytes) -> bytes | None:
    assert asked.answer is not None
    return first(asked.answer.fields, name)


# Without routes.


def test_a_request_without_any_route_goes_to_an_endpoint_of_the_service() -> None:
    stage = Stage(web(), endpoint("a"))
    asked = stage.get("/hello?x=1", fields=[(b"x-one", b"1")])
    assert status(asked) == 200
    assert asked.is_whole
    assert asked.content == b"ok"
    assert stage.opened == [("a", 8080)]
    served = stage.server("a").requests[0]
    assert (served.head.method, served.head.target) == (b"GET", b"/hello?x=1")
    assert served.head.authority == b"web"
    assert not stage.bugs


def test_content_goes_both_ways_whole() -> None:
    stage = Stage(web(), endpoint("a"))
    asked = stage.get(method="POST", content=b"x" * 300_000)
    assert asked.content == b"x" * 300_000
    assert asked.is_whole


def test_chunked_content_and_trailers_come_through() -> None:
    stage = Stage(web(), endpoint("a"))
    asked = stage.get("/chunked", method="POST", content=b"some")
    assert asked.content == b"some"
    assert (b"x-trailer", b"there") in asked.trailers


def test_a_connection_to_an_endpoint_is_used_again() -> None:
    stage = Stage(web(), endpoint("a"))
    client = stage.client()
    for _ in range(3):
        stage.send(client)
        stage.run()
    stage.get()
    assert stage.opened == [("a", 8080)]
    assert len(stage.server("a").requests) == 4


def test_without_an_endpoint_the_answer_is_503() -> None:
    stage = Stage(web())
    asked = stage.get()
    assert status(asked) == 503
    assert asked.content == b"http_no_endpoint\n"


def test_a_grpc_call_fails_in_grpcs_own_words() -> None:
    stage = Stage(web())
    asked = stage.get(
        "/pkg.Service/Call",
        method="POST",
        fields=[(b"content-type", b"application/grpc+proto")],
        content=b"",
    )
    assert status(asked) == 200
    assert field(asked, b"grpc-status") == b"14"
    assert not asked.content


def test_connect_is_refused() -> None:
    stage = Stage(web(), endpoint("a"))
    client = stage.client()
    asked = Asked()
    asked.stream = client.open(RequestHead(b"CONNECT", b"", b"web:80"), asked, end=True)
    stage.run()
    assert status(asked) == 501


def test_an_informational_head_is_passed_on() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.server("a").echoes = False
    asked = stage.get()
    served = stage.server("a").requests[0]
    served.stream.answer(ResponseHead(103, [(b"link", b"</x>")]))
    served.reply()
    stage.run()
    assert asked.informed == [103]
    assert status(asked) == 200


def test_a_client_that_waits_for_100_hears_the_endpoints() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.server("a").echoes = False
    asked = Asked()
    head = RequestHead(b"POST", b"/", b"web", [], length=4, expects_continue=True)
    asked.stream = stage.client().open(head, asked, end=False)
    stage.run()
    served = stage.server("a").requests[0]
    assert served.head.expects_continue
    served.stream.answer(ResponseHead(100))
    stage.run()
    assert asked.informed == [100]
    asked.stream.send(b"some")
    asked.stream.finish([])
    stage.run()
    assert served.content == b"some"
    served.reply()
    stage.run()
    assert status(asked) == 200


def test_an_endpoint_can_refuse_before_the_content_is_sent() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.server("a").echoes = False
    asked = Asked()
    head = RequestHead(b"POST", b"/", b"web", [], length=4, expects_continue=True)
    asked.stream = stage.client().open(head, asked, end=False)
    stage.run()
    stage.server("a").requests[0].reply(417, b"")
    stage.run()
    assert status(asked) == 417
    assert asked.is_whole
    assert not stage.context.live


# Who calls.


def test_the_endpoint_is_told_who_calls_and_a_client_cannot_say_it_itself() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.get(
        fields=[
            (b"x-forwarded-client-cert", b"URI=spiffe://cluster.local/ns/shop/sa/boss"),
            (b"forwarded", b'for=1.2.3.4;identity="spiffe://cluster.local/ns/shop/sa/boss"'),
            (b"forwarded", b"for=198.51.100.7"),
        ]
    )
    fields = stage.server("a").requests[0].head.fields
    told = [value for name, value in fields if name == b"forwarded"]
    assert told == [
        b'for=198.51.100.7, for=10.0.0.1;identity="spiffe://cluster.local/ns/shop/sa/client"'
    ]
    assert first(fields, b"x-forwarded-client-cert") is None


CERTIFICATE = b"URI=spiffe://cluster.local/ns/shop/sa/boss"


@pytest.mark.parametrize(
    "said",
    [
        (b"x_forwarded_client_cert", CERTIFICATE),
        (b"x-forwarded_client-cert", CERTIFICATE),
        (b"forwarded", b'for="unfinished'),
        (b"forwarded", b'for="a\\'),
        (b"forwarded", b"for=a identity=b"),
    ],
)
def test_nothing_that_a_client_says_of_itself_stands_beside_our_word_or_swallows_it(
    said: tuple[bytes, bytes],
) -> None:
    stage = Stage(web(), endpoint("a"))
    stage.get(fields=[said])
    fields = stage.server("a").requests[0].head.fields
    own = b'for=10.0.0.1;identity="spiffe://cluster.local/ns/shop/sa/client"'
    telling = [pair for pair in fields if b"forwarded" in pair[0]]
    assert telling == [(b"forwarded", own)]


def test_trailers_say_neither_who_calls_nor_how_long_the_message_is() -> None:
    trailers = [(b"x-end", b"1"), (b"x-forwarded-client-cert", CERTIFICATE), (b"host", b"boss")]
    assert heads.passable(trailers) == [(b"x-end", b"1")]
    body = Body(lambda _: None)
    body.complete(trailers, None)
    assert body.trailers == [(b"x-end", b"1")]


def test_a_client_certificate_is_told_when_the_gateway_says_so() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.context.waypoint = Waypoint(
        namespace="shop", name="waypoint", tells_client_certificate=True
    )
    stage.get()
    shown = first(stage.server("a").requests[0].head.fields, b"x-forwarded-client-cert")
    assert shown == (
        b"By=spiffe://cluster.local/ns/shop/sa/waypoint;"
        b"URI=spiffe://cluster.local/ns/shop/sa/client"
    )


def test_a_request_gets_an_id_and_keeps_the_one_it_has() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.get()
    stage.get(fields=[(b"x-request-id", b"mine")])
    made, kept = (
        first(served.head.fields, b"x-request-id") for served in stage.server("a").requests
    )
    assert made is not None
    assert len(made) == 36
    assert kept == b"mine"


def test_the_path_that_is_matched_is_the_path_that_goes_on() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.get("/a/../%62")
    assert stage.server("a").requests[0].head.target == b"/b"


def test_a_path_with_what_no_path_has_is_refused() -> None:
    stage = Stage(web(), endpoint("a"))
    assert status(stage.get("/a%00b")) == 400


# Routes.


def prefix(path: str) -> tuple[RequestMatch, ...]:
    return (RequestMatch(path=PathMatch(PathMatchKind.PREFIX, path)),)


def test_routes_but_no_match_is_404() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.route(RouteRule(matches=prefix("/v2"), backends=(to(),)))
    assert status(stage.get("/v2/x")) == 200
    assert status(stage.get("/v1")) == 404
    call = [(b"content-type", b"application/grpc")]
    asked = stage.get("/v1", method="POST", fields=call, content=b"")
    assert field(asked, b"grpc-status") == b"12"


def test_a_route_that_changes_is_in_force_for_the_next_request_of_a_connection() -> None:
    stage = Stage(web(), endpoint("a"))
    client = stage.client()
    assert status(_ask(stage, client)) == 200
    stage.route(RouteRule(matches=prefix("/v2"), backends=(to(),)))
    assert status(_ask(stage, client)) == 404
    stage.context.routes.remove("r")
    stage.context.routes_version += 1
    assert status(_ask(stage, client)) == 200


def _ask(stage: Stage, client: object) -> Asked:
    asked = stage.send(client)  # type: ignore[arg-type] - what `client` gave
    stage.run()
    return asked


def test_weights_decide_which_backend_and_a_bad_one_fails_for_its_share() -> None:
    stage = Stage(web(), endpoint("a"), service("new"), endpoint("b", serves="shop/new"))
    stage.route(
        RouteRule(
            backends=(to(weight=50), to("shop/new", weight=30), Backend(problem="bad", weight=20))
        )
    )
    seen = [status(stage.get()) for _ in range(200)]
    one, other = len(stage.server("a").requests), len(stage.server("b").requests)
    assert one + other == seen.count(200)
    assert 70 < one < 130
    assert 35 < other < 85
    assert 20 < seen.count(500) < 65


def test_a_rule_without_a_backend_is_answered_with_500() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.route(RouteRule())
    asked = stage.get()
    assert (status(asked), asked.content) == (500, b"http_no_backend\n")


def test_what_a_filter_cannot_do_is_answered_with_500_and_never_passed_over() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.route(RouteRule(filters=Filters(problem="route_filter_unknown"), backends=(to(),)))
    assert status(stage.get()) == 500
    stage.route(RouteRule(filters=Filters(extensions=("shop/stamp",)), backends=(to(),)))
    assert status(stage.get()) == 500
    assert "a" not in stage.servers


def test_heads_are_changed_by_the_rule_and_then_by_the_backend() -> None:
    stage = Stage(web(), endpoint("a"))
    rule = Filters(
        request_headers=HeaderChange(put=(("x-a", "rule"),), remove=("x-gone",)),
        response_headers=HeaderChange(add=(("x-answer", "rule"),)),
    )
    own = Filters(
        request_headers=HeaderChange(add=(("x-a", "backend"),)),
        response_headers=HeaderChange(put=(("x-answer", "backend"),)),
    )
    stage.route(RouteRule(filters=rule, backends=(to(filters=own),)))
    asked = stage.get(fields=[(b"x-gone", b"1"), (b"x-a", b"client")])
    fields = stage.server("a").requests[0].head.fields
    assert first(fields, b"x-gone") is None
    assert first(fields, b"x-a") == b"rule,backend"
    assert field(asked, b"x-answer") == b"backend,rule"


def test_a_redirect_is_answered_by_the_waypoint() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.route(RouteRule(filters=Filters(redirect=Redirect(hostname="example.org", status=301))))
    asked = stage.get("/x?y")
    assert status(asked) == 301
    assert field(asked, b"location") == b"http://example.org/x?y"


def test_a_rewrite_changes_what_the_backend_is_asked_for() -> None:
    stage = Stage(web(), endpoint("a"))
    path = PathModifier(PathModifierKind.PREFIX, "/new")
    filters = Filters(rewrite=Rewrite(hostname="inner", path=path))
    stage.route(RouteRule(matches=prefix("/old"), filters=filters, backends=(to(),)))
    stage.get("/old/x")
    head = stage.server("a").requests[0].head
    assert (head.authority, head.target) == (b"inner", b"/new/x")


def test_a_preflight_goes_no_further_and_an_answer_tells_the_browser() -> None:
    stage = Stage(web(), endpoint("a"))
    cors = Cors(origins=("https://a.org",), methods=("PUT",))
    stage.route(RouteRule(filters=Filters(cors=cors), backends=(to(),)))
    origin = (b"origin", b"https://a.org")
    asked = stage.get(method="OPTIONS", fields=[origin, (b"access-control-request-method", b"PUT")])
    assert status(asked) == 200
    assert field(asked, b"access-control-allow-methods") == b"PUT"
    assert "a" not in stage.servers
    asked = stage.get(fields=[origin])
    assert field(asked, b"access-control-allow-origin") == b"https://a.org"


def test_a_session_stays_with_its_endpoint_whatever_the_weights_say() -> None:
    stage = Stage(
        web(), *(endpoint(name) for name in "abc"), service("new"), endpoint("d", serves="shop/new")
    )
    session = Session(in_cookie=True, name="s")
    stage.route(RouteRule(backends=(to(weight=1), to("shop/new", weight=0)), session=session))
    first_time = stage.get()
    cookie = field(first_time, b"set-cookie")
    assert cookie is not None
    token = cookie.partition(b";")[0]
    name = next(name for name, server in stage.servers.items() if server.requests)
    for _ in range(6):
        stage.get(fields=[(b"cookie", token)])
    assert len(stage.server(name).requests) == 7
    stage.apply(removed=(f"Kubernetes//Pod/shop/{name}",))
    again = stage.get(fields=[(b"cookie", token)])
    assert status(again) == 200
    assert field(again, b"set-cookie") != cookie


# Endpoints that fail.


def test_an_endpoint_that_cannot_be_reached_is_503() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.refuses.add("a")
    asked = stage.get()
    assert (status(asked), asked.content) == (503, b"http_endpoint_unreachable\n")


def test_an_endpoint_that_resets_before_its_answer_is_503() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.server("a").echoes = False
    asked = stage.get()
    stage.server("a").requests[0].stream.reset()
    stage.run()
    assert (status(asked), asked.content) == (503, b"http_answer_reset\n")


def test_an_endpoint_that_answers_garbage_is_502() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.server("a").echoes = False
    asked = stage.get()
    stage.wires[-1].right.write(b"no such thing\r\n\r\n")
    stage.run()
    assert (status(asked), asked.content) == (502, b"http_answer_invalid\n")


def test_an_endless_head_is_502() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.server("a").echoes = False
    asked = stage.get()
    stage.wires[-1].right.write(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000)
    stage.run()
    assert status(asked) == 502


def test_an_answer_that_is_cut_off_is_cut_off_for_the_client_too() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.server("a").echoes = False
    asked = stage.get()
    served = stage.server("a").requests[0]
    served.stream.answer(ResponseHead(200, [], 100))
    served.stream.send(b"some")
    stage.run()
    served.stream.reset()
    stage.run()
    assert status(asked) == 200
    assert asked.loss is Loss.RESET
    assert not asked.is_whole


def test_an_endpoint_that_says_nothing_is_given_up_with_504() -> None:
    stage = Stage(web(), endpoint("a"), settings=Settings(head_stall_s=10))
    stage.server("a").echoes = False
    asked = stage.get()
    sweep(stage, 9)
    assert asked.answer is None
    sweep(stage, 3)
    assert (status(asked), asked.content) == (504, b"http_answer_stalled\n")


def test_a_client_that_stops_in_its_request_gets_408() -> None:
    stage = Stage(web(), endpoint("a"), settings=Settings(head_stall_s=10))
    client = stage.client()
    asked = Asked()
    head = RequestHead(b"POST", b"/", b"web", [], length=100)
    asked.stream = client.open(head, asked, end=False)
    asked.stream.send(b"some")
    stage.run()
    sweep(stage, 12)
    assert status(asked) == 408


def test_an_answer_that_stalls_is_reset_in_the_end() -> None:
    stage = Stage(web(), endpoint("a"), settings=Settings(body_stall_s=20))
    stage.server("a").echoes = False
    asked = stage.get()
    served = stage.server("a").requests[0]
    served.stream.answer(ResponseHead(200, [], 100))
    served.stream.send(b"some")
    stage.run()
    sweep(stage, 25)
    assert asked.loss is Loss.RESET
    assert served.lost_with is not None


def sweep(stage: Stage, seconds: int) -> None:
    for _ in range(seconds):
        for live in list(stage.context.live):
            live.sweep(1.0)
    stage.run()


def test_a_client_that_leaves_takes_its_request_along() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.server("a").echoes = False
    asked = stage.get()
    served = stage.server("a").requests[0]
    assert asked.stream is not None
    asked.stream.reset()
    stage.run()
    assert served.lost_with is not None
    assert not stage.context.live


def test_a_bug_answers_its_own_request_with_500_and_is_told_once() -> None:
    stage = Stage(web(), endpoint("a"))
    client = stage.client()
    stage.context.epoch = lambda: 1 // 0
    stage.route(RouteRule(backends=(to(),), session=Session(in_cookie=False, name="x-s")))
    asked = stage.send(client)
    stage.run()
    assert (status(asked), asked.content) == (500, b"http_internal_error\n")
    assert len(stage.bugs) == 1
    stage.context.routes.remove("r")
    stage.context.routes_version += 1
    assert status(_ask(stage, client)) == 200


# Slow sides.


def test_an_answer_waits_for_a_client_that_does_not_read() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.server("a").echoes = False
    asked = stage.get()
    served = stage.server("a").requests[0]
    client_wire, server_wire = stage.wires[0], stage.wires[1]
    client_wire.left.user, reader = None, client_wire.left.user
    served.stream.answer(ResponseHead(200, [], 4_000_000))
    while not served.stream.is_full:
        served.stream.send(b"x" * 10_000)
        stage.run()
    kept = len(client_wire.right.on_its_way) + server_wire.left.uncredited
    assert kept < 700_000
    client_wire.left.user = reader
    stage.run()
    assert asked.content


def test_a_request_waits_for_an_endpoint_that_does_not_read() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.server("a").credits_late = True
    stage.server("a").echoes = False
    client = stage.client()
    asked = Asked()
    head = RequestHead(b"POST", b"/", b"web", [], length=4_000_000)
    asked.stream = client.open(head, asked, end=False)
    for _ in range(200):
        if asked.stream.is_full:
            break
        asked.stream.send(b"x" * 20_000)
        stage.run()
    assert asked.stream.is_full
    served = stage.server("a").requests[0]
    assert len(served.content) <= 256 * 1024
    held = len(served.content)
    served.stream.credit(held)
    stage.run()
    assert len(served.content) > held


def test_an_endpoint_is_owed_nothing_for_an_answer_that_is_whole() -> None:
    """Even when the client is full at its end: the connection is used again."""
    stage = Stage(web(), endpoint("a"))
    stage.server("a").echoes = False
    asked = stage.get()
    served = stage.server("a").requests[0]
    client_wire, server_wire = stage.wires[0], stage.wires[1]
    client_wire.left.user, reader = None, client_wire.left.user
    served.stream.answer(ResponseHead(200, [], 200_000))
    served.stream.send(b"x" * 200_000)
    served.stream.finish([])
    stage.run()
    assert client_wire.right.is_full
    client_wire.left.user = reader
    stage.run()
    assert len(asked.content) == 200_000
    assert server_wire.left.uncredited == 0


def test_a_client_is_owed_nothing_for_a_request_that_was_answered_early() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.server("a").credits_late = True
    stage.server("a").echoes = False
    client = stage.client()
    asked = Asked()
    head = RequestHead(b"POST", b"/", b"web", [], length=500_000)
    asked.stream = client.open(head, asked, end=False)
    asked.stream.send(b"x" * 450_000)
    stage.run()
    assert stage.wires[0].right.uncredited > 0
    stage.server("a").requests[0].reply(413)
    stage.run()
    assert stage.wires[0].right.uncredited == 0


# Upgrades.


def test_an_upgraded_connection_carries_octets_both_ways_until_both_end() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.server("a").echoes = False
    client = stage.client()
    asked = Asked()
    head = RequestHead(b"GET", b"/ws", b"web", [(b"sec-websocket-key", b"x")], upgrade=b"websocket")
    asked.stream = client.open(head, asked, end=True)
    stage.run()
    served = stage.server("a").requests[0]
    assert served.head.upgrade == b"websocket"
    served.stream.answer(ResponseHead(101, [], upgrade=b"websocket"))
    stage.run()
    assert status(asked) == 101
    asked.stream.send(b"to the server")
    served.stream.send(b"to the client")
    stage.run()
    assert served.content == b"to the server"
    assert asked.content == b"to the client"
    served.stream.finish([])
    stage.run()
    assert asked.is_whole
    asked.stream.send(b" and more")
    asked.stream.finish([])
    stage.run()
    assert served.content == b"to the server and more"
    assert served.is_whole
    assert not stage.context.live
    assert not stage.bugs


def test_an_endpoint_that_does_not_upgrade_answers_as_usual() -> None:
    stage = Stage(web(), endpoint("a"))
    client = stage.client()
    asked = Asked()
    asked.stream = client.open(
        RequestHead(b"GET", b"/ws", b"web", [], upgrade=b"websocket"), asked, end=True
    )
    stage.run()
    assert status(asked) == 200
    assert asked.content == b"ok"


# What is counted.


def test_each_request_is_counted_with_both_ends() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.get(method="POST", content=b"12345")
    rows = stage.context.metrics.rows()
    ((name, labels, numbers),) = rows
    assert name == "istio_requests"
    assert labels[0] == "waypoint"
    assert {"a", "shop", "web", "200", "http", "mutual_tls"} <= {*labels, "a"}
    assert "spiffe://cluster.local/ns/shop/sa/client" in labels
    assert numbers[0] == 1


@pytest.mark.parametrize(
    ("speaks", "wants"),
    [(AppProtocol.HTTP2, True), (AppProtocol.HTTP11, False), (AppProtocol.UNKNOWN, False)],
)
def test_the_port_says_which_version_the_endpoint_speaks(speaks: AppProtocol, wants: bool) -> None:
    stage = Stage(web(Port(80, 8080, speaks)), endpoint("a"))
    stage.get()
    assert stage.versions == [wants]


def test_a_pods_own_address_is_called_as_it_is() -> None:
    stage = Stage(pod("lone", "10.1.0.7"))
    peer = stage.peer()
    lone = stage.world.workload("Kubernetes//Pod/shop/lone")
    peer.called = type(peer.called)(
        service=None, workload=lone, port=7070, address=peer.called.address
    )
    assert status(stage.get(peer=peer)) == 200
    assert stage.opened == [("lone", 7070)]
    assert CLIENT.name == "client"
