"""Whether a request may pass a waypoint: the verdict of the policies that are for its service.

1. Istio's order: CUSTOM, then DENY, then ALLOW. Who matches a CUSTOM policy passes only if its
   provider says so too; that answer is somebody else's, so the verdict names whom to ask.
2. An attribute that is absent meets no wanted pattern and every unwanted one.
3. What only requests have is unknown on a connection that is not HTTP: there a DENY or CUSTOM that
   asks for it counts as met, and an ALLOW as not met (unknown is closed).
4. AUDIT policies and dry-run ones decide nothing: the verdict tells which of them matched.
5. A path that a server may read otherwise is judged in each spelling: a policy that refuses matches
   if it matches one of them, one that allows only if it matches all.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from mesh.model.address import Ip
from mesh.model.identity import Identity
from mesh.model.policy import Cidr, StringMatch, StringMatchKind
from mesh.model.request_policy import (
    OF_REQUESTS,
    Alternative,
    Attribute,
    AttributeCondition,
    PathTemplate,
    Pattern,
    RequestAction,
    RequestPolicy,
    RequestRule,
)
from mesh.model.routes import ExternalAuth
from mesh.policy.authorize import ALLOWED, DENIED, NO_POLICY, NOT_ALLOWED
from mesh.policy.matching import contains, text_matches
from mesh.wire.http.messages import Fields

UNENFORCEABLE: Final = "policy_unenforceable"
"""A policy for the service says something that cannot be enforced, so nothing passes."""

ANY_ELEMENT: Final = "{*}"
ANY_ELEMENTS: Final = "{**}"

Claim = str | int | float | bool | None | Sequence["Claim"] | Mapping[str, "Claim"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """What policies may ask about a request, or about a connection that is not HTTP."""

    peer: Identity | None
    source_ip: Ip
    remote_ip: Ip
    destination_ip: Ip | None
    port: int
    """Of the service, as the client called it."""
    server_name: str = ""
    is_http: bool = True
    host: str = ""
    method: str = ""
    path: str = ""
    """Without the query, normalised as the mesh says."""
    spellings: tuple[str, ...] = ()
    """Other paths that a server may take it for (`mesh.routing.http.paths.spellings`)."""
    fields: Fields | None = None
    claims: Mapping[str, Claim] | None = None
    """Of the valid token; None without one."""


@dataclass(frozen=True, slots=True)
class RequestVerdict:
    """Allowed or not, because of which policy, and who has to be asked before."""

    allowed: bool
    code: str
    policy: str = ""
    """`namespace/name`; empty when no single policy decided."""
    rule: int | None = None
    ask: tuple[ExternalAuth, ...] = ()
    """Each of them must agree, also when `allowed`; none is asked when it is not."""
    audited: tuple[str, ...] = ()
    """AUDIT policies that matched."""
    dry_run: tuple[str, ...] = ()
    """Policies that are only tried out, and matched."""
    claims: Mapping[str, Claim] | None = field(default=None, compare=False)
    """Of the request's valid token, as it was judged by them."""
    said: tuple[tuple[bytes, bytes], ...] = field(default=(), compare=False)
    """Fields that the request has got for its token."""


def judge_request(policies: Iterable[RequestPolicy], facts: RequestFacts) -> RequestVerdict:
    """The verdict of all policies that are for the request's service."""
    matches: dict[RequestAction, list[tuple[RequestPolicy, int | None]]] = {
        action: [] for action in RequestAction
    }
    tried = []
    may_allow = False
    for policy in policies:
        is_allow = policy.action is RequestAction.ALLOW
        may_allow = may_allow or (is_allow and not policy.dry_run)
        met, rule = _met(policy, facts)
        if not met:
            continue
        if policy.dry_run:
            tried.append(policy.key)
        else:
            matches[policy.action].append((policy, rule))
    audited = tuple(policy.key for policy, _ in matches[RequestAction.AUDIT])

    def verdict(code: str, policy: RequestPolicy | None, rule: int | None) -> RequestVerdict:
        return RequestVerdict(
            allowed=code in (ALLOWED, NO_POLICY),
            code=code,
            policy="" if policy is None else policy.key,
            rule=rule,
            ask=_providers(matches[RequestAction.CUSTOM]),
            audited=audited,
            dry_run=tuple(tried),
            claims=facts.claims,
        )

    for policy, rule in (*matches[RequestAction.DENY], *matches[RequestAction.CUSTOM]):
        asks_nobody = policy.action is RequestAction.CUSTOM and policy.provider is None
        if policy.problem or asks_nobody:
            return verdict(UNENFORCEABLE, policy, rule)
    for policy, rule in matches[RequestAction.DENY]:
        return verdict(DENIED, policy, rule)
    if not may_allow:
        return verdict(NO_POLICY, None, None)
    for policy, rule in matches[RequestAction.ALLOW]:
        return verdict(ALLOWED, policy, rule)
    return verdict(NOT_ALLOWED, None, None)


def _providers(
    matches: Iterable[tuple[RequestPolicy, int | None]],
) -> tuple[ExternalAuth, ...]:
    found = (policy.provider for policy, _ in matches)
    return tuple(dict.fromkeys(provider for provider in found if provider is not None))


def _met(policy: RequestPolicy, facts: RequestFacts) -> tuple[bool, int | None]:
    """Whether a policy matches, and by which of its rules."""
    closes = policy.action in (RequestAction.DENY, RequestAction.CUSTOM)
    if policy.problem:
        # What it says is not known in full: it may refuse everything, and can allow nothing.
        return closes, None
    found = _matching_rule(policy, facts, unknown=closes)
    if not facts.spellings or (found is None) is (policy.action is RequestAction.ALLOW):
        return found is not None, found
    for path in facts.spellings:
        other = _matching_rule(policy, replace(facts, path=path), unknown=closes)
        if (other is None) is (policy.action is RequestAction.ALLOW):
            return other is not None, other
    return found is not None, found


def _matching_rule(policy: RequestPolicy, facts: RequestFacts, *, unknown: bool) -> int | None:
    for number, rule in enumerate(policy.rules):
        if rule_matches(rule, facts, unknown=unknown):
            return number
    return None


def rule_matches(rule: RequestRule, facts: RequestFacts, *, unknown: bool) -> bool:
    """Whether a rule matches.

    Args:
        rule: the rule.
        facts: of the request or the connection.
        unknown: what a condition counts as that asks a connection for what only requests have.
    """
    return (
        _any(rule.sources, facts, unknown)
        and _any(rule.operations, facts, unknown)
        and _all(rule.conditions, facts, unknown)
    )


def _any(alternatives: tuple[Alternative, ...], facts: RequestFacts, unknown: bool) -> bool:  # noqa: FBT001 - of this module
    if not alternatives:
        return True
    return any(_all(alternative, facts, unknown) for alternative in alternatives)


def _all(conditions: Alternative, facts: RequestFacts, unknown: bool) -> bool:  # noqa: FBT001 - of this module
    for condition in conditions:
        if condition.attribute in OF_REQUESTS and not facts.is_http:
            if not unknown:
                return False
        elif not _holds(condition, facts, unknown):
            return False
    return True


def _holds(condition: AttributeCondition, facts: RequestFacts, closes: bool) -> bool:  # noqa: FBT001 - of this module
    attribute = condition.attribute
    addresses = _ADDRESSES.get(attribute)
    if addresses is not None:
        ip = addresses(facts)
        return _agrees(condition, lambda pattern: ip is not None and _covers(pattern, ip))
    texts = _texts(condition, facts)
    if attribute is Attribute.HEADER and closes:
        # Which of a repeated field's values a server takes is its own affair: any one refuses.
        each = _values(facts, condition.key)
        wanted = condition.wanted
        found = not wanted or any(_fits(p, text) for p in wanted for text in (*texts, *each))
        return found and not any(_fits(p, text) for p in condition.unwanted for text in texts)
    if attribute is Attribute.HOST:
        return _agrees(condition, lambda pattern: any(_is_host(pattern, text) for text in texts))
    return _agrees(condition, lambda pattern: any(_fits(pattern, text) for text in texts))


def _agrees(condition: AttributeCondition, fits: Callable[[Pattern], bool]) -> bool:
    wanted = condition.wanted
    return (not wanted or any(map(fits, wanted))) and not any(map(fits, condition.unwanted))


_ADDRESSES: Final[Mapping[Attribute, Callable[[RequestFacts], Ip | None]]] = {
    Attribute.SOURCE_IP: lambda facts: facts.source_ip,
    Attribute.REMOTE_IP: lambda facts: facts.remote_ip,
    Attribute.DESTINATION_IP: lambda facts: facts.destination_ip,
}


def _texts(condition: AttributeCondition, facts: RequestFacts) -> tuple[str, ...]:
    """The attribute's values; none when it is absent."""
    match condition.attribute:
        case Attribute.HEADER:
            return _header(facts, condition.key)
        case Attribute.TOKEN_CLAIM:
            return claim_texts(facts.claims, condition.key)
        case Attribute.TOKEN_AUDIENCE:
            return claim_texts(facts.claims, ("aud",))
        case attribute:
            text = _TEXTS[attribute](facts)
            return (text,) if text else ()


def _header(facts: RequestFacts, key: tuple[str, ...]) -> tuple[str, ...]:
    found = _values(facts, key)
    return (",".join(found),) if found else ()


def _values(facts: RequestFacts, key: tuple[str, ...]) -> list[str]:
    name = key[0].encode()
    return [value.decode("latin-1") for each, value in facts.fields or () if each == name]


def _token_principal(facts: RequestFacts) -> str:
    issuer, subject = claim_texts(facts.claims, ("iss",)), claim_texts(facts.claims, ("sub",))
    return f"{issuer[0]}/{subject[0]}" if issuer and subject else ""


def _presenter(facts: RequestFacts) -> str:
    return next(iter(claim_texts(facts.claims, ("azp",))), "")


def _account(facts: RequestFacts) -> str:
    return f"{facts.peer.namespace}/{facts.peer.service_account}" if facts.peer else ""


_TEXTS: Final[Mapping[Attribute, Callable[[RequestFacts], str]]] = {
    Attribute.METHOD: lambda facts: facts.method,
    Attribute.PATH: lambda facts: facts.path,
    Attribute.HOST: lambda facts: facts.host,
    Attribute.DESTINATION_PORT: lambda facts: str(facts.port),
    Attribute.SERVER_NAME: lambda facts: facts.server_name,
    Attribute.PRINCIPAL: lambda facts: facts.peer.principal if facts.peer else "",
    Attribute.NAMESPACE: lambda facts: facts.peer.namespace if facts.peer else "",
    Attribute.ACCOUNT: _account,
    Attribute.TOKEN_PRINCIPAL: _token_principal,
    Attribute.TOKEN_PRESENTER: _presenter,
}


def claim_texts(claims: Mapping[str, Claim] | None, key: Sequence[str]) -> tuple[str, ...]:
    """The texts of a claim: one, or each of a list. A scalar list in one text is split at blanks.

    Args:
        claims: of a valid token.
        key: the names that lead to it.
    """
    value: Claim = claims
    for name in key:
        value = value.get(name) if isinstance(value, Mapping) else None
    match value:
        case str():
            # OAuth writes its scopes as one text (RFC 8693 section 4.2): Istio takes each.
            return (value, *value.split(" ")) if " " in value else (value,)
        case bool():
            return ("true" if value else "false",)
        case int() | float():
            return (str(value),)
        case None | Mapping():
            return ()
        case _:
            return tuple(text for each in value for text in claim_texts({"": each}, ("",)))


def _covers(pattern: Pattern, ip: Ip) -> bool:
    return isinstance(pattern, Cidr) and contains(pattern, ip)


def _is_host(pattern: Pattern, authority: str) -> bool:
    """Host names have no case, nor a dot at the end; a pattern without a port means every port."""
    if not isinstance(pattern, StringMatch):
        return False
    lower = StringMatch(pattern.kind, pattern.value.lower())
    text = authority.lower()
    bare = text if text.endswith("]") else text.rpartition(":")[0] or text
    return any(text_matches(lower, each) for each in {text, bare, bare.removesuffix(".")})


def _fits(pattern: Pattern, text: str) -> bool:
    match pattern:
        case StringMatch(kind=StringMatchKind.PRESENCE):
            return True
        case StringMatch():
            return text_matches(pattern, text)
        case PathTemplate(elements=elements):
            return _template_fits(elements, text.split("/"))
        case Cidr():
            return False


def _template_fits(elements: Sequence[str], given: Sequence[str]) -> bool:
    if ANY_ELEMENTS not in elements:
        return len(elements) == len(given) and all(map(_element_fits, elements, given))
    at = elements.index(ANY_ELEMENTS)
    behind = len(elements) - at - 1
    if len(given) <= at + behind:
        # As in Envoy, the slash before it has to be there: `/a/{**}` is not `/a`.
        return False
    tail = given[len(given) - behind :] if behind else ()
    return all(map(_element_fits, elements[:at], given[:at])) and all(
        map(_element_fits, elements[at + 1 :], tail)
    )


def _element_fits(element: str, given: str) -> bool:
    return given != "" if element == ANY_ELEMENT else element == given
