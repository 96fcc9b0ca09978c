"""Whether a request may pass, by the word of somebody else: no word, no way."""

import pytest

from mesh.model.routes import Cors, ExternalAuth, Filters, RouteRule
from mesh.model.workload import AppProtocol, Port
from mesh.proto import external_auth_pb2 as messages
from mesh.wire.http.messages import ResponseHead, first
from tests.mesh.runtime.http.users import Served
from tests.mesh.worlds import service
from tests.waypoint.worker.engine.stage import Stage, endpoint, to, web
from tests.waypoint.worker.engine.test_exchange import field, status

GUARD = "shop/guard"
ANY = AppProtocol.HTTP11


def guarded(**fields: object) -> Stage:
    guard = service("guard", ports=(Port(80, 8080, ANY),))
    stage = Stage(web(), endpoint("a"), guard, endpoint("g", serves=GUARD))
    stage.server("g").echoes = False
    auth = ExternalAuth(**{"is_grpc": True, "service": GUARD, "port": 80, **fields})
    stage.route(RouteRule(filters=Filters(external_auth=auth), backends=(to(),)))
    return stage


def asked_of(stage: Stage, number: int = 0) -> messages.AttributeContext:
    """What the authoriser was asked."""
    content = bytes(stage.server("g").requests[number].content)
    assert content[0] == 0
    assert int.from_bytes(content[1:5], "big") == len(content) - 5
    return messages.CheckRequest.FromString(content[5:]).attributes


def say(stage: Stage, answer: messages.CheckResponse, number: int = 0) -> None:
    """Answer as a gRPC server does (by HTTP/1.1, which makes no difference here)."""
    octets = answer.SerializeToString()
    stream = stage.server("g").requests[number].stream
    stream.answer(ResponseHead(200, [(b"content-type", b"application/grpc")]))
    stream.send(b"\0" + len(octets).to_bytes(4, "big") + octets)
    stream.finish([(b"grpc-status", b"0")])
    stage.run()


def yes(**fields: object) -> messages.CheckResponse:
    return messages.CheckResponse(ok_response=messages.OkHttpResponse(**fields))


def header(name: str, value: str, *, append: bool = False) -> messages.HeaderValueOption:
    option = messages.HeaderValueOption(header=messages.HeaderValue(key=name, value=value))
    option.append.value = append
    return option


def no(status: int = 0, **fields: object) -> messages.CheckResponse:
    denied = messages.DeniedHttpResponse(status=messages.HttpStatus(code=status), **fields)
    answer = messages.CheckResponse(denied_response=denied)
    answer.status.code = 7
    return answer


def test_a_request_waits_for_a_yes_and_the_authoriser_is_told_what_it_is_about() -> None:
    stage = guarded()
    asked = stage.get("/x?y=1", method="POST", fields=[(b"cookie", b"c")], content=b"some")
    assert "a" not in stage.servers
    told = asked_of(stage)
    assert told.request.http.method == "POST"
    assert told.request.http.path == "/x?y=1"
    assert told.request.http.host == "web"
    assert told.request.http.headers["cookie"] == "c"
    assert told.request.http.raw_body == b""
    assert told.source.principal == "spiffe://cluster.local/ns/shop/sa/client"
    assert told.source.address.socket_address.address == "10.0.0.1"
    say(stage, yes())
    assert (status(asked), asked.content) == (200, b"some")


def test_a_yes_can_change_the_request_and_the_answer() -> None:
    stage = guarded()
    asked = stage.get(fields=[(b"x-user", b"forged"), (b"x-gone", b"1"), (b"x-more", b"a")])
    say(
        stage,
        yes(
            headers=[header("X-User", "ann"), header("x-more", "b", append=True)],
            headers_to_remove=["x-gone"],
            response_headers_to_add=[header("x-seen", "yes")],
        ),
    )
    fields = stage.server("a").requests[0].head.fields
    assert first(fields, b"x-user") == b"ann"
    assert first(fields, b"x-gone") is None
    assert [value for name, value in fields if name == b"x-more"] in ([b"a", b"b"], [b"a,b"])
    assert field(asked, b"x-seen") == b"yes"


def test_an_authoriser_does_not_say_who_calls() -> None:
    stage = guarded()
    stage.get()
    say(
        stage,
        yes(headers=[header("forwarded", "for=boss"), header("X-Forwarded-Client-Cert", "b")]),
    )
    told = dict(stage.server("a").requests[0].head.fields)
    assert b"boss" not in told[b"forwarded"]
    assert b"x-forwarded-client-cert" not in told


def test_a_no_is_passed_on_as_the_authoriser_words_it() -> None:
    stage = guarded()
    asked = stage.get()
    say(stage, no(401, body="who are you?", headers=[header("www-authenticate", "x")]))
    assert (status(asked), asked.content) == (401, b"who are you?")
    assert field(asked, b"www-authenticate") == b"x"
    assert "a" not in stage.servers


def test_a_no_without_words_is_403() -> None:
    stage = guarded()
    asked = stage.get()
    say(stage, no())
    assert status(asked) == 403


def test_a_grpc_call_is_refused_in_its_own_words() -> None:
    stage = guarded()
    asked = stage.get(method="POST", fields=[(b"content-type", b"application/grpc")], content=b"x")
    say(stage, no(401))
    assert status(asked) == 200
    assert field(asked, b"grpc-status") == b"16"


def reset(stage: Stage) -> None:
    stage.server("g").requests[0].stream.reset()


def garbage(stage: Stage) -> None:
    stage.server("g").requests[0].reply(200, b"garbage")


def too_much(stage: Stage) -> None:
    stage.server("g").requests[0].reply(200, b"x" * 100_000)


def late(stage: Stage) -> None:
    stage.wait(11)


def wrong_status(stage: Stage) -> None:
    stage.server("g").requests[0].reply(500, b"")


def impossible(stage: Stage) -> None:
    parameter = messages.QueryParameter(key="a", value="b")
    say(stage, yes(query_parameters_to_set=[parameter]))


def forged(stage: Stage) -> None:
    say(stage, yes(headers=[header("x-a", "b\r\nx-c: d")]))


def framing(stage: Stage) -> None:
    say(stage, yes(headers=[header("transfer-encoding ", "chunked")]))


@pytest.mark.parametrize(
    "trouble", [reset, garbage, too_much, late, wrong_status, impossible, forged, framing]
)
def test_without_a_usable_answer_nothing_passes(trouble: object) -> None:
    stage = guarded()
    asked = stage.get()
    trouble(stage)  # type: ignore[operator] - one of those above
    stage.run()
    assert (status(asked), asked.content) == (403, b"http_authorizer_failed\n")
    assert "a" not in stage.servers
    assert not stage.context.live
    assert not stage.bugs


def test_an_authoriser_that_is_not_there_lets_nothing_pass() -> None:
    stage = guarded()
    stage.refuses.add("g")
    assert status(stage.get()) == 403
    stage.apply(removed=("Kubernetes//Pod/shop/g",))
    assert status(stage.get()) == 403


def test_one_that_may_fail_open_does() -> None:
    stage = guarded(fails_open=True)
    stage.refuses.add("g")
    assert status(stage.get()) == 200


def test_one_that_cannot_be_asked_is_a_problem_of_the_route() -> None:
    stage = guarded(problem="route_backend_missing")
    assert status(stage.get()) == 500


def test_the_content_is_shown_when_that_is_wanted_and_then_goes_on() -> None:
    stage = guarded(max_body_octets=300_000)
    asked = stage.get(method="POST", content=b"z" * 290_000)
    assert asked_of(stage).request.http.raw_body == b"z" * 290_000
    assert asked_of(stage).request.http.body == "z" * 290_000
    say(stage, yes())
    assert asked.content == b"z" * 290_000


def test_content_that_is_too_large_to_be_shown_is_413() -> None:
    stage = guarded(max_body_octets=1000)
    asked = stage.get(method="POST", content=b"z" * 1001)
    assert status(asked) == 413
    assert "a" not in stage.servers


def test_only_the_fields_that_are_named_are_shown() -> None:
    stage = guarded(request_headers=("x-a",))
    stage.get(fields=[(b"x-a", b"1"), (b"x-b", b"2")])
    headers = asked_of(stage).request.http.headers
    assert headers["x-a"] == "1"
    assert "x-b" not in headers


def test_a_preflight_needs_nobodys_word() -> None:
    stage = guarded()
    auth = ExternalAuth(is_grpc=True, service=GUARD, port=80)
    filters = Filters(external_auth=auth, cors=Cors(origins=("*",)))
    stage.route(RouteRule(filters=filters, backends=(to(),)))
    asked = stage.get(
        method="OPTIONS",
        fields=[(b"origin", b"http://x"), (b"access-control-request-method", b"GET")],
    )
    assert status(asked) == 200
    assert "g" not in stage.servers or not stage.server("g").requests


def test_a_client_that_leaves_meanwhile_takes_the_question_along() -> None:
    stage = guarded()
    asked = stage.get()
    assert asked.stream is not None
    asked.stream.reset()
    stage.run()
    assert stage.server("g").requests[0].lost_with is not None
    assert not stage.context.live


# By HTTP.


def by_http(**fields: object) -> Stage:
    return guarded(is_grpc=False, **fields)


def test_an_http_authoriser_sees_the_request_under_its_own_path() -> None:
    stage = by_http(path="/check", request_headers=("x-a",), response_headers=("x-user",))
    asked = stage.get("/x", fields=[(b"authorization", b"b"), (b"x-a", b"1"), (b"x-b", b"2")])
    question: Served = stage.server("g").requests[0]
    assert (question.head.method, question.head.target) == (b"GET", b"/check/x")
    assert question.head.authority == b"web"
    names = {name for name, _ in question.head.fields}
    assert {b"authorization", b"x-a"} <= names
    assert b"x-b" not in names
    question.reply(200, b"", [(b"x-user", b"ann"), (b"x-other", b"1")])
    stage.run()
    assert status(asked) == 200
    fields = stage.server("a").requests[0].head.fields
    assert first(fields, b"x-user") == b"ann"
    assert first(fields, b"x-other") is None


@pytest.mark.parametrize(("code", "seen"), [(302, 302), (401, 401), (500, 403), (503, 403)])
def test_what_an_http_authoriser_does_not_allow_is_refused(code: int, seen: int) -> None:
    stage = by_http()
    asked = stage.get()
    stage.server("g").requests[0].reply(code, b"no", [(b"location", b"/login")])
    stage.run()
    assert status(asked) == seen
    if code == seen:
        assert asked.content == b"no"
        assert field(asked, b"location") == b"/login"
