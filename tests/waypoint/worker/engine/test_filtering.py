"""Users' filters on requests and answers; the host is the real one, in this process."""

import json
from collections import deque
from collections.abc import Callable

import pytest

from mesh.model.routes import FilterProgram, Filters, HeaderChange, Mirror, RouteRule
from mesh.runtime.http.stream import Loss
from mesh.wire.http.messages import RequestHead, ResponseHead, first
from mesh.wire.pack import pack, unpack
from tests.mesh.runtime.http.users import Caller as Asked
from tests.mesh.worlds import service
from tests.waypoint.worker.engine.stage import Stage, endpoint, to, web
from tests.waypoint.worker.engine.test_exchange import field, status
from waypoint.filters.failures import FilterFailedError, FilterLostError, FilterNotLoadedError
from waypoint.filters.host import Host
from waypoint.filters.messages import MAX_PIECE_OCTETS, Hook
from waypoint.filters.process import Done, Program, Results
from waypoint.worker.engine.programs import Programs


class InProcess:
    """The host without its process: calls wait until the stage runs, and are answered in order."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.host = Host()
        self.loaded: dict[str, frozenset[Hook]] = {}
        self.calls: deque[tuple[tuple[object, ...], Done]] = deque()
        self.ended: list[int] = []
        self.is_paused = False
        self.is_loading = False
        self.waiters: list[Callable[[], None]] = []
        self.programs: dict[str, Program] = {}

    def load(self, name: str, program: Program) -> None:
        self.programs[name] = program
        answer = self.say(0, "load", name, program.source, dict(program.config))
        assert isinstance(answer, tuple)
        self.loaded[name] = frozenset(Hook(hook) for hook in answer[2])  # type: ignore[union-attr] - a list

    def forget(self, name: str) -> None:
        del self.loaded[name]

    def hooks(self, name: str) -> frozenset[Hook]:
        if name not in self.loaded:
            raise FilterNotLoadedError(name)
        return self.loaded[name]

    def when_loaded(self, name: str, then: Callable[[], None]) -> None:
        if self.is_loading and name in self.programs:
            self.waiters.append(then)
        else:
            then()

    def life(self, name: str) -> object:
        del name
        return self.host

    def restart(self) -> None:
        """Another filter ends the process: all calls are lost."""
        programs, calls, self.calls = self.programs, self.calls, deque()
        self.host = Host()
        for name, program in programs.items():
            self.load(name, program)
        for _, done in calls:
            done(FilterLostError("ended"))

    def call(self, hook: Hook, name: str, request: int, arguments: Results, done: Done) -> None:
        self.hooks(name)
        self.calls.append(((1, hook.value, name, request, *arguments), done))
        self.stage.round_end.append(self.answer)

    def end(self, request: int) -> None:
        self.ended.append(request)

    def answer(self) -> None:
        if self.is_paused or not self.calls:
            return
        message, done = self.calls.popleft()
        try:
            _, _, *results = self.say(*message)
        except Exception as error:  # noqa: BLE001 - whatever a filter raises
            done(FilterFailedError(str(error)))
        else:
            done(tuple(results))

    def resume(self) -> None:
        self.is_paused = False
        while self.calls:
            self.answer()
            self.stage.run()

    def say(self, *message: object) -> tuple[object, ...]:
        """As over the wire."""
        read = unpack(pack(message))
        assert isinstance(read, tuple)
        answer = unpack(pack(self.host.answer(read)))
        assert isinstance(answer, tuple)
        return answer


STAMP = """
from waypoint.filter import Answer, Filter

class Stamp(Filter):
    def request(self, request):
        self.path = request.target
        if request.target == "/tea":
            return Answer(418, body=b"short and stout")
        if request.target == "/raise":
            raise ValueError
        request.headers["x-stamp"] = self.config["word"]
        request.headers.add("x-seen", request.client + " " + request.route)
        request.target = "/changed"

    def response(self, response):
        response.headers["x-path"] = self.path
        response.headers.add("x-order", self.config["word"])
        if response.status == 201:
            response.status = 202
"""

LOUD = """
from waypoint.filter import Filter

class Loud(Filter):
    def request_body(self, piece, *, last):
        return piece.upper() + (b"!" if last else b"")

    def response_body(self, piece, *, last):
        if b"STOP" in piece:
            raise ValueError
        return piece.replace(b"A", b"aa") + (b"?" if last else b"")
"""

STRICT = """
from waypoint.filter import Filter

class Strict(Filter):
    def request(self, request):
        if request.target == "/broken":
            request.headers["x y"] = "z"

    def response(self, response):
        if "x-bad" in response.headers:
            raise ValueError("a secret of the source")
"""


def filtered(*names: str, **fields: object) -> tuple[Stage, InProcess]:
    stage = Stage(web(), endpoint("a"))
    process = InProcess(stage)
    programs = stage.context.programs = Programs(process, stage.context.metrics.note_filter)
    sources = {"stamp": STAMP, "loud": LOUD, "stamp2": STAMP, "strict": STRICT}
    for name in names:
        config = json.dumps({"word": name})
        programs.put(
            FilterProgram(
                namespace="shop", name=name, source=sources[name], config=config, **fields
            )
        )
    filters = Filters(extensions=tuple(f"shop/{name}" for name in names))
    stage.route(RouteRule(filters=filters, backends=(to(),)))
    return stage, process


def test_a_filter_changes_heads_of_requests_and_answers() -> None:
    stage, process = filtered("stamp")
    asked = stage.get("/x")
    head = stage.server("a").requests[0].head
    assert head.target == b"/changed"
    assert first(head.fields, b"x-stamp") == b"stamp"
    assert first(head.fields, b"x-seen") == b"spiffe://cluster.local/ns/shop/sa/client shop/r"
    assert status(asked) == 200
    assert field(asked, b"x-path") == b"/x"
    assert process.ended == [1]
    assert not stage.bugs


def test_a_filter_can_change_the_status() -> None:
    stage, _ = filtered("stamp")
    stage.server("a").echoes = False
    asked = stage.get()
    stage.server("a").requests[0].reply(201)
    stage.run()
    assert status(asked) == 202
    assert asked.content == b"ok"


def test_a_filter_can_answer_by_itself() -> None:
    stage, _ = filtered("stamp")
    asked = stage.get("/tea", method="POST", content=b"some")
    assert (status(asked), asked.content) == (418, b"short and stout")
    assert "a" not in stage.servers


def test_several_run_in_order_and_on_the_answer_in_the_opposite_one() -> None:
    stage, _ = filtered("stamp", "stamp2")
    asked = stage.get("/x")
    head = stage.server("a").requests[0].head
    assert first(head.fields, b"x-stamp") == b"stamp2"
    assert asked.answer is not None
    orders = [value for name, value in asked.answer.fields if name == b"x-order"]
    assert orders == [b"stamp2", b"stamp"]


def test_they_see_what_the_route_has_made_and_it_has_the_last_word_on_answers() -> None:
    stage, _ = filtered("stamp")
    filters = Filters(
        request_headers=HeaderChange(put=(("x-stamp", "route"),)),
        response_headers=HeaderChange(put=(("x-path", "route"),)),
        extensions=("shop/stamp",),
    )
    stage.route(RouteRule(filters=filters, backends=(to(),)))
    asked = stage.get("/x")
    assert first(stage.server("a").requests[0].head.fields, b"x-stamp") == b"stamp"
    assert field(asked, b"x-path") == b"route"


def test_a_backends_own_filter_runs_when_it_is_chosen() -> None:
    stage, _ = filtered("stamp")
    own = Filters(extensions=("shop/stamp",))
    stage.route(RouteRule(backends=(to(filters=own),)))
    stage.get("/x")
    assert stage.server("a").requests[0].head.target == b"/changed"


@pytest.mark.parametrize("size", [1, 100_000, 300_000])
def test_content_is_changed_as_it_streams(size: int) -> None:
    stage, _ = filtered("loud")
    asked = stage.get("/chunked", method="POST", content=b"a" * size)
    served = stage.server("a").requests[0]
    assert served.content == b"A" * size + b"!"
    assert served.head.length is None
    assert asked.content == b"aa" * size + b"!?"
    assert (b"x-trailer", b"there") in asked.trailers
    assert not stage.bugs


def test_an_answer_of_known_length_is_sent_without_it() -> None:
    stage, _ = filtered("loud")
    asked = stage.get()
    assert asked.content == b"ok?"
    assert asked.answer is not None
    assert asked.answer.length is None


def test_a_copy_is_of_what_the_filters_have_made() -> None:
    stage, _ = filtered("loud")
    stage.apply(service("copy"), endpoint("m", serves="shop/copy"))
    filters = Filters(mirrors=(Mirror(service="shop/copy", port=80),), extensions=("shop/loud",))
    stage.route(RouteRule(filters=filters, backends=(to(),)))
    stage.get(method="POST", content=b"abc")
    assert stage.server("m").requests[0].content == b"ABC!"


def test_a_slow_filter_slows_the_client_and_memory_is_bounded() -> None:
    stage, process = filtered("loud")
    client = stage.client()
    asked = Asked()
    head = RequestHead(b"POST", b"/", b"web", [], length=4_000_000)
    asked.stream = client.open(head, asked, end=False)
    stage.run()
    process.is_paused = True
    for _ in range(200):
        if asked.stream.is_full:
            break
        asked.stream.send(b"x" * 20_000)
        stage.run()
    assert asked.stream.is_full
    assert len(process.calls) == 1
    assert len(process.calls[0][0][4]) <= MAX_PIECE_OCTETS
    process.resume()
    stage.run()
    assert not asked.stream.is_full
    assert set(stage.server("a").requests[0].content) == set(b"X")


def test_a_filter_that_raises_fails_the_request() -> None:
    stage, _ = filtered("stamp")
    asked = stage.get("/raise")
    assert (status(asked), asked.content) == (500, b"filter_failed\n")
    assert "a" not in stage.servers


def test_one_that_raises_in_the_answer_cuts_it_off() -> None:
    stage, _ = filtered("loud")
    asked = stage.get("/chunked", method="POST", content=b"stop")
    assert asked.loss is Loss.RESET
    assert not asked.is_whole


def test_one_that_raises_at_the_answers_head_is_500() -> None:
    stage, process = filtered("strict")
    stage.server("a").echoes = False
    asked = stage.get()
    served = stage.server("a").requests[0]
    served.reply(200, fields=[(b"x-bad", b"1")])
    stage.run()
    assert (status(asked), asked.content) == (500, b"filter_failed\n")
    assert asked.is_whole
    assert process.ended == [1]
    assert not stage.bugs


def test_an_endpoint_that_is_lost_while_a_filter_thinks_of_its_answer_is_503() -> None:
    stage, process = filtered("strict")
    stage.server("a").echoes = False
    asked = stage.get()
    process.is_paused = True
    served = stage.server("a").requests[0]
    served.stream.answer(ResponseHead(200, length=10))
    stage.run()
    served.stream.reset()
    stage.run()
    process.resume()
    assert status(asked) == 503
    assert not stage.bugs


def test_a_grpc_call_is_told_the_code_and_nothing_of_the_source() -> None:
    stage, _ = filtered("strict")
    stage.server("a").echoes = False
    kind = [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
    asked = stage.get("/p.S/Call", method="POST", fields=kind, content=b"")
    served = stage.server("a").requests[0]
    assert first(served.head.fields, b"te") == b"trailers"
    served.reply(200, fields=[(b"x-bad", b"1")])
    stage.run()
    assert (status(asked), field(asked, b"grpc-status")) == (200, b"14")
    assert field(asked, b"grpc-message") == b"filter_failed"


@pytest.mark.parametrize(("fails_open", "seen"), [(False, 500), (True, 200)])
def test_a_head_that_no_filter_may_give_is_a_failure(fails_open: bool, seen: int) -> None:
    stage, _ = filtered("strict", fails_open=fails_open)
    asked = stage.get("/broken")
    assert status(asked) == seen
    assert not stage.bugs


def test_an_answer_without_content_has_none_for_filters() -> None:
    stage, _ = filtered("loud")
    asked = stage.get(method="HEAD")
    assert (status(asked), asked.content) == (200, b"")
    stage.server("a").echoes = False
    asked = stage.get()
    stage.server("a").requests[-1].stream.answer(ResponseHead(304), end=True)
    stage.run()
    assert (status(asked), asked.content) == (304, b"")
    assert asked.is_whole


def test_one_that_may_be_missed_is() -> None:
    stage, _ = filtered("stamp", "loud", fails_open=True)
    assert status(stage.get("/raise")) == 200
    assert stage.server("a").requests[0].head.target == b"/raise"
    asked = stage.get("/chunked", method="POST", content=b"stop")
    # What failed sees nothing more of the request: no `?` at the end.
    assert asked.content == b"STOP!"
    assert asked.is_whole


def test_a_filter_that_is_not_there_is_500_even_if_it_may_be_missed() -> None:
    stage, _ = filtered("stamp", fails_open=True)
    filters = Filters(extensions=("shop/none",))
    stage.route(RouteRule(filters=filters, backends=(to(),)))
    assert status(stage.get()) == 500
    programs = stage.context.programs
    assert programs is not None
    programs.put(FilterProgram(namespace="shop", name="none", problem="route_filter_source"))
    assert status(stage.get()) == 500


def test_a_filter_that_is_not_loaded_fails_requests_unless_it_may_be_missed() -> None:
    for fails_open, seen in ((False, 500), (True, 200)):
        stage, process = filtered("stamp", fails_open=fails_open)
        process.loaded.clear()
        assert status(stage.get()) == seen


def test_a_filter_that_goes_away_is_forgotten() -> None:
    stage, process = filtered("stamp")
    programs = stage.context.programs
    assert programs is not None
    programs.remove("shop/stamp")
    assert not process.loaded
    assert status(stage.get()) == 500


def test_what_was_upgraded_passes_them_by() -> None:
    stage, _ = filtered("loud")
    stage.server("a").echoes = False
    asked = Asked()
    head = RequestHead(b"GET", b"/", b"web", [], upgrade=b"websocket")
    asked.stream = stage.client().open(head, asked, end=True)
    stage.run()
    served = stage.server("a").requests[0]
    served.stream.answer(ResponseHead(101, [], upgrade=b"websocket"))
    stage.run()
    asked.stream.send(b"abc")
    served.stream.send(b"STOP")
    stage.run()
    assert served.content == b"abc"
    assert asked.content == b"STOP"


def test_a_client_that_leaves_while_a_filter_thinks_is_forgotten() -> None:
    stage, process = filtered("stamp")
    process.is_paused = True
    asked = stage.get()
    assert asked.stream is not None
    asked.stream.reset()
    stage.run()
    process.resume()
    assert process.ended == [1]
    assert "a" not in stage.servers
    assert not stage.bugs


def test_a_request_waits_for_a_filter_that_is_being_loaded() -> None:
    stage, process = filtered("stamp")
    process.is_loading = True
    asked = stage.get()
    assert asked.answer is None
    process.is_loading = False
    for then in process.waiters:
        then()
    stage.run()
    assert status(asked) == 200


def test_a_request_whose_filter_was_only_waiting_when_another_ended_the_process_goes_on() -> None:
    stage, process = filtered("stamp")
    process.is_paused = True
    asked = stage.get()
    process.restart()
    process.resume()
    stage.run()
    assert status(asked) == 200
    assert first(stage.server("a").requests[0].head.fields, b"x-stamp") == b"stamp"


@pytest.mark.parametrize(("fails_open", "seen"), [(False, 500), (True, 200)])
def test_what_a_filter_kept_of_a_request_is_not_made_up_anew(fails_open: bool, seen: int) -> None:
    stage, process = filtered("stamp", fails_open=fails_open)
    stage.server("a").echoes = False
    asked = stage.get()
    process.restart()
    stage.server("a").requests[0].reply()
    stage.run()
    assert status(asked) == seen
    assert field(asked, b"x-path") is None
    assert stage.context.metrics.filter_count("shop/stamp", "filter_lost") == 1


def test_a_request_keeps_the_filter_that_it_began_with_until_it_is_over() -> None:
    stage, process = filtered("stamp")
    programs = stage.context.programs
    assert programs is not None
    stage.server("a").echoes = False
    asked = stage.get("/x")
    programs.remove("shop/stamp")
    assert status(stage.get()) == 500
    stage.server("a").requests[0].reply()
    stage.run()
    assert field(asked, b"x-path") == b"/x"
    assert not process.loaded


def test_failures_are_counted_by_filter_and_code() -> None:
    stage, _ = filtered("stamp")
    stage.get("/raise")
    assert stage.context.metrics.filter_count("shop/stamp", "filter_failed") == 1


@pytest.mark.parametrize("config", ["", "[]", "{"])
def test_a_config_that_is_no_mapping_is_a_problem_of_the_filter(config: str) -> None:
    stage, _ = filtered("stamp", fails_open=True)
    programs = stage.context.programs
    assert programs is not None
    programs.put(FilterProgram(namespace="shop", name="stamp", source=STAMP, config=config))
    assert status(stage.get()) == 500
