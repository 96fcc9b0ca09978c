"""When a request is sent again, and when time is up."""

import math

import pytest

from mesh.model.routes import Retry, RouteRule
from mesh.observe import request_metrics
from mesh.runtime.http.stream import Loss
from mesh.wire.http.messages import RequestHead, ResponseHead, first
from tests.mesh.runtime.http.users import Caller as Asked
from tests.waypoint.worker.engine.stage import WEB, Stage, endpoint, to, web
from tests.waypoint.worker.engine.test_exchange import field, status


def stage_with(*names: str, **rule: object) -> Stage:
    stage = Stage(web(), *map(endpoint, names))
    for name in names:
        stage.server(name).echoes = False
    stage.route(RouteRule(backends=(to(),), **rule))
    return stage


def requests(stage: Stage) -> int:
    return sum(len(server.requests) for server in stage.servers.values())


def last(stage: Stage, name: str = "a") -> object:
    return stage.server(name).requests[-1]


# Retries.


def test_a_status_that_the_route_names_is_tried_again_after_a_wait() -> None:
    stage = stage_with("a", retry=Retry(attempts=2, codes=(503,), backoff_s=0.1))
    asked = stage.get()
    stage.server("a").requests[0].reply(503)
    stage.run()
    assert asked.answer is None
    stage.wait(0.09)
    assert requests(stage) == 1
    stage.wait(0.05)
    assert requests(stage) == 2
    stage.server("a").requests[1].reply(200)
    stage.run()
    assert status(asked) == 200
    assert not stage.bugs


def test_the_last_answer_is_passed_on_when_tries_are_used_up() -> None:
    stage = stage_with("a", retry=Retry(attempts=2, codes=(503,), backoff_s=0.01))
    asked = stage.get()
    for number in range(3):
        stage.server("a").requests[number].reply(503, b"try %d" % number)
        stage.run()
        stage.wait(1)
    assert (status(asked), asked.content) == (503, b"try 2")
    assert requests(stage) == 3


def test_another_status_is_passed_on_at_once() -> None:
    stage = stage_with("a", retry=Retry(codes=(503,)))
    asked = stage.get()
    stage.server("a").requests[0].reply(500)
    stage.run()
    assert status(asked) == 500


def test_a_connection_error_is_tried_again_without_any_code() -> None:
    stage = stage_with("a", retry=Retry(attempts=1, codes=()))
    asked = stage.get()
    stage.server("a").requests[0].stream.reset()
    stage.run()
    stage.wait(1)
    stage.server("a").requests[1].reply()
    stage.run()
    assert status(asked) == 200


def test_an_endpoint_that_cannot_be_reached_is_avoided_the_next_time() -> None:
    stage = stage_with("a", "b", retry=Retry(attempts=1))
    for server in stage.servers.values():
        server.echoes = True
    stage.refuses.add("a")
    answers = [stage.get() for _ in range(10)]
    stage.wait(1)
    assert [status(asked) for asked in answers] == [200] * 10
    assert len(stage.server("b").requests) == 10


def test_waits_grow_and_have_chance_in_them() -> None:
    stage = stage_with("a", retry=Retry(attempts=6, codes=(500,), backoff_s=0.1))
    stage.get()
    waits = []
    for number in range(6):
        stage.server("a").requests[number].reply(500)
        stage.run()
        before = stage.now
        while len(stage.server("a").requests) == number + 1:
            stage.wait(0.005)
        waits.append(stage.now - before)
    for wait, least in zip(waits, (0.1, 0.2, 0.4, 0.8, 1.0, 1.0), strict=True):
        assert least <= wait <= least * 1.25 + 0.01


def test_content_is_sent_again_with_the_request() -> None:
    stage = stage_with("a", retry=Retry(codes=(500,), backoff_s=0.01))
    asked = stage.get(method="POST", content=b"x" * 60_000)
    stage.server("a").requests[0].reply(500)
    stage.run()
    stage.wait(1)
    served = stage.server("a").requests[1]
    assert served.content == b"x" * 60_000
    assert served.is_whole
    served.reply()
    stage.run()
    assert status(asked) == 200


def test_content_that_is_too_large_to_keep_is_not_sent_again() -> None:
    stage = stage_with("a", retry=Retry(codes=(500,), backoff_s=0.01))
    asked = stage.get(method="POST", content=b"x" * 70_000)
    stage.server("a").requests[0].reply(500)
    stage.run()
    assert status(asked) == 500
    assert requests(stage) == 1


def test_nothing_is_tried_again_once_an_answer_has_begun() -> None:
    stage = stage_with("a", retry=Retry(codes=(500,), backoff_s=0.01))
    asked = stage.get()
    served = stage.server("a").requests[0]
    served.stream.answer(ResponseHead(200, [], 10))
    stage.run()
    served.stream.reset()
    stage.run()
    stage.wait(1)
    assert asked.loss is Loss.RESET
    assert requests(stage) == 1


def test_only_so_many_requests_of_a_service_are_tried_again_at_a_time() -> None:
    stage = stage_with("a", retry=Retry(attempts=5, codes=(500,), backoff_s=1))
    stage.limit(max_retries=1)
    first_one, second = stage.get(), stage.get()
    for served in list(stage.server("a").requests):
        served.reply(500)
    stage.run()
    assert first_one.answer is None
    assert status(second) == 500
    assert stage.context.metrics.event_count(request_metrics.RETRY_REFUSED, WEB) == 1
    stage.wait(2)
    stage.server("a").requests[2].reply()
    stage.run()
    assert status(first_one) == 200
    assert stage.context.destinations.of_service(WEB, 80).load.retries == 0


def test_a_client_that_leaves_between_two_tries_ends_them() -> None:
    stage = stage_with("a", retry=Retry(codes=(500,), backoff_s=1))
    asked = stage.get()
    stage.server("a").requests[0].reply(500)
    stage.run()
    assert asked.stream is not None
    asked.stream.reset()
    stage.run()
    stage.wait(5)
    assert requests(stage) == 1
    load = stage.context.destinations.of_service(WEB, 80).load
    assert (load.requests, load.retries, load.pending) == (0, 0, 0)


# Time.


def test_a_request_that_takes_too_long_is_504_and_its_try_is_reset() -> None:
    stage = stage_with("a", request_s=2.0)
    asked = stage.get()
    stage.wait(1.99)
    assert asked.answer is None
    stage.wait(0.02)
    assert (status(asked), asked.content) == (504, b"http_timeout\n")
    assert stage.server("a").requests[0].lost_with is not None


def test_no_time_is_kept_when_a_route_says_zero() -> None:
    stage = stage_with("a", request_s=0.0, attempt_s=0.0)
    asked = stage.get()
    stage.wait(1000)
    assert asked.answer is None
    assert stage.context.timers.next_deadline == math.inf


def test_a_try_that_takes_too_long_is_504() -> None:
    stage = stage_with("a", attempt_s=1.0)
    asked = stage.get()
    stage.wait(1.1)
    assert (status(asked), asked.content) == (504, b"http_attempt_timeout\n")


def test_a_try_that_takes_too_long_is_followed_by_another() -> None:
    stage = stage_with("a", attempt_s=1.0, request_s=10.0, retry=Retry(attempts=1, backoff_s=0.1))
    asked = stage.get()
    stage.wait(1.5)
    assert requests(stage) == 2
    stage.server("a").requests[1].reply()
    stage.run()
    assert status(asked) == 200


def test_the_time_for_all_tries_ends_them_all() -> None:
    stage = stage_with("a", attempt_s=1.0, request_s=2.5, retry=Retry(attempts=9, backoff_s=0.1))
    asked = stage.get()
    stage.wait(2.6)
    assert (status(asked), asked.content) == (504, b"http_timeout\n")
    tried = requests(stage)
    stage.wait(10)
    assert requests(stage) == tried


def test_an_answer_that_has_begun_is_cut_when_time_is_up() -> None:
    stage = stage_with("a", request_s=1.0)
    asked = stage.get()
    stage.server("a").requests[0].stream.answer(ResponseHead(200, [], 10))
    stage.run()
    stage.wait(1.1)
    assert asked.loss is Loss.RESET


def test_what_was_upgraded_may_last() -> None:
    stage = stage_with("a", request_s=1.0, attempt_s=1.0)
    client = stage.client()
    asked = Asked()
    head = RequestHead(b"GET", b"/", b"web", [], upgrade=b"websocket")
    asked.stream = client.open(head, asked, end=True)
    stage.run()
    stage.server("a").requests[0].stream.answer(ResponseHead(101, [], upgrade=b"websocket"))
    stage.run()
    stage.wait(100)
    assert asked.loss is None


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(b"1S", 1.0), (b"250m", 0.25), (b"1M", 60.0), (b"2H", 7200.0), (b"90000u", 0.09)],
)
def test_a_grpc_call_ends_at_its_own_deadline(written: bytes, seconds: float) -> None:
    stage = stage_with("a")
    asked = stage.get(
        "/s/m",
        method="POST",
        fields=[(b"content-type", b"application/grpc"), (b"grpc-timeout", written)],
        content=b"",
    )
    stage.wait(seconds * 0.95)
    assert asked.answer is None
    stage.wait(seconds * 0.1)
    assert field(asked, b"grpc-status") == b"4"


def test_a_deadline_that_makes_no_sense_is_none() -> None:
    stage = stage_with("a")
    stage.get(
        "/s/m",
        method="POST",
        fields=[(b"content-type", b"application/grpc"), (b"grpc-timeout", b"soon")],
        content=b"",
    )
    assert stage.context.timers.next_deadline == math.inf


# What no endpoint has seen.


def test_a_connection_that_had_closed_meanwhile_is_replaced_without_a_word() -> None:
    stage = stage_with("a")
    stage.server("a").echoes = True
    client = stage.client()
    stage.send(client)
    stage.run()
    # The endpoint closes while the next request is on its way.
    asked = stage.send(client)
    while stage.round_end:
        stage.round_end.popleft()()
    stage.wires[0].left.deliver(1 << 20)
    stage.wires[1].left.on_its_way.clear()
    stage.wires[1].right.end()
    stage.run()
    assert status(asked) == 200
    assert stage.opened == [("a", 8080), ("a", 8080)]


def test_a_request_that_may_have_been_obeyed_is_not_sent_again_unasked() -> None:
    stage = stage_with("a")
    stage.server("a").echoes = True
    client = stage.client()
    stage.send(client)
    stage.run()
    asked = stage.send(client, method="POST", content=b"1")
    while stage.round_end:
        stage.round_end.popleft()()
    stage.wires[0].left.deliver(1 << 20)
    stage.wires[1].left.on_its_way.clear()
    stage.wires[1].right.end()
    stage.run()
    assert status(asked) == 503


def test_who_cannot_be_reached_is_replaced_by_another_endpoint_without_a_word() -> None:
    stage = stage_with("a", "b")
    stage.server("a").echoes = stage.server("b").echoes = True
    stage.refuses.add("a")
    assert [status(stage.get()) for _ in range(10)] == [200] * 10
    stage.refuses.add("b")
    stage.apply(removed=("Kubernetes//Pod/shop/b",))
    stage.opened.clear()
    assert status(stage.get()) == 503
    assert stage.opened == [("a", 8080)]


def test_an_endpoint_that_goes_while_it_is_dialled_is_replaced_without_a_word() -> None:
    stage = stage_with("a")
    stage.is_slow = True
    asked = stage.get()
    stage.is_slow = False
    stage.server("b").echoes = True
    stage.apply(endpoint("b"), removed=("Kubernetes//Pod/shop/a",))
    stage.run()
    assert status(asked) == 200
    assert stage.handles[0].is_cancelled
    assert first(stage.server("b").requests[0].head.fields, b"x-request-id")
