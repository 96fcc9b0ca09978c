"""Why a request gets its answer from the waypoint itself, or none: codes, statuses, flags.

A code stands in the request's log line; the status is what the client sees; the flag is Envoy's
word for it, in the log and in Istio's metrics.
"""

from dataclasses import dataclass
from typing import Final

from mesh.errors import DeniedError, MeshError, PeerError, UnavailableError
from mesh.routing.http.answers import GRPC_OF_HTTP
from mesh.routing.http.paths import PathInvalidError
from mesh.wire.http.messages import Fields
from waypoint.filters.failures import (
    FilterBusyError,
    FilterEndedError,
    FilterFailedError,
    FilterLostError,
    FilterNotLoadedError,
    FilterOverBudgetError,
)
from waypoint.worker.tokens import RequestTokenError

FORBIDDEN: Final = 403
UNKNOWN: Final = 2
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
DEADLINE_EXCEEDED: Final = 4
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
UNAUTHENTICATED: Final = 16


class RouteMissingError(DeniedError):
    """The service has routes, and none of their rules matches the request."""

    code = "http_no_route"

    def __init__(self) -> None:
        super().__init__("no route matches")


class RouteInvalidError(UnavailableError):
    """The rule, or the backend whose turn it was, cannot be obeyed; the line's code says why."""

    code = "http_route_invalid"

    def __init__(self, problem: str) -> None:
        """Keep the problem's code."""
        super().__init__("the route cannot be followed")
        self.problem = problem


class BackendMissingError(UnavailableError):
    """The rule has no backend, or none with a weight."""

    code = "http_no_backend"

    def __init__(self) -> None:
        super().__init__("the route has no backend")


class EndpointMissingError(UnavailableError):
    """The backend has no endpoint that is ready."""

    code = "http_no_endpoint"

    def __init__(self) -> None:
        super().__init__("no endpoint is ready")


class EndpointUnreachableError(UnavailableError):
    """No connection to the endpoint could be made."""

    code = "http_endpoint_unreachable"

    def __init__(self, cause: MeshError | None = None) -> None:
        """Keep what went wrong."""
        super().__init__(f"no connection to the endpoint: {cause}" if cause else "no connection")
        self.cause = cause


class EndpointConnectTimedOutError(UnavailableError):
    """No connection to the endpoint came about in time."""

    code = "http_connect_timeout"

    def __init__(self, seconds: float) -> None:
        """Keep how long it was waited for."""
        super().__init__(f"no connection to the endpoint within {seconds:g} s")
        self.seconds = seconds


class EndpointEvictedError(UnavailableError):
    """The endpoint went away, or changed, before a connection to it was made."""

    code = "http_endpoint_evicted"

    def __init__(self) -> None:
        super().__init__("the endpoint is gone")


class OverflowingError(UnavailableError):
    """A limit of the backend's DestinationRule is reached: connections, waiting, or requests."""

    code = "http_overflow"

    def __init__(self) -> None:
        super().__init__("too many requests for the backend")


class AnswerResetError(PeerError):
    """The endpoint reset the request, or closed, before its answer began."""

    code = "http_answer_reset"

    def __init__(self) -> None:
        super().__init__("the endpoint gave no answer")


class AnswerInvalidError(PeerError):
    """The endpoint's answer is not HTTP, or its head is too large."""

    code = "http_answer_invalid"

    def __init__(self) -> None:
        super().__init__("the endpoint's answer is invalid")


class AnswerCutError(PeerError):
    """The endpoint's answer ended before it was whole."""

    code = "http_answer_cut"

    def __init__(self) -> None:
        super().__init__("the endpoint's answer was cut off")


class RequestTimedOutError(UnavailableError):
    """The answer had not come within the route's time, or the gRPC deadline."""

    code = "http_timeout"

    def __init__(self) -> None:
        super().__init__("request timeout")


class AttemptTimedOutError(UnavailableError):
    """One attempt had no answer within the route's time for one."""

    code = "http_attempt_timeout"

    def __init__(self) -> None:
        super().__init__("backend request timeout")


class AnswerStalledError(PeerError):
    """The endpoint has everything, and says nothing for so long that it was given up."""

    code = "http_answer_stalled"

    def __init__(self) -> None:
        super().__init__("the endpoint does not answer")


class RequestStalledError(PeerError):
    """The client began a request, and did not go on with it."""

    code = "http_request_stalled"

    def __init__(self) -> None:
        super().__init__("the request did not go on")


class BodyStalledError(PeerError):
    """Neither side moved anything for so long that the exchange was given up."""

    code = "http_body_stalled"

    def __init__(self) -> None:
        super().__init__("nothing moves")


class ClientGoneError(PeerError):
    """The client went away before its answer was whole."""

    code = "http_client_gone"

    def __init__(self) -> None:
        super().__init__("the client is gone")


class RequestInvalidError(PeerError):
    """What the client sends is not HTTP; the line's code says what is wrong with it."""

    code = "http_request_malformed"

    def __init__(self, cause: MeshError, status: int) -> None:
        """Keep what is wrong, and what the client was answered; 0: nothing."""
        super().__init__(str(cause))
        self.cause, self.status = cause, status


class ConnectMethodError(DeniedError):
    """A CONNECT inside the tunnel: the waypoint is no forward proxy."""

    code = "http_connect_method"

    def __init__(self) -> None:
        super().__init__("CONNECT is not served")


class RequestDeniedError(DeniedError):
    """A policy does not let the request pass; the line's code says which kind of verdict it was."""

    code = "http_denied"

    def __init__(self, verdict: str, policy: str = "") -> None:
        """Keep the verdict's code, and the policy's name if one decided."""
        super().__init__("RBAC: access denied")
        self.verdict, self.policy = verdict, policy


class AuthorizerDeniedError(DeniedError):
    """The external authoriser said no."""

    code = "http_authorizer_denied"

    def __init__(self) -> None:
        super().__init__("denied by the external authoriser")


class AuthorizerFailedError(UnavailableError):
    """The external authoriser could not be asked, or did not answer: the request may not pass."""

    code = "http_authorizer_failed"

    def __init__(self, cause: MeshError | None = None, status: int = 403) -> None:
        """Keep what went wrong, and the status that the client is to see."""
        super().__init__(f"no word of the external authoriser: {cause or 'unusable answer'}")
        self.cause, self.status = cause, status


class AuthorizerBodyTooLargeError(DeniedError):
    """The request's body is larger than what the external authoriser is to see."""

    code = "http_authorizer_body_too_large"

    def __init__(self, limit: int) -> None:
        """Keep the limit."""
        super().__init__(f"the body exceeds {limit} octets")
        self.limit = limit


class ExchangeBugError(UnavailableError):
    """A request was ended by a bug of ours; its traceback is in the log."""

    code = "http_internal_error"

    def __init__(self) -> None:
        super().__init__("internal error")


class DrainingError(UnavailableError):
    """The waypoint stops."""

    code = "http_draining"

    def __init__(self) -> None:
        super().__init__("the waypoint stops")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the client and the operator see of a failure."""

    status: int
    """HTTP's; 0 when nobody is there to see one."""
    grpc: int
    """The same in gRPC's words."""
    flag: str


OUTCOMES: Final[dict[type[MeshError], Outcome]] = {
    RouteMissingError: Outcome(404, UNIMPLEMENTED, "NR"),
    RouteInvalidError: Outcome(500, UNAVAILABLE, "NC"),
    BackendMissingError: Outcome(500, UNAVAILABLE, "NC"),
    EndpointMissingError: Outcome(503, UNAVAILABLE, "UH"),
    EndpointUnreachableError: Outcome(503, UNAVAILABLE, "UF"),
    EndpointConnectTimedOutError: Outcome(503, UNAVAILABLE, "UF"),
    EndpointEvictedError: Outcome(503, UNAVAILABLE, "UF"),
    OverflowingError: Outcome(503, UNAVAILABLE, "UO"),
    AnswerResetError: Outcome(503, UNAVAILABLE, "UC"),
    AnswerInvalidError: Outcome(502, UNAVAILABLE, "UPE"),
    AnswerCutError: Outcome(502, UNAVAILABLE, "UC"),
    RequestTimedOutError: Outcome(504, DEADLINE_EXCEEDED, "UT"),
    AttemptTimedOutError: Outcome(504, DEADLINE_EXCEEDED, "UT"),
    AnswerStalledError: Outcome(504, DEADLINE_EXCEEDED, "SI"),
    RequestStalledError: Outcome(408, UNAVAILABLE, "SI"),
    BodyStalledError: Outcome(504, DEADLINE_EXCEEDED, "SI"),
    ClientGoneError: Outcome(0, UNAVAILABLE, "DC"),
    ConnectMethodError: Outcome(501, UNIMPLEMENTED, "NR"),
    RequestDeniedError: Outcome(403, PERMISSION_DENIED, "-"),
    AuthorizerDeniedError: Outcome(403, PERMISSION_DENIED, "UAEX"),
    AuthorizerFailedError: Outcome(403, PERMISSION_DENIED, "UAEX"),
    AuthorizerBodyTooLargeError: Outcome(413, RESOURCE_EXHAUSTED, "UAEX"),
    PathInvalidError: Outcome(400, INTERNAL, "-"),
    FilterFailedError: Outcome(500, UNAVAILABLE, "-"),
    FilterOverBudgetError: Outcome(500, UNAVAILABLE, "-"),
    FilterEndedError: Outcome(500, UNAVAILABLE, "-"),
    FilterLostError: Outcome(500, UNAVAILABLE, "-"),
    FilterNotLoadedError: Outcome(500, UNAVAILABLE, "-"),
    FilterBusyError: Outcome(503, UNAVAILABLE, "UO"),
    ExchangeBugError: Outcome(500, INTERNAL, "-"),
    DrainingError: Outcome(503, UNAVAILABLE, "-"),
}

_UNKNOWN: Final = Outcome(503, UNAVAILABLE, "UF")


def outcome_of(error: MeshError) -> Outcome:
    """What is seen of a failure; one that is not of this module is a failure to connect."""
    match error:
        case RequestTokenError(status=status):
            grpc = PERMISSION_DENIED if status == FORBIDDEN else UNAUTHENTICATED
            return Outcome(status, grpc, "-")
        case AuthorizerFailedError(status=status) if status != FORBIDDEN:
            return Outcome(status, GRPC_OF_HTTP.get(status, UNKNOWN), "UAEX")
        case RequestInvalidError(status=status):
            return Outcome(status, INTERNAL, "DPE")
        case _:
            pass
    return OUTCOMES.get(type(error), _UNKNOWN)


def code_of(error: MeshError) -> str:
    """The code for the log: of a decision, the decision's own."""
    match error:
        case RouteInvalidError(problem=code) | RequestDeniedError(verdict=code):
            return code
        case RequestInvalidError(cause=cause):
            return cause.code
        case _:
            return error.code


def text_of(error: MeshError) -> bytes:
    """What a client reads of a failure over HTTP: of a refusal by policy, Istio's words."""
    match error:
        case RequestDeniedError():
            return str(error).encode()
        case RequestTokenError():
            return b"Jwt verification fails"
        case _:
            return error.code.encode() + b"\n"


def words_of(error: MeshError) -> str:
    """The same in gRPC: nothing of what only the log should have, causes and a filter's lines."""
    match error:
        case FilterFailedError() | EndpointUnreachableError() | AuthorizerFailedError():
            return error.code
        case _:
            return str(error)


def fields_of(error: MeshError) -> Fields:
    """Fields of the answer to a request that has failed (RFC 6750 section 3)."""
    if isinstance(error, RequestTokenError):
        kind = b"insufficient_scope" if error.status == FORBIDDEN else b"invalid_token"
        return [(b"www-authenticate", b'Bearer error="' + kind + b'"')]
    return []
