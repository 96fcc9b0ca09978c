"""An asking HTTP/1.1 connection: what goes over the wire, and what its user hears of answers."""

import pytest

from mesh.errors import MeshError
from mesh.runtime.http.http1_client import LINGER_SECONDS, Http1Client
from mesh.runtime.http.link import LinkUser
from mesh.runtime.http.stream import Loss, NoRoomError
from mesh.wire.http.messages import RequestHead
from mesh.wire.http1.errors import FieldInjectionError
from tests.mesh.runtime.http.memory_link import Wire
from tests.mesh.runtime.http.users import Caller, Pool, ask


def get(target: bytes = b"/", method: bytes = b"GET", **more: object) -> RequestHead:
    head = RequestHead(method, target, b"a")
    for name, value in more.items():
        setattr(head, name, value)
    return head


class Server(LinkUser):
    """The raw other end."""

    def __init__(self, step: int = 1 << 30) -> None:
        self.wire = Wire(step)
        self.pool = Pool()
        self.client = Http1Client(self.wire.left, self.pool, self.wire.at_round_end)
        self.got = bytearray()
        self.got_end = False
        self.got_lost: list[MeshError | None] = []
        self.wire.right.use(self)
        self.client.start()

    def received(self, octets: memoryview) -> None:
        self.got += octets
        self.wire.right.credit(len(octets))

    def ended(self) -> None:
        self.got_end = True

    def lost(self, error: MeshError | None) -> None:
        self.got_lost.append(error)

    def writable(self) -> None:
        pass

    def take(self) -> bytes:
        self.wire.run()
        got = bytes(self.got)
        self.got.clear()
        return got

    def send(self, octets: bytes) -> None:
        self.wire.right.write(octets)
        self.wire.run()

    def end(self) -> None:
        self.wire.right.end()
        self.wire.run()


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.mark.parametrize("step", [1, 5, 1 << 30])
def test_a_connection_asks_again_and_again(step: int) -> None:
    server = Server(step)
    for _ in range(3):
        assert server.client.room == 1
        caller = ask(server.client, get(b"/a?b"))
        assert server.client.room == 0
        assert server.take() == b"GET /a?b HTTP/1.1\r\nhost: a\r\n\r\n"
        server.send(OK)
        assert caller.answer is not None
        assert (caller.answer.status, caller.answer.length) == (200, 2)
        assert caller.content == b"ok"
        assert caller.is_whole
        assert server.client.is_idle
    assert server.pool.changes == 3
    assert server.wire.left.uncredited == 0


@pytest.mark.parametrize(
    ("head", "content", "expected"),
    [
        (get(method=b"POST"), b"abc", b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        (get(method=b"POST", length=3), b"abc", b"content-length: 3\r\n\r\nabc"),
        (get(method=b"POST"), None, b"content-length: 0\r\n\r\n"),
        (get(method=b"PUT", length=0), None, b"content-length: 0\r\n\r\n"),
        (get(method=b"DELETE"), None, b"\r\n"),
        (
            get(method=b"POST", length=1, expects_continue=True),
            b"a",
            b"content-length: 1\r\nexpect: 100-continue\r\n\r\na",
        ),
        (get(fields=[(b"te", b"trailers")]), None, b"te: trailers\r\nconnection: te\r\n\r\n"),
        (get(upgrade=b"websocket"), None, b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"),
    ],
)
def test_a_request_is_framed_as_its_head_says(
    head: RequestHead, content: bytes | None, expected: bytes
) -> None:
    server = Server()
    ask(server.client, head, content)
    _, _, rest = server.take().partition(b"host: a\r\n")
    assert rest == expected


def test_large_content_goes_in_chunks_of_its_pieces_with_trailers() -> None:
    server = Server()
    caller = Caller()
    caller.stream = server.client.open(get(method=b"POST"), caller, end=False)
    caller.stream.send(bytes(100_000))
    caller.stream.send(b"")
    caller.stream.finish([(b"x", b"y")])
    octets = server.take()
    assert octets.endswith(b"186a0\r\n" + bytes(100_000) + b"\r\n0\r\nx: y\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "octets", "content"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", b""),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", b""),
        (b"GET", b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", b""),
        (
            b"GET",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\na: b\r\n\r\n",
            b"abc",
        ),
    ],
)
def test_answers_end_where_they_say_and_the_connection_lives_on(
    method: bytes, octets: bytes, content: bytes
) -> None:
    server = Server()
    caller = ask(server.client, get(method=method))
    server.send(octets)
    assert caller.is_whole
    assert caller.content == content
    assert caller.trailers == ([(b"a", b"b")] if b"chunked" in octets else [])
    assert server.client.room == 1
    assert server.wire.left.uncredited == 0


def test_content_without_a_length_ends_with_the_connection() -> None:
    server = Server()
    caller = ask(server.client, get())
    server.send(b"HTTP/1.0 200 OK\r\n\r\nabc")
    assert len(caller.content) == 3
    server.end()
    assert caller.is_whole
    assert caller.content == b"abc"
    assert server.client.room == 0
    assert server.pool.closings == [None]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    ],
)
def test_a_server_may_end_the_connection_with_an_answer(head: bytes) -> None:
    server = Server()
    caller = ask(server.client, get())
    server.send(head)
    assert caller.is_whole
    assert server.client.room == 0
    assert server.got_end
    server.end()
    assert server.pool.closings == [None]


def test_informational_heads_come_before_the_answer() -> None:
    server = Server()
    caller = ask(server.client, get(method=b"POST", expects_continue=True, length=1))
    server.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n")
    assert caller.informed == [100, 103]
    assert caller.answer is None
    server.send(OK)
    assert caller.is_whole


@pytest.mark.parametrize(
    "octets",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 999 Odd\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n",
        b"HTTP/1.1 200 OK\na: b\n\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 40,
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 101 + b"\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
    ],
)
def test_an_answer_that_is_no_http_is_invalid(octets: bytes) -> None:
    server = Server()
    caller = ask(server.client, get())
    server.send(octets)
    assert caller.loss is Loss.INVALID
    assert server.got_lost
    (error,) = server.pool.closings
    assert error is not None


def test_what_nobody_asked_for_ends_the_connection() -> None:
    server = Server()
    ask(server.client, get())
    server.send(OK + OK)
    assert server.client.room == 0
    idle = Server()
    idle.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    (error,) = idle.pool.closings
    assert error is not None
    assert error.code == "http1_unsolicited"


def test_a_reused_connection_that_ends_before_an_answer_is_stale() -> None:
    for first in (True, False):
        for heard in (b"", b"HTTP/1.1 2"):
            server = Server()
            if not first:
                ask(server.client, get())
                server.send(OK)
            caller = ask(server.client, get())
            server.send(heard)
            server.end()
            assert caller.loss is (Loss.RESET if first or heard else Loss.STALE)
            assert len(server.pool.closings) == 1


def test_a_reused_connection_that_is_reset_before_an_answer_is_stale() -> None:
    server = Server()
    ask(server.client, get())
    server.send(OK)
    caller = ask(server.client, get())
    server.wire.right.reset()
    assert caller.loss is Loss.STALE


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ],
)
def test_half_an_answer_is_a_reset(octets: bytes) -> None:
    server = Server()
    caller = ask(server.client, get())
    server.send(octets)
    server.end()
    assert caller.loss is Loss.RESET
    assert not caller.is_whole


def test_an_idle_connection_that_ends_is_no_fault() -> None:
    server = Server()
    ask(server.client, get())
    server.send(OK)
    server.end()
    assert server.client.room == 0
    assert server.pool.closings == [None]


def test_an_answer_before_the_whole_request_ends_the_connection() -> None:
    server = Server()
    caller = Caller()
    caller.stream = server.client.open(get(method=b"POST"), caller, end=False)
    server.send(OK)
    assert caller.is_whole
    assert server.client.room == 0
    caller.stream.send(b"more")
    caller.stream.finish([])
    assert server.got_lost
    assert server.pool.closings == [None]


def test_a_caller_that_gives_up_ends_the_connection() -> None:
    server = Server()
    caller = ask(server.client, get())
    assert caller.stream is not None
    caller.stream.reset()
    assert server.got_lost
    assert server.pool.closings == [None]
    assert caller.lost_with is None
    caller.stream.reset()


def test_a_reset_after_the_answer_touches_nothing() -> None:
    server = Server()
    caller = ask(server.client, get())
    server.send(OK)
    assert caller.stream is not None
    caller.stream.reset()
    assert server.client.room == 1


def test_closing_waits_for_the_answer() -> None:
    server = Server()
    caller = ask(server.client, get())
    server.client.close()
    assert server.client.room == 0
    server.send(OK)
    assert caller.is_whole
    assert server.got_end
    server.client.tick(1.0)
    server.client.tick(1.0 + LINGER_SECONDS)
    assert server.pool.closings == [None]


def test_there_is_room_for_one() -> None:
    server = Server()
    ask(server.client, get())
    with pytest.raises(NoRoomError):
        ask(server.client, get())


@pytest.mark.parametrize(
    "head",
    [
        get(b"/ HTTP/1.1\r\nx: y"),
        get(b"/a b"),
        get(fields=[(b"a", b"b\nc")]),
        get(fields=[(b"a\r\nb", b"c")]),
        get(authority=b"a\r\nb: c"),
    ],
)
def test_a_head_that_would_become_another_never_gets_out(head: RequestHead) -> None:
    server = Server()
    with pytest.raises(FieldInjectionError):
        ask(server.client, head)
    assert server.take() == b""
    ask(server.client, get())


def test_an_upgrade_makes_the_octets_another_protocols() -> None:
    server = Server()
    caller = ask(server.client, get(upgrade=b"websocket"))
    server.take()
    server.send(
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\na: b\r\n\r\n"
        b"HTTP/1.1"
    )
    assert caller.answer is not None
    assert (caller.answer.status, caller.answer.upgrade) == (101, b"websocket")
    assert caller.answer.fields == [(b"a", b"b")]
    assert caller.content == b"HTTP/1.1"
    assert caller.stream is not None
    caller.stream.send(b"frames")
    assert server.take() == b"frames"
    server.end()
    assert caller.is_whole
    caller.stream.send(b"last")
    caller.stream.finish([])
    assert server.take() == b"last"
    assert server.got_end
    assert server.pool.closings == [None]
    assert caller.lost_with is None


def test_an_upgrade_that_is_refused_is_an_ordinary_answer() -> None:
    server = Server()
    caller = ask(server.client, get(upgrade=b"websocket"))
    server.send(OK)
    assert caller.is_whole
    assert server.client.room == 1


def test_connect_opens_a_way_for_other_octets() -> None:
    server = Server()
    caller = ask(server.client, RequestHead(b"CONNECT", b"", b"a:1"))
    assert server.take() == b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n"
    server.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
    assert caller.content == b"abc"
    assert caller.stream is not None
    caller.stream.send(b"def")
    assert server.take() == b"def"
