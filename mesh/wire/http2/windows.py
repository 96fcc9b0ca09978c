"""The receive windows of one connection and its streams: charged, credited, grown, given back."""

from typing import Final

from mesh.wire.http2.flow import GrowthProbe, ReceiveWindow, WindowBudget
from mesh.wire.http2.frames import DEFAULT_WINDOW_OCTETS, ping, window_update
from mesh.wire.http2.settings import Settings
from mesh.wire.http2.streams import Stream

GROWTH_PING: Final = b"windows\0"
"""The payload of the PINGs that measure a round trip; no other part may send it."""


class ReceiveWindows:
    """What the peer may send; WINDOW_UPDATE frames go to `outgoing` by themselves.

    Every octet that was charged comes back exactly once: by `credit` when its reader took it, or by
    `release` when the stream was reset. So a stream that nobody reads never shrinks the others'
    common window for good.
    """

    __slots__ = ("_budget", "_outgoing", "_probe", "_settings", "connection", "stream_size")

    def __init__(self, settings: Settings, budget: WindowBudget, outgoing: bytearray) -> None:
        self._settings = settings
        self._budget = budget
        self._outgoing = outgoing
        self._probe = GrowthProbe()
        # Before the peer has applied our SETTINGS, it counts with the default, larger or smaller.
        self.stream_size = max(DEFAULT_WINDOW_OCTETS, settings.stream_window)
        size = max(DEFAULT_WINDOW_OCTETS, settings.connection_window)
        self.connection = ReceiveWindow(size, max(size, settings.max_connection_window))

    def announce(self) -> None:
        """Queue what makes the connection's window larger than the default (section 6.9.2)."""
        if more := self.connection.size - DEFAULT_WINDOW_OCTETS:
            self._outgoing += window_update(0, more)

    def for_stream(self) -> ReceiveWindow:
        """Give a new stream its window."""
        ceiling = max(self._settings.stream_window, self._settings.max_stream_window)
        return ReceiveWindow(self.stream_size, ceiling)

    def settings_acknowledged(self, streams: list[Stream]) -> None:
        """The peer counts with our INITIAL_WINDOW_SIZE from now on (section 6.9.2)."""
        difference = self._settings.stream_window - self.stream_size
        if difference:
            self.stream_size += difference
            for stream in streams:
                stream.inbound.resize(difference)

    def credit(self, stream: Stream, octets: int) -> None:
        """The reader took so many octets of this stream."""
        if stream.was_reset:
            return
        window = self.connection
        step = window.credit(octets)
        own = stream.inbound.credit(octets)
        if own and not stream.remote_closed:
            updated = [(stream.stream_id, stream.inbound, own)]
            if step:
                updated.append((0, window, step))
            self._update(updated)
        elif step:
            self._update([(0, window, step)])

    def settle(self) -> None:
        """What is unread now waits for slow readers: the others need a window of their own."""
        window = self.connection
        if window.available * 2 < window.size and (step := window.relieve(self._budget)):
            self._outgoing += window_update(0, step)

    def return_unread(self, octets: int) -> None:
        """These octets were charged to the connection, and belong to no stream."""
        if step := self.connection.credit(octets):
            self._update([(0, self.connection, step)])

    def release(self, stream: Stream) -> None:
        """The stream was reset: what nobody read is not charged to the others."""
        self.end(stream)
        if unread := stream.inbound.unread:
            self.return_unread(unread)

    def end(self, stream: Stream) -> None:
        """The peer sends nothing more on this stream: what its window grew by is free again."""
        stream.inbound.close(self._budget)

    def probe_answered(self) -> bool:
        """The peer has answered GROWTH_PING; whether there was one to answer."""
        if not self._probe.in_flight:
            return False
        for stream_id, step in self._probe.end(self._budget):
            self._outgoing += window_update(stream_id, step)
        return True

    def close(self, streams: list[Stream]) -> None:
        """The connection is gone: give everything back to the budget."""
        self.connection.close(self._budget)
        for stream in streams:
            self.end(stream)

    def _update(self, updated: list[tuple[int, ReceiveWindow, int]]) -> None:
        for stream_id, _, step in updated:
            self._outgoing += window_update(stream_id, step)
        if self._probe.begin(updated):
            self._outgoing += ping(GROWTH_PING)
