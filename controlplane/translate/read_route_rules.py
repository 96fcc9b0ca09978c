"""Timeouts, retries and sessions of a rule."""

import re
from hashlib import blake2b
from typing import Final

from controlplane.translate.route_fields import number_at, seconds_at
from mesh.model.fields import Part
from mesh.model.routes import Retry, Session

DEFAULT_ATTEMPTS: Final = 2
DEFAULT_BACKOFF_S: Final = 0.025
MAX_ATTEMPTS: Final = 1000
_LIFETIMES: Final = ("Session", "Permanent")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,128}", re.ASCII)
_COOKIE_PATH: Final = re.compile(r"/[\x21-\x3a\x3c-\x7e]*", re.ASCII)


def timeouts_of(part: Part) -> tuple[float | None, float | None]:
    """The limits for a whole request, and for one attempt; None where nothing is said.

    Raises:
        FieldInvalidError: no duration, or more time for an attempt than for all.
    """
    timeouts = part.at("timeouts")
    request_s, attempt_s = seconds_at(timeouts, "request"), seconds_at(timeouts, "backendRequest")
    if request_s and attempt_s is not None and attempt_s > request_s:
        raise timeouts.invalid("backendRequest", "must not be longer than timeouts.request")
    return request_s, attempt_s


def retry_of(part: Part) -> Retry | None:
    """When a request is sent again; None when nothing is said.

    Raises:
        FieldInvalidError: a status, number or duration that cannot be.
    """
    if not part.has("retry"):
        return None
    retry = part.at("retry")
    codes = []
    for index, code in enumerate(retry.items("codes")):
        if isinstance(code, bool) or not isinstance(code, int) or not 400 <= code <= 599:
            raise retry.invalid(f"codes[{index}]", "must be a status from 400 to 599")
        codes.append(code)
    backoff_s = seconds_at(retry, "backoff")
    return Retry(
        number_at(retry, "attempts", 0, MAX_ATTEMPTS, DEFAULT_ATTEMPTS),
        tuple(dict.fromkeys(codes)),
        DEFAULT_BACKOFF_S if backoff_s is None else backoff_s,
    )


def session_of(part: Part) -> Session | None:
    """How a client is kept at its endpoint; None when nothing is said.

    Raises:
        FieldInvalidError: a name, type or duration that cannot be.
    """
    if not part.has("sessionPersistence"):
        return None
    session = part.at("sessionPersistence")
    kind = session.text("type", "Cookie")
    if kind not in ("Cookie", "Header"):
        raise session.invalid("type", f"{kind!r:.40} is unknown here: write Cookie or Header")
    cookie = session.at("cookieConfig") if session.has("cookieConfig") else session.at("cookie")
    lifetime = cookie.text("lifetimeType", "Session")
    if lifetime not in _LIFETIMES:
        raise cookie.invalid("lifetimeType", "must be Session or Permanent")
    lasts_s = seconds_at(session, "absoluteTimeout")
    if lifetime == "Permanent" and not lasts_s:
        raise session.invalid("absoluteTimeout", "must be there for a Permanent cookie")
    name = session.text("sessionName") or cookie.text("name") or _own_name(part)
    if not _TOKEN.fullmatch(name):
        raise session.invalid("sessionName", f"{name!r:.40} is no name of a cookie or header")
    path = cookie.text("path", "/")
    if not _COOKIE_PATH.fullmatch(path):
        raise cookie.invalid("path", f"{path!r:.40} is no path of a cookie")
    return Session(
        in_cookie=kind == "Cookie",
        name=name if kind == "Cookie" else name.lower(),
        path=path,
        lasts_s=lasts_s if lifetime == "Permanent" else None,
        idle_s=seconds_at(session, "idleTimeout"),
    )


def _own_name(part: Part) -> str:
    """A name that no other rule has: rules never share sessions."""
    place = f"{part.subject} {part.path}".encode("utf-8", "replace")
    return f"sluice-{blake2b(place, digest_size=6).hexdigest()}"
