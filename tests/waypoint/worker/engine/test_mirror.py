"""Copies of requests: they go their own way, and disturb nothing."""

from mesh.model.routes import Filters, Mirror, RouteRule
from mesh.observe import request_metrics
from mesh.wire.http.messages import RequestHead, first
from tests.mesh.runtime.http.users import Caller as Asked
from tests.mesh.worlds import service
from tests.waypoint.worker.engine.stage import Stage, endpoint, to, web
from tests.waypoint.worker.engine.test_exchange import status, sweep
from waypoint.worker.engine.mirror import MIRROR_OCTETS

COPY = "shop/copy"


def mirrored(*mirrors: Mirror) -> Stage:
    stage = Stage(web(), endpoint("a"), service("copy"), endpoint("m", serves=COPY))
    filters = Filters(mirrors=mirrors or (Mirror(service=COPY, port=80),))
    stage.route(RouteRule(filters=filters, backends=(to(),)))
    return stage


def dropped(stage: Stage) -> int:
    return stage.context.metrics.event_count(request_metrics.MIRROR_DROPPED, COPY)


def test_a_copy_is_the_request_and_its_answer_goes_nowhere() -> None:
    stage = mirrored()
    stage.server("m").echoes = False
    asked = stage.get("/x", method="POST", fields=[(b"x-a", b"1")], content=b"some")
    assert (status(asked), asked.content) == (200, b"some")
    copy = stage.server("m").requests[0]
    assert (copy.head.target, copy.content, copy.is_whole) == (b"/x", b"some", True)
    assert first(copy.head.fields, b"x-a") == b"1"
    copy.reply(500, b"who cares")
    stage.run()
    assert not stage.context.live
    assert dropped(stage) == 0


def test_several_copies_go_to_several_backends() -> None:
    stage = mirrored(Mirror(service=COPY, port=80), Mirror(service="shop/web", port=80))
    stage.get()
    assert len(stage.server("m").requests) == 1
    assert len(stage.server("a").requests) == 2


def test_a_share_of_the_requests_is_copied() -> None:
    stage = mirrored(Mirror(service=COPY, port=80, numerator=1, denominator=4))
    for _ in range(200):
        stage.get()
    assert 30 < len(stage.server("m").requests) < 75


def test_a_copy_that_cannot_be_sent_is_dropped_and_counted() -> None:
    stage = mirrored()
    stage.refuses.add("m")
    assert status(stage.get()) == 200
    assert dropped(stage) == 1


def test_a_copy_to_nowhere_is_dropped_and_counted() -> None:
    stage = mirrored(Mirror(service="shop/none", port=80))
    assert status(stage.get()) == 200
    assert stage.context.metrics.event_count(request_metrics.MIRROR_DROPPED, "shop/none") == 1


def test_a_copy_whose_backend_does_not_read_is_dropped_and_the_request_is_not_slowed() -> None:
    stage = mirrored()
    stage.server("m").credits_late = True
    stage.server("m").echoes = False
    size = 2 * MIRROR_OCTETS + 600_000
    asked = stage.get(method="POST", content=b"x" * size)
    assert len(asked.content) == size
    assert dropped(stage) == 1
    assert stage.server("m").requests[0].lost_with is not None


def test_a_copy_that_has_no_connection_yet_keeps_what_comes() -> None:
    stage = mirrored()
    stage.get()  # the request has a connection, the copy has none
    stage.apply(removed=("Kubernetes//Pod/shop/m",))
    stage.apply(endpoint("n", serves=COPY))
    stage.is_slow = True
    asked = stage.get(method="POST", content=b"y" * 1000)
    assert status(asked) == 200
    stage.is_slow = False
    stage.let_in()
    stage.run()
    assert stage.server("n").requests[0].content == b"y" * 1000


def test_a_copy_of_a_request_that_breaks_off_breaks_off() -> None:
    stage = mirrored()
    client = stage.client()
    asked = Asked()
    asked.stream = client.open(RequestHead(b"POST", b"/", b"web", [], length=10), asked, end=False)
    asked.stream.send(b"some")
    stage.run()
    asked.stream.reset()
    stage.run()
    assert stage.server("m").requests[0].lost_with is not None
    assert not stage.context.live


def test_a_copy_that_is_never_answered_is_given_up() -> None:
    stage = mirrored()
    stage.server("m").echoes = False
    assert status(stage.get()) == 200
    sweep(stage, 62)
    assert stage.server("m").requests[0].lost_with is not None
    assert not stage.context.live


def test_a_bug_in_a_copy_is_told_and_harms_nobody() -> None:
    stage = mirrored()
    stage.context.destinations.of_service(COPY, 80)._find = lambda: 1 // 0
    assert status(stage.get()) == 200
    assert len(stage.bugs) == 1
