"""The settings as `/config_dump` shows them: Istio's names where Istio has one. No secrets."""

from mesh.model.fields import Json
from mesh.model.identity import Identity
from mesh.model.names import HBONE_PORT, INBOUND_PLAINTEXT_PORT, OUTBOUND_PORT, OWN_PORTS
from ztunnel.config import Config, Mode


def config_json(config: Config, workers: int) -> dict[str, Json]:
    """The settings; `workers` is how many run."""
    wildcard = "[::]" if config.ipv6_enabled else "0.0.0.0"
    workload = config.proxy_workload
    return {
        "proxyMode": "Dedicated" if config.mode is Mode.DEDICATED else "Shared",
        "proxyWorkloadInformation": None
        if workload is None
        else {
            "namespace": workload.namespace,
            "name": workload.name,
            "serviceAccount": workload.service_account,
        },
        "proxy": True,
        "dnsProxy": False,
        "network": config.network,
        "localNode": config.node_name or None,
        "clusterId": config.cluster_id,
        "clusterDomain": config.cluster_domain,
        "ztunnelIdentity": str(
            Identity(config.trust_domain, config.pod_namespace, config.service_account)
        ),
        "ztunnelWorkload": {
            "name": config.pod_name,
            "namespace": config.pod_namespace,
            "serviceAccount": config.service_account,
        },
        "outboundAddr": f"{wildcard}:{OUTBOUND_PORT}",
        "inboundAddr": f"{wildcard}:{HBONE_PORT}",
        "inboundPlaintextAddr": f"{wildcard}:{INBOUND_PLAINTEXT_PORT}",
        "illegalPorts": [*sorted(OWN_PORTS)],
        "adminAddr": {"Localhost": [config.ipv6_enabled, config.ports.admin]},
        "statsAddr": {"SocketAddr": f"{wildcard}:{config.ports.stats}"},
        "readinessAddr": {"SocketAddr": f"{wildcard}:{config.ports.readiness}"},
        "inpodUds": config.inpod_uds,
        "inpodPortReuse": config.inpod_port_reuse,
        "packetMark": config.packet_mark,
        "requireOriginalSource": config.enable_orig_src,
        "localhostAppTunnel": config.localhost_app_tunnel,
        "enableEnhancedBaggage": config.enable_response_baggage,
        "ipv6Enabled": config.ipv6_enabled,
        "numWorkerThreads": workers,
        "xdsOnDemand": False,
        **_control_plane(config),
        **_sizes(config),
    }


def _control_plane(config: Config) -> dict[str, Json]:
    return {
        "xdsAddress": config.xds.address or None,
        "xdsRootCert": {"File": config.xds.root_ca},
        "altXdsHostname": config.xds.alt_hostname or None,
        # Values of headers may be secrets.
        "xdsHeaders": [name for name, _ in config.xds.headers],
        "caAddress": config.ca.address or None,
        "caRootCert": {"File": config.ca.root_ca},
        "altCaHostname": config.ca.alt_hostname or None,
        "caHeaders": [name for name, _ in config.ca.headers],
        "fakeCa": False,
        "crlPath": None,
        "secretTtl": _duration(config.secret_ttl_s),
        "proxyMetadata": dict(config.node_metadata),
    }


def _sizes(config: Config) -> dict[str, Json]:
    keepalive = config.keepalive
    return {
        "windowSize": config.http2.stream_window_octets,
        "connectionWindowSize": config.http2.connection_window_octets,
        "frameSize": config.http2.frame_octets,
        "poolMaxStreamsPerConn": config.pool_max_streams,
        "poolUnusedReleaseTimeout": _duration(config.pool_unused_release_s),
        "selfTerminationDeadline": _duration(config.drain_s),
        "socketConfig": {
            "keepaliveEnabled": keepalive.enabled,
            "keepaliveTime": _duration(keepalive.time_s),
            "keepaliveInterval": _duration(keepalive.interval_s),
            "keepaliveRetries": keepalive.retries,
            "userTimeoutEnabled": keepalive.user_timeout,
        },
    }


def _duration(seconds: float) -> Json:
    whole = int(seconds)
    return {"secs": whole, "nanos": round((seconds - whole) * 1e9)}
