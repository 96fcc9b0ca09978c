"""One request at the waypoint, from its head to the end of its answer.

1. Everything runs in the reactor's turn: no task, no waiting. Each way in from outside is guarded:
   a bug here answers this request with 500, is told once, and troubles nobody else.
2. Octets are credited to either side only when the other has room for them.
"""

from collections.abc import Callable
from dataclasses import replace

from mesh.errors import DeniedError, MeshError
from mesh.model.routes import ExternalAuth, Mirror
from mesh.observe import request_metrics
from mesh.policy.requests import RequestVerdict
from mesh.routing.http.entries import Matched
from mesh.routing.http.paths import normalise_path
from mesh.routing.http.routes import ConnectionRoutes
from mesh.runtime.http.stream import Loss, RequestUser, ServerStream
from mesh.wire.http.messages import Fields, RequestHead
from mesh.wire.http1.errors import Http1Error
from waypoint.filters.messages import Hook
from waypoint.worker.engine import heads, onward, record, spans
from waypoint.worker.engine.answering import Answering
from waypoint.worker.engine.authorizing import Questions
from waypoint.worker.engine.body import Body
from waypoint.worker.engine.codes import EXTENSION_MISSING
from waypoint.worker.engine.context import Live, Peer
from waypoint.worker.engine.failures import (
    AnswerStalledError,
    BodyStalledError,
    ClientGoneError,
    ConnectMethodError,
    DrainingError,
    RequestDeniedError,
    RequestInvalidError,
    RequestStalledError,
    RouteInvalidError,
    RouteMissingError,
)
from waypoint.worker.engine.filtering import Filtering
from waypoint.worker.engine.judging import PASSES, tell_verdict
from waypoint.worker.engine.mirror import MirrorCopy
from waypoint.worker.engine.steering import Steered, is_answered_at_once


class Exchange(Answering, RequestUser, Live):
    """A request that is being served."""

    __slots__ = (
        "_asked",
        "_questions",
        "_silent_s",
        "began",
        "matched",
        "mirrors",
        "peer",
        "request_id",
        "told_authority",
        "told_target",
        "verdict",
    )

    def __init__(self, peer: Peer, stream: ServerStream, head: RequestHead, *, end: bool) -> None:
        """A head has come; nothing is decided."""
        content = None if end else Body(stream.credit)
        Answering.__init__(self, peer.context, stream, head, content)
        self.peer = peer
        self.began = peer.context.clock()
        self.told_target = head.target
        self.told_authority = head.authority
        self.request_id = b""
        self.matched: Matched | None = None
        self.mirrors: list[MirrorCopy] = []
        self.verdict: RequestVerdict | None = None
        """Of policies, when there are any."""
        self._asked: RequestHead | None = None
        """The head that was judged, of what may become another protocol."""
        self._questions: Questions | None = None
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
            if head.upgrade:
                self._asked = replace(head, fields=list(head.fields))
            verdict = self.verdict = context.judge.judge(peer.caller, peer.called, head)
            if verdict is not PASSES:
                tell_verdict(context.metrics, verdict)
            if not verdict.allowed:
                raise RequestDeniedError(verdict.code, verdict.policy)
            if verdict.ask:
                self._ask(verdict.ask, self._route)
                return
        self._route()

    def judge_again(self) -> None:
        """The policies have changed: what speaks another protocol by now may be forbidden."""
        judge, asked = self.context.judge, self._asked
        if judge is None or asked is None or not self._is_upgraded or self.is_closed:
            return
        copy = replace(asked, fields=list(asked.fields))
        try:
            verdict = judge.judge(self.peer.caller, self.peer.called, copy, self.verdict)
        except MeshError as error:
            self.fail(error)
        except Exception as bug:  # noqa: BLE001 - rule 1
            self.failed_by(bug)
        else:
            if not verdict.allowed:
                self.fail(RequestDeniedError(verdict.code, verdict.policy))

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
            onward.judge_question(self.peer, matched.route, auth, self.head)
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
        to = steered.destination
        if to is not None and context.judge is not None:
            verdict = onward.judge_there(self.peer, matched.route, to.key, self.head, self.verdict)
            if verdict.ask:
                self._ask(verdict.ask, self._go_on)
                return
        self._go_on()

    def _go_on(self) -> None:
        self._questions = None
        steered, matched = self.steered, self.matched
        if steered is not None and steered.extensions and matched is not None:
            self._filter(tuple(steered.extensions), matched)
        else:
            self._forward()

    def _filter(self, names: tuple[str, ...], matched: Matched) -> None:
        programs, identity = self.context.programs, self.peer.caller.identity
        if programs is None:
            raise RouteInvalidError(EXTENSION_MISSING)
        told = str(identity or ""), f"{matched.route.namespace}/{matched.route.name}"
        self._filtering = Filtering(self, programs, names, told)
        self._filtering.ask(self._filtered)

    def _filtered(self) -> None:
        """The filters have seen the head: let them see the content, and go on."""
        filtering, before = self._filtering, self.content
        if filtering is not None and before is not None and filtering.wanting(Hook.REQUEST_BODY):
            pipe = filtering.change_content(self._take, self._complete, self.stream.credit)
            self.content = Body(lambda _octets: pipe.settle())
            self.head.length = None
            pipe.begin(bytes(before.kept), len(before.kept) - before.owed)
            if before.is_complete:
                pipe.end(before.trailers)
            pipe.open()
        self._forward()

    def _forward(self) -> None:
        steered, context = self.steered, self.context
        if steered is None or steered.destination is None:
            return
        for mirror in steered.mirrors:
            if self._may_copy(mirror):
                self.mirrors.append(MirrorCopy.begin(context, mirror, self.head, self.content))
        self.send(steered.destination, self.began)

    def _may_copy(self, mirror: Mirror) -> bool:
        matched = self.matched
        try:
            if matched is not None:
                onward.judge_copy(self.peer, matched.route, mirror, self.head)
        except DeniedError:
            self.context.metrics.note(request_metrics.MIRROR_DROPPED, mirror.service)
            return False
        return True

    # What the client says.

    def body(self, piece: memoryview) -> None:
        """A piece of the request."""
        filtering = self._filtering
        if self.is_closed or self.content is None:
            self.stream.credit(len(piece))
            return
        self._is_quiet = False
        try:
            if filtering is None or filtering.request is None:
                self._take(piece)
            else:
                filtering.request.feed(piece)
        except MeshError as error:
            self.fail(error)
        except Exception as bug:  # noqa: BLE001 - rule 1
            self.failed_by(bug)

    def _take(self, piece: bytes | memoryview) -> None:
        content, attempt = self.content, self._attempt
        if content is None:
            return
        for mirror in self.mirrors:
            mirror.copy(piece)
        content.take(piece, None if attempt is None else attempt.stream)
        if self._questions is not None:
            self._questions.content_came()

    def finished(self, trailers: Fields) -> None:
        """The request is whole."""
        filtering = self._filtering
        if self.is_closed or self.content is None:
            return
        self._is_quiet = False
        try:
            if filtering is None or filtering.request is None:
                self._complete(trailers)
            else:
                filtering.request.end(trailers)
        except MeshError as error:
            self.fail(error)
        except Exception as bug:  # noqa: BLE001 - rule 1
            self.failed_by(bug)

    def _complete(self, trailers: Fields) -> None:
        content, attempt = self.content, self._attempt
        if content is None:
            return
        for mirror in self.mirrors:
            mirror.complete(trailers)
        content.complete(trailers, None if attempt is None else attempt.stream)
        if self._questions is not None:
            self._questions.content_came()
        if self._other_ended:
            self.leave()
            self.close(None)

    def lost(self, loss: Loss, error: MeshError | None) -> None:
        """The client is gone, or does not keep to HTTP."""
        if self.is_closed:
            return
        if loss is not Loss.INVALID or error is None:
            self.close(ClientGoneError())
            return
        status = error.status if isinstance(error, Http1Error) and not self.is_answered else 0
        self.status = self.status or status
        self.close(RequestInvalidError(error, status))

    def writable(self) -> None:
        """The client takes more."""
        attempt, filtering = self._attempt, self._filtering
        if filtering is not None and filtering.answer is not None:
            filtering.answer.settle()
            return
        if attempt is not None and attempt.owed and attempt.stream is not None:
            owed, attempt.owed = attempt.owed, 0
            self._is_quiet = False
            attempt.stream.credit(owed)

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

    def close(self, error: MeshError | None) -> None:
        """It is over, well or not. Twice is fine."""
        if self.is_closed:
            return
        self.error = self.error or error
        if self._questions is not None:
            self._questions.call_off()
            self._questions = None
        if self._filtering is not None:
            self._filtering.close()
        for mirror in self.mirrors:
            mirror.abandon()
        self.settle()
        self.context.live.pop(self, None)
        record.tell(self)
        if self.trace is not None:
            spans.tell(self.trace, self)
