"""L4 authorization policies (`istio.security.Authorization`).

A policy is an OR of rules; a rule is an AND of clauses; a clause is an OR of matches; a match is an
AND over the kinds of values that it names, each an OR of values; `not_*` means that none may match.
"""

from dataclasses import dataclass
from enum import IntEnum

from mesh.model.address import Ip


class PolicyScope(IntEnum):
    """Which workloads a policy concerns."""

    GLOBAL = 0
    NAMESPACE = 1
    WORKLOAD_SELECTOR = 2


class Action(IntEnum):
    """What a policy does with a connection that it matches."""

    ALLOW = 0
    DENY = 1


class StringMatchKind(IntEnum):
    """How a value is compared."""

    EXACT = 1
    PREFIX = 2
    SUFFIX = 3
    PRESENCE = 4


@dataclass(frozen=True, slots=True)
class StringMatch:
    """A pattern; the value of PRESENCE is empty."""

    kind: StringMatchKind
    value: str = ""


@dataclass(frozen=True, slots=True)
class Cidr:
    """A range of addresses."""

    ip: Ip
    prefix: int


@dataclass(frozen=True, slots=True)
class ServiceAccountMatch:
    """Exactly one account of one namespace."""

    namespace: str
    service_account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Conditions on one connection; a match with nothing set matches nothing."""

    namespaces: tuple[StringMatch, ...] = ()
    not_namespaces: tuple[StringMatch, ...] = ()
    principals: tuple[StringMatch, ...] = ()
    not_principals: tuple[StringMatch, ...] = ()
    source_ips: tuple[Cidr, ...] = ()
    not_source_ips: tuple[Cidr, ...] = ()
    destination_ips: tuple[Cidr, ...] = ()
    not_destination_ips: tuple[Cidr, ...] = ()
    destination_ports: tuple[int, ...] = ()
    not_destination_ports: tuple[int, ...] = ()
    service_accounts: tuple[ServiceAccountMatch, ...] = ()
    not_service_accounts: tuple[ServiceAccountMatch, ...] = ()


Clause = tuple[Match, ...]
Rule = tuple[Clause, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """One policy as a node proxy gets it."""

    name: str
    namespace: str
    scope: PolicyScope
    action: Action
    rules: tuple[Rule, ...] = ()
    dry_run: bool = False

    @property
    def key(self) -> str:
        """Its name in the workload API: `namespace/name`."""
        return f"{self.namespace}/{self.name}"
