"""Sessions: a client stays with the endpoint that served it first (Gateway API, GEP-1619).

1. The client keeps a token that names backend and endpoint, in a cookie or a header. It can write
   whatever it likes there, and gains nothing: a token is only a wish. It is granted if the backend
   is one of the rule's (its weight does not matter) and the endpoint is ready; else one is drawn.
   So a token needs no signature, and no secret that all waypoints would have to share.
2. A token is one rule's: another rule does not know it.
3. What a session's times forbid is no session: `lasts_s` counts from its first request, `idle_s`
   from the last, for which each answer brings a fresh token.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from mesh.model.routes import Backend, RouteRule, Session
from mesh.routing.http.entries import Matched
from mesh.wire.http.messages import Fields, RequestHead, first, values

MAX_TOKEN_OCTETS: Final = 2048
_PARTS: Final = 6


@dataclass(frozen=True, slots=True)
class Held:
    """What a client's token asks for."""

    service: str
    """`namespace/hostname`."""
    port: int
    endpoint: str
    """The workload's uid."""
    started: int
    """When the session began, in seconds since the epoch."""
    seen: int
    """When the token was made."""


def scope_of(matched: Matched) -> str:
    """The rule whose sessions these are: its name does as well as its place, and is steadier."""
    route, rule = matched.route, matched.rule
    return f"{route.kind}/{route.namespace}/{route.name}/{rule.name or matched.rule_index}"


def held_by(session: Session, scope: str, head: RequestHead, now: float) -> Held | None:
    """What a request's token asks for; None when it has none that counts."""
    name = session.name.encode()
    if session.in_cookie:
        tokens = list(_cookies(head.fields, name))
    else:
        token = first(head.fields, name.lower())
        tokens = [] if token is None else [token]
    found = (_decoded(token, scope) for token in tokens)
    return next((held for held in found if held is not None and _lives(session, held, now)), None)


def wanted_backend(rule: RouteRule, held: Held) -> Backend | None:
    """The rule's backend that is asked for; None when it has none such, or it cannot be used."""
    return next(
        (
            backend
            for backend in rule.backends
            if (backend.service, backend.port) == (held.service, held.port) and not backend.problem
        ),
        None,
    )


def renew(
    session: Session,
    scope: str,
    before: Held | None,
    now: Held,
    *,
    secure: bool = False,
) -> Fields:
    """The fields of an answer that hand a token out; none when the client's still does.

    Args:
        session: of the rule.
        scope: the rule (`scope_of`).
        before: what the request's token asked for (`held_by`).
        now: who has answered; `started` and `seen` are this moment, and a session that goes on
            keeps its own beginning.
        secure: the client came over HTTPS, and is to send the cookie over nothing else.
    """
    same = before is not None and _place(before) == _place(now)
    if same and session.idle_s is None:
        return []
    started = before.started if before is not None and same else now.started
    token = _encoded(scope, now, started)
    if not session.in_cookie:
        return [(session.name.lower().encode(), token)]
    parts = [session.name.encode() + b"=" + token, b"Path=" + session.path.encode(), b"HttpOnly"]
    if session.lasts_s is not None:
        left = session.lasts_s - (now.seen - started)
        parts.append(b"Max-Age=%d" % max(0, round(left)))
    if secure:
        parts.append(b"Secure")
    return [(b"set-cookie", b"; ".join(parts))]


def _place(held: Held) -> tuple[str, int, str]:
    return held.service, held.port, held.endpoint


def _lives(session: Session, held: Held, now: float) -> bool:
    if session.lasts_s is not None and now - held.started > session.lasts_s:
        return False
    return session.idle_s is None or now - held.seen <= session.idle_s


def _cookies(fields: Fields, name: bytes) -> Iterator[bytes]:
    for line in values(fields, b"cookie"):
        for pair in line.split(b";"):
            key, _, value = pair.strip().partition(b"=")
            if key == name:
                yield value


def _encoded(scope: str, held: Held, started: int) -> bytes:
    parts = (_digest(scope), started, held.seen, held.service, held.port, held.endpoint)
    return urlsafe_b64encode("\n".join(map(str, parts)).encode()).rstrip(b"=")


def _decoded(token: bytes, scope: str) -> Held | None:
    if len(token) > MAX_TOKEN_OCTETS:
        return None
    try:
        text = urlsafe_b64decode(token + b"=" * (-len(token) % 4)).decode()
        digest, started, seen, service, port, endpoint = text.split("\n", _PARTS - 1)
        held = Held(service, int(port), endpoint, int(started), int(seen))
    except (Base64Error, ValueError):  # whatever a client may write
        return None
    return held if digest == _digest(scope) else None


def _digest(scope: str) -> str:
    return blake2b(scope.encode(), digest_size=6).hexdigest()
