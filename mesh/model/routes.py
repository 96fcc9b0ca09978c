"""What a waypoint is told beside the workload API: routes with everything already resolved.

The control plane reads Gateway API objects into these values (gateway-api.sigs.k8s.io, kinds
HTTPRoute, GRPCRoute, TLSRoute, TCPRoute); waypoints, `sluice why` and the statuses are decided by
them. A backend that cannot be used keeps its place and its weight, and says why: its share fails.
"""

from dataclasses import dataclass
from enum import IntEnum

from mesh.model.address import Ip


class RouteKind(IntEnum):
    """What a route's requests speak. Only one kind has a port; the lower number wins."""

    GRPC = 1
    HTTP = 2
    TLS = 3
    TCP = 4


class PathMatchKind(IntEnum):
    """How a path, or a gRPC method, is compared."""

    EXACT = 1
    PREFIX = 2
    """Whole elements; the pattern's last slash does not count."""
    REGEX = 3
    """RE2, the whole path."""


class ValueMatchKind(IntEnum):
    """How a header or query parameter is compared."""

    EXACT = 1
    REGEX = 2


@dataclass(frozen=True, slots=True)
class PathMatch:
    """A pattern for the path without its query."""

    kind: PathMatchKind
    value: str


@dataclass(frozen=True, slots=True)
class MethodMatch:
    """A pattern for a gRPC method; an empty part means any. EXACT or REGEX."""

    kind: PathMatchKind
    service: str = ""
    method: str = ""


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """A pattern for one header (name in lower case) or one query parameter."""

    name: str
    kind: ValueMatchKind
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMatch:
    """Conditions that all hold; without any, every request matches."""

    path: PathMatch | None = None
    grpc: MethodMatch | None = None
    headers: tuple[ValueMatch, ...] = ()
    query: tuple[ValueMatch, ...] = ()
    method: str = ""


class PathModifierKind(IntEnum):
    """What of the path is replaced."""

    FULL = 1
    PREFIX = 2
    """The part that the rule's only match, a PREFIX, has matched."""


@dataclass(frozen=True, slots=True)
class PathModifier:
    """Replaces the path, or its matched prefix."""

    kind: PathModifierKind
    value: str


@dataclass(frozen=True, slots=True)
class HeaderChange:
    """Changes of a head's fields; names in lower case, each in one of the three lists only."""

    put: tuple[tuple[str, str], ...] = ()
    """Replaces whatever is there."""
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Answers instead of forwarding; what is not given stays as it was asked for."""

    scheme: str = ""
    hostname: str = ""
    path: PathModifier | None = None
    port: int = 0
    status: int = 302


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Changes the request's target before it is forwarded."""

    hostname: str = ""
    path: PathModifier | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """Cross-origin requests (the Fetch standard). Preflights are answered by the proxy."""

    origins: tuple[str, ...] = ()
    """Exact, `*`, or with `*.` before the rest of the host."""
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age_s: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalAuth:
    """Asks somebody else whether a request may pass; no answer means no."""

    is_grpc: bool
    """Envoy's `envoy.service.auth.v3.Authorization`; else plain HTTP, where 200 means yes."""
    service: str
    """`namespace/hostname`."""
    port: int
    path: str = ""
    """Put before the request's path, with HTTP."""
    request_headers: tuple[str, ...] = ()
    """Names that are sent along, beside those that always are."""
    response_headers: tuple[str, ...] = ()
    """Names of the answer that the backend's request gets."""
    max_body_octets: int = 0
    timeout_s: float = 10.0
    fails_open: bool = False
    added_headers: tuple[tuple[str, str], ...] = ()
    """Fields of the question beside the request's own, with HTTP."""
    denial_headers: tuple[str, ...] = ()
    """Names of a refusal that the client gets, with HTTP; none: all."""
    answer_headers: tuple[str, ...] = ()
    """Names of the answer that the client's answer gets when it agrees, with HTTP."""
    sends_partial_body: bool = False
    """Whether it sees the beginning of a body that is larger; else such a request is refused."""
    error_status: int = 403
    """Of the answer when it says nothing usable."""
    problem: str = ""
    """Why it cannot be asked, then every request is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Sends a copy of `numerator` of `denominator` requests, and ignores the answer."""

    service: str
    port: int
    numerator: int = 100
    denominator: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What happens to a request and its answer, in Gateway API's order. One of each kind."""

    request_headers: HeaderChange | None = None
    response_headers: HeaderChange | None = None
    mirrors: tuple[Mirror, ...] = ()
    redirect: Redirect | None = None
    rewrite: Rewrite | None = None
    cors: Cors | None = None
    external_auth: ExternalAuth | None = None
    extensions: tuple[str, ...] = ()
    """`namespace/name` of Python filters, in order."""
    problem: str = ""
    """A stable code: something cannot be done, so that each request is answered with 500."""


NO_FILTERS = Filters()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Where a share of the requests goes."""

    service: str = ""
    """`namespace/hostname`; its endpoints are chosen, its own routes are not applied."""
    port: int = 0
    """Of the service."""
    weight: int = 1
    filters: Filters = NO_FILTERS
    problem: str = ""
    """A stable code: this share fails (500; gRPC UNAVAILABLE; TCP and TLS: closed)."""


@dataclass(frozen=True, slots=True)
class Retry:
    """When a request is sent again. Connection errors and attempts out of time always count."""

    attempts: int = 2
    codes: tuple[int, ...] = ()
    backoff_s: float = 0.025


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Keeps a client at the endpoint that served it first, whatever the weights say."""

    in_cookie: bool
    name: str
    path: str = "/"
    lasts_s: float | None = None
    """None: a session cookie."""
    idle_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRule:
    """Some matches, and what to do with what they match."""

    name: str = ""
    matches: tuple[RequestMatch, ...] = ()
    """One of them is enough; none given means every request."""
    filters: Filters = NO_FILTERS
    backends: tuple[Backend, ...] = ()
    """Empty: 500, unless a filter answers."""
    request_s: float | None = None
    """For all attempts together; 0 or None: no limit."""
    attempt_s: float | None = None
    retry: Retry | None = None
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A service port that a route, or a policy, is for."""

    service: str
    """`namespace/hostname`."""
    port: int = 0
    """0: all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One accepted route object."""

    kind: RouteKind
    namespace: str
    name: str
    created: int = 0
    """Seconds since the epoch: the older route wins what is otherwise equal."""
    parents: tuple[Attachment, ...]
    hostnames: tuple[str, ...] = ()
    """Of a TLSRoute: the server names that it takes. Routes in the mesh have no others."""
    rules: tuple[RouteRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waypoint:
    """What a waypoint knows of itself: which destinations are its own."""

    namespace: str
    name: str
    """Of its Gateway."""
    addresses: tuple[Ip, ...] = ()
    hostnames: tuple[str, ...] = ()
    """By these, workloads and services name it in the workload API."""
    serves_services: bool = True
    serves_workloads: bool = False
    accounts: tuple[str, ...] = ()
    """Service accounts of its namespace: only they, and services of theirs alone, are served."""
    tells_client_certificate: bool = False
    """Whether requests get `x-forwarded-client-cert`."""
    account: str = ""
    """The service account that it runs as itself."""
    path_normalisation: str = "BASE"
    """How far requests' paths are brought to one spelling: NONE, BASE, MERGE_SLASHES,
    DECODE_AND_MERGE_SLASHES (Istio's `pathNormalization`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTraffic:
    """How requests reach the endpoints of a service (Istio's DestinationRule). 0: no limit."""

    namespace: str
    name: str
    service: str
    """`namespace/hostname`."""
    port: int = 0
    """0: all ports that have no value of their own."""
    max_connections: int = 0
    max_pending: int = 0
    max_requests: int = 0
    max_requests_per_connection: int = 0
    max_retries: int = 0
    connect_s: float = 10.0
    idle_s: float = 3600.0
    balance: str = "LEAST_REQUEST"
    """LEAST_REQUEST, ROUND_ROBIN, RANDOM."""
    consecutive_errors: int = 0
    """Answers of 5xx, or none, in a row, after which an endpoint is set aside; 0: never."""
    consecutive_gateway_errors: int = 0
    ejection_interval_s: float = 10.0
    ejection_s: float = 30.0
    max_ejected_percent: int = 10
    min_healthy_percent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterProgram:
    """A Python filter, which routes name as `namespace/name` in `Filters.extensions`."""

    namespace: str
    name: str
    source: str = ""
    """The module's text."""
    config: str = "{}"
    """What it is set to: a mapping, as JSON."""
    budget_s: float = 0.05
    """How long one call of it may take."""
    fails_open: bool = False
    """Whether a request passes when it fails or takes too long."""
    problem: str = ""
    """A stable code: why there is no program; then requests are answered with 500."""
