"""Tunnels that let a link down before its CONNECT was answered: replaced once, and then not."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
from h2.errors import ErrorCodes

from mesh.model.identity import Identity
from mesh.routing.balance import Endpoint
from mesh.runtime.http2_transport import TunnelBrokenError
from mesh.runtime.worker.pending import StreamRefusedError
from mesh.wire.feed import Certificate, StateDelta
from mesh.wire.hbone import ConnectRefusedError
from tests.mesh.worlds import pod
from tests.waypoint.worker.parts import context, upstreams
from tests.waypoint.worker.test_upstream import SECONDS, Asked, Ears
from tests.ztunnel.worker.test_retry import Behave, Server, accept, go_away, serve
from tests.ztunnel.worker.town import MESH
from waypoint.worker.context import Context

pytestmark = [pytest.mark.netns, pytest.mark.slow]

ENDPOINT = pod("stranger", "127.0.0.1", namespace="town")
EDGE = Identity("cluster.local", "shop", "edge")


@contextmanager
def proxy(behave: Behave) -> Iterator[list[int]]:
    """The endpoint's node proxy, somebody else's; the list grows by connection."""
    seen: list[int] = []
    serving: list[threading.Thread] = []

    def one(accepted: socket.socket, number: int) -> None:
        with accepted:
            serve(accepted, number, behave)

    with socket.create_server(("127.0.0.1", 15008)) as listening:

        def run() -> None:
            while True:
                try:
                    accepted, _ = listening.accept()
                except OSError:
                    return
                seen.append(len(seen))
                serving.append(threading.Thread(target=one, args=(accepted, seen[-1]), daemon=True))
                serving[-1].start()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            listening.shutdown(socket.SHUT_RDWR)
    for each in (thread, *serving):
        each.join(SECONDS)


def knowing() -> Context:
    """A worker that knows the endpoint and has its certificate."""
    parts = context(IPV6_ENABLED="false")
    parts.world.apply(StateDelta(1, last=True, workloads=(ENDPOINT,)))
    issued = MESH.issue(EDGE)
    parts.credentials.put(
        Certificate(EDGE, issued.key, issued.chain, issued.roots, issued.not_after)
    )
    return parts


async def ask(behave: Behave) -> tuple[Asked, int]:
    """Ask for one link; what came of it, and by how many tunnels."""
    asked, ears = Asked(), Ears()
    with proxy(behave) as seen:
        async with upstreams(knowing()) as made:
            made.open_link(Endpoint(ENDPOINT, 80), asked.on_link, asked.on_failure)
            await asked.wait()
            for link in asked.links:
                link.use(ears)
                with trio.fail_after(SECONDS):
                    await ears.some.wait()
                assert ears.octets == b"hello\n"
                link.reset()
        return asked, len(seen)


def refuse_first(server: Server, number: int, stream: int) -> None:
    if number == 0:
        server.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
        go_away(server, 0)
    else:
        accept(server, stream)


def refuse(server: Server, _number: int, stream: int) -> None:
    server.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
    go_away(server, 0)


def break_always(_server: Server, _number: int, _stream: int) -> None:
    raise ConnectionAbortedError


def say_no(server: Server, _number: int, stream: int) -> None:
    server.send_headers(stream, [(":status", "503")], end_stream=True)


async def test_a_link_is_a_stream_of_the_endpoints_tunnel() -> None:
    asked, tunnels = await ask(lambda server, _, stream: accept(server, stream))
    assert (len(asked.links), asked.errors, tunnels) == (1, [], 1)


async def test_a_tunnel_that_goes_away_is_replaced_by_another() -> None:
    asked, tunnels = await ask(refuse_first)
    assert (len(asked.links), asked.errors, tunnels) == (1, [], 2)


async def test_two_in_a_row_are_enough() -> None:
    asked, tunnels = await ask(refuse)
    assert [type(error) for error in asked.errors] == [StreamRefusedError]
    assert tunnels == 2


async def test_a_broken_tunnel_is_replaced_once_too() -> None:
    asked, tunnels = await ask(break_always)
    assert [type(error) for error in asked.errors] == [TunnelBrokenError]
    assert tunnels == 2


async def test_an_endpoint_that_says_no_is_not_asked_again() -> None:
    asked, tunnels = await ask(say_no)
    assert [type(error) for error in asked.errors] == [ConnectRefusedError]
    assert tunnels == 1
