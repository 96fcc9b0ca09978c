"""The answer of a request on its way to the client: an endpoint's, or our own.

Once its head has gone to the client, a failure can only cut it off.
"""

from abc import abstractmethod
from typing import Final

from mesh.errors import MeshError
from mesh.routing.http.answers import GRPC_OF_HTTP, grpc_error
from mesh.runtime.http.stream import ServerStream
from mesh.wire.authorizer import Permission
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead, first
from mesh.wire.http1.heads import is_without_content
from waypoint.worker.engine.attempt import Attempt
from waypoint.worker.engine.body import Body
from waypoint.worker.engine.context import Context
from waypoint.worker.engine.destination import Target
from waypoint.worker.engine.failures import (
    UNKNOWN,
    AnswerCutError,
    AnswerResetError,
    AuthorizerDeniedError,
    ExchangeBugError,
    fields_of,
    outcome_of,
    text_of,
    words_of,
)
from waypoint.worker.engine.filtering import Filtering
from waypoint.worker.engine.steering import Steered
from waypoint.worker.engine.tries import Tries

SWITCHING: Final = 101
GRPC_STATUS: Final = b"grpc-status"


class Answering(Tries):
    """One request whose client waits for an answer."""

    __slots__ = (
        "_filtering",
        "_has_begun",
        "_is_quiet",
        "_is_upgraded",
        "_other_ended",
        "answer_fields",
        "error",
        "grpc_status",
        "response_octets",
        "status",
        "steered",
        "stream",
    )

    def __init__(
        self, context: Context, stream: ServerStream, head: RequestHead, content: Body | None
    ) -> None:
        """Nothing is answered."""
        super().__init__(context, head, content)
        self.stream = stream
        """The client's."""
        self.steered: Steered | None = None
        self.status = 0
        self.grpc_status = ""
        self.error: MeshError | None = None
        self.response_octets = 0
        self.answer_fields: Fields = []
        """What the client's answer gets beside what the endpoint says."""
        self._filtering: Filtering | None = None
        self._has_begun = False
        """The head of the answer has gone to the client."""
        self._is_upgraded = False
        self._other_ended = False
        self._is_quiet = False

    @abstractmethod
    def close(self, error: MeshError | None) -> None:
        """It is over, well or not. Twice is fine."""

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
        filtering = self._filtering
        if filtering is None or status == SWITCHING or not filtering.wants_answer:
            self._pass_head(attempt.target, head)
            return
        has_content = not is_without_content(status, self.head.method)
        pipe = filtering.change_answers(
            self._say, self._said_all, self._credit_answer, has_content=has_content
        )
        if pipe.changes:
            head.length = None

        def then() -> None:
            self._pass_head(attempt.target, head)
            pipe.open()

        filtering.show(head, then)

    def _pass_head(self, target: Target, head: ResponseHead) -> None:
        status = self.status = head.status
        if self.is_grpc:
            self._note_grpc(head.fields)
        if self.steered is not None:
            self.steered.finish(self.context, target, head)
        if self.answer_fields:
            head.fields += self.answer_fields
        if status == SWITCHING:
            self._upgrade()
        self._has_begun = True
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
        filtering = self._filtering
        if filtering is not None and filtering.answer is not None:
            filtering.answer.feed(piece)
            return
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
        filtering = self._filtering
        if filtering is not None and filtering.answer is not None:
            filtering.answer.end(trailers)
            return
        self._said_all(trailers)

    def _credit_answer(self, octets: int) -> None:
        attempt = self._attempt
        if attempt is not None and attempt.stream is not None:
            attempt.stream.credit(octets)

    def _say(self, piece: bytes) -> None:
        """A piece of the answer, as the filters want it."""
        filtering, stream = self._filtering, self.stream
        self.response_octets += len(piece)
        self._is_quiet = False
        stream.send(piece)
        if filtering is not None and filtering.answer is not None and not stream.is_full:
            filtering.answer.settle()

    def _said_all(self, trailers: Fields) -> None:
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
        self.close(None)

    def _note_grpc(self, fields: Fields) -> None:
        found = first(fields, GRPC_STATUS)
        if found is not None:
            self.grpc_status = found.decode("latin-1")

    # Answering ourselves.

    def reply(self, head: ResponseHead, content: bytes = b"") -> None:
        """The answer is ours, and whole."""
        self.passed_on()
        self._has_begun = True
        self.status = head.status
        if self.steered is not None:
            self.steered.finish(self.context, None, head)
        stream = self.stream
        stream.answer(head, end=not content)
        if content and not self.is_closed:
            if self.head.method != b"HEAD":
                stream.send(content)
            stream.finish([])
        self.close(None)

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
        if self._has_begun:
            self.stream.reset()
            self.close(AnswerCutError() if isinstance(error, AnswerResetError) else error)
            return
        self.error = error
        outcome = outcome_of(error)
        if self.is_grpc:
            self.grpc_status = str(outcome.grpc)
            self.reply(grpc_error(outcome.grpc, words_of(error)))
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
                self.close(ExchangeBugError())
