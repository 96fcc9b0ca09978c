"""The small HTTP server: real sockets, honest answers, and nothing that a client can hold up."""

import contextlib
import gzip
from collections.abc import AsyncIterator

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.model.address import parse_ip
from mesh.runtime import http_server
from mesh.runtime.http_server import (
    HttpListenFailedError,
    Request,
    Response,
    accepts_gzip,
    compressed,
    listen_http,
    parse_head,
    serve_http,
    text,
)

LOCAL = parse_ip("127.0.0.1")


async def page(request: Request) -> Response:
    if request.path == "/bug":
        raise ZeroDivisionError
    if request.path == "/large":
        return await compressed(request, text("word " * 1000))
    words = f"{request.method} {request.path} {sorted(request.query.items())} {request.body!r}"
    return text(f"{words} {request.is_from_loopback}")


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[int]:
    listeners = await listen_http("127.0.0.1", 0)
    port: int = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_http, listeners, page)
        yield port
        nursery.cancel_scope.cancel()


async def ask(port: int, octets: bytes) -> bytes:
    """The whole answer; the client stays open until the server has closed."""
    answer = b""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(octets)
        async for chunk in stream:
            answer += chunk
    return answer


async def test_a_page_gets_path_query_body_and_whether_the_client_is_local() -> None:
    async with serving() as port:
        answer = await ask(
            port, b"POST /logging?level=debug&x= HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"
        )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in head
    assert body == b"POST /logging [('level', 'debug'), ('x', '')] b'hi' True\n"


async def test_head_has_no_body_and_a_request_may_come_in_pieces() -> None:
    async with serving() as port, await trio.open_tcp_stream("127.0.0.1", port) as stream:
        for octet in b"HEAD / HTTP/1.1\r\nA: b\r\n\r\n":
            await stream.send_all(bytes([octet]))
        answer = b"".join([chunk async for chunk in stream])
    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Length: 19" in answer


async def test_a_page_is_compressed_for_a_client_that_says_so() -> None:
    async with serving() as port:
        plain = await ask(port, b"GET /large HTTP/1.1\r\n\r\n")
        small = await ask(port, b"GET /large HTTP/1.1\r\nAccept-Encoding: br, gzip\r\n\r\n")
    assert b"Content-Encoding" not in plain
    head, _, body = small.partition(b"\r\n\r\n")
    assert b"\r\nContent-Encoding: gzip\r\n" in head
    assert b"\r\nVary: Accept-Encoding\r\n" in head
    assert b"\r\nContent-Length: %d\r\n" % len(body) in head + b"\r\n"
    assert len(body) < 200
    assert gzip.decompress(body) == plain.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ("gzip", True),
        ("zstd;q=1, GZIP ; q=0.5", True),
        ("x-gzip", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("br, zstd", False),
        ("", False),
    ],
)
def test_compression_is_taken_only_when_it_is_offered(offered: str, taken: bool) -> None:
    request = Request(
        method="GET", path="/", headers={"accept-encoding": offered}, peer=parse_ip("127.0.0.1")
    )
    assert accepts_gzip(request) is taken


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"\x16\x03\x01\r\n\r\n", b"400"),
        (b"GET / SPDY/3\r\n\r\n", b"400"),
        (b"GET http://[x HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /[x?" + b"&" * 200 + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"DELETE / HTTP/1.1\r\n\r\n", b"405"),
        (b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 9000, b"431"),
        (b"GET /bug HTTP/1.1\r\n\r\n", b"500"),
    ],
)
async def test_a_bad_request_gets_its_status_and_the_next_one_is_served(
    octets: bytes, status: bytes
) -> None:
    async with serving() as port:
        assert (await ask(port, octets)).split(b" ")[1] == status
        assert (await ask(port, b"GET / HTTP/1.0\r\n\r\n")).split(b" ")[1] == b"200"


async def test_a_silent_client_is_sent_away(autojump_clock: trio.testing.MockClock) -> None:
    """Virtual time over a real socket: nothing moves, so the clock jumps."""
    autojump_clock.autojump_threshold = 0.01
    async with serving() as port, await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(b"GET / HT")
        answer = b"".join([chunk async for chunk in stream])
    assert answer.split(b" ")[1] == b"408"


async def test_a_client_that_leaves_disturbs_nobody() -> None:
    async with serving() as port:
        for octets in (b"", b"GET / HTTP/1.1\r\n"):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(octets)
        assert b" 200 " in await ask(port, b"GET / HTTP/1.1\r\n\r\n")


async def test_clients_above_the_limit_are_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 1)
    async with serving() as port, await trio.open_tcp_stream("127.0.0.1", port) as first:
        await first.send_all(b"GET / HTTP/1.1\r\n")
        await trio.testing.wait_all_tasks_blocked(0.01)
        with contextlib.suppress(trio.BrokenResourceError):
            assert await ask(port, b"GET / HTTP/1.1\r\n\r\n") == b""
        await first.send_all(b"\r\n")
        assert b" 200 " in b"".join([chunk async for chunk in first])


async def test_a_port_in_use_is_an_error_that_names_it() -> None:
    listeners = await listen_http("127.0.0.1", 0)
    port: int = listeners[0].socket.getsockname()[1]
    with pytest.raises(HttpListenFailedError, match=f"port {port}: Address already in use"):
        await listen_http("127.0.0.1", port)
    for listener in listeners:
        await listener.aclose()


@given(st.binary(max_size=200))
def test_a_head_of_garbage_is_a_request_or_an_error_of_ours(octets: bytes) -> None:
    with contextlib.suppress(MeshError):
        parse_head(octets, LOCAL)


@given(st.binary(max_size=100), st.binary(max_size=60))
def test_a_head_that_begins_well_is_read_or_refused(target: bytes, rest: bytes) -> None:
    with contextlib.suppress(MeshError):
        parse_head(b"GET /" + target + b" HTTP/1.1\r\n" + rest, LOCAL)
