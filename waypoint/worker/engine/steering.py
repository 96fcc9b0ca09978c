"""What a rule makes of a request: answered at once, or changed and sent to a backend.

In this order: what cannot be done; a preflight; whom to ask first; then fields, redirect, the
backend whose turn it is and what it brings of its own, the rewritten target, copies.
"""

from mesh.model.routes import NO_FILTERS, Backend, Cors, Filters, HeaderChange, Mirror, Session
from mesh.routing.http.choice import choose_backend, choose_mirrors
from mesh.routing.http.cors import ORIGIN, cors_response, preflight
from mesh.routing.http.entries import Matched
from mesh.routing.http.filters import change_fields, change_request, redirect, rewrite
from mesh.routing.http.sessions import Held, held_by, renew, scope_of, wanted_backend
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead, first
from waypoint.worker.engine.context import Context
from waypoint.worker.engine.destination import Destination, Target
from waypoint.worker.engine.failures import BackendMissingError, RouteInvalidError


class SessionKept:
    """The session that a request belongs to."""

    __slots__ = ("_held", "_is_secure", "_scope", "_session")

    def __init__(self, session: Session, scope: str, held: Held | None, *, is_secure: bool) -> None:
        """`held` is what the client's token asks for."""
        self._session = session
        self._scope = scope
        self._held = held
        self._is_secure = is_secure

    def fields(self, target: Target, now: float) -> Fields:
        """What the answer of an endpoint hands out."""
        service, port = target.destination.key
        moment = int(now)
        held = Held(service, port, target.endpoint.workload.uid, moment, moment)
        return renew(self._session, self._scope, self._held, held, secure=self._is_secure)


class Steered:
    """What is to be done with one request, and with its answer."""

    __slots__ = (
        "_changes",
        "_cors",
        "_session",
        "answer",
        "destination",
        "extensions",
        "mirrors",
        "preferred",
    )

    def __init__(self) -> None:
        """Nothing yet."""
        self.answer: ResponseHead | None = None
        """Ours, without content; nothing is forwarded."""
        self.destination: Destination | None = None
        self.preferred: Target | None = None
        """The endpoint of the client's session."""
        self.mirrors: list[Mirror] = []
        self.extensions: list[str] = []
        """Users' filters, in order."""
        self._changes: list[HeaderChange] = []
        self._cors: list[tuple[Cors, bytes | None]] = []
        self._session: SessionKept | None = None

    def decide(self, context: Context, head: RequestHead, matched: Matched, port: int) -> None:
        """Choose where the request goes, and change its head for that.

        Args:
            context: the worker's.
            head: the request's, changed in place.
            matched: what it has matched.
            port: that was called.

        Raises:
            RouteInvalidError: the rule, or its backend, cannot be obeyed.
            BackendMissingError: there is none.
        """
        rule = matched.rule
        filters = rule.filters
        if filters is not NO_FILTERS:
            self._apply(filters, context, head, matched, port)
            if self.answer is not None:
                return
        backend = self._session_backend(context, head, matched) if rule.session else None
        backends = rule.backends
        if backend is None:
            if len(backends) == 1 and backends[0].weight:
                backend = backends[0]
            else:
                backend = choose_backend(backends, context.chance)
        if backend is None:
            raise BackendMissingError
        if backend.problem:
            raise RouteInvalidError(backend.problem)
        if backend.filters is not NO_FILTERS:
            self._apply(backend.filters, context, head, matched, port)
            if self.answer is not None:
                return
        self._retarget(filters, backend, head, matched)
        self.destination = context.destinations.of_service(backend.service, backend.port)

    def _apply(
        self, filters: Filters, context: Context, head: RequestHead, matched: Matched, port: int
    ) -> None:
        refuse_unless_possible(filters)
        if filters.cors is not None:
            self.answer = preflight(filters.cors, head)
            if self.answer is not None:
                return
            self._cors.append((filters.cors, first(head.fields, ORIGIN)))
        if filters.response_headers is not None:
            # A backend's own come first, the rule's have the last word.
            self._changes.insert(0, filters.response_headers)
        if filters.redirect is not None:
            self.answer = redirect(filters.redirect, head, matched, port)
            return
        if filters.request_headers is not None:
            change_request(filters.request_headers, head)
        self.extensions += filters.extensions
        if filters.mirrors:
            self.mirrors += choose_mirrors(filters.mirrors, context.chance)

    def _retarget(
        self, filters: Filters, backend: Backend, head: RequestHead, matched: Matched
    ) -> None:
        asked = backend.filters.rewrite or filters.rewrite
        if asked is not None:
            rewrite(asked, head, matched)

    def _session_backend(
        self, context: Context, head: RequestHead, matched: Matched
    ) -> Backend | None:
        session = matched.rule.session
        if session is None:
            return None
        scope, now = scope_of(matched), context.epoch()
        held = held_by(session, scope, head, now)
        self._session = SessionKept(session, scope, held, is_secure=head.scheme == b"https")
        backend = None if held is None else wanted_backend(matched.rule, held)
        if held is None or backend is None:
            return None
        destination = context.destinations.of_service(backend.service, backend.port)
        self.preferred = destination.named(held.endpoint, context.clock())
        return None if self.preferred is None else backend

    def finish(self, context: Context, target: Target | None, head: ResponseHead) -> None:
        """Change an answer's head as the rule and the backend say.

        Args:
            context: the worker's.
            target: who has answered; None when we did ourselves.
            head: changed in place.
        """
        for change in self._changes:
            change_fields(change, head.fields)
        for cors, origin in self._cors:
            cors_response(cors, origin, head)
        if self._session is not None and target is not None:
            head.fields += self._session.fields(target, context.epoch())


def refuse_unless_possible(filters: Filters) -> None:
    """Filters that cannot be obeyed are not passed over.

    Raises:
        RouteInvalidError: with the problem's code.
    """
    if filters.problem:
        raise RouteInvalidError(filters.problem)


def is_answered_at_once(filters: Filters, head: RequestHead) -> bool:
    """Whether nobody has to be asked: it is a preflight, or cannot be obeyed anyway."""
    if filters.problem:
        return True
    return filters.cors is not None and preflight(filters.cors, head) is not None
