"""What an echo answers to a request, whichever version of HTTP brought it."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from sluice.lab.echo.logbook import note_request
from sluice.lab.echo.settings import Who

_UNITS_S: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_DURATION: Final = re.compile(rf"(?:{_PART.pattern})+")
_STATUS: Final = re.compile(r"/status/([2-9]\d\d)")
_NOT_SHOWN: Final = frozenset({"Host", "Transfer-Encoding", "Trailer"})
_BY_HAND: Final = {"Content-Type", "X-Content-Type-Options", "Content-Length", "Connection"}
"""Headers of an answer that nobody can ask for."""

WITHOUT_BODY: Final = frozenset({204, 304})


class Secured(NamedTuple):
    """A finished TLS handshake."""

    version: str
    server_name: str
    protocol: str
    cipher: str
    certificates: tuple[str, ...]
    """The client's, as PEM."""

    def shown(self) -> dict[str, object]:
        """Its fields as an answer shows them."""
        found: dict[str, object] = {"version": self.version}
        if self.certificates:
            found["peerCertificates"] = list(self.certificates)
        found["serverName"] = self.server_name
        if self.protocol:
            found["negotiatedProtocol"] = self.protocol
        return found | {"cipherSuite": self.cipher}


class Peer(NamedTuple):
    """Who asks, and on which port."""

    client: str
    port: str
    tls: Secured | None = None


class Request(NamedTuple):
    """A request without its body."""

    peer: Peer
    method: str
    target: str
    proto: str
    host: str
    headers: Mapping[str, list[str]]
    """By their canonical names."""


class Answer(NamedTuple):
    """What is to be sent, and when."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    trailers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0
    is_reset: bool = False
    """Whether the connection is to be reset instead."""


def canonical(name: str) -> str:
    """A header's name as Go's library spells it: `X-Request-Id`."""
    return "-".join(part.capitalize() for part in name.split("-"))


def seconds(text: str) -> float | None:
    """A duration as Go writes it (`1m30s`); None when it is none."""
    if text == "0":
        return 0
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))


class Echo:
    """Answers requests; remembers how often those to `/retry` have failed."""

    def __init__(self, who: Who, http_port: str) -> None:
        self._who = who
        self._http_port = http_port
        self._failures: dict[str, int] = {}
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Answer:
        """The answer to one request; may be called by many threads."""
        path, _, query = request.target.partition("?")
        path = path.replace("//", "/")
        if path == "/health":
            return Answer(200, body=b"OK")
        note_request(request.target, request.peer.client)
        wishes = _wishes(query)
        delay_s = seconds(wishes.get("delay", "0"))
        if delay_s is None:
            return _refusal(500, f"delay: {wishes['delay']!r} is no duration")
        if path.startswith("/retry/") or path == "/retry":
            return self._retry(request, wishes, delay_s)
        if path == "/ws":
            return _refusal(400, "this is for WebSockets")
        status = 200
        if path.startswith("/status/"):
            wanted = _STATUS.fullmatch(path)
            status = int(wanted.group(1)) if wanted else 400
        return self._echoed(request, status, delay_s)

    def shown(self, request: Request) -> dict[str, object]:
        """A request as an answer shows it."""
        headers = {n: values for n, values in request.headers.items() if n not in _NOT_SHOWN}
        body: dict[str, object] = {
            "path": request.target,
            "host": request.host,
            "method": request.method,
            "proto": request.proto,
            "headers": headers,
            "httpPort": self._http_port or request.peer.port,
            **self._who._asdict(),
        }
        if request.peer.tls is not None:
            body["tls"] = request.peer.tls.shown()
        return body

    def _echoed(self, request: Request, status: int, delay_s: float) -> Answer:
        headers = (
            *_asked_headers(request.headers),
            ("Content-Type", "application/json"),
            ("X-Content-Type-Options", "nosniff"),
        )
        body = json.dumps(self.shown(request), indent=1).encode() + b"\n"
        return Answer(status, headers, b"" if status in WITHOUT_BODY else body, delay_s=delay_s)

    def _retry(self, request: Request, wishes: Mapping[str, str], delay_s: float) -> Answer:
        who, count = wishes.get("uuid", ""), wishes.get("succeedAfter", "")
        code, wait_s = wishes.get("responseCode", ""), seconds(wishes.get("delayRetry") or "0")
        if not who or not count.isdecimal() or wait_s is None:
            return _refusal(400, "/retry needs uuid, succeedAfter, and delayRetry as a duration")
        if code and not _STATUS.fullmatch(f"/status/{code}"):
            return _refusal(400, f"responseCode: {code!r} is no status")
        with self._lock:
            failed = self._failures.get(who, 0)
            if failed >= int(count):
                return self._echoed(request, 200, delay_s)
            self._failures[who] = failed + 1
        if code:
            return self._echoed(request, int(code), delay_s + wait_s)
        return Answer(0, delay_s=delay_s + wait_s, is_reset=True)


def _refusal(status: int, message: str) -> Answer:
    headers = (("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff"))
    return Answer(status, headers, json.dumps({"message": message}).encode())


def _wishes(query: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in query.split("&") if part)
    return {name: value for name, _, value in pairs}


def _asked_headers(headers: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    asked: dict[str, str] = {}
    for value in headers.get("X-Echo-Set-Header", []):
        for pair in value.split(","):
            name, _, content = pair.strip().partition(":")
            if name and canonical(name) not in _BY_HAND:
                before = [asked[name]] if name in asked else []
                asked[name] = ",".join([*before, content.strip()])
    yield from asked.items()
