"""Octets to frames, as they come: the bulk path, so DATA is cut out of the input and never kept.

1. A frame is judged by its header, before its payload arrives: nobody makes us buffer what we would
   refuse anyway.
2. DATA is charged to the windows as a whole, with its header, and given out in the pieces that
   arrive. Of other frames at most one is kept until it is whole, and its size is limited.
"""

from typing import Final

from mesh.wire.http2 import frames
from mesh.wire.http2.blocks import HeaderBlock
from mesh.wire.http2.control import MAX_GOAWAY_OCTETS, MAX_SETTINGS, ControlFrames
from mesh.wire.http2.errors import (
    AfterEndError,
    FloodError,
    FlowControlViolationError,
    FrameSizeViolationError,
    ProtocolViolationError,
)
from mesh.wire.http2.events import DataReceived, Event
from mesh.wire.http2.frames import ErrorCode, Role
from mesh.wire.http2.messages import Messages
from mesh.wire.http2.state import State
from mesh.wire.http2.streams import Stream

_HEADER: Final = frames.FRAME_HEADER_OCTETS
_KNOWN: Final = 0x9
_FIXED: Final = {frames.RST_STREAM: 4, frames.PING: 8, frames.WINDOW_UPDATE: 4}
_UNPACK: Final = frames.FRAME_HEADER.unpack_from
_NOTHING: Final = memoryview(b"")


class Receiver:
    """The receiving half of one connection."""

    __slots__ = (
        "_block",
        "_control",
        "_ends",
        "_left",
        "_messages",
        "_needed",
        "_preface_left",
        "_settled",
        "_skip",
        "_stash",
        "_state",
        "_stream",
    )

    def __init__(self, state: State) -> None:
        self._state = state
        self._control = ControlFrames(state)
        self._messages = Messages(state)
        # More octets than the list may have are no list that we take; Huffman's gain is the list's.
        self._block = HeaderBlock(2 * state.settings.max_header_list)
        self._preface_left = frames.PREFACE if state.role is Role.SERVER else b""
        self._settled = False
        """The first frame, SETTINGS, has come, and no header block is open: DATA may come."""
        self._stash = bytearray()
        self._needed = _HEADER
        self._stream: Stream | None = None
        self._left = 0
        self._ends = False
        self._skip = 0

    def receive(self, octets: memoryview, events: list[Event]) -> None:
        """Take octets as they come; add to `events` what they mean.

        Raises:
            Http2Error: the peer broke a rule; the connection is over.
        """
        at, end = 0, len(octets)
        if self._preface_left:
            at = self._preface(octets)
        while at < end:
            if self._left:
                at = self._data(octets, at, end, events)
            elif self._skip:
                skipped = min(self._skip, end - at)
                self._skip -= skipped
                at += skipped
            elif self._stash:
                at = self._complete(octets, at, events)
            elif taken := self._frame(octets, at, end, events):
                at += taken
            else:
                self._stash += octets[at:]
                return

    def _preface(self, octets: memoryview) -> int:
        taken = min(len(self._preface_left), len(octets))
        if octets[:taken] != self._preface_left[:taken]:
            raise ProtocolViolationError("the client's preface is not HTTP/2")
        self._preface_left = self._preface_left[taken:]
        return taken

    def _complete(self, octets: memoryview, at: int, events: list[Event]) -> int:
        """Fill the stash up to what is needed, and take its frame."""
        stash = self._stash
        end = at + self._needed - len(stash)
        stash += octets[at:end]
        if len(stash) == self._needed:
            whole = memoryview(bytes(stash))
            # 0: the frame's header is whole and now says how much the payload needs.
            if self._frame(whole, 0, len(whole), events):
                self._stash = bytearray()
        return min(end, len(octets))

    def _frame(self, octets: memoryview, at: int, end: int, events: list[Event]) -> int:
        """Take what there is of the frame at `at`: how many octets; 0 when `_needed` are needed."""
        if end - at < _HEADER:
            self._needed = _HEADER
            return 0
        fields: tuple[int, int, int] = _UNPACK(octets, at)
        word, flags, stream_id = fields
        length = word >> 8
        stream_id &= frames.MAX_STREAM_ID
        kind = word & 0xFF
        if kind == frames.DATA and self._settled:
            padding = 0
            if flags & frames.PADDED:
                if end - at == _HEADER and length:
                    self._needed = _HEADER + 1
                    return 0
                padding = 1 + octets[at + _HEADER] if length else 1
            return self._data_header(flags, stream_id, length, padding, events)
        self._judge(kind, flags, stream_id, length)
        if kind > _KNOWN:
            self._state.ignore()
            self._skip = length
            return _HEADER
        whole = _HEADER + length
        if end - at < whole:
            self._needed = whole
            return 0
        self._take(kind, flags, stream_id, octets[at + _HEADER : at + whole], events)
        return whole

    # DATA.

    def _data_header(
        self, flags: int, stream_id: int, length: int, overhead: int, events: list[Event]
    ) -> int:
        """Charge a DATA frame; `overhead` is its padding with the octet that says how much."""
        state = self._state
        if length > state.settings.max_frame:
            raise FrameSizeViolationError(f"DATA of {length} octets")
        if overhead > length:
            raise ProtocolViolationError("DATA is shorter than its padding")
        window = state.windows.connection
        if length > window.available:
            raise FlowControlViolationError(f"{length - window.available} octets too many")
        window.available -= length
        state.moved += length
        left = length - overhead
        self._ends = bool(flags & frames.END_STREAM)
        stream = state.streams.get(stream_id)
        if stream is None:
            self._data_on_no_stream(stream_id)
        elif self._data_fault(stream, length, left, events):
            stream = None
        else:
            stream.inbound.available -= length
            if not left:
                self._empty_data(stream, events)
            if overhead:
                state.windows.credit(stream, overhead)
        if stream is None:
            state.windows.return_unread(length)
        self._stream = stream
        self._left = left
        if not overhead:
            return _HEADER
        self._skip = overhead - 1
        return _HEADER + 1

    def _data_fault(self, stream: Stream, length: int, left: int, events: list[Event]) -> bool:
        """Check this frame against its stream; when it does not fit, the stream is reset."""
        code = ErrorCode.NO_ERROR
        if not stream.accepts_data:
            code = ErrorCode.STREAM_CLOSED if stream.remote_closed else ErrorCode.PROTOCOL_ERROR
        elif length > stream.inbound.available:
            code = ErrorCode.FLOW_CONTROL_ERROR
        elif stream.expected >= 0:
            # A message that is longer or shorter than it says is malformed (section 8.1.1).
            stream.expected -= left
            if stream.expected < 0 or (self._ends and stream.expected):
                code = ErrorCode.PROTOCOL_ERROR
        if code is ErrorCode.NO_ERROR:
            return False
        self._state.stream_error(stream, code, events)
        return True

    def _data_on_no_stream(self, stream_id: int) -> None:
        state = self._state
        if not stream_id & 1 or stream_id > state.newest:
            if stream_id <= state.accepts_up_to:
                raise ProtocolViolationError(f"DATA on stream {stream_id}, which is idle")
        elif stream_id in state.ended:
            raise AfterEndError(f"DATA on stream {stream_id}, which has ended")
        state.ignore()

    def _empty_data(self, stream: Stream, events: list[Event]) -> None:
        if self._ends:
            events.append(DataReceived(stream, _NOTHING, end_stream=True))
            self._state.end_remote(stream)
        else:
            self._state.budgets.empty_data.spend(self._state.moved)

    def _data(self, octets: memoryview, at: int, end: int, events: list[Event]) -> int:
        """Give out what there is of the current DATA frame."""
        stop = min(at + self._left, end)
        self._left -= stop - at
        stream = self._stream
        # When we have reset it in the meantime, its octets are accounted for already.
        if stream is not None and not stream.was_reset:
            ends = self._ends and not self._left
            events.append(DataReceived(stream, octets[at:stop], ends))
            if ends:
                self._state.end_remote(stream)
        return stop

    # All other frames.

    def _judge(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        """Refuse by the frame's header what may not come now, or not so long."""
        block = self._block
        if not self._settled:
            self._judge_order(kind, flags, stream_id)
        if length > self._state.settings.max_frame:
            raise FrameSizeViolationError(f"a frame of {length} octets")
        if kind == frames.CONTINUATION and not block.is_open:
            raise ProtocolViolationError("CONTINUATION without HEADERS")
        if kind == frames.PUSH_PROMISE:
            raise ProtocolViolationError("PUSH_PROMISE, which we do not take")
        if length != _FIXED.get(kind, length):
            raise FrameSizeViolationError(f"a frame of type {kind} with {length} octets")
        if kind == frames.PRIORITY and length != 5 and stream_id not in self._state.streams:
            raise FrameSizeViolationError(f"PRIORITY of {length} octets")
        self._judge_length(kind, length)

    def _judge_order(self, kind: int, flags: int, stream_id: int) -> None:
        block = self._block
        if not block.is_open:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise ProtocolViolationError("the first frame is not SETTINGS")
        elif kind != frames.CONTINUATION or stream_id != block.stream_id:
            raise ProtocolViolationError("a header block is interrupted")

    def _judge_length(self, kind: int, length: int) -> None:
        if kind == frames.HEADERS:
            # Padding and priority come on top; the block begins anew.
            if length > 2 * self._state.settings.max_header_list + 512:
                raise FloodError("header octets")
        elif kind == frames.CONTINUATION:
            if length > self._block.room():
                raise FloodError("header octets")
        elif kind == frames.SETTINGS and length > 6 * MAX_SETTINGS:
            raise FloodError("settings in one frame")
        elif kind == frames.GOAWAY:
            if length < 8:
                raise FrameSizeViolationError(f"GOAWAY of {length} octets")
            if length > MAX_GOAWAY_OCTETS:
                raise FloodError("octets in GOAWAY")

    def _take(
        self, kind: int, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        handler = self._control.handlers.get(kind)
        if handler is not None:
            handler(flags, stream_id, payload, events)
            self._settled = True
            return
        block = self._block
        if kind == frames.CONTINUATION:
            octets = block.go_on(flags, bytes(payload))
        else:
            if not stream_id:
                raise ProtocolViolationError("HEADERS on stream 0")
            octets = block.begin(flags, stream_id, bytes(payload))
        self._settled = octets is not None
        if octets is not None:
            self._messages.received(block.stream_id, octets, events, end_stream=block.end_stream)
