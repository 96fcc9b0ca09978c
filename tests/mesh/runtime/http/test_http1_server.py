"""A serving HTTP/1.1 connection: what goes over the wire for what its user does."""

import pytest

from mesh.errors import MeshError
from mesh.runtime.http.http1_server import (
    DISCARD_OCTETS,
    HEAD_SECONDS,
    IDLE_SECONDS,
    LINGER_SECONDS,
    Http1Server,
)
from mesh.runtime.http.link import WINDOW_OCTETS, LinkUser
from mesh.runtime.http.stream import Loss
from mesh.wire.http.messages import ResponseHead
from tests.mesh.runtime.http.memory_link import Wire
from tests.mesh.runtime.http.users import Served, Service

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


class Client(LinkUser):
    """The raw other end."""

    def __init__(self, service: Service | None = None, step: int = 1 << 30) -> None:
        self.wire = Wire(step)
        self.service = service or Service()
        self.server = Http1Server(self.wire.right, self.service, self.wire.at_round_end)
        self.got = bytearray()
        self.got_end = False
        self.got_lost: list[MeshError | None] = []
        self.reads = True
        self.wire.left.use(self)
        self.server.start()

    def received(self, octets: memoryview) -> None:
        self.got += octets
        if self.reads:
            self.wire.left.credit(len(octets))

    def ended(self) -> None:
        self.got_end = True

    def lost(self, error: MeshError | None) -> None:
        self.got_lost.append(error)

    def writable(self) -> None:
        pass

    def send(self, octets: bytes) -> bytes:
        """Send, and give what came since the last call."""
        self.wire.left.write(octets)
        return self.take()

    def take(self) -> bytes:
        self.wire.run()
        got = bytes(self.got)
        self.got.clear()
        return got

    def end(self) -> bytes:
        self.wire.left.end()
        return self.take()


def waiting() -> Service:
    return Service(echoes=False)


def test_a_request_is_answered_and_the_connection_lives_on() -> None:
    client = Client()
    for _ in range(3):
        assert client.send(GET) == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    assert [bytes(r.head.method) for r in client.service.requests] == [b"GET"] * 3
    assert client.wire.right.uncredited == 0
    assert not client.got_end


@pytest.mark.parametrize("step", [1, 7, 1 << 30])
def test_requests_in_a_row_are_answered_in_order(step: int) -> None:
    client = Client(step=step)
    posts = [
        b"POST /%d HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n%03d" % (n, n) for n in range(50)
    ]
    chunks = b"POST /chunked HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks += b"3\r\nabc\r\n4;x=y\r\n\r\n\r\n\r\n0\r\nx-sum: 1\r\n\r\n"
    answers = client.send(b"".join([*posts, chunks, GET]))
    for n in range(50):
        piece = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n%03d" % n
        assert answers.startswith(piece)
        answers = answers[len(piece) :]
    assert answers == (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        b"7\r\nabc\r\n\r\n\r\n0\r\nx-trailer: there\r\nx-sum: 1\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    )
    assert client.wire.right.uncredited == 0


def test_the_second_request_waits_for_the_first_answer_uncredited() -> None:
    service = waiting()
    client = Client(service)
    client.send(GET + GET)
    assert len(service.requests) == 1
    assert client.wire.right.uncredited == len(GET)
    client.send(GET * 20_000)
    assert client.wire.right.most_uncredited <= WINDOW_OCTETS
    service.requests[0].reply()
    client.take()
    assert len(service.requests) == 2


def test_thousands_in_a_row_do_not_pile_up_on_the_stack() -> None:
    client = Client()
    assert client.send(GET * 5000).count(b"200 OK") == 5000


def test_content_that_is_not_used_up_stops_the_sender() -> None:
    service = Service(echoes=False, credits_late=True)
    client = Client(service)
    client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n" + bytes(1_000_000))
    (served,) = service.requests
    assert len(served.content) == WINDOW_OCTETS
    served.stream.credit(len(served.content))
    client.take()
    assert len(served.content) == 2 * WINDOW_OCTETS


def test_a_sender_hears_when_there_is_room_again() -> None:
    service = waiting()
    client = Client(service)
    client.reads = False
    client.send(GET)
    (served,) = service.requests
    served.stream.answer(ResponseHead(200))
    sent = 0
    for _ in range(100):
        if served.stream.is_full:
            break
        served.stream.send(bytes(20_000))
        client.take()
        sent += 20_000
    assert served.stream.is_full
    assert sent < 600_000
    client.reads = True
    client.wire.left.credit(client.wire.left.uncredited)
    client.take()
    assert served.writables == 1


@pytest.mark.parametrize(
    ("request_octets", "head", "expected"),
    [
        (b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", ResponseHead(200, [], 5), b"content-length: 5\r\n"),
        (b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", ResponseHead(200), b""),
        (GET, ResponseHead(204), b""),
        (GET, ResponseHead(304, [], 5), b"content-length: 5\r\n"),
        (GET, ResponseHead(200, [(b"a", b"b")]), b"a: b\r\ncontent-length: 0\r\n"),
        (
            b"GET / HTTP/1.0\r\n\r\n",
            ResponseHead(200),
            b"content-length: 0\r\nconnection: close\r\n",
        ),
        (
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            ResponseHead(200),
            b"content-length: 0\r\nconnection: keep-alive\r\n",
        ),
        (
            b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            ResponseHead(200),
            b"content-length: 0\r\nconnection: close\r\n",
        ),
    ],
)
def test_a_head_without_content_is_framed_for_its_request(
    request_octets: bytes, head: ResponseHead, expected: bytes
) -> None:
    service = waiting()
    client = Client(service)
    client.send(request_octets)
    service.requests[0].stream.answer(head, end=True)
    first, _, rest = client.take().partition(b"\r\n")
    assert first.startswith(b"HTTP/1.1 %d " % head.status)
    assert rest == expected + b"\r\n"
    assert client.got_end == (b"close" in expected)


def test_content_of_unknown_length_ends_with_the_connection_for_http_1_0() -> None:
    service = waiting()
    client = Client(service)
    client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    stream = service.requests[0].stream
    stream.answer(ResponseHead(200))
    stream.send(b"abc")
    stream.finish([(b"x", b"y")])
    assert client.take() == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc"
    assert client.got_end


def test_a_head_goes_out_though_its_content_is_late() -> None:
    service = waiting()
    client = Client(service)
    client.send(GET)
    service.requests[0].stream.answer(ResponseHead(200, [], 3))
    assert client.take() == b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"


@pytest.mark.parametrize("pieces", [[b"abcd"], [b"ab"]])
def test_an_answer_longer_or_shorter_than_its_head_says_is_cut_off(pieces: list[bytes]) -> None:
    service = waiting()
    client = Client(service)
    client.send(GET)
    stream = service.requests[0].stream
    stream.answer(ResponseHead(200, [], 3))
    for piece in pieces:
        stream.send(piece)
    stream.finish([])
    client.take()
    assert client.got_lost
    assert service.closings == [None]


def test_a_line_break_in_a_field_never_gets_out() -> None:
    service = waiting()
    client = Client(service)
    client.send(GET)
    (served,) = service.requests
    served.stream.answer(ResponseHead(200, [(b"a", b"b\r\nset-cookie: c")], 0), end=True)
    assert client.take() == b""
    assert served.lost_with is not None
    assert served.lost_with[0] is Loss.INVALID


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", 414),
        (b"POST / HTTP/1.1\r\nhost: a\r\nexpect: a cake\r\ncontent-length: 1\r\n\r\n", 417),
        (b"GET / HTTP/1.1\r\nhost: a\r\n" + b"a: b\r\n" * 100 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: a\r\na: " + b"b" * 70_000, 431),
        (b"BREW / HTTP/1.1\r\nhost: a\r\n\r\n", 501),
        (b"GET / HTTP/2.0\r\nhost: a\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nx\r\n", 400),
    ],
)
def test_bad_requests_are_answered_with_their_status_and_the_end(
    octets: bytes, status: int
) -> None:
    service = waiting()
    client = Client(service)
    answer = client.send(octets)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.endswith(b"content-length: 0\r\nconnection: close\r\n\r\n")
    assert client.got_end
    client.end()
    (error,) = service.closings
    assert error is not None
    assert error.code.startswith("http1_")
    assert service.refusals == ([] if service.requests else [(status, error.code)])
    assert all(served.lost_with is not None for served in service.requests)


def test_a_fault_behind_a_good_request_comes_after_its_answer() -> None:
    service = waiting()
    client = Client(service)
    assert client.send(GET + b"\0\0\0\0\r\n\r\n") == b""
    service.requests[0].reply()
    answers = client.take()
    assert answers.startswith(b"HTTP/1.1 200 OK")
    assert b"HTTP/1.1 400 Bad Request" in answers
    assert client.got_end


def test_a_fault_in_the_content_after_the_answer_began_is_a_reset() -> None:
    service = waiting()
    client = Client(service)
    client.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
    (served,) = service.requests
    served.stream.answer(ResponseHead(200))
    client.send(b"nonsense\r\n")
    assert served.lost_with is not None
    assert served.lost_with[0] is Loss.INVALID
    assert client.got_lost


def test_a_client_that_waits_for_100_gets_it_from_the_user() -> None:
    service = waiting()
    client = Client(service)
    client.send(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
    (served,) = service.requests
    assert served.head.expects_continue
    served.stream.answer(ResponseHead(100))
    assert client.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"abc")
    served.reply()
    assert client.take() == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    assert client.send(GET) == b""
    assert len(service.requests) == 2


def test_a_final_answer_instead_of_100_ends_the_connection() -> None:
    service = waiting()
    client = Client(service)
    client.send(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
    service.requests[0].reply(401)
    assert b"connection: close\r\n" in client.take()
    assert client.got_end
    client.send(b"abc")
    client.end()
    assert service.closings == [None]
    assert len(service.requests) == 1


def test_the_rest_of_a_request_that_is_answered_early_is_thrown_away() -> None:
    service = waiting()
    client = Client(service)
    client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n")
    service.requests[0].reply(413)
    client.send(b"abc" + GET)
    assert len(service.requests) == 2
    assert not client.got_end


def test_a_long_rest_ends_the_connection() -> None:
    service = waiting()
    client = Client(service)
    size = 4 * DISCARD_OCTETS
    client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)
    service.requests[0].reply(413)
    client.send(bytes(size))
    assert client.got_lost
    assert len(service.closings) == 1


def test_a_client_that_has_ended_gets_its_answers() -> None:
    service = waiting()
    client = Client(service)
    client.send(GET + GET)
    client.end()
    service.requests[0].reply()
    client.take()
    service.requests[1].reply()
    assert b"connection: close" in client.take()
    assert client.got_end
    assert service.closings == [None]


def test_a_client_that_ends_in_the_middle_is_a_lost_request() -> None:
    service = waiting()
    client = Client(service)
    client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nab")
    client.end()
    (served,) = service.requests
    assert served.lost_with is not None
    assert served.lost_with[0] is Loss.RESET


def test_a_client_that_is_gone_is_a_lost_request() -> None:
    service = waiting()
    client = Client(service)
    client.send(GET)
    client.wire.left.reset()
    assert service.requests[0].lost_with is not None
    assert len(service.closings) == 1


def test_an_idle_client_that_ends_is_no_fault() -> None:
    client = Client()
    client.send(GET)
    client.end()
    assert client.service.closings == [None]
    assert client.got_end


def test_draining_ends_after_the_answer() -> None:
    service = waiting()
    client = Client(service)
    client.send(GET)
    client.server.drain()
    assert client.take() == b""
    service.requests[0].reply()
    assert b"connection: close\r\n" in client.take()
    assert client.got_end
    idle = Client()
    idle.server.drain()
    idle.take()
    assert idle.got_end


def test_a_user_that_resets_ends_the_connection() -> None:
    service = waiting()
    client = Client(service)
    client.send(GET)
    service.requests[0].stream.reset()
    assert client.got_lost
    assert service.closings == [None]
    assert service.requests[0].lost_with is None


def test_closing_loses_the_request() -> None:
    service = waiting()
    client = Client(service)
    client.send(GET)
    client.server.close()
    assert service.requests[0].lost_with == (Loss.RESET, None)
    assert service.closings == [None]


def test_an_upgrade_makes_the_octets_another_protocols() -> None:
    service = waiting()
    client = Client(service)
    client.send(
        b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\n"
        b"sec-websocket-key: x\r\n\r\nearly"
    )
    (served,) = service.requests
    assert served.head.upgrade == b"websocket"
    assert served.head.fields == [(b"sec-websocket-key", b"x")]
    served.stream.answer(ResponseHead(101, [(b"sec-websocket-accept", b"y")], upgrade=b"websocket"))
    assert client.take() == (
        b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: y\r\n"
        b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
    )
    assert served.content == b"early"
    served.stream.send(b"GET / HTTP/1.1\r\n")
    assert client.send(b"\r\n\r\n") == b"GET / HTTP/1.1\r\n"
    assert served.content == b"early\r\n\r\n"
    served.is_whole = False
    client.end()
    assert served.is_whole
    served.stream.send(b"last")
    served.stream.finish([])
    assert client.take() == b"last"
    assert service.closings == [None]
    assert served.lost_with is None


def test_an_upgrade_that_is_not_wanted_is_an_ordinary_request() -> None:
    client = Client()
    request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    assert client.send(request + GET).count(b"200 OK") == 2


def test_h2c_by_upgrade_is_not_heeded() -> None:
    client = Client()
    client.send(
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
        b"http2-settings: AAA\r\n\r\n"
    )
    (served,) = client.service.requests
    assert served.head.upgrade == b""
    assert served.head.fields == []


def test_a_head_that_takes_too_long_is_408() -> None:
    client = Client()
    client.send(b"GET / HT")
    client.server.tick(100.0)
    client.server.tick(100.0 + HEAD_SECONDS - 1)
    assert client.take() == b""
    client.server.tick(100.0 + HEAD_SECONDS)
    assert client.take().startswith(b"HTTP/1.1 408 ")
    assert client.service.refusals == [(408, "http1_head_late")]
    assert client.got_end


def test_time_between_requests_is_no_part_of_the_next_heads() -> None:
    client = Client()
    client.send(GET)
    client.server.tick(100.0)
    client.server.tick(100.0 + HEAD_SECONDS)
    client.send(b"GET / HT")
    client.server.tick(101.0 + HEAD_SECONDS)
    assert client.send(b"TP/1.1\r\nhost: a\r\n\r\n").startswith(b"HTTP/1.1 200 OK")


def test_an_idle_connection_ends_some_day() -> None:
    client = Client()
    client.send(GET)
    client.server.tick(1.0)
    client.server.tick(1.0 + IDLE_SECONDS)
    client.take()
    assert client.got_end


def test_a_client_that_does_not_close_is_not_waited_for() -> None:
    client = Client()
    client.send(b"bad\r\n\r\n")
    client.server.tick(1.0)
    client.server.tick(1.0 + LINGER_SECONDS)
    assert client.got_lost
    assert len(client.service.closings) == 1


def test_what_a_user_does_after_the_end_is_nothing() -> None:
    service = waiting()
    client = Client(service)
    client.send(GET)
    (served,) = service.requests
    served.reply()
    client.take()
    _do_everything(served)
    assert client.send(GET) == b""
    assert len(service.requests) == 2


def _do_everything(served: Served) -> None:
    stream = served.stream
    stream.answer(ResponseHead(100))
    stream.answer(ResponseHead(200), end=True)
    stream.send(b"x")
    stream.finish([])
