"""LOCAL_XDS: the state of a proxy that has no control plane, as a YAML document.

The fields are those of Istio's node proxy (and of our own `config_dump`); what is unknown is an
error, and every problem is reported at once. An empty trust domain is `cluster.local`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from mesh.errors import ConfigError
from mesh.model.address import AddressInvalidError, Ip, parse_ip
from mesh.model.workload import (
    ApplicationTunnel,
    GatewayAddress,
    LoadBalancing,
    Locality,
    NamespacedHostname,
    NetworkAddress,
    Port,
    Service,
    WeightedWaypoint,
    Workload,
)
from mesh.runtime.control import words
from mesh.wire.discovery_client import ADDRESS_TYPE, AUTHORIZATION_TYPE
from mesh.wire.feed_codec import Resource, resource_name
from ztunnel.config import Config
from ztunnel.control.local_policies import read_policy
from ztunnel.control.strict import Fields, whole

MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class LocalState:
    """What a document says."""

    resources: tuple[Resource, ...] = ()

    def by_type(self) -> dict[str, dict[str, Resource]]:
        """As discovery would have told it: by type URL and name."""
        found: dict[str, dict[str, Resource]] = {ADDRESS_TYPE: {}, AUTHORIZATION_TYPE: {}}
        for resource in self.resources:
            is_address = isinstance(resource, Workload | Service)
            kind = ADDRESS_TYPE if is_address else AUTHORIZATION_TYPE
            found[kind][resource_name(resource)] = resource
        return found


def load(config: Config) -> LocalState:
    """The state that LOCAL_XDS or LOCAL_XDS_PATH gives; empty when neither is set.

    Raises:
        ConfigError: no file, or something wrong in it.
    """
    if config.local_xds:
        return parse(config.local_xds, "LOCAL_XDS")
    if not config.local_xds_path:
        return LocalState()
    try:
        written = Path(config.local_xds_path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError((f"LOCAL_XDS_PATH {config.local_xds_path}: {error}",)) from None
    return parse(written, config.local_xds_path)


def parse(written: str, name: str) -> LocalState:
    """The state of a document.

    Raises:
        ConfigError: every problem, each with its place.
    """
    try:
        document: object = yaml.safe_load(written)
    except yaml.YAMLError as error:
        raise ConfigError((f"{name}: not YAML: {' '.join(str(error).split())}",)) from None
    problems: list[str] = []
    fields = Fields({} if document is None else document, "", problems)
    resources: tuple[Resource, ...] = (
        *fields.each("workloads", lambda value, path: _workload(fields.at(value, path))),
        *fields.each("services", lambda value, path: _service(fields.at(value, path))),
        *fields.each("policies", lambda value, path: read_policy(fields.at(value, path))),
    )
    fields.end()
    names: set[str] = set()
    for resource in resources:
        if (key := resource_name(resource)) in names:
            problems.append(f"{key}: there are two of this name: remove one")
        names.add(key)
    if problems:
        raise ConfigError(tuple(f"{name}: {problem}" for problem in problems))
    return LocalState(resources)


def _workload(fields: Fields) -> Workload:
    workload = Workload(
        uid=fields.text("uid", None),
        name=fields.text("name", None),
        namespace=fields.text("namespace", None),
        addresses=fields.parsed("workloadIps", parse_ip, "an IP address"),
        hostname=fields.text("hostname"),
        network=fields.text("network"),
        protocol=fields.choice("protocol", "TCP", words.PROTOCOL),
        trust_domain=fields.text("trustDomain") or "cluster.local",
        service_account=fields.text("serviceAccount") or "default",
        waypoint=_gateway(fields.inner("waypoint")),
        network_gateway=_gateway(fields.inner("networkGateway")),
        application_tunnel=_tunnel(fields.inner("applicationTunnel")),
        node=fields.text("node"),
        canonical_name=fields.text("canonicalName"),
        canonical_revision=fields.text("canonicalRevision"),
        workload_type=fields.choice("workloadType", "deployment", words.TYPE),
        workload_name=fields.text("workloadName"),
        native_tunnel=fields.flag("nativeTunnel"),
        authorization_policies=fields.parsed("authorizationPolicies", _named, "NAMESPACE/NAME"),
        status=fields.choice("status", "Healthy", words.STATUS),
        cluster_id=fields.text("clusterId") or "Kubernetes",
        locality=_locality(fields.inner("locality")),
        network_mode=fields.choice("networkMode", "Standard", words.NETWORK_MODE),
        capacity=fields.whole("capacity", 1),
        services=_served(fields),
    )
    fields.end()
    return workload


def _served(fields: Fields) -> Mapping[str, tuple[Port, ...]]:
    served = {}
    for key, ports in fields.entries("services"):
        namespace, _, hostname = key.partition("/")
        if not (namespace and hostname):
            fields.problem("services", f"{key!r}: write NAMESPACE/HOSTNAME")
        inner = fields.at({"ports": ports}, f"{fields.path}.services[{key}]")
        served[key] = _ports(inner)
    return served


def _ports(fields: Fields) -> tuple[Port, ...]:
    """`service port: target port`, of each."""
    ports = []
    for service_port, target in fields.entries("ports"):
        numbers = whole(service_port, MAX_PORT), whole(target, MAX_PORT)
        if numbers[0] is None or numbers[1] is None:
            fields.problem("ports", "write SERVICE-PORT: TARGET-PORT, two numbers")
        else:
            ports.append(Port(numbers[0], numbers[1]))
    return tuple(ports)


def _service(fields: Fields) -> Service:
    ranges = fields.each("cidrVips", lambda value, path: _range(fields.at(value, path)))
    service = Service(
        name=fields.text("name", None),
        namespace=fields.text("namespace", None),
        hostname=fields.text("hostname", None),
        addresses=(*fields.parsed("vips", _network_address, "NETWORK/IP"), *ranges),
        ports=_ports(fields),
        subject_alt_names=fields.parsed("subjectAltNames", str, "a text"),
        waypoint=_gateway(fields.inner("waypoint")),
        weighted_waypoints=fields.each(
            "weightedWaypoints", lambda value, path: _weighted(fields.at(value, path))
        ),
        load_balancing=_balancing(fields.inner("loadBalancer")),
        ip_families=fields.choice("ipFamilies", "Automatic", words.FAMILIES),
        canonical=fields.flag("canonical"),
        visibility=fields.choice("visibility", "Public", words.VISIBILITY),
    )
    fields.end()
    return service


def _range(fields: Fields) -> NetworkAddress | None:
    network, written = fields.text("network"), fields.text("cidr", None)
    fields.end()
    ip, _, prefix = written.partition("/")
    try:
        address = parse_ip(ip)
    except AddressInvalidError:
        fields.problem("cidr", "write IP/PREFIX")
        return None
    length = whole(prefix, len(address) * 8)
    if length is None:
        fields.problem("cidr", "write IP/PREFIX")
    return NetworkAddress(network, address, length)


def _balancing(fields: Fields | None) -> LoadBalancing:
    if fields is None:
        return LoadBalancing()
    balancing = LoadBalancing(
        mode=fields.choice("mode", "Standard", words.MODE),
        routing_preference=fields.parsed(
            "routingPreferences", lambda word: words.PREFERENCE[word.capitalize()], "a scope"
        ),
        health_policy=fields.choice("healthPolicy", "OnlyHealthy", words.HEALTH),
    )
    fields.end()
    return balancing


def _locality(fields: Fields | None) -> Locality:
    if fields is None:
        return Locality()
    locality = Locality(fields.text("region"), fields.text("zone"), fields.text("subzone"))
    fields.end()
    return locality


def _tunnel(fields: Fields | None) -> ApplicationTunnel | None:
    if fields is None:
        return None
    protocol = fields.choice("protocol", "NONE", words.TUNNEL_HEADER)
    tunnel = ApplicationTunnel(protocol, fields.whole("port", 0, MAX_PORT))
    fields.end()
    return tunnel


def _weighted(fields: Fields) -> WeightedWaypoint | None:
    destination = _gateway(fields.inner("destination"))
    weight = fields.whole("weight", 1)
    fields.end()
    if destination is None:
        fields.problem("destination", "is missing: write {destination, hboneMtlsPort}")
        return None
    return WeightedWaypoint(destination, weight)


def _gateway(fields: Fields | None) -> GatewayAddress | None:
    """`{destination: NETWORK/IP or NAMESPACE/HOSTNAME, hboneMtlsPort}`."""
    if fields is None:
        return None
    written = fields.text("destination", None)
    port = fields.whole("hboneMtlsPort", 0, MAX_PORT)
    fields.end()
    before, slash, after = written.partition("/")
    if not (slash and after):
        fields.problem("destination", "write NETWORK/IP or NAMESPACE/HOSTNAME")
        return None
    ip = _ip_or_none(after)
    if ip is not None:
        return GatewayAddress(NetworkAddress(before, ip), port)
    return GatewayAddress(NamespacedHostname(before, after), port)


def _ip_or_none(text: str) -> Ip | None:
    try:
        return parse_ip(text)
    except AddressInvalidError:
        return None


def _network_address(text: str) -> NetworkAddress:
    network, slash, ip = text.partition("/")
    if not slash:
        raise ValueError(text)
    return NetworkAddress(network, parse_ip(ip))


def _named(text: str) -> str:
    namespace, slash, name = text.partition("/")
    if not (slash and name):
        raise ValueError(namespace)
    return text
