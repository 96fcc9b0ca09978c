"""Backends that do what none should: the client's answer, the log's code, and nobody else hurt."""

import http.client
import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from mesh.model.routes import (
    Attachment,
    Backend,
    PathMatch,
    PathMatchKind,
    RequestMatch,
    Route,
    RouteKind,
    RouteRule,
)
from mesh.model.workload import AppProtocol
from tests.waypoint.badness import Serve, good, read_head, resetting, spoken, undisturbed
from tests.waypoint.edge import SELF, Edge

pytestmark = [pytest.mark.netns, pytest.mark.slow]

BAD = "10.80.0.70"
FINE = "10.80.0.71"
SECOND = "10.80.0.72"
NUMBERS = itertools.count()
SLOW_S = 0.4
HUNDRED_MB = 100_000_000


@pytest.fixture(scope="module")
def world(shared: Edge) -> Iterator[Edge]:
    """A bad service, one that speaks HTTP/2 badly, and a good one; `/timed` has a short time."""
    bad, bad_pods = spoken(shared, "bad", BAD, "shop", AppProtocol.HTTP11)
    second, second_pods = spoken(shared, "second", SECOND, "gate", AppProtocol.HTTP2)
    fine, fine_pods = spoken(shared, "fine", FINE, "bakery", AppProtocol.HTTP11)
    timed = RouteRule(
        matches=(RequestMatch(path=PathMatch(PathMatchKind.PREFIX, "/timed")),),
        backends=(Backend(service=bad.key, port=80),),
        request_s=SLOW_S,
    )
    route = Route(
        kind=RouteKind.HTTP,
        namespace="town",
        name="bad",
        parents=(Attachment(bad.key),),
        rules=(timed, RouteRule(backends=(Backend(service=bad.key, port=80),))),
    )
    pods = [*bad_pods, *second_pods, *fine_pods]
    shared.tell(pods, [bad, second, fine], [SELF, route])
    with shared.place.pod("bakery").serving(8080, good):
        yield shared
    shared.tell()


def saying(octets: bytes, *, reset: bool = False) -> Serve:
    """A server that says this to every request, and goes."""

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(octets)
        if reset:
            resetting(connection)

    return serve


def stalling(octets: bytes) -> Serve:
    """A server that says this, and then nothing until the other side goes."""

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(octets)
        connection.recv(1)

    return serve


def flooding(first: bytes, piece: bytes, octets: int = HUNDRED_MB) -> Serve:
    """A server that does not stop."""

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(first)
        block = piece * (1 + 65_536 // len(piece))
        for _ in range(octets // len(block)):
            connection.sendall(block)

    return serve


def asked(edge: Edge, path: str, ip: str = BAD) -> tuple[int, bytes]:
    """Status and content; a content that was cut short is followed by `CUT`."""
    connection = http.client.HTTPConnection(ip, timeout=10)
    connection.sock = edge.place.pod("web").dial(ip, 80)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        try:
            return answer.status, answer.read()
        except http.client.IncompleteRead as error:
            return answer.status, error.partial + b"CUT"
        except ConnectionResetError:
            return answer.status, b"CUT"
    finally:
        connection.close()


def line(edge: Edge, path: str) -> str:
    return edge.proxy.wait_line(rf'request complete\t.*path="{path}" .*')[0]


OK = b"HTTP/1.1 200 OK\r\n"
BEFORE = {
    "resets before the answer": (saying(b"", reset=True), 503, "http_answer_reset"),
    "closes before the answer": (saying(b""), 503, "http_answer_reset"),
    "resets in the head": (saying(OK + b"x-", reset=True), 503, "http_answer_reset"),
    "closes in the head": (saying(OK + b"x-"), 503, "http_answer_reset"),
    "answers garbage": (saying(bytes(range(256)) * 300), 502, "http_answer_invalid"),
    "speaks something else": (saying(b"220 mail.example ESMTP\r\n"), 502, "http_answer_invalid"),
    "sends 100 MB of one header": (
        flooding(OK + b"x-a: ", b"a"),
        502,
        "http_answer_invalid",
    ),
    "sends 100 MB of headers": (flooding(OK, b"x-a: b\r\n"), 502, "http_answer_invalid"),
    "has two lengths": (
        saying(OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab"),
        502,
        "http_answer_invalid",
    ),
    "has a length and chunks": (
        saying(OK + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        502,
        "http_answer_invalid",
    ),
    "injects a header": (saying(OK + b"x-a: b\nx-c: d\r\n\r\n"), 502, "http_answer_invalid"),
    "switches protocols unasked": (
        saying(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
        502,
        "http_answer_invalid",
    ),
    "has a status of four digits": (
        saying(b"HTTP/1.1 2000 OK\r\n\r\n"),
        502,
        "http_answer_invalid",
    ),
}


@pytest.mark.parametrize("what", BEFORE)
def test_before_an_answer_the_client_gets_one_of_ours(world: Edge, what: str) -> None:
    serve, status, code = BEFORE[what]
    path = f"/before/{next(NUMBERS)}"
    with world.place.pod("shop").serving(8080, serve), undisturbed(world, FINE):
        found, said = asked(world, path)
    assert found == status
    assert said == code.encode() + b"\n"
    assert f'code="{code}"' in line(world, path)
    assert f"response_code={status}" in line(world, path)


def test_a_backend_that_does_not_listen_is_503(world: Edge) -> None:
    with undisturbed(world, FINE):
        assert asked(world, "/refused")[0] == 503
    assert 'code="http_endpoint_unreachable"' in line(world, "/refused")


CUT = {b"ten octetsCUT", b"CUT"}
"""What the client's library makes of it: with a reset, it may lose what came before."""
MIDDLE = {
    "resets in the body": saying(OK + b"content-length: 100\r\n\r\nten octets", reset=True),
    "closes in the body": saying(OK + b"content-length: 100\r\n\r\nten octets"),
    "closes among chunks": saying(OK + b"transfer-encoding: chunked\r\n\r\na\r\nten octets\r\n"),
    "sends a bad chunk": saying(
        OK + b"transfer-encoding: chunked\r\n\r\na\r\nten octets\r\nzz\r\n"
    ),
}


@pytest.mark.parametrize("what", MIDDLE)
def test_an_answer_that_is_cut_is_cut_for_the_client_too(world: Edge, what: str) -> None:
    path = f"/middle/{next(NUMBERS)}"
    with world.place.pod("shop").serving(8080, MIDDLE[what]), undisturbed(world, FINE):
        status, said = asked(world, path)
    assert status == 200
    assert said in CUT
    code = "http_answer_invalid" if "bad" in what else "http_answer_cut"
    assert f'code="{code}"' in line(world, path)


def test_a_backend_that_stalls_in_its_head_is_given_the_routes_time(world: Edge) -> None:
    serve = stalling(OK + b"x-")
    with world.place.pod("shop").serving(8080, serve), undisturbed(world, FINE):
        assert asked(world, "/timed/head") == (504, b"http_timeout\n")
    assert 'code="http_timeout"' in line(world, "/timed/head")


def test_a_backend_that_stalls_in_its_body_is_given_the_routes_time(world: Edge) -> None:
    serve = stalling(OK + b"content-length: 100\r\n\r\nten octets")
    with world.place.pod("shop").serving(8080, serve), undisturbed(world, FINE):
        status, said = asked(world, "/timed/body")
    assert status == 200
    assert said in CUT
    assert 'code="http_timeout"' in line(world, "/timed/body")


def test_a_backend_that_never_stops_informing_is_given_up(world: Edge) -> None:
    serve = flooding(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n")
    said = b""
    with (
        world.place.pod("shop").serving(8080, serve),
        undisturbed(world, FINE),
        world.place.pod("web").dial(BAD, 80) as client,
    ):
        client.sendall(b"GET /informing HTTP/1.1\r\nhost: a\r\n\r\n")
        while b"HTTP/1.1 502 " not in said:
            piece = client.recv(65_536)
            assert piece, said
            said += piece
    assert said.count(b"HTTP/1.1 103") < 100
    assert 'code="http_answer_invalid"' in line(world, "/informing")


def test_what_comes_behind_an_answer_reaches_nobody(world: Edge) -> None:
    evil = saying(OK + b"content-length: 2\r\n\r\nok" + OK + b"content-length: 4\r\n\r\nevil")
    with world.place.pod("shop").serving(8080, evil), undisturbed(world, FINE):
        connection = http.client.HTTPConnection(BAD, timeout=10)
        connection.sock = world.place.pod("web").dial(BAD, 80)
        for _ in range(5):
            connection.request("GET", "/behind")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"ok")
        connection.close()


def test_a_backend_that_never_reads_holds_the_client_back(world: Edge) -> None:
    """An upload of 100 MB, of which nobody takes an octet: it stops, and so does the client."""
    gone = threading.Event()

    def serve(connection: socket.socket) -> None:
        del connection
        gone.wait(10)

    sent = 0
    with ExitStack() as stack:
        stack.callback(gone.set)
        stack.enter_context(world.place.pod("shop").serving(8080, serve))
        stack.enter_context(undisturbed(world, FINE))
        client = stack.enter_context(world.place.pod("web").dial(BAD, 80))
        client.sendall(
            b"POST /timed/unread HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % HUNDRED_MB
        )
        client.settimeout(SLOW_S / 4)
        with suppress(TimeoutError, ConnectionError):
            while sent < HUNDRED_MB:
                sent += client.send(bytes(65_536))
        client.settimeout(5)
        assert client.recv(100).startswith(b"HTTP/1.1 504 ")
    assert sent < HUNDRED_MB // 2
    assert 'code="http_timeout"' in line(world, "/timed/unread")


def test_a_backend_that_answers_early_is_heard(world: Edge) -> None:
    early = saying(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig")
    with (
        world.place.pod("shop").serving(8080, early),
        undisturbed(world, FINE),
        world.place.pod("web").dial(BAD, 80) as client,
    ):
        client.sendall(b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nabc")
        said = b""
        while not said.endswith(b"big"):
            piece = client.recv(65_536)
            assert piece, said
            said += piece
    assert said.startswith(b"HTTP/1.1 413 ")
    assert "response_code=413" in line(world, "/early")


SECONDS = {
    "speaks HTTP/1.1": saying(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
    "closes": saying(b""),
    "floods its headers": flooding(
        b"\0\0\0\4\0\0\0\0\0" + b"\0\0\0\4\1\0\0\0\0",
        b"\0\x40\0\x01\x00\0\0\0\1" + bytes(16_384),
    ),
    "floods with pings": flooding(b"\0\0\0\4\0\0\0\0\0", b"\0\0\x08\x06\0\0\0\0\0" + bytes(8)),
    "floods with settings": flooding(b"", b"\0\0\0\4\0\0\0\0\0"),
    "sends a window of zero, and resets": saying(
        b"\0\0\0\4\0\0\0\0\0" + b"\0\0\4\x08\0\0\0\0\1\0\0\0\0", reset=True
    ),
}


@pytest.mark.parametrize("what", SECONDS)
def test_an_http_2_backend_that_is_none_costs_its_own_request_only(world: Edge, what: str) -> None:
    path = f"/second/{next(NUMBERS)}"
    with world.place.pod("gate").serving(8080, SECONDS[what]), undisturbed(world, FINE):
        status, _ = asked(world, path, SECOND)
    assert status in {502, 503}
    assert 'code="http_' in line(world, path)


def test_afterwards_a_good_backend_is_used_again(world: Edge) -> None:
    with world.place.pod("shop").serving(8080, good):
        assert asked(world, "/good") == (200, b"good")
