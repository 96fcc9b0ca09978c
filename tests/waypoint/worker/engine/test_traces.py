"""What a trace tells of a request, and what those behind the waypoint hear of it."""

from random import Random

import pytest

from mesh.model.routes import (
    Filters,
    Mirror,
    PathMatch,
    PathMatchKind,
    RequestMatch,
    Retry,
    RouteRule,
)
from mesh.model.span import Span, SpanKind
from mesh.observe.sampling import Sampler
from mesh.wire.http.messages import Fields, values
from tests.mesh.worlds import service
from tests.waypoint.worker.engine.stage import Stage, endpoint, to, web
from waypoint.worker.engine.tracing import Tracer

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEARD = (b"traceparent", f"00-{TRACE}-{CALLER}-01".encode())
UNHEARD = (b"traceparent", f"00-{TRACE}-{CALLER}-00".encode())


class Traced(Stage):
    """A stage on which what a sampler wants is traced."""

    def __init__(self, *resources: object, sampler: Sampler | None = None) -> None:
        super().__init__(*(resources or (web(), endpoint("a"))))
        self.spans: list[Span] = []
        self.context.tracer = Tracer(
            sampler or Sampler(),
            Random(3),
            self.context.clock,
            self.context.epoch,
            self.spans.append,
        )

    @property
    def own(self) -> Span:
        """The only request's own span."""
        return next(span for span in self.spans if span.kind is SpanKind.SERVER)

    @property
    def sent(self) -> list[Span]:
        return [span for span in self.spans if span.kind is SpanKind.CLIENT]


def parents(stage: Stage, name: str = "a", number: int = 0) -> list[str]:
    fields: Fields = stage.server(name).requests[number].head.fields
    return [value.decode() for value in values(fields, b"traceparent")]


def states(stage: Stage) -> list[bytes]:
    return list(values(stage.server("a").requests[0].head.fields, b"tracestate"))


def test_without_a_tracer_what_the_caller_says_goes_on_as_it_came() -> None:
    stage = Stage(web(), endpoint("a"))
    stage.get(fields=[(b"traceparent", b"anything"), (b"tracestate", b"x")])
    assert parents(stage) == ["anything"]
    assert states(stage) == [b"x"]


def test_the_endpoint_hears_of_the_sending_and_that_of_the_caller() -> None:
    stage = Traced()
    stage.get("/a/b?secret=1", fields=[HEARD, (b"tracestate", b"v=1"), (b"user-agent", b"curl")])
    own, sent = stage.own, stage.sent[0]
    assert own.trace_id.hex() == sent.trace_id.hex() == TRACE
    assert (own.parent_id.hex(), own.has_remote_parent) == (CALLER, True)
    assert (sent.parent_id, sent.has_remote_parent) == (own.span_id, False)
    assert parents(stage) == [f"00-{TRACE}-{sent.span_id.hex()}-01"]
    assert states(stage) == [b"v=1"]
    assert own.state == sent.state == "v=1"
    assert not any(span.is_error for span in stage.spans)
    told = dict(own.attributes)
    assert told["http.request.method"] == "GET"
    assert told["url.path"] == "/a/b"
    assert told["user_agent.original"] == "curl"
    assert told["http.response.status_code"] == 200
    assert told["network.protocol.version"] == "1.1"
    assert (told["server.address"], told["server.port"]) == ("web", 80)
    assert told["client.address"] == "10.0.0.1"
    assert told["source_principal"] == "spiffe://cluster.local/ns/shop/sa/client"
    assert told["destination_service"] == "web"
    assert told["response_flags"] == "-"
    assert told["http.response.body.size"] == 2
    assert "secret" not in str(own.attributes)
    there = dict(sent.attributes)
    assert (there["network.peer.address"], there["network.peer.port"]) == ("10.1.0.97", 8080)
    assert there["server.address"] == "web"
    assert there["http.response.status_code"] == 200
    assert own.name == sent.name == "web:80/*"


def test_times_are_those_of_the_request() -> None:
    stage = Traced()
    stage.server("a").echoes = False
    asked = stage.send(stage.client())
    stage.run()
    begun = round(stage.context.epoch() * 1e9)
    stage.wait(1.5)
    stage.server("a").requests[0].reply()
    stage.run()
    assert asked.is_whole
    own, sent = stage.own, stage.sent[0]
    assert own.start_ns == begun == sent.start_ns
    assert own.end_ns - own.start_ns == 1_500_000_000
    assert sent.end_ns == own.end_ns


def test_a_trace_without_a_caller_begins_here() -> None:
    stage = Traced()
    stage.get(fields=[(b"traceparent", b"garbage"), (b"tracestate", b"v=1")])
    assert stage.own.parent_id == b""
    assert not stage.own.has_remote_parent
    sent = stage.sent[0]
    assert parents(stage) == [f"00-{sent.trace_id.hex()}-{sent.span_id.hex()}-01"]
    assert states(stage) == []


def test_each_request_has_a_trace_of_its_own() -> None:
    stage = Traced()
    stage.get()
    stage.get()
    assert len({span.trace_id for span in stage.spans}) == 2
    assert len({span.span_id for span in stage.spans}) == 4


def test_what_the_caller_does_not_record_goes_on_as_it_came() -> None:
    stage = Traced()
    stage.get(fields=[UNHEARD, (b"tracestate", b"v=1")])
    assert parents(stage) == [UNHEARD[1].decode()]
    assert states(stage) == [b"v=1"]
    assert not stage.spans


def test_what_nobody_records_is_told_to_those_behind() -> None:
    stage = Traced(sampler=Sampler(0.0))
    stage.get()
    (parent,) = parents(stage)
    assert parent.endswith("-00")
    assert not stage.spans


def test_a_sampler_that_does_not_heed_the_caller_tells_those_behind() -> None:
    stage = Traced(sampler=Sampler(0.0, heeds_parent=False))
    stage.get(fields=[HEARD])
    assert parents(stage) == [UNHEARD[1].decode()]
    assert not stage.spans


def test_a_state_that_cannot_be_read_is_taken_out() -> None:
    stage = Traced()
    stage.get(fields=[HEARD, (b"tracestate", b"no state")])
    assert states(stage) == []
    assert stage.own.trace_id.hex() == TRACE
    assert stage.own.state == ""


def test_each_try_is_a_span() -> None:
    stage = Traced(web(), endpoint("a"))
    stage.route(RouteRule(backends=(to(),), retry=Retry(attempts=2, codes=(503,))))
    stage.server("a").echoes = False
    asked = stage.send(stage.client(), fields=[HEARD])
    stage.run()
    stage.server("a").requests[0].reply(503)
    stage.run()
    stage.wait(1)
    stage.server("a").requests[1].reply(200)
    stage.run()
    assert asked.is_whole
    first, second = stage.sent
    assert parents(stage, number=0) == [f"00-{TRACE}-{first.span_id.hex()}-01"]
    assert parents(stage, number=1) == [f"00-{TRACE}-{second.span_id.hex()}-01"]
    assert (first.is_error, second.is_error) == (True, False)
    assert dict(first.attributes)["error.type"] == "503"
    assert dict(second.attributes)["http.request.resend_count"] == 1
    assert first.end_ns <= second.start_ns
    assert not stage.own.is_error
    assert dict(stage.own.attributes)["route_name"] == "shop/r/0"


def test_a_copy_is_part_of_the_trace() -> None:
    shadow = service("shadow", "10.9.0.2", ports=web().ports)
    stage = Traced(web(), endpoint("a"), shadow, endpoint("b", "shop/shadow"))
    mirror = Mirror(service="shop/shadow", port=80)
    stage.route(RouteRule(backends=(to(),), filters=Filters(mirrors=(mirror,))))
    stage.get(fields=[HEARD])
    assert parents(stage, "b") == [f"00-{TRACE}-{stage.own.span_id.hex()}-01"]
    assert len(stage.sent) == 1


@pytest.mark.parametrize(("status", "is_error"), [(200, False), (404, False), (500, True)])
def test_only_a_servers_faults_are_faults_of_the_request(status: int, is_error: bool) -> None:
    stage = Traced()
    stage.server("a").echoes = False
    stage.send(stage.client())
    stage.run()
    stage.server("a").requests[0].reply(status)
    stage.run()
    assert stage.own.is_error is is_error
    assert stage.sent[0].is_error is (status >= 400)


def test_who_is_not_reached_is_told_with_the_reason() -> None:
    stage = Traced()
    stage.refuses.add("a")
    stage.get()
    assert stage.own.is_error
    assert dict(stage.own.attributes)["http.response.status_code"] == 503
    assert dict(stage.own.attributes)["response_flags"] == "UF"
    assert dict(stage.sent[0].attributes)["error.type"] == "http_endpoint_unreachable"


def test_no_route_is_no_fault_of_the_server() -> None:
    stage = Traced()
    elsewhere = RequestMatch(path=PathMatch(PathMatchKind.PREFIX, "/elsewhere"))
    stage.route(RouteRule(matches=(elsewhere,), backends=(to(),)))
    stage.get()
    assert dict(stage.own.attributes)["http.response.status_code"] == 404
    assert dict(stage.own.attributes)["response_flags"] == "NR"
    assert not stage.own.is_error
    assert not stage.sent


def test_a_client_that_goes_away_leaves_a_span() -> None:
    stage = Traced()
    stage.server("a").echoes = False
    client = stage.client()
    asked = stage.send(client)
    stage.run()
    asked.stream.reset()
    stage.run()
    assert stage.own.is_error
    assert dict(stage.own.attributes)["error.type"] == "http_client_gone"
    assert "http.response.status_code" not in dict(stage.own.attributes)
    assert dict(stage.sent[0].attributes)["error.type"] == "cancelled"


@pytest.mark.parametrize(
    ("said", "own_error", "sent_error"),
    [("0", "", ""), ("5", "", "5"), ("14", "14", "14"), ("junk", "", "junk")],
)
def test_grpcs_status_decides_for_grpc(said: str, own_error: str, sent_error: str) -> None:
    stage = Traced(web(), endpoint("a"))
    stage.server("a").echoes = False
    stage.send(stage.client(), method="POST", fields=[(b"content-type", b"application/grpc")])
    stage.run()
    stage.server("a").requests[0].reply(200, fields=[(b"grpc-status", said.encode())])
    stage.run()
    assert dict(stage.own.attributes).get("error.type", "") == own_error
    assert dict(stage.sent[0].attributes).get("error.type", "") == sent_error
    code = dict(stage.own.attributes).get("rpc.grpc.status_code")
    assert code == (int(said) if said.isdecimal() else None)
    assert dict(stage.own.attributes)["rpc.system"] == "grpc"


def test_what_a_client_writes_is_cut() -> None:
    stage = Traced()
    stage.get("/" + "x" * 5000, fields=[(b"user-agent", b"y" * 5000)])
    told = dict(stage.own.attributes)
    assert len(str(told["url.path"])) == len(str(told["user_agent.original"])) == 1024


def test_a_try_that_takes_too_long_says_so() -> None:
    stage = Traced()
    stage.route(RouteRule(backends=(to(),), attempt_s=1.0, retry=Retry(attempts=1)))
    stage.server("a").echoes = False
    stage.send(stage.client())
    stage.run()
    stage.wait(1.5)
    stage.server("a").requests[1].reply(200)
    stage.run()
    late, answered = stage.sent
    assert dict(late.attributes)["error.type"] == "http_attempt_timeout"
    assert late.end_ns - late.start_ns == 1_000_000_000
    assert not answered.is_error
