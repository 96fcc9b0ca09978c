"""Stock Envoy as a waypoint: three listeners, as Istio's are.

15008 terminates CONNECT and hands the octets to an internal listener with the route; the route's
cluster is a second internal listener, which opens the CONNECT to the endpoint.
"""

from collections.abc import Sequence

from bench import envoy
from bench.envoy import TYPE, Json
from bench.namespaces import SERVER_IP, SERVICE_IP
from mesh.model.identity import Identity
from tests.pki import Issued

INTERNAL: Json = {
    "name": "internal_upstream",
    "typed_config": {
        "@type": f"{TYPE}.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
        "transport_socket": {
            "name": "raw_buffer",
            "typed_config": {"@type": f"{TYPE}.transport_sockets.raw_buffer.v3.RawBuffer"},
        },
    },
}
H2C: Json = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": envoy.HTTP_OPTIONS,
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


def waypoint(
    issued: Issued, client: Identity, server: Identity, ports: Sequence[int], h2c: Sequence[int]
) -> Json:
    """Serve these ports of SERVICE_IP, from `client`, by SERVER_IP, which is `server`.

    Requests with `x-bench: match` get a header more on their way; the others find no route.
    """
    terminate = envoy.connect_listener(
        issued, client, {f"{SERVICE_IP}:{port}": f"main-{port}" for port in ports}
    )
    listeners = [terminate]
    clusters = [envoy.hbone_cluster("hbone", issued, server, SERVER_IP)]
    for port in ports:
        listeners.append(_internal(f"main-{port}", _manager(port)))
        originate = envoy.tunnelled("hbone", f"{SERVER_IP}:{port}")
        listeners.append(_internal(f"originate-{port}", originate))
        clusters.append(_to_internal(f"main-{port}"))
        options: Json = {"typed_extension_protocol_options": H2C} if port in h2c else {}
        clusters.append(_to_internal(f"originate-{port}") | options)
    whole = envoy.bootstrap(listeners, clusters)
    extension = "envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
    whole["bootstrap_extensions"] = [
        {
            "name": "envoy.bootstrap.internal_listener",
            "typed_config": {"@type": f"type.googleapis.com/{extension}"},
        }
    ]
    return whole


def _manager(port: int) -> Json:
    matched = {"name": "x-bench", "string_match": {"exact": "match"}}
    route = {
        "match": {"prefix": "/", "headers": [matched]},
        "route": {"cluster": f"originate-{port}", "timeout": "0s"},
        "request_headers_to_add": [{"header": {"key": "x-added", "value": "by-the-waypoint"}}],
    }
    manager = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": f"main-{port}",
        "codec_type": "AUTO",
        "stream_idle_timeout": "0s",
        "route_config": {
            "name": f"main-{port}",
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"},
            }
        ],
    }
    return {"name": "http", "typed_config": manager}


def _internal(name: str, network_filter: Json) -> Json:
    return {
        "name": name,
        "internal_listener": {},
        "filter_chains": [{"filters": [network_filter]}],
    }


def _to_internal(name: str) -> Json:
    endpoint = {"endpoint": {"address": {"envoy_internal_address": {"server_listener_name": name}}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "circuit_breakers": envoy.NO_LIMIT,
        "transport_socket": INTERNAL,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
