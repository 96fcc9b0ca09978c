"""Stock Envoy in a pod: a server behind the waypoint, and a client of it.

`/direct` it answers itself; everything else it asks of a service, and what begins with `/h2` by
HTTP/2. Both versions come by one port.
"""

import json
import os
import sys

from bench.envoy import binary

EXTENSIONS = "type.googleapis.com/envoy.extensions"
MANAGER = f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"


def socket_address(host: str, port: int) -> dict[str, object]:
    """As Envoy writes it."""
    return {"socket_address": {"address": host, "port_value": port}}


def cluster(name: str, host: str, port: int, *, is_http2: bool) -> dict[str, object]:
    """The service, in one version."""
    version = "http2_protocol_options" if is_http2 else "http_protocol_options"
    endpoint = {"endpoint": {"address": socket_address(host, port)}}
    return {
        "name": name,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_ONLY",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {version: {}},
            }
        },
    }


def configuration(port: int, host: str, there: int) -> dict[str, object]:
    """All of it."""
    routes = [
        {
            "match": {"prefix": "/direct"},
            "direct_response": {"status": 201, "body": {"inline_string": "direct"}},
        },
        {
            "match": {"prefix": "/h2/"},
            "route": {"cluster": "second", "prefix_rewrite": "/", "timeout": "30s"},
        },
        {"match": {"prefix": "/"}, "route": {"cluster": "first", "timeout": "30s"}},
    ]
    manager = {
        "@type": MANAGER,
        "stat_prefix": "in",
        "codec_type": "AUTO",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {
            "name": "all",
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "name": "in",
        "address": socket_address("0.0.0.0", port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    clusters = [
        cluster("first", host, there, is_http2=False),
        cluster("second", host, there, is_http2=True),
    ]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


if __name__ == "__main__":
    program = binary()
    given = json.dumps(configuration(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
    words = ["--config-yaml", given, "--concurrency", "1", "--disable-hot-restart"]
    os.execv(program, [program, *words, "--log-level", "warning"])
