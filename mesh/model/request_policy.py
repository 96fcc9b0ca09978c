"""Policies that a waypoint enforces: AuthorizationPolicy with its targets, RequestAuthentication.

A policy is an OR of rules; a rule is an AND of its sources, its operations and its conditions;
sources and operations are each an OR of alternatives; an alternative is an AND of conditions.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from mesh.model.policy import Cidr, StringMatch
from mesh.model.routes import Attachment, ExternalAuth


class RequestAction(IntEnum):
    """What a policy does with a request that it matches."""

    ALLOW = 0
    DENY = 1
    AUDIT = 2
    CUSTOM = 3
    """Asks its provider."""


class Attribute(IntEnum):
    """What a condition looks at; the keys are Istio's."""

    PRINCIPAL = 1
    """source.principal: the client's identity, as the tunnel's certificate says it."""
    NAMESPACE = 2
    ACCOUNT = 3
    """source.serviceAccount: `namespace/account`."""
    SOURCE_IP = 4
    REMOTE_IP = 5
    """The client's address as a trusted proxy before us says it; the source's without one."""
    DESTINATION_IP = 6
    DESTINATION_PORT = 7
    SERVER_NAME = 8
    """connection.sni"""
    HOST = 9
    METHOD = 10
    PATH = 11
    HEADER = 12
    TOKEN_PRINCIPAL = 13
    """request.auth.principal: `issuer/subject` of a valid token."""
    TOKEN_AUDIENCE = 14
    TOKEN_PRESENTER = 15
    TOKEN_CLAIM = 16


OF_REQUESTS = frozenset(each for each in Attribute if each >= Attribute.HOST)
"""What only a request has, and a connection that is not HTTP has not."""


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path with `{*}` for one element and, at most once, `{**}` for any number of them."""

    elements: tuple[str, ...]


Pattern: TypeAlias = StringMatch | Cidr | PathTemplate
"""Cidr for addresses, PathTemplate for paths, StringMatch for all (ports are text)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeCondition:
    """One value of the attribute is among the wanted (if any are), none among the unwanted."""

    attribute: Attribute
    key: tuple[str, ...] = ()
    """The header's name in lower case; the names that lead to a claim."""
    wanted: tuple[Pattern, ...] = ()
    unwanted: tuple[Pattern, ...] = ()


Alternative: TypeAlias = tuple[AttributeCondition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRule:
    """Nothing given means anything."""

    sources: tuple[Alternative, ...] = ()
    operations: tuple[Alternative, ...] = ()
    conditions: Alternative = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPolicy:
    """One AuthorizationPolicy. Without rules it matches nothing."""

    namespace: str
    name: str
    action: RequestAction
    targets: tuple[Attachment, ...] = ()
    """Services that it is for."""
    waypoints: tuple[str, ...] = ()
    """`namespace/name` of Gateways: it is for everything that they serve."""
    rules: tuple[RequestRule, ...] = ()
    provider: ExternalAuth | None = None
    dry_run: bool = False
    problem: str = ""
    """It says something that cannot be enforced: it refuses what it might have refused."""

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """Where a token is: a header behind a prefix, a query parameter or a cookie."""

    header: str = ""
    prefix: str = ""
    parameter: str = ""
    cookie: str = ""


USUAL_PLACES: Final = (
    TokenPlace(header="authorization", prefix="Bearer "),
    TokenPlace(parameter="access_token"),
)
"""Where tokens are unless a rule says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRule:
    """Tokens of one issuer (JWT, RFC 7519)."""

    issuer: str
    audiences: tuple[str, ...] = ()
    keys: str = ""
    """A JSON Web Key Set (RFC 7517)."""
    keys_uri: str = ""
    """Where the keys are, when they are not given: plain HTTP, by a service of the mesh."""
    places: tuple[TokenPlace, ...] = USUAL_PLACES
    forwards: bool = False
    """Whether the token goes on to the backend."""
    payload_header: str = ""
    """The header that gets the claims, in base64url."""
    claim_headers: tuple[tuple[str, str], ...] = ()
    """(header, claim)."""
    timeout_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPolicy:
    """One RequestAuthentication: an invalid token is refused, none at all is not."""

    namespace: str
    name: str
    targets: tuple[Attachment, ...] = ()
    """Services that it is for."""
    waypoints: tuple[str, ...] = ()
    """`namespace/name` of Gateways: it is for everything that they serve."""
    rules: tuple[TokenRule, ...] = ()
    problem: str = ""
    """It says something that cannot be enforced: nothing passes."""

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"
