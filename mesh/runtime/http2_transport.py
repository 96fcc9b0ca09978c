"""An HTTP/2 connection over TLS, driven by the relay reactor: one `Tunnel` for many streams.

1. The protocol is the pure core's (`mesh.wire.http2`); here are the octets: TLS on the socket, a
   receive buffer that all tunnels share, and what is sent (`http2_sending`).
2. All that the connections of one reactor round send goes out at the round's end.
3. While the socket takes no more, nothing is added: streams wait (`wait`), then hear `writable`.
4. A peer that makes us answer but does not read is cut off at CONTROL_LIMIT octets.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from OpenSSL import SSL

from mesh.errors import MeshError, PeerError
from mesh.model.identity import Identity
from mesh.runtime.http2_handle import Handle, Handles
from mesh.runtime.http2_pulse import PeerSilentError, Pulse
from mesh.runtime.http2_sending import RECEIVE_OCTETS, Buffers, Sender
from mesh.runtime.relay import inner
from mesh.runtime.relay.reactor import BROKEN, BUDGET_OCTETS, IN, OUT, READ_END, Reactor
from mesh.wire.http2 import events as happened
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.events import Headers
from mesh.wire.http2.frames import ErrorCode, Role
from mesh.wire.http2.keepalive import Due
from mesh.wire.http2.settings import Settings
from mesh.wire.http2.streams import Stream

CONTROL_LIMIT: Final = 1024 * 1024
CLIENT_SETTINGS: Final = Settings(max_header_list=16 * 1024)
SERVER_SETTINGS: Final = Settings(max_header_list=64 * 1024, max_concurrent_streams=200)
_PING: Final = b"sluice\0\0"
_MOST_DISCARDS: Final = 16


class PeerStalledError(PeerError):
    """The peer makes us answer, and does not read the answers."""

    code = "http2_peer_stalled"


class TunnelBrokenError(PeerError):
    """The connection under the tunnel is gone."""

    code = "tunnel_broken"


OnStream = Callable[["Tunnel", Stream, Headers, bool], None]
OnClose = Callable[["Tunnel", MeshError | None], None]


def refuse_streams(tunnel: "Tunnel", stream: Stream, headers: object, end: object) -> None:
    """What a client does with a stream that the server opens: there is no such thing."""
    del headers, end
    tunnel.reset(stream, ErrorCode.PROTOCOL_ERROR)


class Tunnel:
    """A live HTTP/2 connection; both ends are authenticated before it is made."""

    def __init__(  # noqa: PLR0913 - made at one place, out of parts that are each their own
        self,
        reactor: Reactor,
        buffers: Buffers,
        tls: SSL.Connection,
        connection: socket.socket,
        http2: Connection,
        *,
        peer: Identity,
        on_stream: OnStream = refuse_streams,
        on_close: OnClose,
    ) -> None:
        """Take over a connection whose handshake is done, and say hello.

        Args:
            reactor: Whose rounds drive it.
            buffers: The worker's memory.
            tls: The TLS state, in non-blocking mode on `connection`.
            connection: The TCP socket; it belongs to the tunnel from now on.
            http2: A fresh protocol state, not yet initiated.
            peer: Whose certificate the handshake saw.
            on_stream: Called with each stream that the peer opens.
            on_close: Called once, with the reason, or None after a close in good order.
        """
        self._reactor = reactor
        self._buffers = buffers
        self._tls = tls
        self._socket = connection
        self._http2 = http2
        self._on_stream = on_stream
        self._on_close = on_close
        self._handles = Handles()
        self._sender = Sender(buffers, tls, http2)
        self._flush_planned = False
        self._pulse = Pulse()
        self.peer = peer
        """Who authenticated on the other side."""
        self.ended_by: MeshError | None = None
        """Why the owner has ended it with its streams; None when it was not that."""
        self.closed = False
        self.closing = False
        """No new streams: GOAWAY was sent or received."""
        self._is_left = False
        """No stream can come any more without a GOAWAY of ours: who opens them has stopped. Then
        none is sent before the end, since some peers (hyper's h2) take nothing after it."""
        http2.initiate()
        reactor.register(connection.fileno(), self._ready, self._give_up)
        self.plan_flush()

    # For the owners of streams.

    @property
    def streams(self) -> int:
        """How many streams are in use."""
        return len(self._handles)

    @property
    def room(self) -> int:
        """How many more streams `open` would open now."""
        return 0 if self.closing else self._http2.room

    def open(self, headers: Headers, handle: Handle) -> Stream:
        """Open a stream as a client; the caller has looked at `closing` and `streams`."""
        stream = self._http2.open_stream(headers)
        self.hand_over(stream, handle)
        self.plan_flush()
        return stream

    def answer(self, stream: Stream, headers: Headers, *, end: bool = False) -> None:
        """Send a response's head; nothing when the stream or the tunnel is gone by now."""
        if not self.closed and not stream.is_closed:
            self._http2.send_headers(stream, headers, end_stream=end)
            self.plan_flush()

    def hand_over(self, stream: Stream, handle: Handle) -> None:
        """From now on this handle hears of the stream."""
        self._handles.put(stream, handle)
        if self.closed:
            handle.lost()

    def forget(self, handle: Handle) -> None:
        """The stream's owner is done with it."""
        self._handles.forget(handle)
        self._close_when_unused()

    def _close_when_unused(self) -> None:
        # A server's drain has two steps: until the second, a stream may be on its way to us.
        if self.closing and not self._handles and (self._is_left or self._http2.drained):
            self.close()

    def reserve(self, stream: Stream) -> memoryview | None:
        """Where to put the stream's next octets; None: `wait`.

        Every reservation ends with `commit`, or with nothing when there were no octets.
        """
        sender = self._sender
        if self.closed or sender.status != inner.DONE:
            return None
        allowed = self._http2.sendable(stream)
        if allowed <= 0:
            return None
        room = sender.room(allowed)
        if not self._flush_planned:
            self.plan_flush()
        return room

    def commit(self, stream: Stream, octets: int) -> None:
        """Frame the octets that were put into the reservation."""
        self._sender.commit(stream, octets)

    def abandon(self, stream: Stream, handle: Handle) -> None:
        """The owner gives up on a stream before it was relayed."""
        # After a whole answer it is no error (RFC 9113 section 8.1): the rest is not wanted.
        self.reset(stream, ErrorCode.NO_ERROR if stream.local_closed else ErrorCode.CANCEL)
        self.forget(handle)

    def wait(self, handle: Handle) -> None:
        """Tell this handle once when `reserve` may succeed again."""
        if not self.closed:
            self._handles.wait(handle)

    def is_waiting(self, handle: Handle) -> bool:
        """Whether `wait` was called and `writable` was not yet."""
        return self._handles.is_waiting(handle)

    def end(self, stream: Stream) -> None:
        """Half-close."""
        if not self.closed and not stream.is_closed:
            self._http2.send_end(stream)
            self.plan_flush()

    def credit(self, stream: Stream, octets: int) -> None:
        """The stream's owner has taken so many octets."""
        if not self.closed:
            self._http2.credit(stream, octets)
            if self._http2.outgoing:
                self.plan_flush()

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """Abort a stream."""
        if not self.closed and not stream.is_closed:
            self._http2.reset(stream, code)
            self.plan_flush()

    # For the owner of the tunnel.

    def tick(self, now: float) -> None:
        """Every few seconds: PING a peer that was silent, give up when it stays so."""
        if self.closed:
            return
        match self._pulse.due(now):
            case Due.PING:
                self._http2.ping(_PING)
                self.plan_flush()
            case Due.GIVE_UP:
                self._lose(PeerSilentError())
            case Due.NOTHING:
                pass

    def drain(self) -> None:
        """No new streams; close when the last one has ended."""
        if self.closed or self.closing:
            return
        self.closing = True
        if self._http2.role is Role.CLIENT:
            self._is_left = True
        else:
            self._http2.drain()
            self.plan_flush()
        self._close_when_unused()

    def cut(self, reason: MeshError) -> None:
        """As `close`, for a reason that the owners of streams may want to tell."""
        if not self.closed:
            self.ended_by = reason
            self.close()

    def close(self) -> None:
        """Close now, in good order as far as the socket lets us; streams are lost."""
        if self.closed:
            return
        if self._sender.status == inner.DONE:
            self._http2.go_away(ErrorCode.NO_ERROR)
            self._flush()
            with suppress(SSL.Error):  # best effort: the peer may be gone already
                self._tls.shutdown()
            self._discard()
        self._lose(None)

    def _discard(self) -> None:
        # The kernel turns a close with unread octets into a reset, which would overtake GOAWAY.
        # Not through TLS: the shared receive buffer may hold somebody else's octets just now.
        with suppress(OSError):
            for _ in range(_MOST_DISCARDS):
                if not self._socket.recv(RECEIVE_OCTETS):
                    return

    # Readiness.

    def _ready(self, ready: int) -> None:
        sender = self._sender
        if ready & OUT and sender.status == inner.BLOCKED:
            sender.retry()
            self._flush()
            self._wake()
        if ready & (IN | READ_END | BROKEN) and not self.closed:
            self._read()

    def _read(self) -> None:
        budget = BUDGET_OCTETS
        buffer = self._buffers.receive
        while not self.closed:
            filled, status = inner.read_tls(self._tls, buffer)
            if filled:
                self._pulse.heard = True
                self._receive(buffer.view[:filled])
                budget -= filled
            if status == inner.DRAINED:
                return
            if status != inner.MORE:
                orderly = not self._handles and (status == inner.ENDED or self.closing)
                self._lose(None if orderly else TunnelBrokenError("the peer closed the connection"))
            elif budget <= 0:
                self._reactor.schedule(self._read)
                return

    def _receive(self, octets: memoryview) -> None:
        try:
            events = self._http2.receive(octets)
        except PeerError as error:
            self._flush()
            self._lose(error)
            return
        touched: dict[Handle, None] = {}
        for event in events:
            match event:
                case happened.DataReceived():
                    handle = event.stream.handle
                    if isinstance(handle, Handle):
                        handle.data(event.data, end=event.end_stream)
                        touched[handle] = None
                    else:
                        # Nobody reads it any more; the window of the others must not shrink.
                        self._http2.credit(event.stream, len(event.data))
                case happened.WindowOpened():
                    self._window_opened(event.stream)
                case _:
                    # Order between DATA and what follows it on a stream.
                    for handle in touched:
                        handle.deliver()
                    touched.clear()
                    self._other(event)
            if self.closed:
                return
        for handle in touched:
            handle.deliver()
        self._settle()

    def _settle(self) -> None:
        self._http2.settle()
        if self._http2.outgoing:
            self.plan_flush()
        if self.closing:
            self._close_when_unused()

    def _other(self, event: happened.Event) -> None:
        match event:
            case happened.HeadersReceived(stream=stream, headers=headers, end_stream=end):
                if isinstance(stream.handle, Handle):
                    stream.handle.headers(headers, end=end)
                else:
                    self._on_stream(self, stream, headers, end)
            case happened.TrailersReceived(stream=stream, headers=headers):
                if isinstance(stream.handle, Handle):
                    stream.handle.headers(headers, end=True)
            case happened.StreamReset(stream=stream, code=code):
                if isinstance(stream.handle, Handle):
                    stream.handle.reset(code)
            case happened.GoAwayReceived():
                self.closing = self._is_left = True
            case _:
                pass

    def _window_opened(self, stream: Stream | None) -> None:
        if stream is None:
            self._wake()
        elif isinstance(stream.handle, Handle):
            self._handles.wake(stream.handle)

    def _wake(self) -> None:
        if not self.closed and self._sender.status == inner.DONE:
            self._handles.wake_all()

    # Sending.

    def plan_flush(self) -> None:
        """Send what there is when the round ends."""
        if not self._flush_planned and not self.closed:
            self._flush_planned = True
            self._reactor.at_round_end(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        if self.closed:
            return
        sender = self._sender
        sender.flush()
        if sender.status == inner.BROKEN:
            self._lose(TunnelBrokenError("the connection broke while writing"))
        elif sender.status == inner.BLOCKED and len(self._http2.outgoing) > CONTROL_LIMIT:
            self._lose(PeerStalledError(f"{CONTROL_LIMIT} octets of answers were not read"))

    def _give_up(self) -> None:
        self._lose(TunnelBrokenError("a bug of ours: see the traceback before this line"))

    def _lose(self, reason: MeshError | None) -> None:
        if self.closed:
            return
        self.closed = self.closing = True
        self._http2.close()
        self._reactor.unregister(self._socket.fileno())
        self._sender.drop()
        self._socket.close()
        self._handles.lose()
        self._on_close(self, reason)
