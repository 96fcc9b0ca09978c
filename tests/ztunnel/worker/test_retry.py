"""Tunnels that let a connection down before CONNECT was answered, and after."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import h2.config
import h2.connection
import h2.events
import pytest
from hyperframe.frame import GoAwayFrame
from OpenSSL import SSL

from mesh.runtime import tls
from tests.ztunnel.worker.town import MESH, Town, line_of

pytestmark = [pytest.mark.netns, pytest.mark.slow]

Server = h2.connection.H2Connection
Behave = Callable[[Server, int, int], None]
"""The connection, its number (from 0), and the stream of a CONNECT."""


def accept(server: Server, stream: int) -> None:
    server.send_headers(stream, [(":status", "200")])
    server.send_data(stream, b"hello\n")


def go_away(server: Server, last: int) -> None:
    """Send GOAWAY; h2 itself would stop listening then."""
    server._data_to_send += GoAwayFrame(0, last_stream_id=last).serialize()


def serve(accepted: socket.socket, number: int, behave: Behave) -> None:
    papers = MESH.issue(MESH.identity("town", "stranger"))
    connection = SSL.Connection(tls.server_context(papers.key, papers.chain, MESH.roots), accepted)
    connection.set_accept_state()
    server = Server(h2.config.H2Configuration(client_side=False, validate_inbound_headers=False))
    server.initiate_connection()
    try:
        connection.do_handshake()
        while True:
            connection.sendall(server.data_to_send())
            for event in server.receive_data(connection.recv(65_536)):
                if isinstance(event, h2.events.RequestReceived):
                    behave(server, number, event.stream_id)
                if isinstance(event, h2.events.StreamEnded):
                    server.end_stream(event.stream_id)
    except (SSL.Error, ConnectionAbortedError):
        accepted.close()


@contextmanager
def proxy(place: Town, behave: Behave) -> Iterator[list[int]]:
    """A node proxy of somebody else's, in the pod that has none; the list grows by connection."""
    seen: list[int] = []

    def one(accepted: socket.socket) -> None:
        accepted.settimeout(None)
        seen.append(len(seen))
        serve(accepted, seen[-1], behave)

    with place.pod("stranger").serving(15008, one):
        place.tell([place.pod("stranger").workload()])
        yield seen


def test_a_refused_stream_is_tried_once_more_on_another_tunnel(place: Town) -> None:
    def refuse_first(server: Server, number: int, stream: int) -> None:
        if number == 0:
            server.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
            go_away(server, 0)
        else:
            accept(server, stream)

    stranger = place.pod("stranger")
    with proxy(place, refuse_first) as seen, place.pod("web").dial(stranger.ip, 8080) as client:
        assert line_of(client) == "hello"
    assert seen == [0, 1]
    line = place.line("near", message="connection complete", direction="outbound")
    assert "error" not in line


def test_a_tunnel_that_breaks_before_the_answer_is_replaced_once(place: Town) -> None:
    def hang_up(_server: Server, number: int, stream: int) -> None:
        if number == 0:
            raise ConnectionAbortedError
        accept(_server, stream)

    stranger = place.pod("stranger")
    with proxy(place, hang_up) as seen, place.pod("web").dial(stranger.ip, 8080) as client:
        assert line_of(client) == "hello"
    assert seen == [0, 1]


def test_a_peer_that_always_breaks_is_given_up(place: Town) -> None:
    def hang_up(_server: Server, _number: int, _stream: int) -> None:
        raise ConnectionAbortedError

    with proxy(place, hang_up) as seen:
        assert place.pod("web").is_refused(place.pod("stranger").ip, 8080)
    assert seen == [0, 1]
    line = place.line("near", direction="outbound", level="error")
    assert line["code"] == "tunnel_broken"


def test_an_answered_connection_is_never_repeated(place: Town) -> None:
    def answer_and_reset(server: Server, _number: int, stream: int) -> None:
        accept(server, stream)
        server.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)

    web, stranger = place.pod("web"), place.pod("stranger")
    with (
        proxy(place, answer_and_reset) as seen,
        web.dial(stranger.ip, 8080) as client,
        suppress(ConnectionResetError, EOFError),
    ):
        while True:
            line_of(client)
    assert seen == [0]


def test_a_goaway_leaves_the_tunnel_to_what_is_open_and_new_ones_get_another(place: Town) -> None:
    def leave(server: Server, number: int, stream: int) -> None:
        accept(server, stream)
        if number == 0:
            go_away(server, stream)

    stranger, web = place.pod("stranger"), place.pod("web")
    with proxy(place, leave) as seen, web.dial(stranger.ip, 8080) as first:
        assert line_of(first) == "hello"
        with web.dial(stranger.ip, 8080) as second:
            assert line_of(second) == "hello"
    assert seen == [0, 1]
