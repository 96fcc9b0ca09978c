"""Endpoints, their connections, and how much they may carry."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from mesh.model.routes import RouteRule, ServiceTraffic
from mesh.model.workload import BalanceMode, WorkloadStatus
from mesh.observe import request_metrics
from mesh.routing.balance import Endpoint
from mesh.routing.waypoint import Called
from tests.mesh.worlds import service
from tests.waypoint.worker.engine.stage import WEB, Stage, endpoint, to, web
from tests.waypoint.worker.engine.test_exchange import status
from waypoint.worker.engine import health
from waypoint.worker.engine.destination import Destination, Found


def test_of_two_endpoints_the_one_with_fewer_requests_is_chosen() -> None:
    stage = Stage(web(), endpoint("a"), endpoint("b"))
    stage.server("a").echoes = stage.server("b").echoes = False
    for _ in range(10):
        stage.get()
    assert len(stage.server("a").requests) == len(stage.server("b").requests) == 5


def test_requests_take_turns_when_the_rule_says_so() -> None:
    stage = Stage(web(), *(endpoint(name) for name in "abc"))
    stage.limit(balance="ROUND_ROBIN")
    for _ in range(9):
        stage.get()
    assert {name: len(server.requests) for name, server in stage.servers.items()} == {
        "a": 3,
        "b": 3,
        "c": 3,
    }


@pytest.mark.parametrize("balance", ["LEAST_REQUEST", "RANDOM", "ROUND_ROBIN"])
def test_capacity_counts(balance: str) -> None:
    stage = Stage(web(), endpoint("a", capacity=3), endpoint("b"), endpoint("c", capacity=0))
    stage.limit(balance=balance)
    drawn = Counter[str]()
    destination = stage.context.destinations.of_service(WEB, 80)
    for _ in range(400):
        target = destination.choose(stage.context.random, stage.now)
        assert target is not None
        target.active += 1
        drawn[target.endpoint.workload.name] += 1
    assert 240 < drawn["a"] < 360
    assert "c" not in drawn


def test_an_endpoint_that_comes_or_goes_is_noticed_with_the_next_request() -> None:
    stage = Stage(web())
    assert status(stage.get()) == 503
    stage.apply(endpoint("a"))
    assert status(stage.get()) == 200
    stage.apply(endpoint("a", status=WorkloadStatus.UNHEALTHY))
    assert status(stage.get()) == 503
    stage.apply(endpoint("a"))
    assert status(stage.get()) == 200


def test_an_endpoint_with_a_new_address_gets_new_connections_and_old_requests_go_on() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.server("a").echoes = False
    asked = stage.get()
    moved = endpoint("a")
    other = type(moved)(**{**_fields(moved), "addresses": (b"\x0a\x01\x00\x63",)})
    stage.apply(other)
    second = stage.get()
    assert stage.opened == [("a", 8080), ("a", 8080)]
    for served in list(stage.server("a").requests):
        served.reply()
    stage.run()
    assert status(asked) == status(second) == 200
    # The old connection is not kept for anybody.
    stage.get()
    assert len(stage.opened) == 2


def _fields(workload: object) -> dict[str, object]:
    return {name: getattr(workload, name) for name in type(workload).__slots__}  # type: ignore[attr-defined] - a dataclass


def test_a_removed_endpoints_idle_connections_are_closed_at_once() -> None:
    stage = Stage(web(), endpoint("a"), endpoint("b"))
    for _ in range(8):
        stage.get()
    stage.apply(removed=("Kubernetes//Pod/shop/a",))
    stage.run()
    assert stage.server("a").closings == [None]
    assert status(stage.get()) == 200


def test_an_idle_connection_is_closed_in_time() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.limit(idle_s=30)
    stage.get()
    destinations = stage.context.destinations
    for _ in range(29):
        destinations.sweep(1, stage.now)
    stage.run()
    assert not stage.server("a").closings
    destinations.sweep(1, stage.now)
    stage.run()
    assert stage.server("a").closings == [None]
    assert destinations.of_service(WEB, 80).load.connections == 0


def test_what_leads_to_who_is_no_endpoint_any_more_is_closed_without_a_request() -> None:
    stage = Stage(web(), endpoint("a"), endpoint("b"))
    stage.get()
    name = stage.opened[0][0]
    stage.apply(endpoint(name, status=WorkloadStatus.UNHEALTHY))
    stage.context.destinations.sweep(1, stage.now)
    stage.run()
    assert stage.server(name).closings == [None]


def test_a_destination_is_the_same_one_each_time_even_without_endpoints() -> None:
    stage = Stage(web())
    destinations = stage.context.destinations
    assert destinations.of_service(WEB, 80) is destinations.of_service(WEB, 80)
    assert destinations.of_workload("u", 80) is destinations.of_workload("u", 80)


def test_a_service_that_is_gone_is_forgotten() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.get()
    stage.apply(removed=("shop/web", "Kubernetes//Pod/shop/a"))
    stage.context.destinations.sweep(1, stage.now)
    assert len(stage.context.destinations) == 0


def test_a_service_may_leave_the_address_to_its_callers() -> None:
    anywhere = service("web", "10.9.0.0/16", mode=BalanceMode.PASSTHROUGH)
    stage = Stage(anywhere)
    assert status(stage.get()) == 200
    assert stage.opened == [("10.9.0.1", 80)]


# Limits.


def test_more_requests_than_may_be_under_way_are_503() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.limit(max_requests=1)
    stage.server("a").echoes = False
    first_one, second = stage.get(), stage.get()
    assert (status(second), second.content) == (503, b"http_overflow\n")
    stage.server("a").requests[0].reply()
    stage.run()
    assert status(first_one) == 200
    assert stage.context.metrics.event_count(request_metrics.OVERFLOWED, WEB) == 1


def test_more_connections_than_may_be_are_waited_for_and_more_waiting_than_may_is_503() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.limit(max_connections=1, max_pending=1)
    stage.server("a").echoes = False
    first_one, second, third = stage.get(), stage.get(), stage.get()
    assert second.answer is None
    assert (status(third), third.content) == (503, b"http_overflow\n")
    assert stage.opened == [("a", 8080)]
    stage.server("a").requests[0].reply()
    stage.run()
    assert status(first_one) == 200
    stage.server("a").requests[1].reply()
    stage.run()
    assert status(second) == 200
    load = stage.context.destinations.of_service(WEB, 80).load
    assert (load.pending, load.requests, load.connections) == (0, 0, 1)


def test_each_endpoint_may_have_one_connection_whatever_the_limit() -> None:
    stage = Stage(web(), endpoint("a"), endpoint("b"))
    stage.limit(max_connections=1, balance="ROUND_ROBIN")
    assert [status(stage.get()) for _ in range(4)] == [200] * 4


def test_a_connection_carries_only_so_many_requests() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.limit(max_requests_per_connection=2)
    assert [status(stage.get()) for _ in range(5)] == [200] * 5
    assert len(stage.opened) == 3
    assert stage.server("a").closings == [None, None]


def test_a_connection_that_does_not_come_about_in_time_is_given_up() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.limit(connect_s=2)
    stage.is_slow = True
    asked = stage.get()
    stage.wait(1.9)
    assert asked.answer is None
    stage.wait(0.2)
    assert (status(asked), asked.content) == (503, b"http_connect_timeout\n")
    assert stage.handles[0].is_cancelled


def test_who_waits_is_served_in_order_when_connections_come() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.is_slow = True
    asked = [stage.get(f"/{number}") for number in range(3)]
    assert len(stage.opened) == 3
    stage.is_slow = False
    stage.let_in()
    stage.run()
    assert [status(one) for one in asked] == [200] * 3
    assert [one.head.target for one in stage.server("a").requests] == [b"/0", b"/1", b"/2"]


def test_a_client_that_leaves_while_it_waits_leaves_a_connection_for_the_next() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.is_slow = True
    asked = stage.get()
    assert asked.stream is not None
    asked.stream.reset()
    stage.run()
    stage.is_slow = False
    stage.let_in()
    assert status(stage.get()) == 200
    assert len(stage.opened) == 1


# Conduct.


def watched(*names: str, **limits: object) -> Stage:
    stage = Stage(web(), *map(endpoint, names))
    for name in names:
        stage.server(name).echoes = False
    fields = {"consecutive_errors": 2, "max_ejected_percent": 50, "balance": "ROUND_ROBIN"}
    stage.limit(**{**fields, **limits})
    return stage


def answer(stage: Stage, number: int, bad: str, code: int = 500) -> None:
    """So many requests, of which one endpoint's fail."""
    for _ in range(number):
        stage.get()
        for name, server in stage.servers.items():
            for served in server.requests:
                if served.lost_with is None and not getattr(served, "told", False):
                    served.told = True  # type: ignore[attr-defined] - the test's own mark
                    served.reply(code if name == bad else 200)
        stage.run()


def count(stage: Stage, name: str) -> int:
    return len(stage.server(name).requests)


def test_an_endpoint_that_keeps_failing_is_set_aside_for_a_while_longer_each_time() -> None:
    stage = watched("a", "b", ejection_s=30, ejection_interval_s=1000)
    answer(stage, 4, "a")
    before = count(stage, "a")
    answer(stage, 6, "a")
    assert count(stage, "a") == before
    assert stage.context.metrics.event_count(request_metrics.EJECTED, WEB) == 1
    stage.wait(31)
    answer(stage, 6, "a")
    assert count(stage, "a") == before + 2
    stage.wait(31)
    answer(stage, 4, "a")
    assert count(stage, "a") == before + 2
    stage.wait(31)
    answer(stage, 4, "b")
    assert count(stage, "a") > before + 2


def test_a_good_answer_begins_the_count_anew() -> None:
    stage = watched("a", "b")
    for _ in range(3):
        answer(stage, 2, "a")
        answer(stage, 2, "nobody")
    assert stage.context.destinations.of_service(WEB, 80).aside == 0


def test_the_last_endpoint_is_never_set_aside() -> None:
    stage = watched("a", max_ejected_percent=100)
    answer(stage, 5, "a")
    assert count(stage, "a") == 5


def test_gateway_errors_have_a_count_of_their_own() -> None:
    stage = watched("a", "b", consecutive_errors=0, consecutive_gateway_errors=2)
    answer(stage, 6, "a", 500)
    assert stage.context.destinations.of_service(WEB, 80).aside == 0
    answer(stage, 6, "a", 503)
    assert stage.context.destinations.of_service(WEB, 80).aside == 1


def test_an_endpoint_that_cannot_be_reached_is_set_aside_too() -> None:
    stage = watched("a", "b")
    stage.refuses.add("a")
    for _ in range(4):
        stage.get()
    assert stage.context.destinations.of_service(WEB, 80).aside == 1


def test_nobody_is_left_out_when_too_few_would_be_left() -> None:
    stage = watched("a", "b", min_healthy_percent=80)
    answer(stage, 4, "a")
    before = count(stage, "a")
    answer(stage, 4, "nobody")
    assert count(stage, "a") == before + 2


def test_one_at_least_may_be_set_aside_and_no_more_than_the_share() -> None:
    ten = ServiceTraffic(namespace="", name="", service="", max_ejected_percent=10)
    assert health.may_set_aside(0, 3, ten)
    assert not health.may_set_aside(1, 3, ten)
    assert health.may_set_aside(1, 20, ten)
    assert not health.may_set_aside(2, 20, ten)
    assert not health.may_set_aside(0, 1, ten)


def test_good_conduct_shortens_the_next_time_aside() -> None:
    traffic = ServiceTraffic(
        namespace="", name="", service="", ejection_s=30, ejection_interval_s=10
    )
    conduct = health.Conduct()
    assert conduct.set_aside(traffic, 0) == 30
    assert conduct.set_aside(traffic, 31) == 31 + 60
    assert conduct.set_aside(traffic, 200) == 200 + 30


def test_a_large_destination_is_drawn_from_without_looking_at_all_of_it() -> None:
    endpoints = [Endpoint(endpoint(f"p{number}", uid=f"u{number}"), 80) for number in range(50)]
    stage = Stage(web())
    found = Found(None, web().ports[0].app_protocol, endpoints)
    destination = Destination(
        ("x", 80), lambda: found, stage.means, ServiceTraffic(namespace="", name="", service="")
    )
    drawn = {id(destination.choose(Random(seed), 0)) for seed in range(300)}
    assert len(drawn) > 40


def test_retries_do_not_go_to_the_endpoint_that_has_failed() -> None:
    stage = Stage(web(), endpoint("a"), endpoint("b"))
    stage.route(RouteRule(backends=(to(),)))
    destination = stage.context.destinations.of_service(WEB, 80)
    avoided = destination.choose(Random(1), 0)
    assert avoided is not None
    for seed in range(50):
        assert destination.choose(Random(seed), 0, (avoided,)) is not avoided


def test_retries_go_to_no_endpoint_that_has_failed_while_there_is_another() -> None:
    stage = Stage(web(), endpoint("a"), endpoint("b"), endpoint("c"))
    destination = stage.context.destinations.of_service(WEB, 80)
    one = destination.choose(Random(1), 0)
    assert one is not None
    two = destination.choose(Random(1), 0, (one,))
    assert two is not None
    for seed in range(50):
        third = destination.choose(Random(seed), 0, (one, two))
        assert third is not None
        assert third not in {one, two}
        assert destination.choose(Random(seed), 0, (one, third, two)) is not two


def test_ports_of_a_workload_that_were_tried_once_are_not_kept() -> None:
    stage = Stage(web(), endpoint("a"))
    destinations = stage.context.destinations
    stage.refuses.add("a")
    workload = endpoint("a")
    called = Called(service=None, workload=workload, port=1, address=None)
    for port in range(1, 50):
        peer = stage.peer()
        peer.called = replace(called, port=port)
        stage.get(peer=peer)
    assert len(destinations) == 49
    destinations.sweep(1.0, stage.now)
    assert len(destinations) == 0
