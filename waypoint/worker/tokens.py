"""Tokens in requests (RequestAuthentication): JWT (RFC 7519) signed by keys of a set (RFC 7517).

1. Every token that a rule finds must be good: one bad token refuses the request, none at all does
   not (that is what an AuthorizationPolicy with `requestPrincipals` is for).
2. The key says which algorithms it may be used with, never the token; and no shared secrets.
3. What a rule writes into headers comes from a good token alone: a client's own is taken away.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode

import jwt
from jwt.types import Options

from mesh.errors import ConfigError, DeniedError
from mesh.model.request_policy import TokenPlace, TokenRule
from mesh.policy.requests import Claim, claim_texts
from mesh.wire.http.messages import RequestHead, joined

ALGORITHMS: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
CLOCK_SKEW_S: Final = 60.0
"""What Envoy grants."""
MAX_TOKEN_OCTETS: Final = 16 * 1024
_SIGNATURE_ONLY: Final[Options] = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
}
"""Times, audiences and issuer are judged here: by the caller's clock, with a code for each."""


class KeysInvalidError(ConfigError):
    """A JSON Web Key Set that cannot be used."""

    code = "token_keys_invalid"


class RequestTokenError(DeniedError):
    """A request's token is not good; the kinds say why."""

    code = "request_token_invalid"
    status = 401


class RequestTokenMalformedError(RequestTokenError):
    """A request's token is no JWT, or lacks what a rule needs."""

    code = "request_token_malformed"


class RequestTokenIssuerError(RequestTokenError):
    """A request's token is of an issuer that no rule names."""

    code = "request_token_issuer"


class RequestTokenKeysError(RequestTokenError):
    """The issuer's keys are not there (yet): nobody can tell whether the token is good."""

    code = "request_token_keys"


class RequestTokenSignatureError(RequestTokenError):
    """A request's token is not signed by one of its issuer's keys."""

    code = "request_token_signature"


class RequestTokenExpiredError(RequestTokenError):
    """A request's token is over, or its time has not come."""

    code = "request_token_expired"


class RequestTokenAudienceError(RequestTokenError):
    """A request's token is for somebody else."""

    code = "request_token_audience"
    status = 403


@dataclass(frozen=True, slots=True)
class KeySet:
    """Public keys of one issuer, with the algorithms that each may be used with."""

    keys: tuple[tuple[jwt.PyJWK, tuple[str, ...]], ...]

    @classmethod
    def parse(cls, text: str) -> "KeySet":
        """Read a set; keys of kinds that we do not use are passed over.

        Raises:
            KeysInvalidError: not a set, or none of its keys is of use.
        """
        try:
            whole = json.loads(text)
            entries = whole["keys"] if isinstance(whole, dict) else None
        except (ValueError, KeyError, RecursionError):
            entries = None
        if not isinstance(entries, list):
            raise KeysInvalidError(('must be a JSON Web Key Set: {"keys": [...]}',))
        found = tuple(_usable(entries))
        if not found:
            kinds = ", ".join(ALGORITHMS)
            raise KeysInvalidError((f"no key of the set can be used: write one of kind {kinds}",))
        return cls(found)

    def claims(self, token: str, key_id: str | None) -> Mapping[str, Claim] | None:
        """What a token says, if one of the keys has signed it."""
        for key, algorithms in self.keys:
            if key_id is not None and key.key_id is not None and key.key_id != key_id:
                continue
            try:
                found: dict[str, Claim] = jwt.decode(
                    token, key=key.key, algorithms=list(algorithms), options=_SIGNATURE_ONLY
                )
            except jwt.PyJWTError:
                continue
            return found
        return None


def _usable(entries: Iterable[object]) -> Iterator[tuple[jwt.PyJWK, tuple[str, ...]]]:
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
            continue
        algorithms = ALGORITHMS.get(str(entry.get("kty")), ())
        named = entry.get("alg")
        if named is not None:
            algorithms = tuple(each for each in algorithms if each == named)
        if not algorithms:
            continue
        try:
            yield jwt.PyJWK(entry), algorithms
        except (jwt.PyJWTError, ValueError):
            continue


Keys = Callable[[TokenRule], KeySet | None]


def check_tokens(
    rules: Iterable[TokenRule], head: RequestHead, keys: Keys, now: float
) -> Mapping[str, Claim] | None:
    """Judge the tokens of a request, and do to its head what the rules say.

    Args:
        rules: of all policies that are for the request's service.
        head: changed in place.
        keys: the keys of a rule; None when they are not there yet.
        now: seconds since the epoch.

    Returns:
        The claims of the first good token; None without a token.

    Raises:
        RequestTokenError: one of its kinds.
    """
    rules = tuple(rules)
    claims: Mapping[str, Claim] | None = None
    used: list[tuple[TokenRule, TokenPlace, Mapping[str, Claim]]] = []
    for place in dict.fromkeys(place for rule in rules for place in rule.places):
        token = token_at(place, head)
        if token is None:
            continue
        takers = [rule for rule in rules if place in rule.places]
        rule, found = _checked(token, takers, keys, now)
        used.append((rule, place, found))
        claims = found if claims is None else claims
    _tell(rules, used, head)
    return claims


def _checked(
    token: str, rules: list[TokenRule], keys: Keys, now: float
) -> tuple[TokenRule, Mapping[str, Claim]]:
    issuer, key_id = _unverified(token)
    of_issuer = [rule for rule in rules if rule.issuer == issuer]
    if not of_issuer:
        raise RequestTokenIssuerError(f"the token's issuer {issuer[:200]!r} is not accepted here")
    failure: RequestTokenError | None = None
    for rule in of_issuer:
        try:
            return rule, _verified(token, key_id, rule, keys(rule), now)
        except RequestTokenError as error:
            failure = failure or error
    raise failure or RequestTokenSignatureError("no rule takes the token")


def _unverified(token: str) -> tuple[str, str | None]:
    """The issuer and the key's name that a token claims."""
    if len(token) > MAX_TOKEN_OCTETS:
        raise RequestTokenMalformedError(f"a token of more than {MAX_TOKEN_OCTETS} octets")
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError):
        raise RequestTokenMalformedError("the token is no JWT") from None
    issuer, key_id = claims.get("iss"), header.get("kid")
    if not isinstance(issuer, str):
        raise RequestTokenMalformedError("the token names no issuer")
    return issuer, key_id if isinstance(key_id, str) else None


def _verified(
    token: str, key_id: str | None, rule: TokenRule, keys: KeySet | None, now: float
) -> Mapping[str, Claim]:
    if keys is None:
        raise RequestTokenKeysError(f"the keys of {rule.issuer} are not there yet")
    claims = keys.claims(token, key_id)
    if claims is None:
        raise RequestTokenSignatureError(f"not signed by a key of {rule.issuer}")
    ends, begins = _time(claims, "exp"), _time(claims, "nbf")
    if ends is not None and ends + CLOCK_SKEW_S < now:
        raise RequestTokenExpiredError("the token has expired")
    if begins is not None and begins - CLOCK_SKEW_S > now:
        raise RequestTokenExpiredError("the token is not good yet")
    audiences = claim_texts({"aud": claims.get("aud")}, ("aud",))
    if rule.audiences and not set(audiences) & set(rule.audiences):
        raise RequestTokenAudienceError("the token is for another audience")
    return claims


def _time(claims: Mapping[str, Claim], name: str) -> float | None:
    match claims.get(name):
        case None:
            return None
        case bool():
            pass
        case int() | float() as at:
            return at
        case _:
            pass
    raise RequestTokenMalformedError(f"the token's {name} is no time")


# Places and headers.


def token_at(place: TokenPlace, head: RequestHead) -> str | None:
    """The token at a place; None when nothing is there."""
    if place.header:
        value = joined(head.fields, place.header.encode())
        if value is None:
            return None
        text = value.decode("latin-1")
        if text[: len(place.prefix)].lower() != place.prefix.lower():
            return None
        return text[len(place.prefix) :].strip()
    if place.parameter:
        found = [value for name, value in parse_qsl(_query(head)) if name == place.parameter]
    else:
        found = _cookies(head, place.cookie)
    # Several are not one that is good: who is behind us could take another than we.
    return ",".join(found) if found else None


def _query(head: RequestHead) -> str:
    return head.target.partition(b"?")[2].decode("latin-1")


def _cookies(head: RequestHead, name: str) -> list[str]:
    """The cookies of a name. The library's reader takes seconds for a head of backslashes."""
    found = []
    for crumb in (joined(head.fields, b"cookie") or b"").split(b";"):
        key, _, value = crumb.strip().partition(b"=")
        if key.strip() == name.encode():
            found.append(value.strip().strip(b'"').decode("latin-1"))
    return found


def said(rules: Iterable[TokenRule], head: RequestHead) -> tuple[tuple[bytes, bytes], ...]:
    """The fields that `check_tokens` has written."""
    written = _written(rules)
    return tuple(pair for pair in head.fields if pair[0] in written) if written else ()


def say(rules: Iterable[TokenRule], told: Iterable[tuple[bytes, bytes]], head: RequestHead) -> None:
    """Put these fields in place of all that could pass for them."""
    written = _written(rules)
    if written:
        # Many servers take `_` for `-` in names.
        alike = {name.replace(b"_", b"-") for name in written}
        kept = [pair for pair in head.fields if pair[0].replace(b"_", b"-") not in alike]
        head.fields[:] = [*kept, *told]


def _written(rules: Iterable[TokenRule]) -> frozenset[bytes]:
    names = [name for rule in rules for name, _ in rule.claim_headers]
    names += [rule.payload_header for rule in rules if rule.payload_header]
    return frozenset(name.encode() for name in names)


def _tell(
    rules: tuple[TokenRule, ...],
    used: list[tuple[TokenRule, TokenPlace, Mapping[str, Claim]]],
    head: RequestHead,
) -> None:
    say(rules, (), head)
    for rule, place, claims in used:
        if not rule.forwards:
            _take_away(place, head)
        if rule.payload_header:
            octets = json.dumps(claims, separators=(",", ":")).encode()
            value = base64.urlsafe_b64encode(octets).rstrip(b"=")
            head.fields.append((rule.payload_header.encode(), value))
        for name, claim in rule.claim_headers:
            texts = claim_texts(claims, claim.split("."))
            if texts and not any(each in texts[0] for each in "\r\n\0"):
                head.fields.append((name.encode(), texts[0].encode()))


def _take_away(place: TokenPlace, head: RequestHead) -> None:
    if place.header:
        name = place.header.encode()
        head.fields[:] = [pair for pair in head.fields if pair[0] != name]
    elif place.cookie:
        head.fields[:] = list(_without_cookie(head, place.cookie.encode()))
    else:
        path, _, _ = head.target.partition(b"?")
        kept = [(k, v) for k, v in parse_qsl(_query(head), keep_blank_values=True)
                if k != place.parameter]  # fmt: skip
        head.target = path + (b"?" + urlencode(kept).encode() if kept else b"")


def _without_cookie(head: RequestHead, name: bytes) -> Iterator[tuple[bytes, bytes]]:
    for field, value in head.fields:
        if field != b"cookie":
            yield field, value
            continue
        crumbs = [crumb.strip() for crumb in value.split(b";")]
        kept = [crumb for crumb in crumbs if crumb.partition(b"=")[0].strip() != name]
        if kept:
            yield field, b"; ".join(kept)
