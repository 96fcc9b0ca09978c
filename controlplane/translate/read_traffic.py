"""DestinationRules (Istio), each by itself: how requests reach the endpoints of a service.

Read are connectionPool, outlierDetection and loadBalancer.simple, for all ports or for single ones.
Everything else is named in a problem, and has no effect.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from controlplane.translate.read_machines import is_host
from controlplane.translate.route_facts import TrafficFacts, hostname_key
from controlplane.translate.route_fields import number_at
from controlplane.translate.settings import Settings
from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.routes import ServiceTraffic

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?(?:h|ms|us|ns|m|s))+", re.ASCII)
_DURATION_PART: Final = re.compile(r"([0-9.]+)(h|ms|us|ns|m|s)", re.ASCII)
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_BALANCES: Final = {
    "": "LEAST_REQUEST",
    "UNSPECIFIED": "LEAST_REQUEST",
    "LEAST_REQUEST": "LEAST_REQUEST",
    "LEAST_CONN": "LEAST_REQUEST",
    "ROUND_ROBIN": "ROUND_ROBIN",
    "RANDOM": "RANDOM",
}
_MAX: Final = 2**32 - 1

_READ: Final = frozenset(
    {
        "host",
        "trafficPolicy.connectionPool.tcp.maxConnections",
        "trafficPolicy.connectionPool.tcp.connectTimeout",
        "trafficPolicy.connectionPool.tcp.idleTimeout",
        "trafficPolicy.connectionPool.http.http1MaxPendingRequests",
        "trafficPolicy.connectionPool.http.http2MaxRequests",
        "trafficPolicy.connectionPool.http.maxRequestsPerConnection",
        "trafficPolicy.connectionPool.http.maxRetries",
        "trafficPolicy.connectionPool.http.idleTimeout",
        "trafficPolicy.outlierDetection.consecutive5xxErrors",
        "trafficPolicy.outlierDetection.consecutiveGatewayErrors",
        "trafficPolicy.outlierDetection.interval",
        "trafficPolicy.outlierDetection.baseEjectionTime",
        "trafficPolicy.outlierDetection.maxEjectionPercent",
        "trafficPolicy.outlierDetection.minHealthPercent",
        "trafficPolicy.loadBalancer.simple",
        "trafficPolicy.portLevelSettings",
    }
)
_GROUPS: Final = frozenset(name.rpartition(".")[0] for name in _READ if "." in name) | {
    "trafficPolicy",
    "trafficPolicy.connectionPool",
}


def read_traffic(found: KubernetesObject, settings: Settings) -> TrafficFacts:
    """A DestinationRule.

    Raises:
        FieldInvalidError: a field that is read has a value that it cannot have.
    """
    spec = found.at("spec")
    policy = spec.at("trafficPolicy")
    service, problem = _service(found, spec.text("host"), settings)
    plain = ServiceTraffic(namespace=found.key.namespace, name=found.key.name, service="")
    values = [_traffic(policy, plain)]
    problems = [problem] if problem else []
    problems += _unread(spec, "", _READ)
    for part in policy.parts("portLevelSettings"):
        port = number_at(part.at("port"), "number", 1, 65_535)
        if not port:
            raise part.at("port").invalid("number", "must be a port of the service")
        values.append(_traffic(part, replace(plain, port=port)))
        problems += _unread(part, "trafficPolicy", _READ | {"trafficPolicy.port"})
    return TrafficFacts(
        key=found.key,
        service=service,
        values=tuple(values) if service else (),
        created=found.created,
        problems=tuple(problems),
    )


def _service(
    found: KubernetesObject, host: str, settings: Settings
) -> tuple[ObjectKey | None, str]:
    """The Service, or whoever has a host, that a host means; and why it means nobody."""
    own = found.key.namespace
    suffix = f".svc.{settings.cluster_domain}"
    match host.removesuffix(suffix).removesuffix(".svc").split("."):
        case [name] if name:
            namespace = own
        case [name, namespace] if name and namespace:
            pass
        case _ if is_host(host):
            return hostname_key(host), ""
        case _:
            return None, f"spec.host: {host!r:.100} is no host's name: no effect"
    if "*" in host:
        return None, f"spec.host: {host!r:.100} means no one Service: write one name; no effect"
    if own not in (namespace, settings.root_namespace):
        mend = f"only rules of {namespace} and {settings.root_namespace} count for its services"
        return None, f"spec.host: {mend}: put the rule there; it has no effect"
    return ObjectKey("Service", namespace, name), ""


def _unread(part: Part, prefix: str, read: frozenset[str]) -> Iterator[str]:
    """Fields that have no effect."""
    for name in part.body:
        path = f"{prefix}.{name}" if prefix else name
        if not part.has(name) or path in read:
            continue
        if path in _GROUPS:
            yield from _unread(part.at(name), path, read)
        else:
            yield f"{part.field(name)}: is not supported and has no effect: take it away"


def _traffic(part: Part, plain: ServiceTraffic) -> ServiceTraffic:
    tcp, http = part.at("connectionPool", "tcp"), part.at("connectionPool", "http")
    simple = part.at("loadBalancer").text("simple")
    if simple not in _BALANCES:
        words = "LEAST_REQUEST, ROUND_ROBIN or RANDOM"
        raise part.at("loadBalancer").invalid("simple", f"{simple!r:.40} is none: write {words}")
    idle_s = duration_at(http, "idleTimeout", duration_at(tcp, "idleTimeout", plain.idle_s))
    return _with_outliers(
        part,
        replace(
            plain,
            max_connections=number_at(tcp, "maxConnections", 0, _MAX),
            max_pending=number_at(http, "http1MaxPendingRequests", 0, _MAX),
            max_requests=number_at(http, "http2MaxRequests", 0, _MAX),
            max_requests_per_connection=number_at(http, "maxRequestsPerConnection", 0, _MAX),
            max_retries=number_at(http, "maxRetries", 0, _MAX),
            connect_s=duration_at(tcp, "connectTimeout", plain.connect_s),
            idle_s=idle_s,
            balance=_BALANCES[simple],
        ),
    )


def _with_outliers(part: Part, traffic: ServiceTraffic) -> ServiceTraffic:
    if not part.has("outlierDetection"):
        return traffic
    outliers = part.at("outlierDetection")
    return replace(
        traffic,
        consecutive_errors=number_at(outliers, "consecutive5xxErrors", 0, _MAX, 5),
        consecutive_gateway_errors=number_at(outliers, "consecutiveGatewayErrors", 0, _MAX),
        ejection_interval_s=duration_at(outliers, "interval", traffic.ejection_interval_s),
        ejection_s=duration_at(outliers, "baseEjectionTime", traffic.ejection_s),
        max_ejected_percent=number_at(outliers, "maxEjectionPercent", 0, 100, 10),
        min_healthy_percent=number_at(outliers, "minHealthPercent", 0, 100),
    )


def duration_at(part: Part, name: str, default: float) -> float:
    """A duration as Istio writes it, such as `1.5h`.

    Raises:
        FieldInvalidError: it is none.
    """
    if not part.has(name):
        return default
    text = part.text(name)
    if not _DURATION.fullmatch(text):
        raise part.invalid(name, f"{text!r:.40} is no duration: write one such as 10s or 1.5h")
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))
