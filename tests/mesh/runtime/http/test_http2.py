"""Both ends of HTTP/2 over a link: each with the other, and the serving one with a raw peer."""

from dataclasses import dataclass, field

import pytest

from mesh.errors import MeshError
from mesh.runtime.http.http2_client import Http2Client, UpgradeOverHttp2Error
from mesh.runtime.http.http2_link import LINGER_SECONDS, PATIENCE_SECONDS, PING_AFTER_SECONDS
from mesh.runtime.http.http2_server import SETTINGS, Http2Server
from mesh.runtime.http.link import FULL_OCTETS, LinkUser
from mesh.runtime.http.stream import Loss, NoRoomError
from mesh.wire.http.messages import RequestHead, ResponseHead
from mesh.wire.http2 import events as happened
from mesh.wire.http2 import frames
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.events import Event, Headers
from mesh.wire.http2.flow import WindowBudget
from mesh.wire.http2.frames import ErrorCode, Role
from mesh.wire.http2.settings import Settings
from mesh.wire.http2.streams import Stream
from tests.mesh.runtime.http.memory_link import Wire
from tests.mesh.runtime.http.users import Caller, Pool, Service, ask

BUDGET = 64 * 1024 * 1024


class Ends:
    """A client and a server, joined."""

    def __init__(self, service: Service | None = None, step: int = 1 << 30) -> None:
        self.wire = Wire(step)
        self.windows = WindowBudget(BUDGET)
        self.service = service or Service()
        self.pool = Pool()
        wire = self.wire
        self.client = Http2Client(wire.left, self.pool, wire.at_round_end, self.windows)
        self.server = Http2Server(wire.right, self.service, wire.at_round_end, self.windows)
        self.client.start()
        self.server.start()
        self.run()

    def run(self) -> None:
        self.wire.run()

    def ask(self, head: RequestHead, content: bytes | None = None) -> Caller:
        caller = ask(self.client, head, content)
        self.run()
        return caller


def get(target: bytes = b"/", method: bytes = b"GET", length: int | None = None) -> RequestHead:
    return RequestHead(method, target, b"a", length=length)


@pytest.mark.parametrize("step", [1, 1000, 1 << 30])
def test_requests_are_answered_with_content_and_trailers(step: int) -> None:
    ends = Ends(step=step)
    callers = [ends.ask(get()), ends.ask(get(b"/", b"POST", 3), b"abc")]
    callers.append(ends.ask(get(b"/chunked", b"POST"), b"x" * 3000))
    assert [bytes(c.content) for c in callers] == [b"ok", b"abc", b"x" * 3000]
    assert all(c.is_whole and c.answer and c.answer.status == 200 for c in callers)
    assert callers[1].answer is not None
    assert callers[1].answer.length == 3
    assert callers[2].trailers == [(b"x-trailer", b"there")]
    assert ends.client.is_idle
    assert ends.wire.left.uncredited == ends.wire.right.uncredited == 0


def test_large_content_goes_both_ways_and_windows_bound_what_waits() -> None:
    ends = Ends()
    content = bytes(range(256)) * 8000
    caller = Caller()
    caller.stream = ends.client.open(get(b"/", b"POST"), caller, end=False)
    sent = 0
    while sent < len(content):
        if caller.stream.is_full:
            ends.run()
            continue
        caller.stream.send(content[sent : sent + 50_000])
        sent += 50_000
    caller.stream.finish([])
    ends.run()
    assert caller.content == content
    assert caller.writables > 0
    assert ends.windows.taken <= BUDGET


def test_a_reader_that_does_not_credit_stops_only_its_own_stream() -> None:
    service = Service(echoes=False, credits_late=True)
    ends = Ends(service)
    caller = ends.ask(get(b"/", b"POST"), bytes(3_000_000))
    (slow,) = service.requests
    assert len(slow.content) == 256 * 1024
    assert caller.stream is not None
    assert caller.stream.is_full
    service.credits_late = False
    other = ends.ask(get(b"/", b"POST"), b"abc")
    assert service.requests[1].content == b"abc"
    service.requests[1].reply()
    ends.run()
    assert other.is_whole
    while not slow.is_whole:
        before = len(slow.content)
        slow.stream.credit(before if before == 256 * 1024 else 100_000)
        slow.credits_late = False
        ends.run()
    assert len(slow.content) == 3_000_000


def test_nothing_is_added_while_the_link_is_full() -> None:
    ends = Ends()
    ends.wire.left.other.closed = True  # nothing is delivered any more
    callers = []
    for _ in range(20):
        caller = ask(ends.client, get(b"/", b"POST"), bytes(50_000))
        callers.append(caller)
        while ends.wire.round_end:
            ends.wire.round_end.popleft()()
    assert len(ends.wire.left.on_its_way) < 2 * FULL_OCTETS
    assert callers[-1].stream is not None
    assert callers[-1].stream.is_full


def test_informational_heads_and_expectations_pass() -> None:
    service = Service(echoes=False)
    ends = Ends(service)
    head = get(b"/", b"POST", 3)
    head.expects_continue = True
    caller = Caller()
    caller.stream = ends.client.open(head, caller, end=False)
    ends.run()
    (served,) = service.requests
    assert served.head.expects_continue
    served.stream.answer(ResponseHead(100))
    served.stream.answer(ResponseHead(103, [(b"link", b"a")]))
    ends.run()
    assert caller.informed == [100, 103]
    caller.stream.send(b"abc")
    caller.stream.finish([])
    ends.run()
    served.reply()
    ends.run()
    assert caller.is_whole


def test_an_early_answer_stops_the_request() -> None:
    service = Service(echoes=False)
    ends = Ends(service)
    caller = Caller()
    caller.stream = ends.client.open(get(b"/", b"POST"), caller, end=False)
    ends.run()
    service.requests[0].reply(413)
    ends.run()
    assert caller.answer is not None
    assert caller.answer.status == 413
    assert caller.is_whole
    assert caller.lost_with is None
    caller.stream.send(b"more")
    caller.stream.finish([])
    ends.run()
    assert ends.client.is_idle
    assert service.requests[0].lost_with is None


def test_either_side_may_give_a_message_up() -> None:
    service = Service(echoes=False)
    ends = Ends(service)
    caller = ends.ask(get())
    service.requests[0].stream.reset()
    ends.run()
    assert caller.loss is Loss.RESET
    caller = ends.ask(get())
    assert caller.stream is not None
    caller.stream.reset()
    ends.run()
    assert service.requests[1].lost_with is not None
    assert ends.client.is_idle
    assert ends.ask(get()).lost_with is None


def test_there_is_no_upgrade_in_http_2() -> None:
    service = Service(echoes=False)
    ends = Ends(service)
    head = get()
    head.upgrade = b"websocket"
    with pytest.raises(UpgradeOverHttp2Error):
        ask(ends.client, head)
    caller = ends.ask(get())
    service.requests[0].stream.answer(ResponseHead(101))
    ends.run()
    assert caller.loss is Loss.RESET


def test_draining_takes_no_new_requests_and_ends_after_the_last_answer() -> None:
    service = Service(echoes=False)
    ends = Ends(service)
    caller = ends.ask(get())
    ends.server.drain()
    ends.run()
    assert ends.client.room == 0
    with pytest.raises(NoRoomError):
        ask(ends.client, get())
    service.requests[0].reply()
    ends.run()
    assert caller.is_whole
    assert ends.pool.closings == [None]
    assert service.closings == [None]


def test_an_idle_server_drains_at_once() -> None:
    ends = Ends()
    ends.server.drain()
    ends.run()
    assert ends.pool.closings == [None]
    assert ends.service.closings == [None]
    assert ends.windows.taken == 0


def test_a_client_that_closes_waits_for_its_answers() -> None:
    service = Service(echoes=False)
    ends = Ends(service)
    caller = ends.ask(get())
    ends.client.close()
    ends.run()
    assert ends.client.room == 0
    service.requests[0].reply()
    ends.run()
    assert caller.is_whole
    assert ends.pool.closings == [None]
    assert service.closings == [None]


def test_a_link_that_breaks_loses_all_messages() -> None:
    service = Service(echoes=False)
    ends = Ends(service)
    callers = [ends.ask(get()) for _ in range(3)]
    ends.wire.left.reset()
    ends.wire.left.closed = False
    ends.wire.left.break_off(None)
    assert [caller.loss for caller in callers] == [Loss.RESET] * 3
    assert all(served.lost_with for served in service.requests)
    assert len(ends.pool.closings) == len(service.closings) == 1


def test_closing_loses_what_is_being_served() -> None:
    service = Service(echoes=False)
    ends = Ends(service)
    ends.ask(get())
    ends.server.close()
    assert service.requests[0].lost_with is not None
    assert service.closings == [None]


def test_a_silent_peer_is_given_up() -> None:
    ends = Ends()
    ends.client.tick(0.0)
    ends.wire.left.other.closed = True
    ends.client.tick(PING_AFTER_SECONDS)
    ends.client.tick(PING_AFTER_SECONDS + PATIENCE_SECONDS)
    (error,) = ends.pool.closings
    assert error is not None
    assert error.code == "http2_link_silent"


def test_a_peer_that_answers_pings_lives_on() -> None:
    ends = Ends()
    for now in range(0, 5000, 10):
        ends.client.tick(float(now))
        ends.server.tick(float(now))
        ends.run()
    assert ends.pool.closings == []


@dataclass
class Raw(LinkUser):
    """A peer of a server or client, on the pure core."""

    wire: Wire
    http2: Connection
    events: list[Event] = field(default_factory=list)
    content: bytearray = field(default_factory=bytearray)
    ends: int = 0

    def received(self, octets: memoryview) -> None:
        for event in self.http2.receive(octets):
            if isinstance(event, happened.DataReceived):
                self.content += event.data
                self.http2.credit(event.stream, len(event.data))
            self.events.append(event)

    def ended(self) -> None:
        self.ends += 1

    def lost(self, error: MeshError | None) -> None:
        del error
        self.ends += 1

    def writable(self) -> None:
        pass

    def heads(self) -> list[Headers]:
        return [e.headers for e in self.events if isinstance(e, happened.HeadersReceived)]

    def resets(self) -> list[ErrorCode]:
        return [e.code for e in self.events if isinstance(e, happened.StreamReset)]


class RawClient:
    """Sends header lists of all kinds to our server."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.service = Service()
        windows = WindowBudget(0)
        self.http2 = Connection(Role.CLIENT, Settings(), windows)
        self.raw = Raw(self.wire, self.http2)
        self.server = Http2Server(self.wire.right, self.service, self.wire.at_round_end, windows)
        self.wire.left.use(self.raw)
        self.http2.initiate()
        self.server.start()
        self.run()

    def run(self) -> None:
        self.wire.left.write(self.http2.outgoing)
        self.http2.outgoing.clear()
        self.wire.run()
        self.wire.left.write(self.http2.outgoing)
        self.http2.outgoing.clear()
        self.wire.run()

    def open(self, headers: Headers, *, end: bool = True) -> Stream:
        stream = self.http2.open_stream(headers, end_stream=end)
        self.run()
        return stream


BASE: Headers = ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"))


def test_cookie_crumbs_become_one_and_te_stays() -> None:
    client = RawClient()
    client.open(
        (
            *BASE,
            (b"host", b"a"),
            (b"cookie", b"a=b"),
            (b"te", b"trailers"),
            (b"cookie", b"c=d"),
        )
    )
    (served,) = client.service.requests
    assert served.head.authority == b"a"
    assert served.head.version == 20
    assert sorted(served.head.fields) == [(b"cookie", b"a=b; c=d"), (b"te", b"trailers")]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (BASE, b"400"),
        ((*BASE, (b":authority", b"a"), (b"host", b"b")), b"400"),
        ((*BASE, (b"host", b"a"), (b"host", b"a")), b"400"),
        ((*BASE, (b":authority", b"u@a")), b"400"),
        ((*BASE, (b":authority", b"a b")), b"400"),
        ((*BASE[:2], (b":path", b"/a b"), (b":authority", b"a")), b"400"),
        ((*BASE[:2], (b":path", b"/a HTTP/1.1"), (b":authority", b"a")), b"400"),
        ((*BASE[:2], (b":path", b"a"), (b":authority", b"a")), b"400"),
        ((*BASE[:2], (b":path", b"*"), (b":authority", b"a")), b"400"),
        ((*BASE[:2], (b":path", b"/#a"), (b":authority", b"a")), b"400"),
        ((*BASE[:2], (b":path", b"http://a/"), (b":authority", b"a")), b"400"),
        (((b":method", b"G T"), *BASE[1:], (b":authority", b"a")), b"400"),
        ((BASE[0], (b":scheme", b"ftp"), BASE[2], (b":authority", b"a")), b"400"),
        ((*BASE, (b":authority", b"a"), (b"expect", b"cake")), b"417"),
        ((*BASE, (b":authority", b"a"), *(((b"a", b"b"),) * 101)), b"431"),
    ],
)
def test_requests_that_nobody_should_serve_are_answered_here(
    headers: Headers, status: bytes
) -> None:
    client = RawClient()
    client.open(headers, end=False)
    assert client.raw.heads() == [((b":status", status),)]
    assert client.service.requests == []
    client.open((*BASE, (b":authority", b"a")))
    assert len(client.service.requests) == 1


@pytest.mark.parametrize(
    "headers",
    [
        (*BASE, (b":authority", b"a"), (b"connection", b"close")),
        (*BASE, (b":authority", b"a"), (b"transfer-encoding", b"chunked")),
        (*BASE, (b":authority", b"a"), (b"te", b"gzip")),
        (*BASE, (b":authority", b"a"), (b"A", b"b")),
        (*BASE, (b":authority", b"a"), (b"a", b"b\r\nc: d")),
        (*BASE, (b":authority", b"a"), (b"content-length", b"1"), (b"content-length", b"2")),
        (*BASE, (b":authority", b"a"), (b"content-length", b"1")),
        (*BASE[:2], (b":authority", b"a")),
        (*BASE, (b"a", b"b"), (b":authority", b"a")),
    ],
)
def test_malformed_requests_are_reset(headers: Headers) -> None:
    client = RawClient()
    client.open(headers)
    assert client.raw.resets() == [ErrorCode.PROTOCOL_ERROR]
    assert client.service.requests == []


def test_streams_above_the_limit_are_refused() -> None:
    client = RawClient()
    client.service.echoes = False
    client.http2.peer.max_concurrent_streams = 10_000
    for _ in range(SETTINGS.max_concurrent_streams + 3):
        client.open((*BASE, (b":authority", b"a")))
    assert client.raw.resets() == [ErrorCode.REFUSED_STREAM] * 3
    assert len(client.service.requests) == SETTINGS.max_concurrent_streams


def test_octets_that_are_no_http_2_end_the_connection() -> None:
    client = RawClient()
    client.service.echoes = False
    client.open((*BASE, (b":authority", b"a")))
    client.wire.left.write(b"\0\0\x01\x07\0\0\0\0\0x")
    client.wire.run()
    assert client.service.requests[0].lost_with is not None
    assert client.service.requests[0].lost_with[0] is Loss.INVALID
    client.server.tick(1.0)
    client.server.tick(1.0 + LINGER_SECONDS)
    (error,) = client.service.closings
    assert error is not None
    assert error.code.startswith("http2_")


class RawServer:
    """Answers our client with frames of all kinds."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.pool = Pool()
        windows = WindowBudget(0)
        self.http2 = Connection(Role.SERVER, Settings(max_concurrent_streams=2), windows)
        self.raw = Raw(self.wire, self.http2)
        self.client = Http2Client(self.wire.left, self.pool, self.wire.at_round_end, windows)
        self.wire.right.use(self.raw)
        self.http2.initiate()
        self.client.start()
        self.run()

    def run(self) -> None:
        self.wire.run()
        self.wire.right.write(self.http2.outgoing)
        self.http2.outgoing.clear()
        self.wire.run()

    def asked(self) -> tuple[Caller, Stream]:
        caller = ask(self.client, get())
        self.run()
        event = self.raw.events[-1]
        assert isinstance(event, happened.HeadersReceived)
        return caller, event.stream


def test_a_stream_that_was_refused_was_not_seen() -> None:
    server = RawServer()
    caller, stream = server.asked()
    server.http2.reset(stream, ErrorCode.REFUSED_STREAM)
    server.run()
    assert caller.loss is Loss.UNSEEN
    assert server.client.room == 2


def test_streams_above_the_last_one_of_goaway_were_not_seen() -> None:
    server = RawServer()
    first, stream = server.asked()
    second, _ = server.asked()
    server.wire.right.write(frames.goaway(stream.stream_id, ErrorCode.NO_ERROR))
    server.run()
    assert second.loss is Loss.UNSEEN
    assert first.lost_with is None
    assert server.client.room == 0
    server.http2.send_headers(stream, ((b":status", b"204"),), end_stream=True)
    server.run()
    assert first.is_whole
    assert server.raw.ends


def test_the_peer_says_how_many_it_takes() -> None:
    server = RawServer()
    assert server.client.room == 2
    server.asked()
    server.asked()
    assert server.client.room == 0
    before = server.pool.changes
    with pytest.raises(NoRoomError):
        ask(server.client, get())
    assert server.pool.changes == before


def test_an_answer_that_is_malformed_is_invalid() -> None:
    server = RawServer()
    caller, stream = server.asked()
    server.http2.send_headers(stream, ((b":status", b"2x0"),))
    server.run()
    assert caller.loss is Loss.INVALID


def test_an_answer_shorter_than_it_says_is_invalid() -> None:
    server = RawServer()
    caller, stream = server.asked()
    server.http2.send_headers(stream, ((b":status", b"200"), (b"content-length", b"3")))
    server.http2.send_end(stream)
    server.run()
    assert caller.loss is Loss.INVALID
    assert not caller.is_whole


def test_what_was_sound_as_trailers_is_no_request_for_that() -> None:
    client = RawClient()
    trailers: Headers = ((b"x-sum", b"1"),)
    for _ in range(4):
        stream = client.open((*BASE[1:], (b":method", b"POST"), (b":authority", b"a")), end=False)
        client.http2.send_headers(stream, trailers, end_stream=True)
        client.run()
    assert [served.trailers for served in client.service.requests] == [list(trailers)] * 4
    client.open(trailers)
    assert client.raw.resets() == [ErrorCode.PROTOCOL_ERROR]
    assert len(client.service.requests) == 4
