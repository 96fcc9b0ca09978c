"""Policies as messages of the workload API, both ways.

Nothing of a policy is dropped: a pattern without a type or a range of a wrong length, left out,
would make an ALLOW wider or a DENY narrower than it was meant.
"""

import sys
from collections.abc import Iterable
from typing import Final

from mesh.model.policy import (
    Action,
    Authorization,
    Cidr,
    Clause,
    Match,
    PolicyScope,
    ServiceAccountMatch,
    StringMatch,
    StringMatchKind,
)
from mesh.proto import security_pb2
from mesh.wire.workload_fields import FieldReader

POLICY_SCOPES: Final = {member.value: member for member in PolicyScope}
ACTIONS: Final = {member.value: member for member in Action}


def authorization_from_proto(message: security_pb2.Authorization) -> Authorization:
    """The value of a message.

    Raises:
        ResourceInvalidError: a number that no enumeration has, a range of a wrong length, a pattern
            without a type, a port out of range, or no name.
    """
    read = FieldReader(f"{message.namespace}/{message.name}")
    if not message.name:
        raise read.wrong("name", "empty")
    return Authorization(
        name=message.name,
        namespace=sys.intern(message.namespace),
        scope=read.member("scope", POLICY_SCOPES, message.scope),
        action=read.member("action", ACTIONS, message.action),
        rules=tuple(
            tuple(_clause(read, clause.matches) for clause in rule.rules) for rule in message.groups
        ),
        dry_run=message.dry_run,
    )


def _clause(read: FieldReader, matches: Iterable[security_pb2.Match]) -> Clause:
    return tuple(_match(read, message) for message in matches)


def _match(read: FieldReader, message: security_pb2.Match) -> Match:
    return Match(
        namespaces=_patterns(read, "namespaces", message.namespaces),
        not_namespaces=_patterns(read, "not_namespaces", message.not_namespaces),
        principals=_patterns(read, "principals", message.principals),
        not_principals=_patterns(read, "not_principals", message.not_principals),
        source_ips=_ranges(read, "source_ips", message.source_ips),
        not_source_ips=_ranges(read, "not_source_ips", message.not_source_ips),
        destination_ips=_ranges(read, "destination_ips", message.destination_ips),
        not_destination_ips=_ranges(read, "not_destination_ips", message.not_destination_ips),
        destination_ports=_ports(read, "destination_ports", message.destination_ports),
        not_destination_ports=_ports(read, "not_destination_ports", message.not_destination_ports),
        service_accounts=_accounts(message.service_accounts),
        not_service_accounts=_accounts(message.not_service_accounts),
    )


def _patterns(
    read: FieldReader, field: str, messages: Iterable[security_pb2.StringMatch]
) -> tuple[StringMatch, ...]:
    return tuple(_pattern(read, field, message) for message in messages)


def _pattern(read: FieldReader, field: str, message: security_pb2.StringMatch) -> StringMatch:
    match message.WhichOneof("match_type"):
        case "exact":
            return StringMatch(StringMatchKind.EXACT, message.exact)
        case "prefix":
            return StringMatch(StringMatchKind.PREFIX, message.prefix)
        case "suffix":
            return StringMatch(StringMatchKind.SUFFIX, message.suffix)
        case "presence":
            return StringMatch(StringMatchKind.PRESENCE)
        case _:
            raise read.wrong(field, "a pattern without a type")


def _ranges(
    read: FieldReader, field: str, messages: Iterable[security_pb2.Address]
) -> tuple[Cidr, ...]:
    return tuple(Cidr(*read.range(field, each.address, each.length)) for each in messages)


def _ports(read: FieldReader, field: str, numbers: Iterable[int]) -> tuple[int, ...]:
    return tuple(read.port(field, number) for number in numbers)


def _accounts(
    messages: Iterable[security_pb2.ServiceAccountMatch],
) -> tuple[ServiceAccountMatch, ...]:
    return tuple(ServiceAccountMatch(each.namespace, each.serviceAccount) for each in messages)


# Writing.


def authorization_to_proto(policy: Authorization) -> security_pb2.Authorization:
    """The message of a value."""
    return security_pb2.Authorization(
        name=policy.name,
        namespace=policy.namespace,
        scope=policy.scope.name,
        action=policy.action.name,
        groups=[
            security_pb2.Group(
                rules=[security_pb2.Rules(matches=map(_match_message, clause)) for clause in rule]
            )
            for rule in policy.rules
        ],
        dry_run=policy.dry_run,
    )


def _match_message(match: Match) -> security_pb2.Match:
    return security_pb2.Match(
        namespaces=map(_pattern_message, match.namespaces),
        not_namespaces=map(_pattern_message, match.not_namespaces),
        principals=map(_pattern_message, match.principals),
        not_principals=map(_pattern_message, match.not_principals),
        source_ips=map(_range_message, match.source_ips),
        not_source_ips=map(_range_message, match.not_source_ips),
        destination_ips=map(_range_message, match.destination_ips),
        not_destination_ips=map(_range_message, match.not_destination_ips),
        destination_ports=match.destination_ports,
        not_destination_ports=match.not_destination_ports,
        service_accounts=map(_account_message, match.service_accounts),
        not_service_accounts=map(_account_message, match.not_service_accounts),
    )


def _pattern_message(pattern: StringMatch) -> security_pb2.StringMatch:
    match pattern.kind:
        case StringMatchKind.EXACT:
            return security_pb2.StringMatch(exact=pattern.value)
        case StringMatchKind.PREFIX:
            return security_pb2.StringMatch(prefix=pattern.value)
        case StringMatchKind.SUFFIX:
            return security_pb2.StringMatch(suffix=pattern.value)
        case StringMatchKind.PRESENCE:
            return security_pb2.StringMatch(presence={})


def _range_message(cidr: Cidr) -> security_pb2.Address:
    return security_pb2.Address(address=cidr.ip, length=cidr.prefix)


def _account_message(account: ServiceAccountMatch) -> security_pb2.ServiceAccountMatch:
    return security_pb2.ServiceAccountMatch(
        namespace=account.namespace, serviceAccount=account.service_account
    )
