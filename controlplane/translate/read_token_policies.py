"""RequestAuthentications, each by itself: which tokens (JWT) requests may bring.

Waypoints enforce them, so they need targets. A field that is not known makes the whole policy
unenforceable: then nothing passes.
"""

import json
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from controlplane.translate.facts import IgnoredFacts
from controlplane.translate.read_targets import has_targets, targets_of
from controlplane.translate.read_traffic import duration_at
from controlplane.translate.route_fields import checked_header_name, header_name_at
from controlplane.translate.settings import Settings
from controlplane.translate.targeted_facts import TargetedFacts
from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject
from mesh.model.problems import POLICY_UNREADABLE
from mesh.model.request_policy import USUAL_PLACES, TokenPlace, TokenPolicy, TokenRule

DEFAULT_TIMEOUT_S: Final = 5.0
_FIELDS: Final = frozenset({"jwtRules", "selector", "targetRef", "targetRefs"})
_RULE_FIELDS: Final = frozenset(
    {
        "audiences",
        "forwardOriginalToken",
        "fromCookies",
        "fromHeaders",
        "fromParams",
        "issuer",
        "jwks",
        "jwksUri",
        "jwks_uri",
        "outputClaimToHeaders",
        "outputPayloadToHeader",
        "timeout",
    }
)


def read_token_policy(found: KubernetesObject, settings: Settings) -> TargetedFacts | IgnoredFacts:
    """A RequestAuthentication.

    Raises:
        FieldInvalidError: a wrong type, or no issuer.
    """
    spec = found.at("spec")
    if not has_targets(spec):
        mend = "are needed, since only waypoints read tokens: name Services or a Gateway"
        return IgnoredFacts(found.key, (f"spec.targetRefs: {mend}; it has no effect",))
    targets, left_out, problems = targets_of(found, settings)
    problems += _unknown(spec, _FIELDS)
    if spec.has("selector"):
        problems.append("spec.selector: cannot be beside targetRefs: take one of them away")
    rules = tuple(_rule(part, problems) for part in spec.parts("jwtRules"))
    policy = TokenPolicy(
        namespace=found.key.namespace,
        name=found.key.name,
        rules=rules,
        problem=POLICY_UNREADABLE if problems else "",
    )
    about_keys = [each for part in spec.parts("jwtRules") for each in _about_keys(part)]
    return TargetedFacts(
        key=found.key,
        policy=policy,
        targets=targets,
        problems=(*problems, *left_out, *about_keys),
    )


def _unknown(part: Part, known: frozenset[str]) -> Iterator[str]:
    for name in sorted(part.body.keys() - known):
        yield f"{part.field(name)}: is not known, so that nothing passes: take it away"


def _rule(part: Part, problems: list[str]) -> TokenRule:
    problems += _unknown(part, _RULE_FIELDS)
    issuer = part.text("issuer")
    if not issuer:
        raise part.invalid("issuer", "is needed: tokens are told apart by it")
    output = part.text("outputPayloadToHeader")
    return TokenRule(
        issuer=issuer,
        audiences=tuple(part.texts("audiences")),
        places=_places(part, problems) or USUAL_PLACES,
        keys=part.text("jwks"),
        keys_uri=_uri(part),
        forwards=part.flag("forwardOriginalToken"),
        payload_header=checked_header_name(part, "outputPayloadToHeader", output) if output else "",
        claim_headers=tuple(_claim_headers(part, problems)),
        timeout_s=duration_at(part, "timeout", DEFAULT_TIMEOUT_S),
    )


def _uri(part: Part) -> str:
    return part.text("jwksUri") or part.text("jwks_uri")


def _places(part: Part, problems: list[str]) -> tuple[TokenPlace, ...]:
    places = []
    for each in part.parts("fromHeaders"):
        problems += _unknown(each, frozenset({"name", "prefix"}))
        places.append(TokenPlace(header=header_name_at(each), prefix=each.text("prefix")))
    places += [TokenPlace(parameter=name) for name in part.texts("fromParams") if name]
    places += [TokenPlace(cookie=name) for name in part.texts("fromCookies") if name]
    return tuple(places)


def _claim_headers(part: Part, problems: list[str]) -> Iterator[tuple[str, str]]:
    for each in part.parts("outputClaimToHeaders"):
        problems += _unknown(each, frozenset({"header", "claim"}))
        if not each.text("claim"):
            raise each.invalid("claim", "must name a claim")
        yield header_name_at(each, "header"), each.text("claim")


def _about_keys(part: Part) -> Iterator[str]:
    """Why the issuer's tokens will all be refused."""
    refused = "until then its tokens are refused"
    if text := part.text("jwks"):
        try:
            whole: object = json.loads(text)
        except ValueError:
            whole = None
        if not isinstance(whole, dict) or not isinstance(whole.get("keys"), list):
            mend = f'must be a JSON Web Key Set, {{"keys": [...]}}; {refused}'
            yield f"{part.field('jwks')}: {mend}"
        return
    uri = _uri(part)
    if not uri:
        mend = f"is needed, or jwks: the issuer is not asked where its keys are; {refused}"
        yield f"{part.field('jwksUri')}: {mend}"
        return
    try:
        parts = urlsplit(uri)
        is_good = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        mend = f"keys are fetched by plain HTTP from a service of the mesh: http://HOST/; {refused}"
        yield f"{part.field('jwksUri')}: {mend}"
