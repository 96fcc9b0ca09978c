"""HTTP/1.1, a blocking connection at a time.

Written by hand and on the standard library alone: a library for it would cost every one of a
lab's echoes its start-up time again.
"""

import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Final

from sluice.lab.echo.answers import WITHOUT_BODY, Answer, Echo, Peer, Request, canonical
from sluice.lab.echo.reader import GoneError, Reader, ResetError

_REASONS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}


def serve_http1(connection: socket.socket, reader: Reader, peer: Peer, echo: Echo) -> None:
    """Answer the requests of one connection until it ends.

    Raises:
        GoneError: it has ended.
        ResetError: it is to be reset.
        ValueError: what came is not HTTP/1.
    """
    goes_on = True
    while goes_on:
        request = read_request(connection, reader, peer)
        if _is_websocket(request):
            from sluice.lab.echo.websockets import serve_websocket  # noqa: PLC0415 - rarely needed

            serve_websocket(connection, reader, request)
            return
        goes_on = send(connection, request, echo.answer(request))


def read_request(connection: socket.socket, reader: Reader, peer: Peer) -> Request:
    """The next request; its body is read and forgotten.

    Raises:
        GoneError: there is none, or it is not HTTP/1.
        ValueError: a length that is no number.
    """
    words = reader.line().decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise GoneError
    headers: dict[str, list[str]] = {}
    for name, value in _headers(reader):
        headers.setdefault(name, []).append(value)
    if headers.get("Expect", [""])[0].lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    _read_body(reader, headers)
    host = headers.get("Host", [""])[0]
    return Request(peer, words[0], words[1], words[2], host, headers)


def send(connection: socket.socket, request: Request, answer: Answer) -> bool:
    """Send an answer when its time has come; whether the connection goes on.

    Raises:
        ResetError: that is the answer.
    """
    if answer.delay_s:
        threading.Event().wait(answer.delay_s)
    if answer.is_reset:
        raise ResetError
    wishes = request.headers.get("Connection", [""])[0].lower()
    goes_on = wishes != "close" and (request.proto != "HTTP/1.0" or wishes == "keep-alive")
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Echo')}",
        *(f"{name}: {value}" for name, value in answer.headers),
        f"Connection: {'keep-alive' if goes_on else 'close'}",
    ]
    if answer.status not in WITHOUT_BODY:
        lines.append(f"Content-Length: {len(answer.body)}")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    connection.sendall(head + (b"" if request.method == "HEAD" else answer.body))
    return goes_on


def asks_to_become(request: Request, protocol: str) -> bool:
    """Whether a request asks to go on with another protocol."""
    return request.headers.get("Upgrade", [""])[0].lower() == protocol


def _is_websocket(request: Request) -> bool:
    return request.target.partition("?")[0] == "/ws" and asks_to_become(request, "websocket")


def _headers(reader: Reader) -> Iterator[tuple[str, str]]:
    while line := reader.line():
        name, _, value = line.decode("latin-1").partition(":")
        yield canonical(name.strip()), value.strip()


def _read_body(reader: Reader, headers: Mapping[str, list[str]]) -> None:
    if "chunked" in headers.get("Transfer-Encoding", [""])[-1].lower():
        while size := int(reader.line().partition(b";")[0], 16):
            reader.skip(size + 2)
        while reader.line():
            pass
    else:
        reader.skip(int(headers.get("Content-Length", ["0"])[0]))
