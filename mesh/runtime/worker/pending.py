"""A CONNECT on its way: nobody waits for the answer, it is called back with it."""

from collections.abc import Callable
from typing import Final

import trio

from mesh.errors import MeshError, UnavailableError
from mesh.runtime.http2_handle import Handle
from mesh.runtime.http2_transport import Tunnel, TunnelBrokenError
from mesh.runtime.worker.deadlines import Deadlines
from mesh.wire import hbone
from mesh.wire.http2.events import Headers
from mesh.wire.http2.frames import ErrorCode

OnAnswer = Callable[["Pending", Headers], None]
OnFailure = Callable[["Pending", MeshError], None]


class StreamRefusedError(UnavailableError):
    """The peer proxy goes away and has not looked at a CONNECT: another connection may serve it."""

    code = "stream_refused"


UNSERVED: Final = (StreamRefusedError, TunnelBrokenError)
"""Failures of a tunnel, not of what it leads to: the application has seen nothing of it."""


class Pending(Handle):
    """One stream until its answer."""

    __slots__ = ("_deadlines", "_done", "_on_answer", "_on_failure", "ended", "stream", "tunnel")

    def __init__(
        self,
        deadlines: Deadlines,
        tunnel: Tunnel,
        request: Headers,
        on_answer: OnAnswer,
        on_failure: OnFailure,
    ) -> None:
        """Send the request; one of the two is called once, not before this returns.

        Args:
            deadlines: Who looks after time.
            tunnel: One with room.
            request: The CONNECT.
            on_answer: It was a 200; the stream's next owner has to take it over at once.
            on_failure: It was anything else; nothing is left of the stream.

        Raises:
            UnavailableError: the tunnel had no room.
        """
        self._deadlines = deadlines
        self._on_answer = on_answer
        self._on_failure = on_failure
        self._done = False
        self.tunnel = tunnel
        self.ended = False
        """The answer was also the end of what the peer sends."""
        self.stream = tunnel.open(request, self)
        deadlines.add(self, trio.current_time(), self._late)

    def headers(self, headers: Headers, *, end: bool) -> None:
        """The answer."""
        if self._done:
            return
        try:
            hbone.check_accepted(headers)
        except hbone.ConnectRefusedError as error:
            self._fail(error)
            return
        self._finish()
        self.ended = end
        self._on_answer(self, headers)

    def data(self, piece: memoryview, *, end: bool) -> None:
        """There is none before the answer, and after it the stream has another owner."""

    def deliver(self) -> None:
        """Nothing to deliver."""

    def writable(self) -> None:
        """Nothing to write."""

    def reset(self, code: int) -> None:
        """No answer will come."""
        if code == ErrorCode.REFUSED_STREAM:
            self._fail(StreamRefusedError("the peer proxy takes no more streams on this tunnel"))
        else:
            self._fail(hbone.ConnectUnansweredError(f"reset with code {code}"))

    def lost(self) -> None:
        """The tunnel is gone."""
        self._fail(TunnelBrokenError("the tunnel broke before the peer answered CONNECT"))

    def cancel(self) -> None:
        """Nobody wants the answer any more: neither of the two is called. Twice is fine."""
        if not self._done:
            self._finish()
            self.tunnel.abandon(self.stream, self)

    def _late(self) -> None:
        self._fail(hbone.ConnectUnansweredError(f"none within {self._deadlines.seconds:g} s"))

    def _fail(self, error: MeshError) -> None:
        if self._done:
            return
        self._finish()
        self.tunnel.abandon(self.stream, self)
        self._on_failure(self, error)

    def _finish(self) -> None:
        self._done = True
        self._deadlines.discard(self)
