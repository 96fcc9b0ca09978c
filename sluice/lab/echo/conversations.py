"""What is said on one connection, by the port that took it."""

import socket
from typing import Final

from sluice.lab.echo.answers import Answer, Echo, Peer, Request
from sluice.lab.echo.http1 import asks_to_become, read_request, send, serve_http1
from sluice.lab.echo.lines import Dialogue, serve_lines
from sluice.lab.echo.reader import GoneError, Reader, ResetError, reset_at_close
from sluice.lab.echo.settings import Port, Settings, Speech

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
)


class Conversations:
    """Serves connections as its settings say.

    Modules that only some of them need are imported by the first of those.
    """

    def __init__(self, settings: Settings) -> None:
        """Make ready.

        Raises:
            OSError: a certificate cannot be read.
        """
        self._settings = settings
        self._echo = Echo(settings.who, settings.http_port)
        self._tls = None
        if any(port.is_secure for port in settings.ports):
            from sluice.lab.echo.tls import TlsServer  # noqa: PLC0415 - see the class

            self._tls = TlsServer(settings)

    def serve(self, connection: socket.socket, client: str, port: Port) -> None:
        """Serve one connection to its end, whatever comes; closes it."""
        peer, end = Peer(client, str(port.number)), connection
        try:
            if port.is_secure and self._tls is not None:
                end, secured = self._tls.secure(connection, port)
                peer = peer._replace(tls=secured)
            self._converse(end, peer, port)
        except ResetError:
            reset_at_close(end)
        except (OSError, ValueError, GoneError):
            pass  # it ended by the client's will or mistake: there is nobody to tell
        finally:
            end.close()

    def _converse(self, connection: socket.socket, peer: Peer, port: Port) -> None:
        match port.speech:
            case Speech.TCP:
                settings = self._settings
                dialogue = Dialogue(settings.who, settings.ports, settings.greeting)
                serve_lines(connection, peer, dialogue)
            case Speech.GRPC:
                self._serve_grpc(connection, peer)
            case _:
                self._serve_http(connection, peer, port.speech)

    def _serve_http(self, connection: socket.socket, peer: Peer, speech: Speech) -> None:
        reader = Reader(connection)
        if peer.tls is not None:
            is_http2 = peer.tls.protocol == "h2"
        else:
            is_http2 = speech is not Speech.HTTP1 and reader.begins_with(_PREFACE)
        if is_http2:
            from sluice.lab.echo.http2 import serve_http2  # noqa: PLC0415 - see the class

            serve_http2(connection, reader.rest(), peer, self._respond)
        elif speech is Speech.H2C:
            self._upgrade(connection, reader, peer)
        else:
            serve_http1(connection, reader, peer, self._echo)

    def _upgrade(self, connection: socket.socket, reader: Reader, peer: Peer) -> None:
        """Let a client of HTTP/1.1 go on with HTTP/2, and serve no other."""
        from sluice.lab.echo.http2 import serve_upgraded  # noqa: PLC0415 - see the class

        request = read_request(connection, reader, peer)
        if not asks_to_become(request, "h2c") or "Http2-Settings" not in request.headers:
            send(connection, request, Answer(400, body=b"Expected h2c request"))
            return
        connection.sendall(_SWITCHING)
        serve_upgraded(connection, reader.rest(), request, self._respond)

    def _serve_grpc(self, connection: socket.socket, peer: Peer) -> None:
        from sluice.lab.echo.grpc_calls import Calls  # noqa: PLC0415 - see the class
        from sluice.lab.echo.http2 import serve_http2  # noqa: PLC0415 - see the class

        serve_http2(connection, b"", peer, Calls(self._settings.who, self._echo).answer)

    def _respond(self, request: Request, _: bytes) -> Answer:
        return self._echo.answer(request)
