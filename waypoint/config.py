"""The waypoint's settings: one frozen value, made of environment variables by one pure function.

1. Variables that the node proxy has, too, have its names, meanings and defaults.
2. Every problem is reported at once.
3. No trio, no OpenSSL, no gRPC below this module: the supervisor imports it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from mesh.errors import ConfigError
from mesh.model.identity import Identity
from mesh.runtime import settings
from mesh.runtime.settings import Api, Http2, Keepalive, Ports, Workers
from mesh.runtime.tracing import Tracing, tracing
from mesh.runtime.variables import Variables

REQUIRED: Final[Mapping[str, str]] = {
    "GATEWAY_NAME": "needed: the Gateway that this waypoint serves, in POD_NAMESPACE",
    "POD_NAMESPACE": "needed: the namespace of the Gateway, and of this pod",
    "SERVICE_ACCOUNT": "needed: whose certificate this waypoint uses",
}
CPU_LIMITS: Final = ("WAYPOINT_CPU_LIMIT",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings. Durations in seconds."""

    gateway: str
    """Name of the Gateway, in `pod_namespace`."""
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
    keepalive: Keepalive
    xds: Api
    ca: Api
    auth_token: str
    """Path or the token itself; empty means none. A path is read anew for each call."""
    secret_ttl_s: float
    crl_path: str
    """Revocation lists, PEM or DER; empty means that there are none."""
    state_dir: str
    """Where the last good state is kept; empty means nowhere."""
    workers: Workers
    pool_max_streams: int
    pool_unused_release_s: float
    drain_s: float
    http2: Http2
    ipv6_enabled: bool
    post_quantum_only: bool
    ports: Ports
    tracing: Tracing | None
    log_levels: str
    """As RUST_LOG writes them: `info,access=debug`."""
    log_json: bool

    @property
    def identity(self) -> Identity:
        """Who this waypoint is, to clients and to endpoints."""
        return Identity(self.trust_domain, self.pod_namespace, self.service_account)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables.

        Raises:
            ConfigError: one sentence for each problem, which names the variable and the mend.
        """
        read = Variables(environ)
        for name, mend in REQUIRED.items():
            if not read.text(name):
                read.problem(name, mend)
        config = cls(
            gateway=read.text("GATEWAY_NAME"),
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
            keepalive=settings.keepalive(read),
            xds=settings.api(read, "XDS", with_default=True),
            ca=settings.api(read, "CA", with_default=True),
            auth_token=read.text("AUTH_TOKEN", settings.TOKEN_FILE),
            secret_ttl_s=read.seconds("SECRET_TTL", 86_400.0),
            crl_path=read.text("CRL_PATH"),
            state_dir=read.text("SLUICE_STATE_DIR"),
            workers=settings.workers(read, "WAYPOINT_WORKER_THREADS", CPU_LIMITS),
            pool_max_streams=read.whole("POOL_MAX_STREAMS_PER_CONNECTION", 100, 1, 65_535),
            pool_unused_release_s=read.seconds("POOL_UNUSED_RELEASE_TIMEOUT", 300.0),
            drain_s=settings.drain_s(read),
            http2=settings.http2(read),
            ipv6_enabled=read.flag("IPV6_ENABLED", default=True),
            post_quantum_only=read.choice("COMPLIANCE_POLICY", "", {"": False, "pqc": True}),
            ports=settings.ports(read),
            tracing=tracing(read, f"{read.text('GATEWAY_NAME')}.{read.text('POD_NAMESPACE')}"),
            log_levels=read.text("RUST_LOG", "info"),
            log_json=read.choice("LOG_FORMAT", "plain", {"plain": False, "json": True}),
        )
        if read.problems:
            raise ConfigError(tuple(read.problems))
        return config
