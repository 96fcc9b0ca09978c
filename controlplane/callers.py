"""Who calls the control plane, and every reason not to believe it.

The caller is told that it is refused; which of these it was, stands in our log.
"""

from dataclasses import dataclass

from mesh.errors import DeniedError
from mesh.model.identity import Identity


@dataclass(frozen=True, slots=True)
class Caller:
    """A service account, and the pod that its token is bound to."""

    namespace: str
    service_account: str
    pod: str = ""
    """Empty when the token is bound to none."""
    pod_uid: str = ""

    @property
    def account(self) -> str:
        """As flags write it."""
        return f"{self.namespace}/{self.service_account}"

    def identity(self, trust_domain: str) -> Identity:
        """Who it is in the mesh."""
        return Identity(trust_domain, self.namespace, self.service_account)

    def __str__(self) -> str:
        return f"{self.account} ({self.pod})" if self.pod else self.account


class CallerRefusedError(DeniedError):
    """A caller that is not who it should be."""

    code = "caller_refused"
    because = "this caller is not served"

    def __init__(self, detail: str = "") -> None:
        """Keep what the log should say beside the reason."""
        super().__init__(f"{self.because}: {detail}" if detail else self.because)
        self.detail = detail


class TokenMissingError(CallerRefusedError):
    """A call without `authorization: Bearer TOKEN`."""

    code = "token_missing"
    because = "no bearer token: send the one that AUTH_TOKEN names"


class TokenMalformedError(CallerRefusedError):
    """A token that is no JWT, or lacks a claim that every token has."""

    code = "token_malformed"
    because = "the token is no JWT with all its claims: put a service account's token there"


class TokenAlgorithmError(CallerRefusedError):
    """A token signed by another algorithm than ES256, or by none."""

    code = "token_algorithm"
    because = "the token's algorithm is not ES256: mint it with `sluice-control token`"


class TokenSignatureError(CallerRefusedError):
    """A token signed by a stranger, or changed on the way."""

    code = "token_signature"
    because = "the token is not signed by our key: mint it with this --state folder"


class TokenExpiredError(CallerRefusedError):
    """A token whose time is over."""

    code = "token_expired"
    because = "the token has expired: renew it"


class TokenEarlyError(CallerRefusedError):
    """A token whose time has not come: a clock is wrong."""

    code = "token_early"
    because = "the token is not good yet: set this clock, or its issuer's"


class TokenAudienceError(CallerRefusedError):
    """A token that is for somebody else than us."""

    code = "token_audience"
    because = "the token's audience is not istio-ca: ask for one with that audience"


class TokenIssuerError(CallerRefusedError):
    """A token of another issuer."""

    code = "token_issuer"
    because = "the token has another issuer"


class TokenSubjectError(CallerRefusedError):
    """A token that is not a service account's, or contradicts itself about whose it is."""

    code = "token_subject"
    because = "the token is not a service account's"


class CallerGoneError(CallerRefusedError):
    """A token bound to a pod that is not there any more, or is another one of the same name."""

    code = "caller_gone"
    because = "the token's pod does not live"


class CallerClusterError(CallerRefusedError):
    """A caller that says that it is of another cluster."""

    code = "caller_cluster"
    because = "the caller is of another cluster"


class CallerUntrustedError(CallerRefusedError):
    """An account that may not read the mesh: not a node proxy's."""

    code = "caller_untrusted"
    because = "the account is not among the trusted ones, and its pod is no waypoint's"


class CallerNodeError(CallerRefusedError):
    """A discovery client whose node id is of another namespace than its token."""

    code = "caller_node"
    because = "the node id is not the caller's"


class CallerKindError(CallerRefusedError):
    """A waypoint that says that it is a node proxy, or the other way round."""

    code = "caller_kind"
    because = "the node id is of another kind than the caller"


class WaypointGatewayError(CallerRefusedError):
    """A pod that is labelled as a waypoint's, of a Gateway that is no waypoint of ours."""

    code = "waypoint_gateway"
    because = "the pod's Gateway is not there, or its class is not ours"


class WaypointAccountError(CallerRefusedError):
    """A pod that is labelled as a waypoint's, and runs as another account than its Gateway."""

    code = "waypoint_account"
    because = "the pod runs as another service account than its Gateway"


class WaypointNodeError(CallerRefusedError):
    """A waypoint that says that it is another pod's, or another Gateway's."""

    code = "waypoint_node"
    because = "the node id or GATEWAY_NAME is not that of the caller's pod"


class ImpersonationRefusedError(DeniedError):
    """A certificate was asked for that the caller may not have."""

    code = "impersonation_refused"
    because = "the caller may not have this identity"

    def __init__(self, detail: str = "") -> None:
        """Keep what the log should say beside the reason."""
        super().__init__(f"{self.because}: {detail}" if detail else self.because)
        self.detail = detail


class ImpersonationInvalidError(ImpersonationRefusedError):
    """The identity that was asked for is none."""

    code = "impersonation_invalid"
    because = "not an identity"


class ImpersonationTrustDomainError(ImpersonationRefusedError):
    """An identity of another mesh was asked for."""

    code = "impersonation_trust_domain"
    because = "another trust domain"


class ImpersonationAccountError(ImpersonationRefusedError):
    """A caller that is no node proxy asked for another identity than its own."""

    code = "impersonation_account"
    because = "the caller is not trusted to ask for others"


class ImpersonationUnboundError(ImpersonationRefusedError):
    """A node proxy's token is not bound to a pod, so that nobody knows where it runs."""

    code = "impersonation_unbound"
    because = "the caller's token is bound to no pod"


class ImpersonationElsewhereError(ImpersonationRefusedError):
    """No live pod of the identity is on the caller's node."""

    code = "impersonation_elsewhere"
    because = "no live pod of the identity is on the caller's node"
