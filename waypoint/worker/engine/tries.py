"""A request on its way to an endpoint, tried as often as its route allows.

1. It may be tried again until the head of its answer has been passed on, and as long as its content
   is kept (`body.py`).
2. What no endpoint has seen is tried again without being asked: the connection that it was given
   had closed, the endpoint had gone or let nobody in, HTTP/2 said so.
3. A wait between two tries is at least what the route says, and longer each time.
"""

from collections.abc import Callable
from functools import wraps
from typing import Final

from mesh.errors import MeshError
from mesh.model.routes import RouteRule
from mesh.model.workload import AppProtocol
from mesh.observe import request_metrics
from mesh.runtime.http.stream import ClientStream, Loss
from mesh.wire.http.messages import RequestHead
from waypoint.worker.engine.attempt import Attempt, AttemptOwner
from waypoint.worker.engine.body import Body
from waypoint.worker.engine.context import Context
from waypoint.worker.engine.destination import Destination, Target
from waypoint.worker.engine.failures import (
    AnswerInvalidError,
    AnswerResetError,
    AttemptTimedOutError,
    EndpointEvictedError,
    EndpointMissingError,
    EndpointUnreachableError,
    OverflowingError,
    RequestTimedOutError,
)
from waypoint.worker.engine.timers import Timer
from waypoint.worker.engine.tracing import Trace

IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
"""Methods that may be sent again although the first may have been obeyed (RFC 9110 9.2.2)."""

UNASKED_TRIES: Final = 3
"""How often what no endpoint has seen is sent again without any retry in the route."""

BACKOFF_GROWTH: Final = 10
"""The longest wait between two tries, in first waits."""

JITTER: Final = 0.25
"""How much longer a wait may be by chance."""


def guarded(work: "Callable[[Tries], None]") -> "Callable[[Tries], None]":
    """Let a failure, or a bug, end this request and nothing else."""

    @wraps(work)
    def call(tries: "Tries") -> None:
        try:
            work(tries)
        except MeshError as error:
            tries.fail(error)
        except Exception as bug:  # noqa: BLE001 - one request's bug stays its own
            tries.failed_by(bug)

    return call


class Tries(AttemptOwner):
    """One request, and the tries that it takes."""

    __slots__ = (
        "_attempt",
        "_avoid",
        "_destination",
        "_is_retrying",
        "_number",
        "_request_timer",
        "_retry_timer",
        "_sent",
        "_unasked",
        "content",
        "context",
        "head",
        "is_answered",
        "is_closed",
        "is_grpc",
        "limit_s",
        "preferred",
        "rule",
        "target",
        "trace",
    )

    def __init__(self, context: Context, head: RequestHead, content: Body | None) -> None:
        """Nothing is sent; None: the request is its head alone."""
        self.context = context
        self.head = head
        self.content = content
        self.rule: RouteRule | None = None
        self.limit_s: float | None = None
        """For all tries together."""
        self.preferred: Target | None = None
        """The endpoint of the client's session, for the first try."""
        self.target: Target | None = None
        """The endpoint that was tried last."""
        self.trace: Trace | None = None
        """When it is traced."""
        self.is_grpc = False
        self.is_answered = False
        self.is_closed = False
        self._destination: Destination | None = None
        self._attempt: Attempt | None = None
        self._avoid: tuple[Target, ...] = ()
        self._number = 0
        self._sent = 0
        self._unasked = 0
        self._is_retrying = False
        self._request_timer: Timer | None = None
        self._retry_timer: Timer | None = None

    # Sending.

    def send(self, destination: Destination, now: float) -> None:
        """Ask an endpoint of a destination, all else being decided.

        Raises:
            OverflowingError: as many requests as may are under way, or wait.
            EndpointMissingError: nobody is there.
        """
        load = destination.load
        if 0 < load.traffic.max_requests <= load.requests:
            self.note(request_metrics.OVERFLOWED, destination)
            raise OverflowingError
        load.requests += 1
        self._destination = destination
        if self.limit_s:
            self._request_timer = self.context.timers.after(self.limit_s, self._late)
        self._try(destination, now)

    def _try(self, destination: Destination, now: float) -> None:
        context = self.context
        target, self.preferred = self.preferred, None
        if target is None or target.is_gone:
            target = destination.choose(context.random, now, self._avoid)
            if target is None:
                raise EndpointMissingError
        self.target = target
        self._sent += 1
        attempt = Attempt(self, target, is_http2=self._speaks_http2(target.destination))
        self._attempt = attempt
        if self.trace is not None:
            attempt.sending = self.trace.send(self.head, target)
        rule = self.rule
        if rule is not None and rule.attempt_s:
            attempt.timer = context.timers.after(rule.attempt_s, self._attempt_late)
        try:
            attempt.begin()
        except EndpointEvictedError as error:
            self.unreached(attempt, error)
        except OverflowingError:
            self.note(request_metrics.OVERFLOWED, destination)
            raise

    def _speaks_http2(self, destination: Destination) -> bool:
        if self.is_grpc:
            return True
        if self.head.upgrade:
            return False
        speaks = destination.speaks
        if speaks is AppProtocol.UNKNOWN:
            return self.head.version == 20
        return speaks is AppProtocol.HTTP2 or speaks is AppProtocol.GRPC

    @property
    def tries(self) -> int:
        """How often it was sent, or was to be."""
        return self._sent

    @property
    def has_no_content(self) -> bool:
        """Whether the request is its head alone, as far as it is known."""
        content = self.content
        return content is None or (
            content.is_complete and not content.kept and not content.trailers
        )

    def attached(self, stream: ClientStream) -> None:
        """The head is sent."""
        if self.content is not None:
            self.content.attach(stream)

    def relieved(self) -> None:
        """More of the content can be sent."""
        if self.content is not None:
            self.content.pay()

    # Failing, and trying again.

    def unreached(self, attempt: Attempt, error: MeshError) -> None:
        """There is no connection."""
        if attempt.sending is not None:
            attempt.sending.error = error.code
        attempt.release()
        match error:
            case OverflowingError():
                pass
            case EndpointEvictedError():
                if self._try_unasked():
                    return
            case _:
                self._bad_answer(attempt.target, 0)
                if isinstance(error, EndpointUnreachableError) and self._try_elsewhere(attempt):
                    return
        self._failed(attempt, error)

    def lost_answer(self, attempt: Attempt, loss: Loss, error: MeshError | None) -> None:
        """The answer has not come, or not whole."""
        del error
        attempt.release()
        is_safe = loss is Loss.UNSEEN or (loss is Loss.STALE and self.head.method in IDEMPOTENT)
        if is_safe and not self.is_answered and self._try_unasked():
            return
        if loss is not Loss.UNSEEN and loss is not Loss.STALE:
            self._bad_answer(attempt.target, 0)
        failure = AnswerInvalidError() if loss is Loss.INVALID else AnswerResetError()
        self._failed(attempt, failure)

    def _failed(self, attempt: Attempt, error: MeshError) -> None:
        self._attempt = None
        if self.is_answered or not self.try_again(attempt):
            self.fail(error)

    def _try_elsewhere(self, attempt: Attempt) -> bool:
        """Go to another endpoint: nothing was sent to the one that could not be reached."""
        destination = self._destination
        if destination is None or not destination.has_others:
            return False
        self._avoid += (attempt.target,)
        return self._try_unasked()

    def _try_unasked(self) -> bool:
        content = self.content
        destination = self._destination
        if self._unasked >= UNASKED_TRIES or destination is None:
            return False
        if content is not None and not content.is_replayable:
            return False
        self._unasked += 1
        try:
            self._try(destination, self.context.clock())
        except MeshError as error:
            self.fail(error)
        return True

    def try_again(self, attempt: Attempt) -> bool:
        """Give an attempt up for another one, if the route wants that and it can be done."""
        rule, content, destination = self.rule, self.content, self._destination
        if rule is None or rule.retry is None or destination is None:
            return False
        if self._number >= rule.retry.attempts:
            return False
        if content is not None and not content.is_replayable:
            return False
        load = destination.load
        if not self._is_retrying:
            if 0 < load.traffic.max_retries <= load.retries:
                self.note(request_metrics.RETRY_REFUSED, destination)
                return False
            load.retries += 1
            self._is_retrying = True
        self.note(request_metrics.RETRIED, destination)
        attempt.give_up()
        self._attempt = None
        self._avoid += (attempt.target,)
        base = rule.retry.backoff_s
        wait = min(base * 2**self._number, base * BACKOFF_GROWTH)
        wait *= 1 + JITTER * self.context.random.random()
        self._number += 1
        self._retry_timer = self.context.timers.after(wait, self._next_try)
        return True

    @guarded
    def _next_try(self) -> None:
        self._retry_timer = None
        if not self.is_closed and self._destination is not None:
            self._try(self._destination, self.context.clock())

    @guarded
    def _late(self) -> None:
        self._request_timer = None
        if not self.is_closed:
            if not self.is_answered and self.target is not None and self._attempt is not None:
                self._bad_answer(self.target, 504)
            raise RequestTimedOutError

    @guarded
    def _attempt_late(self) -> None:
        attempt = self._attempt
        if attempt is None or self.is_closed:
            return
        attempt.timer = None
        if attempt.sending is not None:
            attempt.sending.error = AttemptTimedOutError.code
        if not self.is_answered:
            self._bad_answer(attempt.target, 504)
            if self.try_again(attempt):
                return
        raise AttemptTimedOutError

    def judge(self, attempt: Attempt, status: int) -> bool:
        """Note the status of an answer; whether it is given up for another try."""
        destination = attempt.target.destination
        if destination.is_watched:
            self._bad_answer(attempt.target, status)
        rule = self.rule
        if rule is not None and rule.retry is not None and status in rule.retry.codes:
            return self.try_again(attempt)
        return False

    def _bad_answer(self, target: Target, status: int) -> None:
        destination = target.destination
        if destination.is_watched and destination.answered(target, status, self.context.clock()):
            self.note(request_metrics.EJECTED, destination)

    def note(self, event: str, destination: Destination) -> None:
        """Count something that has happened with a destination."""
        self.context.metrics.note(event, destination.key[0])

    # Ending.

    def passed_on(self) -> None:
        """The head of the answer goes to the client: there is no other try."""
        self.is_answered = True
        if self.content is not None:
            self.content.forget()
        if self._is_retrying:
            self._end_retrying()

    def _end_retrying(self) -> None:
        self._is_retrying = False
        if self._destination is not None:
            self._destination.load.retries -= 1

    def call_off_timers(self) -> None:
        """It may take as long as it likes from now on."""
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None
        if self._attempt is not None and self._attempt.timer is not None:
            self._attempt.timer.cancel()
            self._attempt.timer = None

    def leave(self) -> None:
        """Both messages are whole: nothing needs to be reset."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.release()

    def settle(self) -> None:
        """It is over: nothing is called any more, and nothing counted. Once."""
        self.is_closed = True
        if self.content is not None:
            self.content.pay()  # the client's connection lives on
        if self._request_timer is not None:
            self._request_timer.cancel()
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        if self._is_retrying:
            self._end_retrying()
        if self._destination is not None:
            self._destination.load.requests -= 1
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.give_up()
