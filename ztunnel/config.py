"""The node proxy's settings: one frozen value, made of environment variables by one pure function.

1. The variables are those of Istio's ztunnel, with their meanings and defaults; ours begin with
   `SLUICE_`, except for the three certificate files.
2. Every problem is reported at once. What Istio's ztunnel knows and we do not do is a warning.
3. No trio, no OpenSSL, no gRPC below this module: the supervisor imports it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from mesh.errors import ConfigError, MeshError
from mesh.model.address import SocketAddress, parse_ip
from mesh.model.names import PACKET_MARK
from mesh.runtime import settings
from mesh.runtime.settings import Api, CertificateFiles, Http2, Keepalive, Ports, Workers
from mesh.runtime.variables import Variables

CPU_LIMITS: Final = ("ZTUNNEL_CPU_LIMIT", "ZTUNNEL_RESOURCE_CPU_LIMIT")

NOT_DONE: Final[Mapping[str, str]] = {
    "ZTUNNEL_RESOURCE_CPU_REQUEST": "workers are one per core, at most 4 or the limit",
    "XDS_ON_DEMAND": "the whole state is always asked for",
    "DNS_PROXY_ADDR": "the DNS proxy is at port 15053 of a pod's loopback addresses",
    "ISTIO_META_DNS_PROXY_ADDR": "the DNS proxy is at port 15053 of a pod's loopback addresses",
    "FAKE_CA": "certificates come from CA_ADDRESS or from files",
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
    dns_enabled: bool
    dns_servers: tuple[SocketAddress, ...]
    """Who is asked for names that are not the mesh's; none: those of /etc/resolv.conf."""
    preferred_service_namespace: str
    authz_policy_info_logging: bool
    post_quantum_only: bool
    crl_path: str
    """Revocation lists, PEM or DER; empty means that there are none."""
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
            keepalive=settings.keepalive(read),
            inpod_uds=read.text("INPOD_UDS", "/var/run/ztunnel/ztunnel.sock"),
            inpod_port_reuse=read.flag("INPOD_PORT_REUSE", default=True),
            xds=settings.api(read, "XDS", with_default=not _has_local_state(read)),
            ca=settings.api(read, "CA", with_default=files is None),
            auth_token=read.text("AUTH_TOKEN", settings.TOKEN_FILE),
            local_xds=read.text("LOCAL_XDS"),
            local_xds_path=read.text("LOCAL_XDS_PATH"),
            secret_ttl_s=read.seconds("SECRET_TTL", 86_400.0),
            certificate_files=files,
            state_dir=read.text("SLUICE_STATE_DIR"),
            workers=settings.workers(read, "ZTUNNEL_WORKER_THREADS", CPU_LIMITS),
            pool_max_streams=read.whole("POOL_MAX_STREAMS_PER_CONNECTION", 100, 1, 65_535),
            pool_unused_release_s=read.seconds("POOL_UNUSED_RELEASE_TIMEOUT", 300.0),
            drain_s=settings.drain_s(read),
            http2=settings.http2(read),
            enable_orig_src=read.maybe_flag("ENABLE_ORIG_SRC"),
            localhost_app_tunnel=read.flag("LOCALHOST_APP_TUNNEL", default=True),
            enable_response_baggage=read.flag("ENABLE_RESPONSE_BAGGAGE", default=True),
            ipv6_enabled=read.flag("IPV6_ENABLED", default=True),
            dns_enabled=_dns_enabled(read),
            dns_servers=_dns_servers(read),
            preferred_service_namespace=read.text("PREFERED_SERVICE_NAMESPACE"),
            authz_policy_info_logging=read.flag("AUTHZ_POLICY_INFO_LOGGING", default=False),
            post_quantum_only=read.choice("COMPLIANCE_POLICY", "", {"": False, "pqc": True}),
            crl_path=read.text("CRL_PATH"),
            ports=settings.ports(read),
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
        read.problem("ENABLE_PROXY", "the DNS proxy does not run without it: remove it")
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


def _dns_enabled(read: Variables) -> bool:
    default = read.text("DNS_CAPTURE", "true")
    return read.text("ISTIO_META_DNS_CAPTURE", default).lower() == "true"


def _dns_servers(read: Variables) -> tuple[SocketAddress, ...]:
    servers: list[SocketAddress] = []
    for text in filter(None, map(str.strip, read.text("SLUICE_DNS_SERVERS").split(","))):
        try:
            is_bare = text.count(":") != 1 and not text.startswith("[")
            servers.append(
                SocketAddress(parse_ip(text), 53) if is_bare else SocketAddress.parse(text)
            )
        except MeshError:
            read.problem(
                "SLUICE_DNS_SERVERS", f"{text!r}: write addresses: 10.0.0.1,[fd00::1]:5353"
            )
    return tuple(servers)


def _packet_mark(read: Variables, mode: Mode) -> int | None:
    default = PACKET_MARK if mode is Mode.SHARED else 0
    return read.whole("PACKET_MARK", default, 0, 2**32 - 1) or None
