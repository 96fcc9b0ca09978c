"""One request and its answer in users' filters.

1. They run last of all that a route does to a request, in the order in which they are named, and on
   the answer in the opposite order.
2. A filter that fails fails the request, unless it is one that may be missed; then what it was
   given goes on as it is, and nothing more of the request is shown to it.
3. Content is changed as it streams. Its length is not known beforehand then.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from mesh.errors import MeshError
from mesh.model.routes import FilterProgram
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead
from waypoint.filters.failures import FilterError, FilterFailedError, FilterLostError
from waypoint.filters.given import (
    WITHOUT_CONTENT,
    Reply,
    shown,
    take_piece,
    take_request,
    take_response,
)
from waypoint.filters.messages import Hook
from waypoint.filters.process import Results
from waypoint.filters.processes import REASONS
from waypoint.worker.engine.pipe import Changed, Pipe
from waypoint.worker.engine.programs import Programs, text

Sink = Callable[[bytes], None]
OnEnd = Callable[[Fields], None]
Credit = Callable[[int], None]
ValueT = TypeVar("ValueT")


class Filtered(Protocol):
    """The exchange."""

    head: RequestHead
    is_closed: bool

    def fail(self, error: MeshError) -> None:
        """A filter has failed."""

    def failed_by(self, bug: Exception) -> None:
        """A bug of ours."""

    def reply(self, head: ResponseHead, content: bytes = b"") -> None:
        """A filter answers by itself."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked(Generic[ValueT]):
    """One call of a hook."""

    hook: Hook
    name: str
    arguments: Results
    take: Callable[[Results], ValueT]
    """Reads what the hook gives; it raises when that is wrong, and the filter has failed."""
    then: Callable[[ValueT], None]
    """Goes on with that."""
    skip: Callable[[], None]
    """Goes on without it, when the filter has failed and may be missed."""


class Filtering:
    """The filters of one exchange."""

    __slots__ = (
        "_asked_again",
        "_client",
        "_exchange",
        "_hooks",
        "_lives",
        "_missed",
        "_names",
        "_number",
        "_programs",
        "_route",
        "answer",
        "request",
    )

    def __init__(
        self, exchange: Filtered, programs: Programs, names: tuple[str, ...], told: tuple[str, str]
    ) -> None:
        """Find them.

        Args:
            exchange: whose.
            programs: all that are known.
            names: which.
            told: what filters are told: who asks, and the route.

        Raises:
            RouteInvalidError: one is not there.
        """
        self._exchange = exchange
        self._programs = programs
        self._client, self._route = told
        self._names: dict[str, FilterProgram] = {name: programs.find(name) for name in names}
        self._number = programs.begin(self._names)
        self._hooks: dict[str, frozenset[Hook]] = {}
        self._lives: dict[str, object] = {}
        """By filter, while it may keep something of the request."""
        self._asked_again: set[str] = set()
        self._missed: set[str] = set()
        self.request: Pipe | None = None
        """The request's content, when a filter wants to see it."""
        self.answer: Pipe | None = None
        """The answer's, when a filter wants to see that or the answer's head."""

    def wanting(self, hook: Hook) -> list[str]:
        """The filters that override a hook, without those that are missed already."""
        missed = self._missed
        return [name for name, hooks in self._hooks.items() if hook in hooks and name not in missed]

    # Heads.

    def ask(self, then: Callable[[], None]) -> None:
        """Show them the request's head, and go on; or one of them answers by itself."""
        self._wait(iter(self._names), then)

    def _wait(self, names: Iterator[str], then: Callable[[], None]) -> None:
        """Those that are being loaded are waited for."""
        name = next(names, None)
        if name is not None:
            on = partial(self._wait, names, then)
            self._programs.process.when_loaded(name, partial(self._go_on, on))
            return
        self._hooks = {each: self._programs.hooks(held) for each, held in self._names.items()}
        self._ask_next(iter(self.wanting(Hook.REQUEST)), then)

    def _ask_next(self, names: Iterator[str], then: Callable[[], None]) -> None:
        name = next(names, None)
        if name is None:
            then()
            return
        head = self._exchange.head
        arguments: Results = (
            text(head.method),
            text(head.target),
            text(head.authority),
            shown(head.fields),
            self._client,
            self._route,
        )

        def go_on(reply: Reply | None) -> None:
            if reply is None:
                self._ask_next(names, then)
            else:
                self._reply(reply)

        take = partial(take_request, head=head)
        skip = partial(self._ask_next, names, then)
        self._call(_Asked(Hook.REQUEST, name, arguments, take, go_on, skip))

    def _reply(self, reply: Reply) -> None:
        length = None if reply.status in WITHOUT_CONTENT else len(reply.content)
        head = ResponseHead(reply.status, reply.fields, length=length)
        self._exchange.reply(head, reply.content)

    def show(self, head: ResponseHead, then: Callable[[], None]) -> None:
        """Show them the answer's head, the last filter first, and go on."""
        self._show_next(iter(self.wanting(Hook.RESPONSE)[::-1]), head, then)

    def _show_next(
        self, names: Iterator[str], head: ResponseHead, then: Callable[[], None]
    ) -> None:
        name = next(names, None)
        if name is None:
            then()
            return

        def go_on(_done: None = None) -> None:
            self._show_next(names, head, then)

        arguments = (head.status, shown(head.fields))
        take = partial(take_response, head=head)
        self._call(_Asked(Hook.RESPONSE, name, arguments, take, go_on, go_on))

    # Content.

    @property
    def wants_answer(self) -> bool:
        """Whether any of them is to see the answer."""
        return bool(self.wanting(Hook.RESPONSE) or self.wanting(Hook.RESPONSE_BODY))

    def change_content(self, sink: Sink, on_end: OnEnd, credit: Credit) -> Pipe:
        """Let the request's content go through them from now on."""
        names = self.wanting(Hook.REQUEST_BODY)
        self.request = Pipe(names, self.change_request, sink, on_end, credit)
        return self.request

    def change_answers(
        self, sink: Sink, on_end: OnEnd, credit: Credit, *, has_content: bool
    ) -> Pipe:
        """Let the answer's content go through them, if it has any, the last filter first."""
        names = self.wanting(Hook.RESPONSE_BODY)[::-1] if has_content else []
        self.answer = Pipe(names, self.change_answer, sink, on_end, credit)
        return self.answer

    def change_request(self, name: str, piece: bytes, last: bool, then: Changed) -> None:  # noqa: FBT001 - the pipe's signature
        """Have a filter change a piece of the request."""
        self._change(Hook.REQUEST_BODY, name, (piece, last), then)

    def change_answer(self, name: str, piece: bytes, last: bool, then: Changed) -> None:  # noqa: FBT001 - the pipe's signature
        """Have a filter change a piece of the answer."""
        self._change(Hook.RESPONSE_BODY, name, (piece, last), then)

    def _change(self, hook: Hook, name: str, arguments: tuple[bytes, bool], then: Changed) -> None:
        self._call(_Asked(hook, name, arguments, take_piece, then, partial(then, arguments[0])))

    # Calls.

    def _call(self, asked: _Asked[ValueT]) -> None:
        if self._exchange.is_closed:
            return
        name = asked.name
        if name in self._missed:
            asked.skip()
            return
        process = self._programs.process
        life = process.life(name)
        if self._lives.get(name, life) is not life:
            self._failed(asked, FilterLostError(f"{name}: its process has ended since"))
            return
        done = partial(self._done, asked, life)
        try:
            process.call(asked.hook, name, self._number, asked.arguments, done)
        except MeshError as error:
            self._failed(asked, error)

    def _done(self, asked: _Asked[ValueT], life: object, results: Results | FilterError) -> None:
        name = asked.name
        if isinstance(results, FilterLostError) and self._may_ask_again(name):
            again = partial(self._go_on, partial(self._call, asked))
            when_loaded = self._programs.process.when_loaded
            self._go_on(partial(when_loaded, name, again))
            return
        if isinstance(results, MeshError):
            self._go_on(partial(self._failed, asked, results))
            return
        self._lives.setdefault(name, life)
        try:
            value = asked.take(results)
        except FilterFailedError as error:
            self._go_on(partial(self._failed, asked, error))
        else:
            self._go_on(partial(asked.then, value))

    def _may_ask_again(self, name: str) -> bool:
        """Whether another filter has ended the process, and this one had nothing of the request."""
        if name in self._lives or name in self._asked_again:
            return False
        self._asked_again.add(name)
        return True

    def _failed(self, asked: _Asked[ValueT], error: MeshError) -> None:
        name = asked.name
        if error.code not in REASONS:  # those are news of the process's own
            self._programs.note(name, error.code)
        if not self._names[name].fails_open:
            raise error
        self._missed.add(name)
        asked.skip()

    def _go_on(self, work: Callable[[], None]) -> None:
        exchange = self._exchange
        if exchange.is_closed:
            return
        try:
            work()
        except MeshError as error:
            exchange.fail(error)
        except Exception as bug:  # noqa: BLE001 - one request's bug stays its own
            exchange.failed_by(bug)

    def close(self) -> None:
        """The request is over."""
        self._programs.end(self._number, self._names)
        for pipe in (self.request, self.answer):
            if pipe is not None:
                pipe.close()
