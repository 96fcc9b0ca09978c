"""The rules of an AuthorizationPolicy, and how their values are read.

1. What the node proxy cannot decide (HTTP) leaves a rule as Istio does it: an ALLOW rule goes as
   a whole, a DENY rule loses those conditions.
2. A value that cannot be read is left out. It never lets more through than was asked for: an ALLOW
   source or operation that lost a limit matches nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from mesh.model.address import AddressInvalidError, parse_ip
from mesh.model.fields import Part
from mesh.model.policy import (
    Action,
    Cidr,
    Clause,
    Match,
    Rule,
    ServiceAccountMatch,
    StringMatch,
    StringMatchKind,
)

ValueT = TypeVar("ValueT")

_HTTP_SOURCE: Final = (
    "requestPrincipals", "notRequestPrincipals", "remoteIpBlocks", "notRemoteIpBlocks",
)  # fmt: skip
_HTTP_OPERATION: Final = (
    "hosts", "notHosts", "methods", "notMethods", "paths", "notPaths",
)  # fmt: skip
_CONDITIONS: Final = {
    "source.ip": "ipBlocks",
    "source.namespace": "namespaces",
    "source.principal": "principals",
    "destination.ip": "destinationIps",
    "destination.port": "ports",
}


@dataclass(slots=True)
class _Values(Generic[ValueT]):
    """What the values of one field are read to, and whether one was lost."""

    read: tuple[ValueT, ...]
    lost: bool

    @property
    def vanished(self) -> bool:
        """Whether there were values, and none could be read."""
        return self.lost and not self.read


@dataclass(slots=True)
class Draft:
    """One policy while it is read."""

    action: Action
    namespace: str
    http: set[str] = field(default_factory=set)
    """Names of the fields that it uses and that the node proxy cannot decide by."""

    rule_http: set[str] = field(default_factory=set)
    """The same, of the rule that is being read."""

    problems: list[str] = field(default_factory=list)

    def values(
        self, part: Part, name: str, read: Callable[[str], ValueT | None], what: str
    ) -> _Values[ValueT]:
        """Read each text of a list; what cannot be read is told and left out."""
        got: list[ValueT] = []
        texts = part.texts(name)
        for index, text in enumerate(texts):
            value = read(text)
            if value is None:
                where = part.field(f"{name}[{index}]")
                self.problems.append(f"{where}: {text!r} is left out: write {what}")
            else:
                got.append(value)
        return _Values(tuple(got), len(got) < len(texts))


def read_rule(draft: Draft, part: Part) -> Rule | None:
    """A rule as the node proxy gets it: what is done, by whom, under which conditions, in order.

    Returns:
        None for an ALLOW rule that the node proxy cannot decide.

    Raises:
        FieldInvalidError: a wrong type.
    """
    draft.rule_http = set()
    clauses: list[Clause] = []
    if operations := part.parts("to"):
        clauses.append(tuple(_operation(draft, p.at("operation")) for p in operations))
    if sources := part.parts("from"):
        clauses.append(tuple(_source(draft, p.at("source")) for p in sources))
    clauses.extend((_condition(draft, p),) for p in part.parts("when"))
    draft.http |= draft.rule_http
    return None if draft.rule_http and draft.action is Action.ALLOW else tuple(clauses)


def _operation(draft: Draft, part: Part) -> Match:
    _note_http(draft, part, _HTTP_OPERATION)
    ports, not_ports = _ports(draft, part, "ports"), _ports(draft, part, "notPorts")
    match = Match(destination_ports=ports.read, not_destination_ports=not_ports.read)
    return _limited(draft, match, ports.vanished, not_ports.lost)


def _source(draft: Draft, part: Part) -> Match:
    _note_http(draft, part, _HTTP_SOURCE)
    ips, not_ips = _ips(draft, part, "ipBlocks"), _ips(draft, part, "notIpBlocks")
    accounts = _accounts(draft, part, "serviceAccounts")
    not_accounts = _accounts(draft, part, "notServiceAccounts")
    match = Match(
        namespaces=_strings(part, "namespaces"),
        not_namespaces=_strings(part, "notNamespaces"),
        principals=_strings(part, "principals"),
        not_principals=_strings(part, "notPrincipals"),
        source_ips=ips.read,
        not_source_ips=not_ips.read,
        service_accounts=accounts.read,
        not_service_accounts=not_accounts.read,
    )
    lost = (ips.vanished, accounts.vanished, not_ips.lost, not_accounts.lost)
    return _limited(draft, match, *lost)


def _condition(draft: Draft, part: Part) -> Match:
    key = part.text("key")
    name = _CONDITIONS.get(key)
    if name is None:
        draft.rule_http.add(key)
        return Match()
    match name:
        case "namespaces":
            return Match(
                namespaces=_strings(part, "values"), not_namespaces=_strings(part, "notValues")
            )
        case "principals":
            return Match(
                principals=_strings(part, "values"), not_principals=_strings(part, "notValues")
            )
        case "ports":
            ports, not_ports = _ports(draft, part, "values"), _ports(draft, part, "notValues")
            found = Match(destination_ports=ports.read, not_destination_ports=not_ports.read)
            return _limited(draft, found, ports.vanished, not_ports.lost)
        case _:
            ips, not_ips = _ips(draft, part, "values"), _ips(draft, part, "notValues")
            found = (
                Match(source_ips=ips.read, not_source_ips=not_ips.read)
                if name == "ipBlocks"
                else Match(destination_ips=ips.read, not_destination_ips=not_ips.read)
            )
            return _limited(draft, found, ips.vanished, not_ips.lost)


def _note_http(draft: Draft, part: Part, names: Iterable[str]) -> None:
    draft.rule_http.update(name for name in names if part.texts(name))


def _limited(draft: Draft, match: Match, *lost: bool) -> Match:
    """The match, or one that matches nothing when an ALLOW has lost a limit."""
    return Match() if any(lost) and draft.action is Action.ALLOW else match


# Values.


def _strings(part: Part, name: str) -> tuple[StringMatch, ...]:
    return tuple(string_match(text) for text in part.texts(name))


def string_match(text: str) -> StringMatch:
    """The pattern that a text of a policy is: `*`, `*end`, `begin*`, or exactly this."""
    if text == "*":
        return StringMatch(StringMatchKind.PRESENCE)
    if text.startswith("*"):
        return StringMatch(StringMatchKind.SUFFIX, text[1:])
    if text.endswith("*"):
        return StringMatch(StringMatchKind.PREFIX, text[:-1])
    return StringMatch(StringMatchKind.EXACT, text)


def _ports(draft: Draft, part: Part, name: str) -> _Values[int]:
    return draft.values(part, name, port_number, "a number from 1 to 65535")


def port_number(text: str) -> int | None:
    """The port that a text is, if it is one."""
    if text.isascii() and text.isdecimal() and len(text) < 10 and 0 < int(text) <= 65535:
        return int(text)
    return None


def _ips(draft: Draft, part: Part, name: str) -> _Values[Cidr]:
    return draft.values(part, name, cidr_of, "an address, or a range such as 10.0.0.0/8")


def cidr_of(text: str) -> Cidr | None:
    """The range that a text is, if it is one; an address is a range of one."""
    address, slash, length = text.partition("/")
    try:
        ip = parse_ip(address)
    except AddressInvalidError:
        return None
    longest = 8 * len(ip)
    if not slash:
        return Cidr(ip, longest)
    if not (length.isascii() and length.isdecimal() and len(length) < 4 and int(length) <= longest):
        return None
    return Cidr(ip, int(length))


def _accounts(draft: Draft, part: Part, name: str) -> _Values[ServiceAccountMatch]:
    def account(text: str) -> ServiceAccountMatch | None:
        namespace, _, last = text.rpartition("/")
        if not last or "/" in namespace:
            return None
        return ServiceAccountMatch(namespace or draft.namespace, last)

    return draft.values(part, name, account, "ACCOUNT or NAMESPACE/ACCOUNT")
