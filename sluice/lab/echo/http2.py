"""HTTP/2, a connection at a time: many streams, each answered when its time has come."""

import heapq
import socket
import time
from collections.abc import Callable
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error

from sluice.lab.echo.answers import WITHOUT_BODY, Answer, Peer, Request, canonical
from sluice.lab.echo.reader import ResetError

Respond = Callable[[Request, bytes], Answer]
"""Answers a request and its body."""

_CHUNK_OCTETS: Final = 1 << 16
_MAX_BODY_OCTETS: Final = 1 << 22
"""More of a body is read and forgotten."""

PROTO: Final = "HTTP/2.0"


def serve_http2(connection: socket.socket, octets: bytes, peer: Peer, respond: Respond) -> None:
    """Answer the requests of one connection until it ends.

    Args:
        connection: of the client.
        octets: what was read of it already, the preface with it.
        peer: the client.
        respond: is called for each request when it is complete; must not block.

    Raises:
        OSError: it broke.
        ResetError: it is to be reset.
    """
    session = Http2Session(connection, peer, respond)
    session.begin()
    session.serve(octets)


def serve_upgraded(
    connection: socket.socket, octets: bytes, request: Request, respond: Respond
) -> None:
    """Go on with a connection of HTTP/1.1 whose client asked for it with this request.

    Raises:
        OSError: it broke.
        ResetError: it is to be reset.
    """
    session = Http2Session(connection, request.peer, respond)
    session.begin_upgraded(request)
    session.serve(octets)


class Http2Session:
    """One connection of HTTP/2."""

    def __init__(self, connection: socket.socket, peer: Peer, respond: Respond) -> None:
        self._connection = connection
        self._peer = peer
        self._respond = respond
        config = H2Configuration(client_side=False, header_encoding="latin-1")
        self._h2 = H2Connection(config)
        self._requests: dict[int, tuple[Request, bytearray]] = {}
        self._waiting: list[tuple[float, int]] = []
        """When which stream is to be answered: a heap."""
        self._answers: dict[int, Answer] = {}
        self._unsent: dict[int, Answer] = {}
        """What the client's windows have not let through yet, the trailers with it."""
        self._is_over = False

    def begin(self) -> None:
        """Expect a client's preface."""
        self._h2.initiate_connection()

    def begin_upgraded(self, request: Request) -> None:
        """Go on from HTTP/1.1: this request is the first stream."""
        settings = request.headers.get("Http2-Settings", [""])[0]
        self._h2.initiate_upgrade_connection(settings.encode())
        self._requests[1] = (request._replace(proto=PROTO), bytearray())
        self._ended(1)

    def serve(self, octets: bytes) -> None:
        """Serve it to its end, beginning with octets that were read already."""
        try:
            while not self._is_over:
                for event in self._h2.receive_data(octets):
                    self._take(event)
                self._answer_due()
                self._flush()
                octets = self._receive()
        except H2Error:
            self._flush()  # what it has to say about the error

    def _receive(self) -> bytes:
        """What comes next; nothing when something is to be sent before, or at the end."""
        if self._is_over:
            return b""
        wait_s = None
        if self._waiting:
            wait_s = max(0.0005, self._waiting[0][0] - time.monotonic())
        self._connection.settimeout(wait_s)
        try:
            octets = self._connection.recv(_CHUNK_OCTETS)
        except TimeoutError:
            return b""
        self._is_over = not octets
        return octets

    def _flush(self) -> None:
        if octets := self._h2.data_to_send():
            self._connection.settimeout(None)
            self._connection.sendall(octets)

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(stream)):
                self._requests[stream] = (self._request(event), bytearray())
            case DataReceived(stream_id=int(stream), data=bytes(octets)):
                body = self._requests[stream][1]
                if len(body) < _MAX_BODY_OCTETS:
                    body += octets
                self._h2.acknowledge_received_data(event.flow_controlled_length, stream)
            case StreamEnded(stream_id=int(stream)):
                self._ended(stream)
            case StreamReset(stream_id=int(stream)):
                for held in (self._requests, self._answers, self._unsent):
                    held.pop(stream, None)
            case WindowUpdated():
                for stream in list(self._unsent):
                    self._send_rest(stream)
            case ConnectionTerminated():
                self._is_over = True
            case _:
                pass

    def _request(self, event: RequestReceived) -> Request:
        headers: dict[str, list[str]] = {}
        own: dict[str, str] = {}
        for name, value in event.headers or ():
            text, content = _text(name), _text(value)
            if text.startswith(":"):
                own[text] = content
            else:
                headers.setdefault(canonical(text), []).append(content)
        if "Cookie" in headers:  # RFC 9113 section 8.2.3: pieces of one header
            headers["Cookie"] = ["; ".join(headers["Cookie"])]
        host = own.get(":authority") or headers.get("Host", [""])[0]
        return Request(
            self._peer, own.get(":method", ""), own.get(":path", ""), PROTO, host, headers
        )

    def _ended(self, stream: int) -> None:
        found = self._requests.pop(stream, None)
        if found is None:
            return
        request, body = found
        answer = self._respond(request, bytes(body))
        if request.method == "HEAD" or answer.status in WITHOUT_BODY:
            answer = answer._replace(body=b"")
        self._answers[stream] = answer
        heapq.heappush(self._waiting, (time.monotonic() + answer.delay_s, stream))

    def _answer_due(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, stream = heapq.heappop(self._waiting)
            answer = self._answers.pop(stream, None)
            if answer is None:
                continue  # its stream was reset
            if answer.is_reset:
                raise ResetError
            self._begin(stream, answer)

    def _begin(self, stream: int, answer: Answer) -> None:
        headers = [(":status", str(answer.status))]
        headers += [(name.lower(), value) for name, value in answer.headers]
        if not answer.trailers:
            headers.append(("content-length", str(len(answer.body))))
        is_all = not answer.body and not answer.trailers
        self._h2.send_headers(stream, headers, end_stream=is_all)
        if not is_all:
            self._unsent[stream] = answer
            self._send_rest(stream)

    def _send_rest(self, stream: int) -> None:
        answer = self._unsent.pop(stream)
        body = answer.body
        while body:
            room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
            if room <= 0:
                self._unsent[stream] = answer._replace(body=body)
                return
            piece, body = body[:room], body[room:]
            self._h2.send_data(stream, piece, end_stream=not body and not answer.trailers)
        if answer.trailers:
            self._h2.send_headers(stream, answer.trailers, end_stream=True)


def _text(octets: str | bytes) -> str:
    return octets if isinstance(octets, str) else octets.decode("latin-1")
