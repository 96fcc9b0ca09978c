"""Joins two sockets: what is passed through without a tunnel.

1. What one side sends reaches the other in order and whole, or both sides see a reset.
2. Half-close goes each way by itself; a reset on one side is a reset on the other.
3. At most CHUNK_OCTETS (262,144) per direction wait in here: a slow reader stops the reading.
"""

import socket
import struct
from collections.abc import Callable
from enum import Enum
from typing import Final

from mesh.runtime.relay import inner
from mesh.runtime.relay.reactor import BUDGET_OCTETS, ERROR, OUT, READ_END, Reactor

CHUNK_OCTETS: Final = 256 * 1024

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Ending(Enum):
    """How a relayed connection ended."""

    CLOSED = "closed"
    """Both sides have sent their end."""
    NEAR_RESET = "near_reset"
    """The accepted or dialled socket was reset."""
    FAR_RESET = "far_reset"
    """The other side (a socket, or a stream of a tunnel) was reset."""
    TUNNEL_LOST = "tunnel_lost"
    """The tunnel under the stream broke."""
    STOPPED = "stopped"
    """We ended it: policy, drain, pod gone."""


def close(connection: socket.socket, *, reset: bool) -> None:
    """Close a socket, with a TCP reset instead of an end when `reset`."""
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    connection.close()


class _Direction:
    """From one socket to the other."""

    __slots__ = ("ended", "octets", "reading_end", "shut", "sink", "source", "waiting")

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.waiting = bytearray()
        self.octets = 0
        self.ended = False
        self.shut = False
        self.reading_end = False


class SocketRelay:
    """Two connected, non-blocking sockets, which belong to the relay from now on."""

    __slots__ = ("_back", "_buffer", "_finished", "_forth", "_on_end", "_reactor")

    def __init__(
        self,
        reactor: Reactor,
        buffer: memoryview,
        near: socket.socket,
        far: socket.socket,
        on_end: Callable[[Ending], None],
    ) -> None:
        """Start: `buffer` is scratch memory that all relays of a worker share."""
        self._reactor = reactor
        self._buffer = buffer
        self._forth = _Direction(near, far)
        self._back = _Direction(far, near)
        self._on_end = on_end
        self._finished = False
        reactor.register(near.fileno(), self._near_ready, self.stop)
        reactor.register(far.fileno(), self._far_ready, self.stop)

    @property
    def octets_forth(self) -> int:
        """What has gone from near to far."""
        return self._forth.octets

    @property
    def octets_back(self) -> int:
        """What has gone from far to near."""
        return self._back.octets

    def stop(self) -> None:
        """End it now: a reset to both."""
        self._finish(Ending.STOPPED)

    def _near_ready(self, events: int) -> None:
        self._ready(events, self._forth, self._back)

    def _far_ready(self, events: int) -> None:
        self._ready(events, self._back, self._forth)

    def _ready(self, events: int, reading: _Direction, writing: _Direction) -> None:
        if events & READ_END:
            reading.reading_end = True
        if events & OUT and writing.waiting:
            self._push(writing)
        if events & ~OUT:
            self._pump(reading)
            # A reset is found by reading, which a sink that is full prevents: nobody may be kept
            # for a peer that does not read.
            if events & ERROR and reading.waiting:
                self._broken(reading.source)

    def _pump(self, way: _Direction) -> None:
        budget = BUDGET_OCTETS
        buffer = self._buffer
        while not (self._finished or way.ended or way.waiting):
            got = inner.receive(way.source, buffer)
            if got <= 0:
                if got == 0:
                    way.ended = True
                    self._push(way)
                elif got == inner.FAILED:
                    self._broken(way.source)
                return
            way.octets += got
            sent = inner.send(way.sink, (buffer[:got],))
            if sent == inner.FAILED:
                self._broken(way.sink)
                return
            if sent < got:
                way.waiting += buffer[sent:got]
                return
            if got < len(buffer) and not way.reading_end:
                return  # drained: what comes later, its end too, is an edge of its own
            budget -= got
            if budget <= 0:
                self._reactor.schedule(lambda: self._pump(way))
                return

    def _push(self, way: _Direction) -> None:
        if self._finished:
            return
        if way.waiting:
            sent = inner.send(way.sink, (way.waiting,))
            if sent == inner.FAILED:
                self._broken(way.sink)
                return
            del way.waiting[:sent]
            if way.waiting:
                return
        if not way.ended:
            self._pump(way)
        elif not way.shut:
            way.shut = True
            try:
                way.sink.shutdown(socket.SHUT_WR)
            except OSError:
                self._broken(way.sink)
                return
            if self._forth.shut and self._back.shut:
                self._finish(Ending.CLOSED)

    def _broken(self, which: socket.socket) -> None:
        near = which is self._forth.source
        self._finish(Ending.NEAR_RESET if near else Ending.FAR_RESET)

    def _finish(self, ending: Ending) -> None:
        if self._finished:
            return
        self._finished = True
        for end in (self._forth.source, self._back.source):
            self._reactor.unregister(end.fileno())
            close(end, reset=ending is not Ending.CLOSED)
        self._on_end(ending)
