"""A link on a connected, non-blocking socket.

1. What is written in a round goes out in one piece at its end; a large piece at once, uncopied.
2. Reading stops when the user owes credit for a whole window, and goes on when it has credited.
"""

import socket
from typing import Final

from mesh.errors import MeshError, PeerError
from mesh.runtime.http.link import FULL_OCTETS, WINDOW_OCTETS, Link, LinkUser
from mesh.runtime.relay import inner
from mesh.runtime.relay.plain import close
from mesh.runtime.relay.reactor import BUDGET_OCTETS, ERROR, OUT, READ_END, Reactor

DIRECT_OCTETS: Final = 16 * 1024
"""From here on a piece is worth a call of its own."""


class SocketLostError(PeerError):
    """The connection was reset, or broke."""

    code = "socket_lost"


class SocketLink(Link):
    """The socket belongs to the link from now on."""

    __slots__ = (
        "_buffer",
        "_closed",
        "_ending",
        "_flush_planned",
        "_kept",
        "_owed",
        "_peer_ended",
        "_reactor",
        "_reading_end",
        "_shut",
        "_socket",
        "_stalled",
        "_user",
        "_was_full",
    )

    def __init__(self, reactor: Reactor, connection: socket.socket, buffer: memoryview) -> None:
        """Nothing is read before `use`.

        Args:
            reactor: Whose rounds drive it.
            connection: Connected, non-blocking.
            buffer: Scratch memory that all links of a worker share, at most WINDOW_OCTETS of it
                are filled.
        """
        self._reactor = reactor
        self._socket = connection
        self._buffer = buffer[:WINDOW_OCTETS]
        self._user: LinkUser | None = None
        self._kept = bytearray()
        self._owed = 0
        self._was_full = False
        self._flush_planned = False
        self._ending = False
        self._shut = False
        self._peer_ended = False
        self._reading_end = False
        self._stalled = False
        self._closed = False

    # For the user.

    @property
    def is_full(self) -> bool:
        """Whether more than `FULL_OCTETS` wait to be sent."""
        if len(self._kept) > FULL_OCTETS:
            self._was_full = True
            return True
        return False

    def use(self, user: LinkUser) -> None:
        """Read for this user from now on."""
        first = self._user is None
        self._user = user
        if self._closed:
            return
        if first:
            self._reactor.register(self._socket.fileno(), self._ready, self._give_up)
        else:
            self._reactor.schedule(self._read)

    def write(self, octets: bytes | bytearray | memoryview) -> None:
        """Send at the round's end, or at once what is large."""
        if self._closed or self._ending:
            return
        kept = self._kept
        if len(octets) >= DIRECT_OCTETS:
            if kept:
                sent = inner.send(self._socket, (kept,))
                del kept[: max(sent, 0)]
            if not kept:
                sent = inner.send(self._socket, (octets,))
                if sent == inner.FAILED:
                    # Not from within: the caller is not ready to hear that its link is gone.
                    self._reactor.schedule(self._break)
                elif sent < len(octets):
                    kept += memoryview(octets)[sent:]
                return
        kept += octets
        if not self._flush_planned:
            self._flush_planned = True
            self._reactor.at_round_end(self._flush)

    def end(self) -> None:
        """Half-close, after what was written."""
        if not self._ending and not self._closed:
            self._ending = True
            self._push()

    def credit(self, octets: int) -> None:
        """Go on reading if that had stopped."""
        self._owed -= octets
        if self._stalled and self._owed <= WINDOW_OCTETS // 2:
            self._stalled = False
            self._reactor.schedule(self._read)

    def reset(self) -> None:
        """Close with a TCP reset, unless both sides have ended."""
        self._close(reset=not (self._peer_ended and self._shut))

    # What the socket says.

    def _ready(self, events: int) -> None:
        if events & READ_END:
            self._reading_end = True
        if events & OUT and (self._kept or self._ending):
            self._push()
        if events & ~OUT:
            self._read()
            # A reset is found by reading; while the user takes nothing we do not read, and who is
            # gone must not be kept for it.
            if events & ERROR and self._stalled:
                self._break()

    def _read(self) -> None:
        budget = BUDGET_OCTETS
        while not self._closed and not self._peer_ended:
            window = WINDOW_OCTETS - self._owed
            if window <= 0:
                self._stalled = True
                return
            buffer = self._buffer[:window] if window < len(self._buffer) else self._buffer
            got = inner.receive(self._socket, buffer)
            if got <= 0:
                if got == 0:
                    self._read_end()
                elif got == inner.FAILED:
                    self._break()
                return
            self._owed += got
            user = self._user
            if user is not None:
                user.received(buffer[:got])
            if got < len(buffer) and not self._reading_end:
                return  # drained: what comes later, its end too, is an edge of its own
            budget -= got
            if budget <= 0:
                self._reactor.schedule(self._read)
                return

    def _read_end(self) -> None:
        self._peer_ended = True
        if self._user is not None:
            self._user.ended()
        self._close_when_both_ended()

    # Sending.

    def _flush(self) -> None:
        self._flush_planned = False
        self._push()

    def _push(self) -> None:
        if self._closed:
            return
        kept = self._kept
        if kept:
            sent = inner.send(self._socket, (kept,))
            if sent == inner.FAILED:
                self._break()
                return
            del kept[:sent]
        if self._was_full and len(kept) <= FULL_OCTETS:
            self._was_full = False
            if self._user is not None:
                self._user.writable()
        if self._ending and not kept and not self._shut and not self._closed:
            self._shut_down()

    def _shut_down(self) -> None:
        self._shut = True
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._break()
            return
        self._close_when_both_ended()

    # The end.

    def _close_when_both_ended(self) -> None:
        if self._shut and self._peer_ended:
            self._lose(None)

    def _break(self) -> None:
        self._lose(SocketLostError("the connection was reset"))

    def _give_up(self) -> None:
        self._lose(SocketLostError("a bug of ours: see the traceback before this line"))

    def _lose(self, error: MeshError | None) -> None:
        user = self._user
        if self._close(reset=error is not None) and user is not None:
            user.lost(error)

    def _close(self, *, reset: bool) -> bool:
        if self._closed:
            return False
        self._closed = True
        self._kept.clear()
        self._user = None
        self._reactor.unregister(self._socket.fileno())
        close(self._socket, reset=reset)
        return True
