"""WebSockets: every frame of text or octets comes back as it was."""

import socket
from typing import Final

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

from sluice.lab.echo.answers import Request
from sluice.lab.echo.logbook import note
from sluice.lab.echo.reader import GoneError, Reader

_CHUNK_OCTETS: Final = 1 << 16


def serve_websocket(connection: socket.socket, reader: Reader, request: Request) -> None:
    """Accept a WebSocket and echo its frames until it is closed.

    Args:
        connection: of the client.
        reader: what has read the request, and may have read more.
        request: asks for a WebSocket.

    Raises:
        GoneError: what comes is no WebSocket.
        OSError: the connection broke.
    """
    key = request.headers.get("Sec-Websocket-Key", [""])[0]
    if not key:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        return
    token = generate_accept_token(key.encode("latin-1")).decode()
    head = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {token}")
    lines = ("HTTP/1.1 101 Switching Protocols", *head, "", "")
    connection.sendall("\r\n".join(lines).encode())
    note(f"established websocket connection {request.peer.client}")
    try:
        _echo_frames(connection, Connection(ConnectionType.SERVER), reader.rest())
    except (LocalProtocolError, RemoteProtocolError) as error:
        raise GoneError from error


def _echo_frames(connection: socket.socket, frames: Connection, octets: bytes) -> None:
    while True:
        if octets:
            frames.receive_data(octets)
        for event in frames.events():
            connection.sendall(_reply(frames, event))
            if isinstance(event, CloseConnection):
                return
        octets = connection.recv(_CHUNK_OCTETS)
        if not octets:
            return


def _reply(frames: Connection, event: Event) -> bytes:
    match event:
        case TextMessage() | BytesMessage():
            return frames.send(event)
        case Ping() | CloseConnection():
            return frames.send(event.response())
        case _:
            return b""
