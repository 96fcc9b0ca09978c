"""One request at the waypoint, from its head to the end of its answer.

1. Everything runs in the reactor's turn: no task, no waiting. Each way in from outside is guarded:
   a bug here answers this request with 500, is told once, and troubles nobody else.
2. Octets are credited to either side only when the other has room for them.
"""

from collections.abc import Callable
from typing import Final

from mesh.errors import MeshError
from mesh.model.routes import ExternalAuth
from mesh.policy.requests import RequestVerdict
from mesh.routing.http.answers import GRPC_OF_HTTP, grpc_error
from mesh.routing.http.entries import Matched
from mesh.routing.http.paths import normalise_path
from mesh.routing.http.routes import ConnectionRoutes
from mesh.runtime.http.stream import Loss, RequestUser, ServerStream
from mesh.wire.authorizer import Permission
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead, first
from waypoint.worker.engine import heads, record, spans
from waypoint.worker.engine.attempt import Attempt
from waypoint.worker.engine.authorizing import Questions
from waypoint.worker.engine.body import Body
from waypoint.worker.engine.context import Live, Peer
from waypoint.worker.engine.failures import (
    UNKNOWN,
    AnswerCutError,
    AnswerResetError,
    AnswerStalledError,
    AuthorizerDeniedError,
    BodyStalledError,
    ClientGoneError,
    ConnectMethodError,
    DrainingError,
    ExchangeBugError,
    RequestDeniedError,
    RequestStalledError,
    RouteMissingError,
    fields_of,
    outcome_of,
    text_of,
)
from waypoint.worker.engine.judging import PASSES, tell_verdict
from waypoint.worker.engine.mirror import MirrorCopy
from waypoint.worker.engine.steering import Steered, is_answered_at_once
from waypoint.worker.engine.tries import Tries

SWITCHING: Final = 101
GRPC_STATUS: Final = b"grpc-status"


class Exchange(Tries, RequestUser, Live):
    """A request that is being served."""

    __slots__ = (
        "_is_quiet",
        "_is_upgraded",
        "_other_ended",
        "_questions",
        "_silent_s",
        "answer_fields",
        "began",
        "error",
        "grpc_status",
        "matched",
        "mirrors",
        "peer",
        "request_id",
        "response_octets",
        "status",
        "steered",
        "stream",
        "told_authority",
        "told_target",
        "verdict",
    )

    def __init__(self, peer: Peer, stream: ServerStream, head: RequestHead, *, end: bool) -> None:
        """A head has come; nothing is decided."""
        Tries.__init__(self, peer.context, head, None if end else Body(stream.credit))
        self.peer = peer
        self.stream = stream
        self.began = peer.context.clock()
        self.told_target = head.target
        self.told_authority = head.authority
        self.request_id = b""
        self.matched: Matched | None = None
        self.steered: Steered | None = None
        self.mirrors: list[MirrorCopy] = []
        self.status = 0
        self.grpc_status = ""
        self.error: MeshError | None = None
        self.response_octets = 0
        self._is_upgraded = False
        self._other_ended = False
        self.verdict: RequestVerdict | None = None
        """Of policies, when there are any."""
        self._questions: Questions | None = None
        self.answer_fields: Fields = []
        """What the client's answer gets beside what the endpoint says."""
        self._is_quiet = False
        self._silent_s = 0.0

    # Deciding.

    def begin(self) -> None:
        """Find out what is to become of it."""
        self.context.live[self] = None
        try:
            self._begin()
        except MeshError as error:
            self.fail(error)
        except Exception as bug:  # noqa: BLE001 - rule 1
            self.failed_by(bug)

    def _begin(self) -> None:
        context, peer, head = self.context, self.peer, self.head
        names = dict(head.fields)
        kind = names.get(heads.CONTENT_TYPE)
        if kind is not None and kind.startswith(heads.GRPC) and kind[16:17] in heads.AFTER_GRPC:
            self.is_grpc = True
            self.limit_s = heads.grpc_seconds(names)
        if head.method == b"CONNECT":
            raise ConnectMethodError
        head.target = normalise_path(head.target, context.normalisation)
        heads.tell_caller(head, names, peer.told, peer.shown)
        self.request_id = heads.name_request(head.fields, names, context.random)
        if context.tracer is not None:
            self.trace = context.tracer.begin(head)
        if context.judge is not None:
            verdict = self.verdict = context.judge.judge(peer.caller, peer.called, head)
            if verdict is not PASSES:
                tell_verdict(context.metrics, verdict)
            if not verdict.allowed:
                raise RequestDeniedError(verdict.code, verdict.policy)
            if verdict.ask:
                self._ask(verdict.ask, self._route)
                return
        self._route()

    def _ask(self, auths: tuple[ExternalAuth, ...], then: Callable[[], None]) -> None:
        self._questions = Questions(self, auths, then)
        self._questions.begin()

    def _route(self) -> None:
        self._questions = None
        routes = self.peer.routes
        if routes is None:
            self.send(self.peer.destination, self.began)
            return
        matched = None if isinstance(routes, ConnectionRoutes) else routes.match(self.head)
        if matched is None:
            raise RouteMissingError
        self.matched, self.rule = matched, matched.rule
        auth = matched.rule.filters.external_auth
        if auth is not None and not is_answered_at_once(matched.rule.filters, self.head):
            self._ask((auth,), self._steer)
        else:
            self._steer()

    def _steer(self) -> None:
        self._questions = None
        context, matched = self.context, self.matched
        if matched is None:
            return
        steered = self.steered = Steered()
        steered.decide(context, self.head, matched, self.peer.called.port)
        if steered.answer is not None:
            self.reply(steered.answer)
            return
        limit = matched.rule.request_s
        if limit:
            self.limit_s = limit if self.limit_s is None else min(limit, self.limit_s)
        self.preferred = steered.preferred
        for mirror in steered.mirrors:
            self.mirrors.append(MirrorCopy.begin(context, mirror, self.head, self.content))
        if steered.destination is not None:
            self.send(steered.destination, self.began)

    # What the client says.

    def body(self, piece: memoryview) -> None:
        """A piece of the request."""
        content, attempt = self.content, self._attempt
        if self.is_closed or content is None:
            self.stream.credit(len(piece))
            return
        self._is_quiet = False
        try:
            for mirror in self.mirrors:
                mirror.copy(piece)
            content.take(piece, None if attempt is None else attempt.stream)
            if self._questions is not None:
                self._questions.content_came()
        except MeshError as error:
            self.fail(error)
        except Exception as bug:  # noqa: BLE001 - rule 1
            self.failed_by(bug)

    def finished(self, trailers: Fields) -> None:
        """The request is whole."""
        content, attempt = self.content, self._attempt
        if self.is_closed or content is None:
            return
        self._is_quiet = False
        try:
            for mirror in self.mirrors:
                mirror.complete(trailers)
            content.complete(trailers, None if attempt is None else attempt.stream)
            if self._questions is not None:
                self._questions.content_came()
            if self._other_ended:
                self.leave()
                self._close(None)
        except MeshError as error:
            self.fail(error)
        except Exception as bug:  # noqa: BLE001 - rule 1
            self.failed_by(bug)

    def lost(self, loss: Loss, error: MeshError | None) -> None:
        """The client is gone."""
        del loss, error
        if not self.is_closed:
            self._close(ClientGoneError())

    def writable(self) -> None:
        """The client takes more."""
        attempt = self._attempt
        if attempt is not None and attempt.owed and attempt.stream is not None:
            owed, attempt.owed = attempt.owed, 0
            self._is_quiet = False
            attempt.stream.credit(owed)

    # What the endpoint says.

    def announced(self, head: ResponseHead) -> None:
        """An informational head."""
        if not self.is_closed:
            self._is_quiet = False
            self.stream.answer(head)

    def answered(self, attempt: Attempt, head: ResponseHead) -> None:
        """The head of the answer."""
        status = head.status
        if self.is_closed or self.judge(attempt, status):
            return
        self.passed_on()
        self._is_quiet = False
        self.status = status
        if self.is_grpc:
            self._note_grpc(head.fields)
        if self.steered is not None:
            self.steered.finish(self.context, attempt.target, head)
        if self.answer_fields:
            head.fields += self.answer_fields
        if status == SWITCHING:
            self._upgrade()
        self.stream.answer(head)

    def _upgrade(self) -> None:
        """From here on both sides may send what they like, for as long as they like."""
        self._is_upgraded = True
        self.call_off_timers()
        if self.content is None or self.content.is_complete:
            self.content = Body(self.stream.credit)
            self.content.forget()

    def carried(self, attempt: Attempt, piece: memoryview) -> None:
        """A piece of the answer."""
        size = len(piece)
        self.response_octets += size
        self._is_quiet = False
        stream = self.stream
        stream.send(piece)
        source = attempt.stream
        if source is None:  # the client went away meanwhile
            return
        if attempt.owed or stream.is_full:
            attempt.owed += size
        else:
            source.credit(size)

    def completed(self, trailers: Fields) -> None:
        """The answer is whole."""
        if self.is_closed:
            return
        if self.is_grpc and trailers:
            self._note_grpc(trailers)
        content = self.content
        if content is None or content.is_complete:
            self.leave()
        elif self._is_upgraded:
            self._other_ended = True
            self.stream.finish(trailers)
            return
        # Else the endpoint has answered without wanting the rest: `settle` resets what is left.
        self.stream.finish(trailers)
        self._close(None)

    def _note_grpc(self, fields: Fields) -> None:
        found = first(fields, GRPC_STATUS)
        if found is not None:
            self.grpc_status = found.decode("latin-1")

    # Answering ourselves.

    def reply(self, head: ResponseHead, content: bytes = b"") -> None:
        """The answer is ours, and whole."""
        self.passed_on()
        self.status = head.status
        if self.steered is not None:
            self.steered.finish(self.context, None, head)
        stream = self.stream
        stream.answer(head, end=not content)
        if content and not self.is_closed:
            if self.head.method != b"HEAD":
                stream.send(content)
            stream.finish([])
        self._close(None)

    def turn_away(self, permission: Permission) -> None:
        """The external authoriser does not let it pass, and says what the client is told."""
        self.error = AuthorizerDeniedError()
        fields = [*permission.put, *permission.add]
        if self.is_grpc:
            number = GRPC_OF_HTTP.get(permission.status, UNKNOWN)
            self.grpc_status = str(number)
            head = grpc_error(number, permission.body.decode("utf-8", "replace"))
            head.fields += [field for field in fields if not field[0].startswith(b"content-")]
            self.reply(head)
            return
        head = ResponseHead(permission.status, fields, length=len(permission.body))
        self.reply(head, permission.body)

    def fail(self, error: MeshError) -> None:
        """It has failed: with an answer, or if that has begun, without its end."""
        if self.is_closed:
            return
        if self.is_answered:
            self.stream.reset()
            self._close(AnswerCutError() if isinstance(error, AnswerResetError) else error)
            return
        self.error = error
        outcome = outcome_of(error)
        if self.is_grpc:
            self.grpc_status = str(outcome.grpc)
            self.reply(grpc_error(outcome.grpc, str(error)))
            return
        text = text_of(error)
        fields: Fields = [(b"content-type", b"text/plain"), *fields_of(error)]
        self.reply(ResponseHead(outcome.status, fields, length=len(text)), text)

    def failed_by(self, bug: Exception) -> None:
        """A bug of ours."""
        self.context.on_bug(bug)
        try:
            self.fail(ExchangeBugError())
        except Exception as another:  # noqa: BLE001 - not even the answer worked
            self.context.on_bug(another)
            if not self.is_closed:
                self.stream.reset()
                self._close(ExchangeBugError())

    # Silence, and the end.

    def stop(self) -> None:
        """The worker ends."""
        self.fail(DrainingError())

    def sweep(self, elapsed_s: float) -> None:
        """End it when nothing has moved for too long."""
        if not self._is_quiet:
            self._is_quiet = True
            self._silent_s = 0.0
            return
        self._silent_s += elapsed_s
        settings, content = self.context.settings, self.content
        if self.is_answered:
            if self._silent_s >= settings.body_stall_s:
                self.fail(BodyStalledError())
        elif self._silent_s >= settings.head_stall_s:
            waits = content is not None and not content.is_complete and not content.owed
            self.fail(RequestStalledError() if waits else AnswerStalledError())

    def _close(self, error: MeshError | None) -> None:
        if self.is_closed:
            return
        self.error = self.error or error
        if self._questions is not None:
            self._questions.call_off()
            self._questions = None
        for mirror in self.mirrors:
            mirror.abandon()
        self.settle()
        self.context.live.pop(self, None)
        record.tell(self)
        if self.trace is not None:
            spans.tell(self.trace, self)
