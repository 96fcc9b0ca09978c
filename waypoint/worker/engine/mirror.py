"""A copy of a request for another backend, whose answer nobody reads.

It never disturbs the request that it is made of: what the other backend does not take in time is
kept up to `MIRROR_OCTETS`; past that, or on any failure, the copy is dropped and counted.
"""

from dataclasses import replace
from typing import Final, Self

from mesh.errors import MeshError
from mesh.model.routes import Mirror
from mesh.observe import request_metrics
from mesh.routing.http.answers import is_grpc
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead
from waypoint.worker.engine.attempt import Attempt
from waypoint.worker.engine.body import Body
from waypoint.worker.engine.context import Context, Live
from waypoint.worker.engine.destination import Destination
from waypoint.worker.engine.failures import AnswerStalledError, ExchangeBugError, OverflowingError
from waypoint.worker.engine.tries import Tries

MIRROR_OCTETS: Final = 256 * 1024
"""What of one copy may wait to be sent."""

MIRROR_SECONDS: Final = 60.0
"""How long nothing may move, until the connection is wanted back."""


class MirrorCopy(Tries, Live):
    """One copy on its way."""

    __slots__ = ("_is_quiet", "_mirrored", "_silent_s")

    def __init__(
        self, context: Context, head: RequestHead, content: Body | None, mirrored: Destination
    ) -> None:
        """`head` is the copy's own from now on."""
        super().__init__(context, head, content)
        self._mirrored = mirrored
        self._is_quiet = False
        self._silent_s = 0.0

    @classmethod
    def begin(
        cls, context: Context, mirror: Mirror, head: RequestHead, original: Body | None
    ) -> Self:
        """Send a copy of what is known of a request; give more with `copy`."""
        own = replace(head, fields=list(head.fields), upgrade=b"", expects_continue=False)
        content = None if original is None else Body(_no_credit)
        mirrored = context.destinations.of_service(mirror.service, mirror.port)
        made = cls(context, own, content, mirrored)
        made.is_grpc = is_grpc(head)
        context.live[made] = None
        if content is not None and original is not None:
            content.kept += original.kept
            content.is_complete, content.trailers = original.is_complete, original.trailers
        try:
            made.send(mirrored, context.clock())
        except MeshError as error:
            made.fail(error)
        except Exception as bug:  # noqa: BLE001 - a copy's bug does not concern the request
            made.failed_by(bug)
        return made

    def copy(self, piece: bytes | memoryview) -> None:
        """A piece of the request."""
        content, attempt = self.content, self._attempt
        if self.is_closed or content is None:
            return
        self._is_quiet = False
        try:
            content.take(piece, None if attempt is None else attempt.stream)
        except MeshError as error:
            self.fail(error)
        except Exception as bug:  # noqa: BLE001 - a copy's bug does not concern the request
            self.failed_by(bug)
        if content.owed > MIRROR_OCTETS:
            self.fail(OverflowingError())

    def complete(self, trailers: Fields) -> None:
        """The request is whole."""
        content, attempt = self.content, self._attempt
        if self.is_closed or content is None:
            return
        try:
            content.complete(trailers, None if attempt is None else attempt.stream)
        except Exception as bug:  # noqa: BLE001 - a copy's bug does not concern the request
            self.failed_by(bug)

    def abandon(self) -> None:
        """The request is over: a copy that is not whole will never be."""
        if self.content is not None and not self.content.is_complete:
            self._end()

    # What the other backend says.

    def announced(self, head: ResponseHead) -> None:
        """Nobody reads it."""

    def answered(self, attempt: Attempt, head: ResponseHead) -> None:
        """It only counts for the endpoint's conduct."""
        self.judge(attempt, head.status)
        self.passed_on()

    def carried(self, attempt: Attempt, piece: memoryview) -> None:
        """Nobody reads it."""
        self._is_quiet = False
        if attempt.stream is not None:
            attempt.stream.credit(len(piece))

    def completed(self, trailers: Fields) -> None:
        """It has done what it was for."""
        del trailers
        if self.content is None or self.content.is_complete:
            self.leave()
        self._end()

    # How it ends.

    def fail(self, error: MeshError) -> None:
        """It is dropped."""
        del error
        if not self.is_closed:
            self.note(request_metrics.MIRROR_DROPPED, self._mirrored)
            self._end()

    def failed_by(self, bug: Exception) -> None:
        """A bug of ours."""
        self.context.on_bug(bug)
        self.fail(ExchangeBugError())

    def sweep(self, elapsed_s: float) -> None:
        """Drop it when nothing moves."""
        self._silent_s = self._silent_s + elapsed_s if self._is_quiet else 0.0
        self._is_quiet = True
        if self._silent_s >= MIRROR_SECONDS:
            self.fail(AnswerStalledError())

    def stop(self) -> None:
        """The worker ends."""
        self._end()

    def _end(self) -> None:
        if not self.is_closed:
            self.context.live.pop(self, None)
            self.settle()


def _no_credit(octets: int) -> None:
    """Nobody waits for credit: a copy's source is not slowed."""
