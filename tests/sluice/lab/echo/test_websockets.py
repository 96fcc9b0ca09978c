"""WebSockets of the echo server."""

import socket
from collections.abc import Iterator

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from tests.sluice.lab.echo.servers import basic


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with basic(tmp_path_factory.mktemp("echo") / "log", {}) as found:
        yield found.http


class Client:
    """A WebSocket of a client."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._codec = WSConnection(ConnectionType.CLIENT)
        self._heard: list[Event] = []

    def says(self, *events: Event) -> None:
        self._end.sendall(b"".join(self._codec.send(event) for event in events))

    def hears(self) -> Event:
        while not self._heard:
            self._codec.receive_data(self._end.recv(65536))
            self._heard += self._codec.events()
        return self._heard.pop(0)


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    with socket.create_connection(("127.0.0.1", port), 5) as end:
        yield Client(end)


@pytest.fixture
def opened(client: Client) -> Client:
    client.says(Request(host="echo", target="/ws"))
    assert isinstance(client.hears(), AcceptConnection)
    return client


@pytest.mark.parametrize("event", [TextMessage("grün"), BytesMessage(b"\0\xff" * 100_000)])
def test_a_frame_comes_back_as_it_was(opened: Client, event: TextMessage | BytesMessage) -> None:
    opened.says(event)
    text, octets = "", b""
    while True:
        heard = opened.hears()
        assert isinstance(heard, type(event))
        if isinstance(heard, TextMessage):
            text += heard.data
        elif isinstance(heard, BytesMessage):
            octets += heard.data
        if heard.message_finished:
            break
    assert event.data in (text, octets)


def test_a_ping_is_answered_and_a_close_too(opened: Client) -> None:
    opened.says(Ping(b"here?"))
    assert opened.hears() == Pong(b"here?")
    opened.says(CloseConnection(1000))
    heard = opened.hears()
    assert isinstance(heard, CloseConnection)
    assert heard.code == 1000


def test_only_one_path_has_websockets(client: Client) -> None:
    client.says(Request(host="echo", target="/other"))
    assert isinstance(client.hears(), RejectConnection)


def test_garbage_ends_the_connection(opened: Client, port: int) -> None:
    opened._end.sendall(b"\xff" * 50)
    while opened._end.recv(100):
        pass
    with socket.create_connection(("127.0.0.1", port), 5) as end:
        Client(end).says(Request(host="echo", target="/ws"))
        assert end.recv(100).startswith(b"HTTP/1.1 101")


def test_a_request_with_no_key_is_refused(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 5) as end:
        end.sendall(b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
        assert end.recv(100).startswith(b"HTTP/1.1 400")
