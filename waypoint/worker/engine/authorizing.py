"""Asks an external authoriser whether a request may pass. No word, no way: it fails closed.

The request's content waits meanwhile, uncredited; when the authoriser is to see it, it is gathered
first, up to what the filter says.
"""

from collections.abc import Callable
from typing import Final, Protocol

from mesh.errors import MeshError
from mesh.model.routes import ExternalAuth
from mesh.routing.http.filters import UNSAYABLE
from mesh.wire.authorizer import (
    MAX_ANSWER_OCTETS,
    METHOD,
    AuthorizerAnswerInvalidError,
    Permission,
    Question,
    change_request,
)
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead, first
from waypoint.worker.engine.attempt import Attempt
from waypoint.worker.engine.body import Body
from waypoint.worker.engine.context import Context, Peer
from waypoint.worker.engine.failures import (
    AuthorizerBodyTooLargeError,
    AuthorizerFailedError,
    ExchangeBugError,
    RouteInvalidError,
)
from waypoint.worker.engine.tries import Tries

ALWAYS_SHOWN: Final = frozenset((b"authorization",))
"""To an authoriser that speaks HTTP; host, method, path and content-length are in its head."""


class Asker(Protocol):
    """The exchange that has to wait."""

    answer_fields: Fields
    content: Body | None
    context: Context
    head: RequestHead
    peer: Peer
    request_id: bytes

    def fail(self, error: MeshError) -> None:
        """It may not pass."""

    def failed_by(self, bug: Exception) -> None:
        """A bug of ours."""

    def turn_away(self, permission: Permission) -> None:
        """It may not pass, and the authoriser has said so itself."""


OnPermission = Callable[[Permission], None]
OnFailure = Callable[[MeshError], None]


class Asking(Tries):
    """One question on its way."""

    __slots__ = ("_auth", "_fields", "_octets", "_on_failure", "_on_permission", "_status")

    def __init__(
        self,
        context: Context,
        auth: ExternalAuth,
        question: Question,
        on_permission: OnPermission,
        on_failure: OnFailure,
    ) -> None:
        """Not begun before `begin`.

        Args:
            context: the worker's.
            auth: whom to ask.
            question: about what.
            on_permission: called with the answer.
            on_failure: called when there is none.
        """
        content = Body(_no_credit)
        if auth.is_grpc:
            from mesh.wire.external_auth import question_octets  # noqa: PLC0415 - see below

            head, octets = _grpc_head(auth), question_octets(question)
        else:
            head, octets = _http_head(auth, question), question.body
        super().__init__(context, head, content if octets else None)
        content.kept += octets
        content.is_complete = True
        self.is_grpc = auth.is_grpc
        self.limit_s = auth.timeout_s
        self._auth = auth
        self._on_permission = on_permission
        self._on_failure = on_failure
        self._octets = bytearray()
        self._status = 0
        self._fields: Fields = []

    def begin(self) -> None:
        """Ask.

        Raises:
            MeshError: nobody can be asked.
        """
        auth = self._auth
        destination = self.context.destinations.of_service(auth.service, auth.port)
        try:
            self.send(destination, self.context.clock())
        except MeshError as error:
            self.fail(error)

    def call_off(self) -> None:
        """The answer does not matter any more. Twice is fine."""
        if not self.is_closed:
            self.settle()

    # What the authoriser says.

    def announced(self, head: ResponseHead) -> None:
        """That it works on it."""

    def answered(self, attempt: Attempt, head: ResponseHead) -> None:
        """The head of its answer."""
        if not self.judge(attempt, head.status):
            self.passed_on()
            self._status, self._fields = head.status, head.fields

    def carried(self, attempt: Attempt, piece: memoryview) -> None:
        """A piece of it."""
        self._octets += piece
        if len(self._octets) > MAX_ANSWER_OCTETS:
            self.fail(AuthorizerAnswerInvalidError(f"more than {MAX_ANSWER_OCTETS} octets"))
        elif attempt.stream is not None:
            attempt.stream.credit(len(piece))

    def completed(self, trailers: Fields) -> None:
        """All of it."""
        self.leave()
        try:
            permission = self._grpc(trailers) if self._auth.is_grpc else self._http()
        except MeshError as error:
            self.fail(error)
            return
        self.settle()
        self._on_permission(permission)

    def _grpc(self, trailers: Fields) -> Permission:
        status = first(trailers, b"grpc-status") or first(self._fields, b"grpc-status")
        if self._status != 200 or status != b"0":
            raise AuthorizerAnswerInvalidError(f"status {self._status}, grpc-status {status!r}")
        # Only who asks by gRPC has protobuf in memory: that is 4 MB of each worker.
        from mesh.wire.external_auth import permission_of  # noqa: PLC0415 - the line above

        return permission_of(bytes(self._octets))

    def _http(self) -> Permission:
        fields = [field for field in self._fields if field[0] not in UNSAYABLE]
        if self._status == 200:
            wanted = {name.encode() for name in self._auth.response_headers}
            shown = {name.encode() for name in self._auth.answer_headers}
            return Permission(
                allowed=True,
                put=tuple(field for field in fields if field[0] in wanted),
                answer=tuple(field for field in fields if field[0] in shown),
            )
        if self._status >= 500:
            raise AuthorizerAnswerInvalidError(f"status {self._status}")
        if self._auth.denial_headers:
            named = {name.encode() for name in self._auth.denial_headers}
            fields = [field for field in fields if field[0] in named]
        return Permission(
            allowed=False, status=self._status, body=bytes(self._octets), put=tuple(fields)
        )

    # How it ends.

    def fail(self, error: MeshError) -> None:
        """There is no answer."""
        if self.is_closed:
            return
        self.settle()
        if self._auth.fails_open:
            self._on_permission(Permission(allowed=True))
        else:
            self._on_failure(AuthorizerFailedError(error, self._auth.error_status))

    def failed_by(self, bug: Exception) -> None:
        """A bug of ours."""
        self.context.on_bug(bug)
        if not self.is_closed:
            self.settle()
            self._on_failure(ExchangeBugError())


def _grpc_head(auth: ExternalAuth) -> RequestHead:
    fields = [
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        (b"grpc-timeout", b"%dm" % max(1, round(auth.timeout_s * 1000))),
    ]
    host = auth.service.partition("/")[2]
    return RequestHead(b"POST", METHOD, f"{host}:{auth.port}".encode(), fields, version=20)


def _http_head(auth: ExternalAuth, question: Question) -> RequestHead:
    asked = question.head
    shown = ALWAYS_SHOWN | {name.encode() for name in auth.request_headers}
    added = [(name.encode(), value.encode()) for name, value in auth.added_headers]
    names = {name for name, _ in added}
    fields = [field for field in asked.fields if field[0] in shown and field[0] not in names]
    fields += added
    target = auth.path.encode().removesuffix(b"/") + asked.target
    method = b"GET" if asked.method == b"CONNECT" else asked.method
    return RequestHead(method, target, asked.authority, fields, length=len(question.body) or None)


def _no_credit(octets: int) -> None:
    """It was all there from the beginning."""


class Questions:
    """All whom a request has to ask, one after the other."""

    __slots__ = ("_asking", "_auths", "_exchange", "_gathers", "_then")

    def __init__(
        self, exchange: "Asker", auths: tuple[ExternalAuth, ...], then: Callable[[], None]
    ) -> None:
        """Not begun before `begin`; `then` is called when all have agreed."""
        self._exchange = exchange
        self._auths = list(auths)
        self._then = then
        self._asking: Asking | None = None
        self._gathers = False

    def begin(self) -> None:
        """Ask the next one, or go on.

        Raises:
            MeshError: one cannot be asked.
        """
        if not self._auths:
            self._then()
            return
        auth, content = self._auths[0], self._exchange.content
        if auth.problem:
            raise RouteInvalidError(auth.problem)
        if auth.max_body_octets and content is not None and not content.is_complete:
            self._gathers = True
            self.content_came()
        else:
            self._ask(self._auths.pop(0))

    def content_came(self) -> None:
        """More of the request's content is there, or all of it.

        Raises:
            AuthorizerBodyTooLargeError: more than the authoriser is to see.
        """
        content = self._exchange.content
        if not self._gathers or content is None:
            return
        auth = self._auths[0]
        limit = auth.max_body_octets
        if len(content.kept) > limit and not auth.sends_partial_body:
            raise AuthorizerBodyTooLargeError(limit)
        has_enough = auth.sends_partial_body and len(content.kept) >= limit
        if content.is_complete or has_enough:
            self._gathers = False
            self._ask(self._auths.pop(0))
        else:
            content.pay()

    def _ask(self, auth: ExternalAuth) -> None:
        exchange, content = self._exchange, self._exchange.content
        shown = content is not None and auth.max_body_octets > 0
        peer, context = exchange.peer, exchange.context
        question = Question(
            head=exchange.head,
            request_id=exchange.request_id,
            names=auth.request_headers,
            body=bytes(content.kept[: auth.max_body_octets]) if shown and content else b"",
            moment=context.epoch(),
            source=peer.caller.address,
            source_identity=peer.caller.identity,
            destination=peer.called.address,
            destination_identity=context.identity,
        )
        self._asking = Asking(context, auth, question, self._permitted, self._failed)
        self._asking.begin()

    def _permitted(self, permission: Permission) -> None:
        self._asking = None
        exchange = self._exchange
        try:
            if not permission.allowed:
                exchange.turn_away(permission)
                return
            change_request(permission, exchange.head.fields)
            exchange.answer_fields += permission.answer
            self.begin()
        except MeshError as error:
            exchange.fail(error)
        except Exception as bug:  # noqa: BLE001 - one request's bug stays its own
            exchange.failed_by(bug)

    def _failed(self, error: MeshError) -> None:
        self._asking = None
        self._exchange.fail(error)

    def call_off(self) -> None:
        """The request is over."""
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.call_off()
