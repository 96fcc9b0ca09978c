"""What is told of a connection that failed: the words, the stable code, and the metrics' flag."""

from typing import Final

from mesh.errors import DeniedError, MeshError, UnavailableError
from mesh.observe.access_log import ResponseFlag
from mesh.policy.authorize import Verdict
from mesh.routing.decisions import Refused
from mesh.routing.inbound import Refusal
from mesh.runtime import tls
from mesh.runtime.tls_revocation import RevocationUnknownError, TlsRevokedError
from mesh.runtime.worker.credentials import CertificateMissingError
from mesh.runtime.worker.dial import ConnectFailedError, ConnectTimedOutError
from mesh.runtime.worker.trust import OwnCertificateExpiredError, PeerCertificateExpiredError
from mesh.wire.http2.errors import Http2Error


class SelfCallError(DeniedError):
    """A connection to one of the proxy's own ports."""

    code = "self_call"

    def __init__(self) -> None:
        """There is nothing to keep."""
        super().__init__("attempted recursive call to ourselves")


class RouteRefusedError(UnavailableError):
    """There is no way to the destination; the line's code says why."""

    code = "route_refused"

    def __init__(self, refused: Refused) -> None:
        """Keep the decision."""
        super().__init__(refused.reason)
        self.refused = refused


class ConnectInvalidError(DeniedError):
    """A CONNECT that cannot be served; the line's code says why."""

    code = "connect_invalid"

    def __init__(self, refusal: Refusal) -> None:
        """Keep the decision, with the answer's status."""
        super().__init__(refusal.reason)
        self.refusal = refusal


class PolicyDeniedError(DeniedError):
    """A policy does not let a connection in; the line's code says which kind of verdict it was."""

    code = "policy_refused"

    def __init__(self, verdict: Verdict) -> None:
        """Keep the verdict."""
        super().__init__(verdict.reason)
        self.verdict = verdict


class PolicyChangedError(DeniedError):
    """A policy has come into force that forbids a connection that was open."""

    code = "policy_changed"

    def __init__(self, verdict: Verdict) -> None:
        """Keep the verdict."""
        super().__init__("connection closed due to policy change")
        self.verdict = verdict


class ConnectionDrainedError(UnavailableError):
    """The pod or the proxy goes away, and its connections with it."""

    code = "connection_drained"

    def __init__(self) -> None:
        """There is nothing to keep."""
        super().__init__("connection closed due to connection drain")


class BugError(UnavailableError):
    """A connection was ended by a bug of ours; its traceback is in the log."""

    code = "internal_error"

    def __init__(self) -> None:
        """There is nothing to keep."""
        super().__init__("internal error: see the traceback before this line")


class HboneBlockedError(UnavailableError):
    """Nobody answers on a peer's HBONE port."""

    code = "hbone_blocked"

    def __init__(self, reason: str) -> None:
        """Keep what is known."""
        super().__init__(f"{reason}; maybe a NetworkPolicy is blocking HBONE port 15008")


FLAGS: Final[dict[type[BaseException], ResponseFlag]] = {
    PolicyDeniedError: ResponseFlag.DENIED,
    PolicyChangedError: ResponseFlag.DENIED,
    ConnectFailedError: ResponseFlag.CONNECT,
    ConnectTimedOutError: ResponseFlag.CONNECT,
    HboneBlockedError: ResponseFlag.NETWORK_POLICY,
    CertificateMissingError: ResponseFlag.IDENTITY_ERROR,
    Http2Error: ResponseFlag.H2_HANDSHAKE_FAILURE,
    tls.TlsNoAlpnError: ResponseFlag.H2_HANDSHAKE_FAILURE,
    tls.TlsHandshakeFailedError: ResponseFlag.TLS_FAILURE,
    tls.TlsNoCertificateError: ResponseFlag.TLS_FAILURE,
    tls.TlsUntrustedError: ResponseFlag.TLS_FAILURE,
    tls.TlsExpiredError: ResponseFlag.TLS_FAILURE,
    tls.TlsIdentitiesError: ResponseFlag.TLS_FAILURE,
    tls.TlsTrustDomainError: ResponseFlag.TLS_FAILURE,
    tls.TlsUnexpectedIdentityError: ResponseFlag.TLS_FAILURE,
    TlsRevokedError: ResponseFlag.CERT_REVOKED,
    RevocationUnknownError: ResponseFlag.TLS_FAILURE,
    PeerCertificateExpiredError: ResponseFlag.TLS_FAILURE,
    OwnCertificateExpiredError: ResponseFlag.IDENTITY_ERROR,
}


def flag_of(error: BaseException) -> ResponseFlag:
    """The metrics' flag of an error."""
    found = (FLAGS[kind] for kind in type(error).__mro__ if kind in FLAGS)
    return next(found, ResponseFlag.NONE)


def code_of(error: BaseException) -> str:
    """The stable code of an error: of a refusal by policy, the verdict's."""
    match error:
        case PolicyDeniedError(verdict=verdict):
            return verdict.code
        case RouteRefusedError(refused=refused):
            return refused.code
        case ConnectInvalidError(refusal=refusal):
            return refusal.code
        case MeshError():
            return error.code
        case OSError():
            return "connection_reset"
        case _:
            return BugError.code


def describe(error: BaseException) -> str:
    """What to write in the log."""
    match error:
        case MeshError():
            return str(error)
        case OSError():
            return error.strerror or str(error)
        case _:
            return str(BugError())
