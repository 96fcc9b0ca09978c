"""The keys by which tokens are checked: given with a rule, or fetched from a service of the mesh.

1. Keys are fetched by the waypoint's own links, with its identity, as soon as a rule names them;
   until they are there the rule's tokens are refused.
2. They are fetched again every `REFRESH_S`, and when a token is signed by a key that is not among
   them, but never sooner than `DOUBT_S` after the last time.
3. What was good stays until something newer is.
"""

import logging
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from mesh.errors import ConfigError, MeshError, UnavailableError
from mesh.model.request_policy import TokenRule
from mesh.model.workload import Service
from mesh.state.world import World
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead
from waypoint.worker.engine.attempt import Attempt
from waypoint.worker.engine.context import Context
from waypoint.worker.engine.failures import ExchangeBugError
from waypoint.worker.engine.timers import Timer
from waypoint.worker.engine.tries import Tries
from waypoint.worker.tokens import KeySet

REFRESH_S: Final = 20 * 60.0
"""Istio's."""
DOUBT_S: Final = 10.0
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0
"""Between two tries to fetch what could not be fetched."""
MAX_KEYS_OCTETS: Final = 256 * 1024
HTTP_PORT: Final = 80

log = logging.getLogger(__name__)


class KeysUnavailableError(UnavailableError):
    """The keys of an issuer's tokens could not be fetched."""

    code = "token_keys_unavailable"


class KeyRing:
    """One per worker."""

    def __init__(self, context: Context, world: World) -> None:
        """Hold no keys."""
        self._context = context
        self._world = world
        self._given: dict[str, KeySet | None] = {}
        self._fetched: dict[str, _Source] = {}

    def obey(self, rules: Iterable[tuple[str, TokenRule]]) -> None:
        """Keep the keys of these rules and no others.

        Args:
            rules: each with the namespace of its policy.
        """
        given: dict[str, str] = {}
        uris: dict[str, tuple[str, float]] = {}
        for namespace, rule in rules:
            if rule.keys:
                given[rule.keys] = rule.issuer
            elif rule.keys_uri:
                uris.setdefault(rule.keys_uri, (namespace, rule.timeout_s))
        before, self._given = self._given, {}
        for text, issuer in given.items():
            self._given[text] = before[text] if text in before else _parsed(text, issuer)
        for uri in [uri for uri in self._fetched if uri not in uris]:
            self._fetched.pop(uri).close()
        for uri, (namespace, timeout_s) in uris.items():
            if uri not in self._fetched:
                source = _Source(self._context, self._world, uri, namespace, timeout_s)
                self._fetched[uri] = source
                source.fetch()

    def of(self, rule: TokenRule) -> KeySet | None:
        """The keys of a rule; None when they are not there yet, or cannot be used."""
        if rule.keys:
            return self._given.get(rule.keys)
        source = self._fetched.get(rule.keys_uri)
        return None if source is None else source.keys

    def doubt(self, rules: Iterable[TokenRule]) -> None:
        """A token was signed by none of the keys: perhaps there are newer ones."""
        for rule in rules:
            source = self._fetched.get(rule.keys_uri)
            if source is not None:
                source.doubt()

    def close(self) -> None:
        """Fetch nothing any more."""
        for source in self._fetched.values():
            source.close()
        self._fetched.clear()


def _parsed(text: str, issuer: str) -> KeySet | None:
    try:
        return KeySet.parse(text)
    except ConfigError as error:
        log.error("keys of %s: %s", issuer, error, extra={"code": error.code})  # noqa: TRY400 - it says what is wrong; no trace says more
        return None


class _Source:
    """Where the keys of a rule come from, kept fresh."""

    __slots__ = (
        "_context",
        "_fetch",
        "_fetched_at",
        "_namespace",
        "_timeout_s",
        "_timer",
        "_uri",
        "_wait_s",
        "_world",
        "keys",
    )

    def __init__(
        self, context: Context, world: World, uri: str, namespace: str, timeout_s: float
    ) -> None:
        self._context = context
        self._world = world
        self._uri = uri
        self._namespace = namespace
        self._timeout_s = timeout_s
        self._timer: Timer | None = None
        self._fetch: _Fetch | None = None
        self._fetched_at = 0.0
        self._wait_s = FIRST_WAIT_S
        self.keys: KeySet | None = None

    def fetch(self) -> None:
        """Ask for the keys now."""
        self._timer = None
        if self._fetch is not None:
            return
        self._fetched_at = self._context.clock()
        try:
            service, port, head = self._question()
        except KeysUnavailableError as error:
            self._failed(error)
            return
        self._fetch = _Fetch(self._context, head, self._timeout_s, self)
        self._fetch.begin(service.key, port)

    def _question(self) -> tuple[Service, int, RequestHead]:
        try:
            parts = urlsplit(self._uri)
            host, port = parts.hostname or "", parts.port or HTTP_PORT
        except ValueError as error:
            raise KeysUnavailableError(f"{self._uri!r:.200}: {error}") from None
        if parts.scheme != "http":
            raise KeysUnavailableError(f"{self._uri!r:.200}: only plain HTTP inside the mesh")
        service = self._world.service_named(host, self._namespace)
        if service is None:
            raise KeysUnavailableError(f"{self._uri!r:.200}: no service of the mesh")
        query = f"?{parts.query}" if parts.query else ""
        target = f"{parts.path or '/'}{query}".encode("ascii", "replace")
        fields: Fields = [(b"accept", b"application/json")]
        authority = host if port == HTTP_PORT else f"{host}:{port}"
        return service, port, RequestHead(b"GET", target, authority.encode(), fields)

    def doubt(self) -> None:
        """Ask again, unless that was done just now."""
        now = self._context.clock()
        if self._fetch is None and now >= self._fetched_at + DOUBT_S:
            self._stop_waiting()
            self.fetch()

    def fetched(self, octets: bytes) -> None:
        """An answer has come."""
        self._fetch = None
        try:
            self.keys = KeySet.parse(octets.decode("utf-8", "replace"))
        except ConfigError as error:
            self._failed(error)
            return
        self._wait_s = FIRST_WAIT_S
        self._timer = self._context.timers.after(REFRESH_S, self.fetch)

    def failed(self, error: MeshError) -> None:
        """None has come."""
        self._fetch = None
        self._failed(error)

    def _failed(self, error: MeshError) -> None:
        again = "the last good ones count" if self.keys else "its tokens are refused until then"
        log.warning(
            "keys not fetched",
            extra={"code": error.code, "reason": f"{self._uri[:200]}: {error}; {again}"},
        )
        wait, self._wait_s = self._wait_s, min(self._wait_s * 2, LONGEST_WAIT_S)
        self._timer = self._context.timers.after(wait, self.fetch)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Ask no more."""
        self._stop_waiting()
        fetch, self._fetch = self._fetch, None
        if fetch is not None:
            fetch.call_off()


class _Fetch(Tries):
    """One question for keys."""

    __slots__ = ("_octets", "_source", "_status")

    def __init__(
        self, context: Context, head: RequestHead, timeout_s: float, source: _Source
    ) -> None:
        super().__init__(context, head, None)
        self.limit_s = timeout_s
        self._source = source
        self._octets = bytearray()
        self._status = 0

    def begin(self, service: str, port: int) -> None:
        """Ask."""
        try:
            self.send(self.context.destinations.of_service(service, port), self.context.clock())
        except MeshError as error:
            self.fail(error)

    def call_off(self) -> None:
        """The answer does not matter any more."""
        if not self.is_closed:
            self.settle()

    def announced(self, head: ResponseHead) -> None:
        """That it works on it."""

    def answered(self, attempt: Attempt, head: ResponseHead) -> None:
        """The head of the answer."""
        if not self.judge(attempt, head.status):
            self.passed_on()
            self._status = head.status

    def carried(self, attempt: Attempt, piece: memoryview) -> None:
        """A piece of it."""
        self._octets += piece
        if len(self._octets) > MAX_KEYS_OCTETS:
            self.fail(KeysUnavailableError(f"more than {MAX_KEYS_OCTETS} octets"))
        elif attempt.stream is not None:
            attempt.stream.credit(len(piece))

    def completed(self, trailers: Fields) -> None:
        """All of it."""
        del trailers
        self.leave()
        if self._status != 200:
            self.fail(KeysUnavailableError(f"status {self._status}"))
            return
        self.settle()
        self._source.fetched(bytes(self._octets))

    def fail(self, error: MeshError) -> None:
        """There is no answer."""
        if not self.is_closed:
            self.settle()
            self._source.failed(error)

    def failed_by(self, bug: Exception) -> None:
        """A bug of ours."""
        self.context.on_bug(bug)
        self.fail(ExchangeBugError())
