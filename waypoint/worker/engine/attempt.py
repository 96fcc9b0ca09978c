"""One try of a request at one endpoint: the ears for its answer."""

from abc import ABC, abstractmethod

from mesh.errors import MeshError
from mesh.runtime.http.stream import ClientStream, Loss, ResponseUser
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead
from waypoint.worker.engine.destination import Target
from waypoint.worker.engine.pool import Pool, Pooled, Waiter
from waypoint.worker.engine.timers import Timer
from waypoint.worker.engine.tracing import Sending


class AttemptOwner(ABC):
    """Who sends a request, perhaps several times."""

    __slots__ = ()

    head: RequestHead

    @property
    @abstractmethod
    def has_no_content(self) -> bool:
        """Whether the request ends with its head."""

    @abstractmethod
    def attached(self, stream: ClientStream) -> None:
        """The head is sent, and its content may follow."""

    @abstractmethod
    def unreached(self, attempt: "Attempt", error: MeshError) -> None:
        """Nothing of the request was sent."""

    @abstractmethod
    def announced(self, head: ResponseHead) -> None:
        """An informational head has come."""

    @abstractmethod
    def answered(self, attempt: "Attempt", head: ResponseHead) -> None:
        """The answer's head has come."""

    @abstractmethod
    def carried(self, attempt: "Attempt", piece: memoryview) -> None:
        """A piece of the answer has come."""

    @abstractmethod
    def completed(self, trailers: Fields) -> None:
        """The answer is whole."""

    @abstractmethod
    def lost_answer(self, attempt: "Attempt", loss: Loss, error: MeshError | None) -> None:
        """No more of the answer comes."""

    @abstractmethod
    def relieved(self) -> None:
        """More of the request can be sent."""

    @abstractmethod
    def fail(self, error: MeshError) -> None:
        """It cannot be done."""

    @abstractmethod
    def failed_by(self, bug: Exception) -> None:
        """Something raised what it should not have."""


class Attempt(ResponseUser, Waiter):
    """From the choice of an endpoint to the end of its answer.

    Its owner is told of everything once, and of nothing after `give_up`.
    """

    __slots__ = (
        "_is_over",
        "_owner",
        "_pool",
        "is_http2",
        "owed",
        "sending",
        "stream",
        "target",
        "timer",
    )

    def __init__(self, owner: AttemptOwner, target: Target, *, is_http2: bool) -> None:
        """Nothing is sent yet."""
        self._owner = owner
        self._pool: Pool | None = None
        self._is_over = False
        self.target = target
        self.is_http2 = is_http2
        self.stream: ClientStream | None = None
        self.timer: Timer | None = None
        self.sending: Sending | None = None
        """Its span, when the request is traced."""
        self.owed = 0
        """Octets of the answer that the endpoint has no credit for yet."""
        target.active += 1

    def begin(self) -> None:
        """Send on a connection that is open, or wait for one.

        Raises:
            OverflowingError: too many wait.
            EndpointEvictedError: the endpoint is not to be used any more.
        """
        pool = self.target.pool(is_http2=self.is_http2)
        pooled = pool.take()
        if pooled is None:
            self._pool = pool
            pool.wait(self)
        else:
            self._open(pooled)

    def _open(self, pooled: Pooled) -> None:
        owner = self._owner
        end = owner.has_no_content
        stream = pooled.open(owner.head, self, end=end)
        if self._is_over:
            return
        self.stream = stream
        if not end:
            owner.attached(stream)

    def give_up(self) -> None:
        """Nobody wants its answer."""
        if self._is_over:
            return
        stream = self.stream
        self.release()
        if stream is not None:
            stream.reset()

    def release(self) -> None:
        """It is over. Twice is fine."""
        if self._is_over:
            return
        self._is_over = True
        if self.sending is not None:
            self.sending.end()
        stream, self.stream = self.stream, None
        if stream is not None and self.owed:
            # The connection lives on: what it is owed for this answer would be lost to the next.
            owed, self.owed = self.owed, 0
            stream.credit(owed)
        self.target.active -= 1
        if self._pool is not None:
            self._pool.leave(self)
            self._pool = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    # What the pool says.

    def connected(self, pooled: Pooled) -> None:
        """There is a connection."""
        self._pool = None
        try:
            self._open(pooled)
        except MeshError as error:
            self._owner.fail(error)
        except Exception as bug:  # noqa: BLE001 - one exchange's bug stays its own
            self._owner.failed_by(bug)

    def refused(self, error: MeshError) -> None:
        """There is none."""
        self._pool = None
        try:
            self._owner.unreached(self, error)
        except Exception as bug:  # noqa: BLE001 - one exchange's bug stays its own
            self._owner.failed_by(bug)

    # What the endpoint says.

    def informational(self, head: ResponseHead) -> None:
        """An early head, which the client gets."""
        try:
            self._owner.announced(head)
        except Exception as bug:  # noqa: BLE001 - one exchange's bug stays its own
            self._owner.failed_by(bug)

    def head(self, head: ResponseHead) -> None:
        """The head of the answer."""
        if self.sending is not None:
            self.sending.status = head.status
        try:
            self._owner.answered(self, head)
        except Exception as bug:  # noqa: BLE001 - one exchange's bug stays its own
            self._owner.failed_by(bug)

    def body(self, piece: memoryview) -> None:
        """A piece of the answer."""
        try:
            self._owner.carried(self, piece)
        except Exception as bug:  # noqa: BLE001 - one exchange's bug stays its own
            self._owner.failed_by(bug)

    def finished(self, trailers: Fields) -> None:
        """The answer is whole."""
        try:
            self._owner.completed(trailers)
        except Exception as bug:  # noqa: BLE001 - one exchange's bug stays its own
            self._owner.failed_by(bug)

    def lost(self, loss: Loss, error: MeshError | None) -> None:
        """There will be no more of it."""
        if self._is_over:
            return
        self.stream = None
        if self.sending is not None:
            self.sending.error = loss.value
        try:
            self._owner.lost_answer(self, loss, error)
        except Exception as bug:  # noqa: BLE001 - one exchange's bug stays its own
            self._owner.failed_by(bug)

    def writable(self) -> None:
        """The endpoint takes more of the request."""
        try:
            self._owner.relieved()
        except Exception as bug:  # noqa: BLE001 - one exchange's bug stays its own
            self._owner.failed_by(bug)
