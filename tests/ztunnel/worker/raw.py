"""A peer that shares no HTTP/2 with us: pyOpenSSL and h2, blocking, from any pod."""

import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol, Self

import h2.config
import h2.connection
import h2.events
from OpenSSL import SSL

from mesh.runtime import tls
from tests.pki import Issued
from tests.ztunnel.worker.town import SECONDS, Town


class Place(Protocol):
    """From where one may dial."""

    def dial(self, host: str, port: int) -> socket.socket: ...


class RawPeer:
    """A client of a pod's 15008."""

    def __init__(self, source: Place, host: str, papers: Issued, roots: bytes) -> None:
        """Connect from a pod that is not captured, and shake hands.

        Raises:
            SSL.Error: our side has found the handshake wrong.
        """
        self._sock = source.dial(host, 15008)
        self._sock.settimeout(None)
        wait = struct.pack("ll", int(SECONDS), 0)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        context = tls.client_context(papers.key, papers.chain, roots)
        self._tls = SSL.Connection(context, self._sock)
        self._tls.set_connect_state()
        self._tls.do_handshake()
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(header_encoding=None, validate_outbound_headers=False)
        )
        self._h2.initiate_connection()
        self._events: list[h2.events.Event] = []
        self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._sock.close()

    def ask(self, *headers: tuple[bytes, bytes]) -> int:
        """Send a request's head; the stream's number."""
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, headers)
        self._flush()
        return stream

    def connect(self, authority: str, **more: str) -> int:
        """Send a CONNECT; underscores in names are written as dashes."""
        headers = [(name.replace("_", "-").encode(), text.encode()) for name, text in more.items()]
        return self.ask((b":method", b"CONNECT"), (b":authority", authority.encode()), *headers)

    def answer(self, stream: int) -> Mapping[bytes, bytes]:
        """The head of the answer, with `:ended` when nothing follows it.

        Raises:
            ConnectionError: the connection, or the stream, was ended instead.
        """
        while True:
            for event in self._take(stream):
                if isinstance(event, h2.events.ResponseReceived):
                    found = dict(event.headers)
                    if event.stream_ended is not None:
                        found[b":ended"] = b"yes"
                    return found
                if isinstance(event, h2.events.StreamReset):
                    raise ConnectionError(f"reset with {event.error_code}")
            self._read()

    def send(self, stream: int, octets: bytes, *, end: bool = False) -> None:
        """Send DATA."""
        self._h2.send_data(stream, octets, end_stream=end)
        self._flush()

    def read(self, stream: int) -> bytes:
        """The next DATA; nothing at the end.

        Raises:
            ConnectionError: it was reset instead.
        """
        while True:
            for event in self._take(stream):
                if isinstance(event, h2.events.DataReceived):
                    return event.data
                if isinstance(event, h2.events.StreamEnded):
                    return b""
                if isinstance(event, h2.events.StreamReset):
                    raise ConnectionError(f"reset with {event.error_code}")
            self._read()

    def wait_goaway(self) -> None:
        """Read until the peer says that it goes; nothing else works afterwards (h2 gives up)."""
        octets = b""
        while True:
            octets += self._tls.recv(65_536)
            while len(octets) >= 9:
                length = int.from_bytes(octets[:3], "big")
                if octets[3] == 7:
                    return
                octets = octets[9 + length :]

    def send_raw(self, octets: bytes) -> None:
        """Send what h2 would not."""
        self._tls.sendall(octets)

    def wait_closed(self) -> None:
        """Read until the peer closes.

        Raises:
            TimeoutError: it does not.
        """
        try:
            while True:
                self._tls.recv(65_536)
        except SSL.WantReadError:
            raise TimeoutError from None
        except SSL.Error:
            return

    def _take(self, stream: int) -> list[h2.events.Event]:
        """The first event of a stream, if there is one."""
        for number, event in enumerate(self._events):
            if getattr(event, "stream_id", None) == stream:
                return [self._events.pop(number)]
        return []

    def _read(self) -> None:
        try:
            octets = self._tls.recv(65_536)
        except SSL.WantReadError:
            raise TimeoutError("the peer says nothing") from None
        except SSL.Error as error:
            raise ConnectionError("the connection was ended") from error
        events = self._h2.receive_data(octets)
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self._events += events
        self._flush()

    def _flush(self) -> None:
        with suppress(SSL.SysCallError):  # what the peer has against us is found by reading
            self._tls.sendall(self._h2.data_to_send())


def stranger(place: Town, host: str, papers: Issued) -> RawPeer:
    """A peer with these papers, in the pod that is not captured."""
    return RawPeer(place.pod("stranger"), host, papers, papers.roots)
