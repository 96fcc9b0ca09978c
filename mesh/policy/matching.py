"""Whether a policy matches a connection.

1. A policy without rules matches nothing; a rule without clauses matches everything.
2. A clause without matches is true; a match with nothing set matches nothing, and a clause that
   has only such matches is false.
3. An absent identity matches no positive principal and satisfies every negative one: that is how
   STRICT is written. Its namespace is the empty text.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from mesh.model.address import Ip, SocketAddress
from mesh.model.identity import Identity
from mesh.model.policy import (
    Authorization,
    Cidr,
    Clause,
    Match,
    ServiceAccountMatch,
    StringMatch,
    StringMatchKind,
)

PatternT = TypeVar("PatternT")
NOTHING_SET = Match()


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """What policies may ask about a connection."""

    peer: Identity | None
    """Who opened it, by its certificate; None in plain text."""
    source_ip: Ip
    """The TCP peer's address; never one that a header claims."""
    destination: SocketAddress
    """Where the application finally gets it."""


def matching_rule(policy: Authorization, facts: ConnectionFacts) -> int | None:
    """The first rule (from 0) all of whose clauses hold."""
    for number, rule in enumerate(policy.rules):
        if all(_holds(clause, facts) for clause in rule):
            return number
    return None


def _holds(clause: Clause, facts: ConnectionFacts) -> bool:
    return not clause or any(matches(match, facts) for match in clause)


def matches(match: Match, facts: ConnectionFacts) -> bool:
    """Whether every kind of value that is set agrees."""
    if match == NOTHING_SET:
        return False
    return _network_agrees(match, facts) and _identity_agrees(match, facts)


def _network_agrees(match: Match, facts: ConnectionFacts) -> bool:
    destination = facts.destination
    return (
        _agrees(match.destination_ports, match.not_destination_ports, destination.port.__eq__)
        and _agrees(match.source_ips, match.not_source_ips, _within(facts.source_ip))
        and _agrees(match.destination_ips, match.not_destination_ips, _within(destination.ip))
    )


def _identity_agrees(match: Match, facts: ConnectionFacts) -> bool:
    peer = facts.peer
    namespace = peer.namespace if peer else ""
    principal = peer.principal if peer else None

    def is_namespace(pattern: StringMatch) -> bool:
        return text_matches(pattern, namespace)

    def is_principal(pattern: StringMatch) -> bool:
        return principal is not None and text_matches(pattern, principal)

    def is_account(wanted: ServiceAccountMatch) -> bool:
        return (
            peer is not None
            and wanted.namespace == peer.namespace
            and wanted.service_account == peer.service_account
        )

    return (
        _agrees(match.namespaces, match.not_namespaces, is_namespace)
        and _agrees(match.principals, match.not_principals, is_principal)
        and _agrees(match.service_accounts, match.not_service_accounts, is_account)
    )


def _agrees(
    wanted: Collection[PatternT], unwanted: Collection[PatternT], fits: Callable[[PatternT], bool]
) -> bool:
    """One of the wanted fits (if any is named) and none of the unwanted."""
    return (not wanted or any(map(fits, wanted))) and not any(map(fits, unwanted))


def _within(ip: Ip) -> Callable[[Cidr], bool]:
    return lambda cidr: contains(cidr, ip)


def contains(cidr: Cidr, ip: Ip) -> bool:
    """Whether an address lies in a range; one of the other family never does."""
    if len(ip) != len(cidr.ip):
        return False
    difference = int.from_bytes(ip, "big") ^ int.from_bytes(cidr.ip, "big")
    return difference >> (len(ip) * 8 - cidr.prefix) == 0


def text_matches(pattern: StringMatch, text: str) -> bool:
    """Compare as the pattern says."""
    match pattern.kind:
        case StringMatchKind.EXACT:
            return text == pattern.value
        case StringMatchKind.PREFIX:
            return text.startswith(pattern.value)
        case StringMatchKind.SUFFIX:
            return text.endswith(pattern.value)
        case StringMatchKind.PRESENCE:
            return text != ""
