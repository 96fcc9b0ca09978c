"""Policies in a LOCAL_XDS document."""

from typing import Final

from mesh.model.address import parse_ip
from mesh.model.policy import (
    Authorization,
    Cidr,
    Clause,
    Match,
    Rule,
    ServiceAccountMatch,
    StringMatch,
    StringMatchKind,
)
from mesh.runtime.control import words
from ztunnel.control.strict import Fields, whole

MAX_PORT: Final = 65_535
KINDS: Final = {
    "exact": StringMatchKind.EXACT,
    "prefix": StringMatchKind.PREFIX,
    "suffix": StringMatchKind.SUFFIX,
    "presence": StringMatchKind.PRESENCE,
}


def read_policy(fields: Fields) -> Authorization:
    """One policy; what is wrong is among the document's problems."""
    policy = Authorization(
        name=fields.text("name", None),
        namespace=fields.text("namespace"),
        scope=fields.choice("scope", "Global", words.SCOPE),
        action=fields.choice("action", "Allow", words.ACTION),
        dry_run=fields.flag("dryRun", default=None),
        rules=fields.each("rules", lambda value, path: _rule(fields, value, path)),
    )
    fields.end()
    return policy


def _rule(fields: Fields, value: object, path: str) -> Rule:
    clauses = fields.at({"clauses": value}, path)
    return clauses.each("clauses", lambda one, place: _clause(fields, one, place))


def _clause(fields: Fields, value: object, path: str) -> Clause:
    matches = fields.at({"matches": value}, path)
    return matches.each("matches", lambda one, place: _match(fields.at(one, place)))


def _match(fields: Fields) -> Match:
    match = Match(
        namespaces=_strings(fields, "namespaces"),
        not_namespaces=_strings(fields, "notNamespaces"),
        principals=_strings(fields, "principals"),
        not_principals=_strings(fields, "notPrincipals"),
        source_ips=_ranges(fields, "sourceIps"),
        not_source_ips=_ranges(fields, "notSourceIps"),
        destination_ips=_ranges(fields, "destinationIps"),
        not_destination_ips=_ranges(fields, "notDestinationIps"),
        destination_ports=_ports(fields, "destinationPorts"),
        not_destination_ports=_ports(fields, "notDestinationPorts"),
        service_accounts=_accounts(fields, "serviceAccounts"),
        not_service_accounts=_accounts(fields, "notServiceAccounts"),
    )
    fields.end()
    return match


def _strings(fields: Fields, name: str) -> tuple[StringMatch, ...]:
    """`{Exact: x}`, `{Prefix: x}`, `{Suffix: x}` or `{Presence: []}`, of each."""

    def read(value: object, path: str) -> StringMatch | None:
        if isinstance(value, dict) and len(value) == 1:
            ((word, pattern),) = value.items()
            kind = KINDS.get(str(word).lower())
            if kind is StringMatchKind.PRESENCE:
                return StringMatch(kind)
            if kind is not None and isinstance(pattern, str):
                return StringMatch(kind, pattern)
        fields.at({}, path).problem("", "write {Exact|Prefix|Suffix: TEXT} or {Presence: []}")
        return None

    return fields.each(name, read)


def _ranges(fields: Fields, name: str) -> tuple[Cidr, ...]:
    return fields.parsed(name, _cidr, "IP or IP/PREFIX")


def _cidr(text: str) -> Cidr:
    address, slash, prefix = text.partition("/")
    ip = parse_ip(address)
    length = whole(prefix, len(ip) * 8) if slash else len(ip) * 8
    if length is None:
        raise ValueError(text)
    return Cidr(ip, length)


def _ports(fields: Fields, name: str) -> tuple[int, ...]:
    return fields.parsed(name, _port, f"a port up to {MAX_PORT}")


def _port(text: str) -> int:
    port = whole(text, MAX_PORT)
    if port is None:
        raise ValueError(text)
    return port


def _accounts(fields: Fields, name: str) -> tuple[ServiceAccountMatch, ...]:
    def read(value: object, path: str) -> ServiceAccountMatch:
        inner = fields.at(value, path)
        account = ServiceAccountMatch(
            inner.text("namespace", None), inner.text("serviceAccount", None)
        )
        inner.end()
        return account

    return fields.each(name, read)
