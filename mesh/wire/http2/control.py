"""What every frame but DATA and header blocks does to a connection (RFC 9113 section 6)."""

from collections.abc import Callable
from typing import Final

from mesh.wire.http2 import frames
from mesh.wire.http2.budgets import SMALL_INCREMENT_OCTETS
from mesh.wire.http2.errors import (
    FlowControlViolationError,
    FrameSizeViolationError,
    ProtocolViolationError,
)
from mesh.wire.http2.events import (
    Event,
    GoAwayReceived,
    PingAcknowledged,
    PingReceived,
    SettingsAcknowledged,
    SettingsReceived,
    StreamReset,
    WindowOpened,
)
from mesh.wire.http2.frames import MAX_WINDOW_OCTETS, ErrorCode, Role
from mesh.wire.http2.settings import HEADER_TABLE_SIZE
from mesh.wire.http2.state import State
from mesh.wire.http2.streams import Stream
from mesh.wire.http2.windows import GROWTH_PING

DRAIN_PING: Final = b"draining"
"""The payload of the PING behind a first GOAWAY; no other part may send it."""
MAX_SETTINGS: Final = 128
"""Values in one SETTINGS frame; there are a dozen identifiers in the world."""
MAX_GOAWAY_OCTETS: Final = 16 * 1024

Handler = Callable[[int, int, memoryview, list[Event]], None]


class ControlFrames:
    """Applies whole frames to the state, and queues the answers."""

    __slots__ = ("_settings_acknowledged", "_state", "handlers")

    def __init__(self, state: State) -> None:
        self._state = state
        self._settings_acknowledged = False
        self.handlers: dict[int, Handler] = {
            frames.PRIORITY: self._priority,
            frames.RST_STREAM: self._rst_stream,
            frames.SETTINGS: self._settings,
            frames.PING: self._ping,
            frames.GOAWAY: self._goaway,
            frames.WINDOW_UPDATE: self._window_update,
        }

    def _priority(
        self, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        # Deprecated (section 5.3.2): checked for its form, then ignored.
        del flags
        if not stream_id:
            raise ProtocolViolationError("PRIORITY on stream 0")
        self._state.ignore()
        stream = self._state.streams.get(stream_id)
        if len(payload) != 5 and stream is not None:
            self._state.stream_error(stream, ErrorCode.FRAME_SIZE_ERROR, events)

    def _rst_stream(
        self, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        del flags
        stream = self._known(stream_id, "RST_STREAM")
        if stream is None:
            return
        if not stream.answered:
            self._state.budgets.resets.spend(self._state.moved)
        self._state.drop(stream, by_peer=True)
        events.append(StreamReset(stream, frames.read_code(payload)))

    def _settings(
        self, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        state = self._state
        if stream_id:
            raise ProtocolViolationError("SETTINGS on a stream")
        if flags & frames.ACK:
            self._acknowledged(payload, events)
            return
        if len(payload) % 6:
            raise FrameSizeViolationError(f"SETTINGS of {len(payload)} octets")
        state.budgets.settings.spend(state.moved)
        before = state.peer.stream_window
        for identifier, value in frames.read_settings(payload):
            state.peer.apply(identifier, value)
            if identifier == HEADER_TABLE_SIZE:
                state.encoder.limit_table(value)
        opened = self._move_send_windows(state.peer.stream_window - before)
        state.answer(frames.frame(frames.SETTINGS, frames.ACK, 0, b""))
        events.append(SettingsReceived())
        if opened:
            events.append(WindowOpened(None))

    def _acknowledged(self, payload: memoryview, events: list[Event]) -> None:
        if len(payload):
            raise FrameSizeViolationError("an acknowledgement of SETTINGS with a payload")
        if self._settings_acknowledged:
            raise ProtocolViolationError("an acknowledgement of SETTINGS that were not sent")
        self._settings_acknowledged = True
        self._state.windows.settings_acknowledged(list(self._state.streams.values()))
        events.append(SettingsAcknowledged())

    def _move_send_windows(self, difference: int) -> bool:
        """Apply a changed INITIAL_WINDOW_SIZE (section 6.9.2); whether a stream may send again."""
        opened = False
        if difference:
            for stream in self._state.streams.values():
                moved = stream.send_window + difference
                if moved > MAX_WINDOW_OCTETS:
                    raise FlowControlViolationError("INITIAL_WINDOW_SIZE makes a window too large")
                opened = opened or stream.send_window <= 0 < moved
                stream.send_window = moved
        return opened

    def _ping(self, flags: int, stream_id: int, payload: memoryview, events: list[Event]) -> None:
        state = self._state
        if stream_id:
            raise ProtocolViolationError("PING on a stream")
        octets = bytes(payload)
        if not flags & frames.ACK:
            state.budgets.pings.spend(state.moved)
            state.answer(frames.ping(octets, answer=True))
            events.append(PingReceived(octets))
        elif octets == GROWTH_PING:
            if not state.windows.probe_answered():
                state.ignore()
        elif octets in state.pings:
            state.pings.remove(octets)
            if octets == DRAIN_PING:
                finish_drain(state)
            else:
                state.budgets.tick()
                events.append(PingAcknowledged(octets))
        else:
            state.ignore()

    def _goaway(self, flags: int, stream_id: int, payload: memoryview, events: list[Event]) -> None:
        del flags
        state = self._state
        if stream_id:
            raise ProtocolViolationError("GOAWAY on a stream")
        state.budgets.settings.spend(state.moved)
        last = frames.read_u32(payload)
        events.append(GoAwayReceived(last, frames.read_code(payload, 4), bytes(payload[8:])))
        if state.role is Role.SERVER:
            return  # a client's GOAWAY is about pushed streams, which there are not
        state.peer_accepts_up_to = min(state.peer_accepts_up_to, last)
        for stream in [s for s in state.streams.values() if s.stream_id > last]:
            state.drop(stream, by_peer=True)
            events.append(StreamReset(stream, ErrorCode.REFUSED_STREAM))

    def _window_update(
        self, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        del flags
        state = self._state
        increment = frames.read_u32(payload)
        state.budgets.updates.spend(state.moved)
        if not stream_id:
            before = state.send_window
            state.send_window += increment
            if not increment:
                raise ProtocolViolationError("WINDOW_UPDATE by 0")
            if state.send_window > MAX_WINDOW_OCTETS:
                raise FlowControlViolationError("WINDOW_UPDATE makes the window too large")
            self._note_opened(None, before, increment, state.send_window, events)
            return
        stream = self._known(stream_id, "WINDOW_UPDATE")
        if stream is None:
            return
        before = stream.send_window
        stream.send_window += increment
        if not increment:
            state.stream_error(stream, ErrorCode.PROTOCOL_ERROR, events)
        elif stream.send_window > MAX_WINDOW_OCTETS:
            state.stream_error(stream, ErrorCode.FLOW_CONTROL_ERROR, events)
        else:
            self._note_opened(stream, before, increment, stream.send_window, events)

    def _note_opened(
        self, stream: Stream | None, before: int, increment: int, now: int, events: list[Event]
    ) -> None:
        if before > 0:
            return
        if increment < SMALL_INCREMENT_OCTETS:
            self._state.budgets.dribbles.spend(self._state.moved)
        if now > 0:
            events.append(WindowOpened(stream))

    def _known(self, stream_id: int, what: str) -> Stream | None:
        """Find an open stream; None for one that has ended, whose late frames are ignored."""
        state = self._state
        stream = state.streams.get(stream_id)
        if stream is None:
            # Above `accepts_up_to` are the streams that our GOAWAY has refused.
            if not stream_id & 1 or state.newest < stream_id <= state.accepts_up_to:
                raise ProtocolViolationError(f"{what} on stream {stream_id}, which is idle")
            state.ignore()
        return stream


def finish_drain(state: State) -> None:
    """Send the GOAWAY that says which streams are the last ones (section 6.8)."""
    state.accepts_up_to = state.newest
    last = state.newest if state.role is Role.SERVER else 0
    state.outgoing += frames.goaway(last, ErrorCode.NO_ERROR)
