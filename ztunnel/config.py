"""The node proxy's settings: one frozen value, made of environment variables by one pure function.

1. The variables are those of Istio's ztunnel, with their meanings and defaults; ours begin with
   `SLUICE_`, except for the three certificate files.
2. Every problem is reported at once. What Istio's ztunnel knows and we do not do is a warning.
3. No trio, no OpenSSL, no gRPC below this module: the supervisor imports it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Final, Self

from mesh.errors import ConfigError
from mesh.model.names import ADMIN_PORT, METRICS_PORT, PACKET_MARK, READINESS_PORT
from ztunnel.variables import Variables

ROOT_CERTIFICATE: Final = "./var/run/secrets/istio/root-cert.pem"
TOKEN_FILE: Final = "./var/run/secrets/tokens/istio-token"  # noqa: S105 - a path
IN_KUBERNETES: Final = "https://istiod.istio-system.svc:15012"
ELSEWHERE: Final = "https://localhost:15012"
MAX_PORT: Final = 65_535
MAX_OWN_THREADS: Final = 4
MAX_THREADS: Final = 256
CPU_LIMITS: Final = ("ZTUNNEL_CPU_LIMIT", "ZTUNNEL_RESOURCE_CPU_LIMIT")
MAX_WINDOW_OCTETS: Final = 2**31 - 1

NOT_DONE: Final[Mapping[str, str]] = {
    "ZTUNNEL_RESOURCE_CPU_REQUEST": "workers are one per core, at most 4 or the limit",
    "XDS_ON_DEMAND": "the whole state is always asked for",
    "PREFERED_SERVICE_NAMESPACE": "there is no DNS proxy yet",
    "DNS_CAPTURE": "there is no DNS proxy yet",
    "DNS_PROXY_ADDR": "there is no DNS proxy yet",
    "ISTIO_META_DNS_CAPTURE": "there is no DNS proxy yet",
    "ISTIO_META_DNS_PROXY_ADDR": "there is no DNS proxy yet",
    "FAKE_CA": "certificates come from CA_ADDRESS or from files",
    "CRL_PATH": "revocation lists are not read: a revoked certificate is still trusted",
    "UNSTABLE_ENABLE_SOCKS5": "there is no SOCKS5 listener",
}
"""Variables of Istio's ztunnel that have no effect here, and what happens instead."""


class Mode(StrEnum):
    """Whose traffic it carries."""

    SHARED = "shared"
    DEDICATED = "dedicated"


@dataclass(frozen=True, slots=True)
class ProxyWorkload:
    """The one workload of a dedicated proxy."""

    namespace: str
    name: str
    service_account: str


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers to start: a number, a part of the cores, or our default."""

    number: int | None = None
    percent: int | None = None
    limit: int | None = None
    """Cores that the orchestrator grants: bounds our default."""

    def of(self, cores: int) -> int:
        """How many that is on a machine with so many cores; at least 1."""
        if self.percent is not None:
            return max(1, ceil(cores * self.percent / 100))
        if self.number is None:
            return max(1, min(cores, self.limit or cores, MAX_OWN_THREADS))
        return self.number or max(1, cores)


@dataclass(frozen=True, slots=True)
class Api:
    """A server of the control plane."""

    address: str
    """`https://HOST:PORT`; empty means not to be asked."""
    root_ca: str
    """Path, `SYSTEM`, or PEM."""
    alt_hostname: str
    """Another name that its certificate may have."""
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Keepalive:
    """TCP keep-alive of application connections."""

    enabled: bool
    time_s: float
    interval_s: float
    retries: int
    user_timeout: bool
    """Whether to set TCP_USER_TIMEOUT to what the probes take together."""


@dataclass(frozen=True, slots=True)
class Http2:
    """Sizes of the tunnel's flow control."""

    stream_window_octets: int
    connection_window_octets: int
    frame_octets: int


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files of a dedicated proxy that has no certificate authority."""

    chain: str
    key: str
    roots: str


@dataclass(frozen=True, slots=True)
class Ports:
    """Of ztunnel's own namespace; 0 takes a free one and logs it."""

    admin: int
    stats: int
    readiness: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings. Durations in seconds."""

    mode: Mode
    proxy_workload: ProxyWorkload | None
    network: str
    node_name: str
    cluster_id: str
    cluster_domain: str
    trust_domain: str
    pod_name: str
    pod_namespace: str
    service_account: str
    instance_ip: str
    node_metadata: tuple[tuple[str, str], ...]
    node_json_metadata: tuple[tuple[str, str], ...]
    packet_mark: int | None
    keepalive: Keepalive
    inpod_uds: str
    inpod_port_reuse: bool
    xds: Api
    ca: Api
    auth_token: str
    """Path or the token itself; empty means none. A path is read anew for each call."""
    local_xds: str
    local_xds_path: str
    secret_ttl_s: float
    certificate_files: CertificateFiles | None
    state_dir: str
    """Where the last good state is kept; empty means nowhere."""
    workers: Workers
    pool_max_streams: int
    pool_unused_release_s: float
    drain_s: float
    http2: Http2
    enable_orig_src: bool | None
    localhost_app_tunnel: bool
    enable_response_baggage: bool
    ipv6_enabled: bool
    authz_policy_info_logging: bool
    post_quantum_only: bool
    ports: Ports
    log_levels: str
    """As RUST_LOG writes them: `info,access=debug`."""
    log_json: bool
    warnings: tuple[str, ...]
    """What is set and has no effect: to be logged at start."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables.

        Raises:
            ConfigError: one sentence for each problem, which names the variable and the mend.
        """
        environ, problems = _with_proxy_config(environ)
        read = Variables(environ)
        read.problems += problems
        mode = read.choice("PROXY_MODE", Mode.SHARED, {mode.value: mode for mode in Mode})
        files = _certificate_files(read, mode)
        config = cls(
            mode=mode,
            proxy_workload=_proxy_workload(read, mode),
            network=read.text("NETWORK"),
            node_name=read.text("NODE_NAME"),
            cluster_id=read.text("ISTIO_META_CLUSTER_ID") or read.text("CLUSTER_ID", "Kubernetes"),
            cluster_domain=read.text("CLUSTER_DOMAIN", "cluster.local"),
            trust_domain=read.text("TRUST_DOMAIN", "cluster.local"),
            pod_name=read.text("POD_NAME"),
            pod_namespace=read.text("POD_NAMESPACE"),
            service_account=read.text("SERVICE_ACCOUNT"),
            instance_ip=read.text("INSTANCE_IP"),
            node_metadata=read.beginning_with("ISTIO_META_"),
            node_json_metadata=read.beginning_with("ISTIO_METAJSON_"),
            packet_mark=_packet_mark(read, mode),
            keepalive=_keepalive(read),
            inpod_uds=read.text("INPOD_UDS", "/var/run/ztunnel/ztunnel.sock"),
            inpod_port_reuse=read.flag("INPOD_PORT_REUSE", default=True),
            xds=_api(read, "XDS", with_default=not _has_local_state(read)),
            ca=_api(read, "CA", with_default=files is None),
            auth_token=read.text("AUTH_TOKEN", TOKEN_FILE),
            local_xds=read.text("LOCAL_XDS"),
            local_xds_path=read.text("LOCAL_XDS_PATH"),
            secret_ttl_s=read.seconds("SECRET_TTL", 86_400.0),
            certificate_files=files,
            state_dir=read.text("SLUICE_STATE_DIR"),
            workers=_workers(read),
            pool_max_streams=read.whole("POOL_MAX_STREAMS_PER_CONNECTION", 100, 1, 65_535),
            pool_unused_release_s=read.seconds("POOL_UNUSED_RELEASE_TIMEOUT", 300.0),
            drain_s=_drain_s(read),
            http2=_http2(read),
            enable_orig_src=read.maybe_flag("ENABLE_ORIG_SRC"),
            localhost_app_tunnel=read.flag("LOCALHOST_APP_TUNNEL", default=True),
            enable_response_baggage=read.flag("ENABLE_RESPONSE_BAGGAGE", default=True),
            ipv6_enabled=read.flag("IPV6_ENABLED", default=True),
            authz_policy_info_logging=read.flag("AUTHZ_POLICY_INFO_LOGGING", default=False),
            post_quantum_only=read.choice("COMPLIANCE_POLICY", "", {"": False, "pqc": True}),
            ports=_ports(read),
            log_levels=read.text("RUST_LOG", "info"),
            log_json=read.choice("LOG_FORMAT", "plain", {"plain": False, "json": True}),
            warnings=tuple(f"{name} has no effect: {NOT_DONE[name]}" for name in _not_done(read)),
        )
        _check_what_must_not_be(read)
        if read.problems:
            raise ConfigError(tuple(read.problems))
        return config


def _with_proxy_config(environ: Mapping[str, str]) -> tuple[Mapping[str, str], list[str]]:
    text = environ.get("PROXY_CONFIG", "")
    if not text:
        return environ, []
    from ztunnel.proxy_config import variables_of  # noqa: PLC0415 - only who sets it pays for YAML

    variables, problems = variables_of(text)
    return {**variables, **environ}, problems


def _not_done(read: Variables) -> list[str]:
    return [name for name in NOT_DONE if read.text(name).lower() not in ("", "false", "0", "off")]


def _check_what_must_not_be(read: Variables) -> None:
    if not read.flag("ENABLE_PROXY", default=True):
        read.problem("ENABLE_PROXY", "there is no DNS proxy yet, so nothing would run: remove it")
    if read.flag("TLS12_ENABLED", default=False):
        read.problem("TLS12_ENABLED", "the tunnel speaks TLS 1.3 only: remove it")
    if read.text("LOCAL_XDS") and read.text("LOCAL_XDS_PATH"):
        read.problem("LOCAL_XDS_PATH", "LOCAL_XDS is set too: remove one of them")
    if _has_local_state(read) and read.text("XDS_ADDRESS"):
        read.problem("XDS_ADDRESS", "LOCAL_XDS or LOCAL_XDS_PATH is set too: remove one of them")


def _has_local_state(read: Variables) -> bool:
    return bool(read.text("LOCAL_XDS") or read.text("LOCAL_XDS_PATH"))


def _proxy_workload(read: Variables, mode: Mode) -> ProxyWorkload | None:
    if mode is Mode.SHARED:
        return None
    match read.text("PROXY_WORKLOAD_INFO").split("/"):
        case [namespace, name, account] if namespace and name and account:
            return ProxyWorkload(namespace, name, account)
        case _:
            read.problem(
                "PROXY_WORKLOAD_INFO",
                "PROXY_MODE=dedicated needs NAMESPACE/NAME/SERVICE_ACCOUNT of its workload",
            )
            return None


def _certificate_files(read: Variables, mode: Mode) -> CertificateFiles | None:
    names = ("CERT_FILE", "KEY_FILE", "ROOT_FILE")
    given = [name for name in names if read.text(name)]
    if not given:
        return None
    for name in names:
        if name not in given:
            read.problem(name, f"needed beside {given[0]}: write the path of a PEM file")
    if mode is Mode.SHARED:
        read.problem(
            given[0],
            "certificate files are for PROXY_MODE=dedicated: a shared proxy has many identities",
        )
    return CertificateFiles(*(read.text(name) for name in names))


def _packet_mark(read: Variables, mode: Mode) -> int | None:
    default = PACKET_MARK if mode is Mode.SHARED else 0
    return read.whole("PACKET_MARK", default, 0, 2**32 - 1) or None


def _keepalive(read: Variables) -> Keepalive:
    return Keepalive(
        enabled=read.flag("KEEPALIVE_ENABLED", default=True),
        time_s=read.seconds("KEEPALIVE_TIME", 180.0),
        interval_s=read.seconds("KEEPALIVE_INTERVAL", 180.0),
        retries=read.whole("KEEPALIVE_RETRIES", 9, 1, 127),
        user_timeout=read.flag("USER_TIMEOUT_ENABLED", default=False),
    )


def _api(read: Variables, kind: str, *, with_default: bool) -> Api:
    default = ""
    if with_default:
        default = IN_KUBERNETES if read.text("KUBERNETES_SERVICE_HOST") else ELSEWHERE
    name = f"{kind}_ADDRESS"
    address = read.raw(name, default)
    if address and "://" not in address:
        address = f"https://{address}"
    host, _, port = address.removeprefix("https://").rstrip("/").rpartition(":")
    if address and not (
        address.startswith("https://") and host and port.isdecimal() and int(port) <= MAX_PORT
    ):
        read.problem(name, "write https://HOST:PORT (a token never travels in plain text)")
    return Api(
        address=address.rstrip("/"),
        root_ca=read.text(f"{kind}_ROOT_CA", ROOT_CERTIFICATE),
        alt_hostname=read.text(f"ALT_{kind}_HOSTNAME"),
        headers=tuple(
            (header.lower(), value) for header, value in read.beginning_with(f"{kind}_HEADER_")
        ),
    )


def _workers(read: Variables) -> Workers:
    text = read.text("ZTUNNEL_WORKER_THREADS")
    limits = [read.whole(name, 0, 0, MAX_THREADS) for name in CPU_LIMITS]
    if not text:
        return Workers(limit=next(filter(None, limits), None))
    number = text.removesuffix("%")
    if not (number.isascii() and number.isdecimal() and int(number) <= MAX_THREADS):
        read.problem(
            "ZTUNNEL_WORKER_THREADS", "write a number (0 for one per core) or a part such as 50%"
        )
        return Workers()
    return Workers(percent=int(number)) if text.endswith("%") else Workers(number=int(number))


def _drain_s(read: Variables) -> float:
    """Somewhat less than the orchestrator grants before it kills."""
    grace_s = read.whole("TERMINATION_GRACE_PERIOD_SECONDS", 0, 0, 86_400)
    default = 5.0
    if grace_s:
        default = float(max(1, grace_s - 5 if grace_s > 10 else grace_s - 1))
    return read.seconds("CONNECTION_TERMINATION_DEADLINE", default)


def _http2(read: Variables) -> Http2:
    mebi = 1024 * 1024
    return Http2(
        read.whole("HTTP2_STREAM_WINDOW_SIZE", 4 * mebi, 1, MAX_WINDOW_OCTETS),
        read.whole("HTTP2_CONNECTION_WINDOW_SIZE", 16 * mebi, 1, MAX_WINDOW_OCTETS),
        read.whole("HTTP2_FRAME_SIZE", mebi, 2**14, 2**24 - 1),
    )


def _ports(read: Variables) -> Ports:
    return Ports(
        admin=read.whole("SLUICE_ADMIN_PORT", ADMIN_PORT, 0, MAX_PORT),
        stats=read.whole("SLUICE_STATS_PORT", METRICS_PORT, 0, MAX_PORT),
        readiness=read.whole("SLUICE_READINESS_PORT", READINESS_PORT, 0, MAX_PORT),
    )
