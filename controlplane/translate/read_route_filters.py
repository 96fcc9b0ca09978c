"""Filters of routes: what they do by themselves, and whom they name.

1. There is one of each type in a list, but for mirrors and extensions.
2. Headers by which a message is framed or addressed are not changed by a filter for headers.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from controlplane.translate.read_route_auth import external_auth_of
from controlplane.translate.read_route_cors import cors_of
from controlplane.translate.read_route_targets import extension_target, target_of
from controlplane.translate.route_facts import NO_FILTER_FACTS, FilterFacts
from controlplane.translate.route_fields import (
    at_most_one,
    checked_header_name,
    header_name_at,
    hostname_at,
    incompatible,
    member_at,
    number_at,
    value_at,
)
from mesh.model.fields import Part
from mesh.model.routes import HeaderChange, PathModifier, PathModifierKind, Redirect, Rewrite

Read = Callable[[FilterFacts, Part, str], FilterFacts]

REDIRECTS: Final = (301, 302, 303, 307, 308)
_FRAMING: Final = frozenset(
    {"connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade"}
)  # fmt: skip
_MODIFIERS: Final = {
    "ReplaceFullPath": PathModifierKind.FULL,
    "ReplacePrefixMatch": PathModifierKind.PREFIX,
}
_MAX_SHARE: Final = 1_000_000_000


def filters_of(part: Part, namespace: str, types: frozenset[str]) -> FilterFacts:
    """The filters of a rule or of a backend.

    Args:
        part: what has the field `filters`.
        namespace: of the route.
        types: that this kind of route can have.

    Raises:
        FieldInvalidError: a filter that cannot be.
        FiltersIncompatibleError: filters that cannot be together.
    """
    facts = NO_FILTER_FACTS
    seen: set[str] = set()
    for each in part.parts("filters"):
        kind = each.text("type")
        if kind not in types:
            known = ", ".join(sorted(types))
            raise each.invalid("type", f"{kind!r:.60} is no filter here: write one of {known}")
        if kind in seen and kind not in _REPEATABLE:
            raise incompatible(each, "type", f"a second {kind}: there can be one")
        seen.add(kind)
        name, read = _FILTERS[kind]
        if not each.has(name):
            raise each.invalid(name, f"must be there for the type {kind}")
        facts = read(facts, each.at(name), namespace)
    if {"RequestRedirect", "URLRewrite"} <= seen:
        raise incompatible(part, "filters", "RequestRedirect and URLRewrite cannot be together")
    return facts


def _request_headers(facts: FilterFacts, part: Part, _: str) -> FilterFacts:
    return replace(facts, filters=replace(facts.filters, request_headers=_change(part)))


def _response_headers(facts: FilterFacts, part: Part, _: str) -> FilterFacts:
    return replace(facts, filters=replace(facts.filters, response_headers=_change(part)))


def _change(part: Part) -> HeaderChange:
    put, add = _pairs(part, "set"), _pairs(part, "add")
    remove = tuple(
        checked_header_name(part, f"remove[{index}]", text)
        for index, text in enumerate(part.texts("remove"))
    )
    names = [*(name for name, _ in (*put, *add)), *remove]
    for name in names:
        if name in _FRAMING:
            raise part.invalid("set", f"{name} is the proxy's own: URLRewrite changes the host")
    if len({*names}) < len(names):
        raise part.invalid("set", "names a header twice: one action for each")
    return HeaderChange(put, add, remove)


def _pairs(part: Part, name: str) -> tuple[tuple[str, str], ...]:
    return tuple((header_name_at(each), value_at(each)) for each in part.parts(name))


def _redirect(facts: FilterFacts, part: Part, _: str) -> FilterFacts:
    scheme, status = part.text("scheme"), part.number("statusCode", 302)
    if scheme not in ("", "http", "https"):
        raise part.invalid("scheme", f"{scheme!r:.40} is unknown here: write http or https")
    if status not in REDIRECTS:
        words = ", ".join(map(str, REDIRECTS))
        raise part.invalid("statusCode", f"{status} is no redirect: write one of {words}")
    redirect = Redirect(
        scheme=scheme,
        hostname=hostname_at(part, "hostname"),
        path=_modifier(part),
        port=number_at(part, "port", 1, 65_535),
        status=status,
    )
    return replace(facts, filters=replace(facts.filters, redirect=redirect))


def _rewrite(facts: FilterFacts, part: Part, _: str) -> FilterFacts:
    rewrite = Rewrite(hostname_at(part, "hostname"), _modifier(part))
    return replace(facts, filters=replace(facts.filters, rewrite=rewrite))


def _modifier(part: Part) -> PathModifier | None:
    if not part.has("path"):
        return None
    path = part.at("path")
    kind = member_at(path, "type", _MODIFIERS, "")
    name = "replaceFullPath" if kind is PathModifierKind.FULL else "replacePrefixMatch"
    if not path.has(name) or at_most_one(path, "replaceFullPath", "replacePrefixMatch") != name:
        raise path.invalid(name, f"must be there for the type {path.text('type')}")
    text = path.text(name)
    if len(text) > 1024 or any(ord(letter) <= 32 or ord(letter) >= 127 for letter in text):
        raise path.invalid(name, f"{text!r:.60} must be a path, in URL's spelling")
    return PathModifier(kind, text)


def _mirror(facts: FilterFacts, part: Part, namespace: str) -> FilterFacts:
    target = target_of(part.at("backendRef"), namespace)
    numerator, denominator = 100, 100
    match at_most_one(part, "percent", "fraction"):
        case "percent":
            numerator = number_at(part, "percent", 0, 100)
        case "fraction":
            fraction = part.at("fraction")
            numerator = number_at(fraction, "numerator", 0, _MAX_SHARE)
            denominator = number_at(fraction, "denominator", 1, _MAX_SHARE, 100)
            if numerator > denominator:
                raise fraction.invalid("numerator", "must not be above the denominator")
        case _:
            pass  # all of them
    return replace(facts, mirrors=(*facts.mirrors, (target, numerator, denominator)))


def _cors(facts: FilterFacts, part: Part, _: str) -> FilterFacts:
    return replace(facts, filters=replace(facts.filters, cors=cors_of(part)))


def _auth(facts: FilterFacts, part: Part, namespace: str) -> FilterFacts:
    return replace(facts, auth=external_auth_of(part, namespace))


def _extension(facts: FilterFacts, part: Part, namespace: str) -> FilterFacts:
    return replace(facts, extensions=(*facts.extensions, extension_target(part, namespace)))


_REPEATABLE: Final = ("RequestMirror", "ExtensionRef")
_FILTERS: Final[Mapping[str, tuple[str, Read]]] = {
    "RequestHeaderModifier": ("requestHeaderModifier", _request_headers),
    "ResponseHeaderModifier": ("responseHeaderModifier", _response_headers),
    "RequestMirror": ("requestMirror", _mirror),
    "RequestRedirect": ("requestRedirect", _redirect),
    "URLRewrite": ("urlRewrite", _rewrite),
    "CORS": ("cors", _cors),
    "ExternalAuth": ("externalAuth", _auth),
    "ExtensionRef": ("extensionRef", _extension),
}
"""By type: the field that has it, and who reads that."""

HTTP_FILTERS: Final = frozenset(_FILTERS)
GRPC_FILTERS: Final = frozenset(
    {"RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"}
)
