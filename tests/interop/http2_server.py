"""A small HTTP/2 server over the core: plain sockets, a thread for each connection, h2c.

`GET /N` answers N octets of a pattern, `POST /echo` what came, `POST /sum` its hash and trailers.
"""

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mesh.wire.http2 import events as happened
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.errors import Http2Error
from mesh.wire.http2.events import Headers
from mesh.wire.http2.flow import WindowBudget
from mesh.wire.http2.frames import FRAME_HEADER_OCTETS, ErrorCode, Role
from mesh.wire.http2.settings import MIB, Settings
from mesh.wire.http2.streams import Stream

PATTERN = bytes(range(251)) * 4200  # a prime period: octets in a wrong place are seen


def pattern(length: int) -> bytes:
    """What `GET /length` answers."""
    return (PATTERN * (length // len(PATTERN) + 1))[:length]


@dataclass
class Exchange:
    """One request, and what is left to send of its answer."""

    stream: Stream
    path: bytes
    body: bytearray = field(default_factory=bytearray)
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    request_ended: bool = False
    trailers: Headers = ()


class Serving:
    """One connection."""

    def __init__(self, connection: socket.socket, settings: Settings, budget: WindowBudget) -> None:
        self.socket = connection
        self.http2 = Connection(Role.SERVER, settings, budget)
        self.exchanges: dict[int, Exchange] = {}
        self.error: Http2Error | None = None
        self.resets: list[ErrorCode] = []

    def run(self) -> None:
        """Serve until the client goes."""
        self.http2.initiate()
        with self.socket:
            try:
                self.flush()
                while octets := self.socket.recv(65_536):
                    self.receive(octets)
                    for exchange in list(self.exchanges.values()):
                        self.push(exchange)
                    self.flush()
            except Http2Error as error:
                self.error = error
                self.flush()
            except OSError:
                pass  # the client has gone, or the test has ended and closed the socket
            finally:
                self.http2.close()

    def receive(self, octets: bytes) -> None:
        for event in self.http2.receive(octets):
            match event:
                case happened.HeadersReceived(stream=stream, headers=headers, end_stream=end):
                    self.begin(Exchange(stream, dict(headers)[b":path"]), end=end)
                case happened.DataReceived(stream=stream, data=piece, end_stream=end):
                    exchange = self.exchanges[stream.stream_id]
                    if exchange.path == b"/echo":
                        exchange.body += piece
                    exchange.digest.update(piece)
                    self.http2.credit(stream, len(piece))
                    if end:
                        self.finish(exchange)
                case happened.TrailersReceived(stream=stream):
                    self.finish(self.exchanges[stream.stream_id])
                case happened.StreamReset(stream=stream, code=code):
                    self.resets.append(code)
                    del self.exchanges[stream.stream_id]

    def begin(self, exchange: Exchange, *, end: bool) -> None:
        self.exchanges[exchange.stream.stream_id] = exchange
        length: Headers = ()
        if exchange.path[1:].isdigit():
            exchange.body += pattern(int(exchange.path[1:]))
            length = ((b"content-length", exchange.path[1:]),)
        self.http2.send_headers(exchange.stream, ((b":status", b"200"), *length))
        if end:
            self.finish(exchange)

    def finish(self, exchange: Exchange) -> None:
        exchange.request_ended = True
        if exchange.path == b"/sum":
            exchange.body += exchange.digest.hexdigest().encode()
            exchange.trailers = ((b"x-trailer", b"there"),)

    def push(self, exchange: Exchange) -> None:
        """Send what the windows let."""
        stream, body = exchange.stream, exchange.body
        while body and (allowed := self.http2.sendable(stream)):
            length = min(allowed, len(body))
            self.flush()
            frame = bytearray(FRAME_HEADER_OCTETS) + body[:length]
            self.http2.write_data_header(frame, 0, stream, length, end_stream=False)
            self.socket.sendall(frame)
            del body[:length]
        if not body and exchange.request_ended:
            if exchange.trailers:
                self.http2.send_headers(stream, exchange.trailers, end_stream=True)
            else:
                self.http2.send_end(stream)
            del self.exchanges[stream.stream_id]

    def flush(self) -> None:
        self.socket.sendall(self.http2.outgoing)
        self.http2.outgoing.clear()


@dataclass
class Server:
    """A listener on loopback, and the connections that it has seen."""

    port: int
    budget: WindowBudget
    served: list[Serving] = field(default_factory=list)


@contextmanager
def serving(settings: Settings) -> Iterator[Server]:
    """Serve on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        server = Server(listener.getsockname()[1], WindowBudget(64 * MIB))
        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                one = Serving(connection, settings, server.budget)
                server.served.append(one)
                threads.append(threading.Thread(target=one.run))
                threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for one in server.served:
                with one.socket:
                    pass
            for thread in threads:
                thread.join()
