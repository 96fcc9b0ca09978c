"""The rules of an AuthorizationPolicy as a waypoint enforces them: everything that Istio's can say.

What cannot be read is a problem of the whole policy: a waypoint then refuses whatever the policy
might have refused (`RequestPolicy.problem`), and the object's status says why.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from controlplane.translate.policy_rules import cidr_of, port_number, string_match
from mesh.model.fields import Part
from mesh.model.request_policy import (
    Alternative,
    Attribute,
    AttributeCondition,
    PathTemplate,
    Pattern,
    RequestRule,
)
from mesh.policy.requests import ANY_ELEMENT, ANY_ELEMENTS

_SOURCE: Final = {
    "principals": Attribute.PRINCIPAL,
    "requestPrincipals": Attribute.TOKEN_PRINCIPAL,
    "namespaces": Attribute.NAMESPACE,
    "serviceAccounts": Attribute.ACCOUNT,
    "ipBlocks": Attribute.SOURCE_IP,
    "remoteIpBlocks": Attribute.REMOTE_IP,
}
_OPERATION: Final = {
    "hosts": Attribute.HOST,
    "ports": Attribute.DESTINATION_PORT,
    "methods": Attribute.METHOD,
    "paths": Attribute.PATH,
}
_KEYS: Final = {
    "source.ip": Attribute.SOURCE_IP,
    "source.namespace": Attribute.NAMESPACE,
    "source.principal": Attribute.PRINCIPAL,
    "source.serviceAccount": Attribute.ACCOUNT,
    "remote.ip": Attribute.REMOTE_IP,
    "destination.ip": Attribute.DESTINATION_IP,
    "destination.port": Attribute.DESTINATION_PORT,
    "connection.sni": Attribute.SERVER_NAME,
    "request.auth.principal": Attribute.TOKEN_PRINCIPAL,
    "request.auth.audiences": Attribute.TOKEN_AUDIENCE,
    "request.auth.presenter": Attribute.TOKEN_PRESENTER,
}
_HEADERS: Final = "request.headers"
_CLAIMS: Final = "request.auth.claims"
_RANGES: Final = (Attribute.SOURCE_IP, Attribute.REMOTE_IP, Attribute.DESTINATION_IP)


@dataclass(slots=True)
class RequestDraft:
    """One policy while it is read."""

    namespace: str
    problems: list[str] = field(default_factory=list)


def read_request_rule(draft: RequestDraft, part: Part) -> RequestRule:
    """A rule; what cannot be read of it is among the draft's problems.

    Raises:
        FieldInvalidError: a wrong type.
    """
    _know(draft, part, ("from", "to", "when"))
    for each in part.parts("from"):
        _know(draft, each, ("source",))
    for each in part.parts("to"):
        _know(draft, each, ("operation",))
    return RequestRule(
        sources=tuple(_fields(draft, p.at("source"), _SOURCE) for p in part.parts("from")),
        operations=tuple(_fields(draft, p.at("operation"), _OPERATION) for p in part.parts("to")),
        conditions=tuple(_condition(draft, p) for p in part.parts("when")),
    )


def _know(draft: RequestDraft, part: Part, names: Iterable[str]) -> None:
    for name in sorted(part.body.keys() - set(names)):
        draft.problems.append(f"{part.field(name)}: is not known, so the policy refuses: remove it")


def _fields(draft: RequestDraft, part: Part, known: Mapping[str, Attribute]) -> Alternative:
    _know(draft, part, (name for each in known for name in (each, _negated(each))))
    if not part.body:
        mend = "is empty, which is no condition: name a field, or leave the list out"
        draft.problems.append(f"{part.path}: {mend}")
    return tuple(
        AttributeCondition(
            attribute=attribute,
            wanted=_patterns(draft, part, name, attribute),
            unwanted=_patterns(draft, part, _negated(name), attribute),
        )
        for name, attribute in known.items()
        if part.items(name) or part.items(_negated(name))
    )


def _negated(name: str) -> str:
    return f"not{name[0].upper()}{name[1:]}"


def _condition(draft: RequestDraft, part: Part) -> AttributeCondition:
    _know(draft, part, ("key", "values", "notValues"))
    attribute, key = _key(draft, part)
    if not part.items("values") and not part.items("notValues"):
        draft.problems.append(f"{part.field('values')}: is needed, or notValues")
    return AttributeCondition(
        attribute=attribute,
        key=key,
        wanted=_patterns(draft, part, "values", attribute),
        unwanted=_patterns(draft, part, "notValues", attribute),
    )


def _key(draft: RequestDraft, part: Part) -> tuple[Attribute, tuple[str, ...]]:
    text = part.text("key")
    if text in _KEYS:
        return _KEYS[text], ()
    match _bracketed(text):
        case (name, [header]) if name == _HEADERS and header:
            return Attribute.HEADER, (header.lower(),)
        case (name, [_, *_] as claim) if name == _CLAIMS and all(claim):
            return Attribute.TOKEN_CLAIM, tuple(claim)
        case _:
            mend = "is no key that a waypoint knows, so the policy refuses: write one of Istio's"
            draft.problems.append(f"{part.field('key')}: {text!r} {mend}")
            return Attribute.METHOD, ()


def _bracketed(text: str) -> tuple[str, Sequence[str]]:
    """`a[b][c]` in parts; no brackets, or others, are no parts."""
    name, bracket, rest = text.partition("[")
    if not (bracket and rest.endswith("]")):
        return text, ()
    return name, rest[:-1].split("][")


def _patterns(
    draft: RequestDraft, part: Part, name: str, attribute: Attribute
) -> tuple[Pattern, ...]:
    read, what = _reader(draft, attribute)
    found: list[Pattern] = []
    for index, text in enumerate(part.texts(name)):
        pattern = read(text)
        if pattern is None:
            where = part.field(f"{name}[{index}]")
            draft.problems.append(f"{where}: {text!r} makes the policy refuse: write {what}")
        else:
            found.append(pattern)
    return tuple(found)


def _reader(
    draft: RequestDraft, attribute: Attribute
) -> tuple[Callable[[str], Pattern | None], str]:
    if attribute in _RANGES:
        return cidr_of, "an address, or a range such as 10.0.0.0/8"
    if attribute is Attribute.DESTINATION_PORT:
        return _port, "a number from 1 to 65535"
    if attribute is Attribute.PATH:
        return _path, "a path; {*} and {**} are whole elements, {**} comes once, and no * beside"
    if attribute is Attribute.ACCOUNT:
        namespace = draft.namespace
        return lambda text: _account(namespace, text), "ACCOUNT or NAMESPACE/ACCOUNT"
    return lambda text: string_match(text) if text else None, "some text"


def _port(text: str) -> Pattern | None:
    port = port_number(text)
    return None if port is None else string_match(str(port))


def _path(text: str) -> Pattern | None:
    if "{" not in text and "}" not in text:
        return string_match(text) if text else None
    elements = tuple(text.split("/"))
    others = [each for each in elements if each not in (ANY_ELEMENT, ANY_ELEMENTS)]
    if any(set(each) & set("{}*") for each in others) or elements.count(ANY_ELEMENTS) > 1:
        return None
    return PathTemplate(elements) if text.startswith("/") else None


def _account(namespace: str, text: str) -> Pattern | None:
    parts = text.split("/")
    if len(parts) > 2 or not all(parts) or "*" in text:
        return None
    return string_match("/".join(parts if len(parts) == 2 else [namespace, *parts]))
