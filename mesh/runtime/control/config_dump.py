"""`/config_dump`: all that this proxy knows, in the JSON of Istio's node proxy.

`istioctl ztunnel-config` and `sluice why` read it. Names and shapes are Istio's; what has no
counterpart there (the age of a last good state) stands under `sluice`.
"""

import base64
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from mesh.model.address import format_ip
from mesh.model.fields import Json
from mesh.model.policy import Authorization, Cidr, Match, ServiceAccountMatch, StringMatch
from mesh.model.policy import StringMatchKind as Kind
from mesh.model.workload import (
    NO_BALANCING,
    NO_LOCALITY,
    GatewayAddress,
    IpFamilies,
    NamespacedHostname,
    NetworkAddress,
    Service,
    TunnelHeader,
    Workload,
)
from mesh.runtime.certificates import Described, describe
from mesh.runtime.control import words
from mesh.wire.feed import Certificate

MATCH_FIELDS: Final = {
    "namespaces": "namespaces",
    "not_namespaces": "notNamespaces",
    "principals": "principals",
    "not_principals": "notPrincipals",
    "source_ips": "sourceIps",
    "not_source_ips": "notSourceIps",
    "destination_ips": "destinationIps",
    "not_destination_ips": "notDestinationIps",
    "destination_ports": "destinationPorts",
    "not_destination_ports": "notDestinationPorts",
    "service_accounts": "serviceAccounts",
    "not_service_accounts": "notServiceAccounts",
}


def workload_json(workload: Workload) -> dict[str, Json]:
    """One workload."""
    shown: dict[str, Json] = {
        "uid": workload.uid,
        "name": workload.name,
        "namespace": workload.namespace,
        "workloadIps": [format_ip(ip) for ip in workload.addresses],
        "protocol": words.word(words.PROTOCOL, workload.protocol),
        "networkMode": words.word(words.NETWORK_MODE, workload.network_mode),
        "trustDomain": workload.trust_domain,
        "serviceAccount": workload.service_account,
        "workloadName": workload.workload_name,
        "workloadType": words.word(words.TYPE, workload.workload_type),
        "canonicalName": workload.canonical_name,
        "canonicalRevision": workload.canonical_revision,
        "status": words.word(words.STATUS, workload.status),
        "clusterId": workload.cluster_id,
        "capacity": workload.capacity,
    }
    shown |= _unless_empty(
        network=workload.network,
        hostname=workload.hostname,
        node=workload.node,
        waypoint=_gateway(workload.waypoint),
        networkGateway=_gateway(workload.network_gateway),
        authorizationPolicies=list(workload.authorization_policies),
        services=list(workload.services),
        nativeTunnel=workload.native_tunnel,
    )
    if workload.locality != NO_LOCALITY:
        locality = workload.locality
        shown["locality"] = {
            "region": locality.region,
            "zone": locality.zone,
            "subzone": locality.subzone,
        }
    if (tunnel := workload.application_tunnel) is not None:
        shown["applicationTunnel"] = {
            "protocol": words.word(words.TUNNEL_HEADER, tunnel.protocol or TunnelHeader.NONE),
            "port": tunnel.port,
        }
    return shown


def service_json(service: Service, endpoints: Iterable[Workload]) -> dict[str, Json]:
    """One service, with the workloads that serve it."""
    shown: dict[str, Json] = {
        "name": service.name,
        "namespace": service.namespace,
        "hostname": service.hostname,
        "vips": [_address(one) for one in service.addresses if one.prefix is None],
        "ports": {str(port.service_port): port.target_port for port in service.ports},
        "endpoints": {one.uid: _endpoint(one, service) for one in endpoints},
        "subjectAltNames": list(service.subject_alt_names),
        "visibility": words.word(words.VISIBILITY, service.visibility),
    }
    shown |= _unless_empty(
        canonical=service.canonical,
        waypoint=_gateway(service.waypoint),
        weightedWaypoints=[
            {"destination": _gateway(one.destination), "weight": one.weight}
            for one in service.weighted_waypoints
        ],
        cidrVips=[
            {"network": one.network, "cidr": f"{format_ip(one.ip)}/{one.prefix}"}
            for one in service.addresses
            if one.prefix is not None
        ],
    )
    if service.ip_families is not IpFamilies.AUTOMATIC:
        shown["ipFamilies"] = words.word(words.FAMILIES, service.ip_families)
    if (balancing := service.load_balancing) != NO_BALANCING:
        shown["loadBalancer"] = {
            "mode": words.word(words.MODE, balancing.mode),
            "routingPreferences": [
                words.word(words.PREFERENCE, scope) for scope in balancing.routing_preference
            ],
            "healthPolicy": words.word(words.HEALTH, balancing.health_policy),
        }
    return shown


def policy_json(policy: Authorization) -> dict[str, Json]:
    """One policy."""
    return {
        "name": policy.name,
        "namespace": policy.namespace,
        "scope": words.word(words.SCOPE, policy.scope),
        "action": words.word(words.ACTION, policy.action),
        "dryRun": policy.dry_run,
        "rules": [
            [[_match(match) for match in clause] for clause in rule] for rule in policy.rules
        ],
    }


def certificate_json(certificate: Certificate) -> dict[str, Json]:
    """One certificate and its chain; never the key."""
    return {
        "identity": str(certificate.identity),
        "state": "Available",
        "certChain": [_described(one) for one in describe(certificate.chain)],
        "rootCerts": [_described(one) for one in describe(certificate.roots)],
    }


def no_certificate_json(identity: str, reason: str) -> dict[str, Json]:
    """An identity that has no certificate (yet), and why."""
    state = f"Unavailable: {reason}" if reason else "Initializing"
    return {"identity": identity, "state": state, "certChain": [], "rootCerts": []}


def moment(seconds: float) -> str:
    """A time as RFC 3339 writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _unless_empty(**fields: Json) -> Mapping[str, Json]:
    return {name: value for name, value in fields.items() if value}


def _described(one: Described) -> Json:
    return {
        "pem": base64.b64encode(one.pem).decode(),
        "serialNumber": str(one.serial),
        "validFrom": moment(one.not_before),
        "expirationTime": moment(one.not_after),
    }


def _endpoint(workload: Workload, service: Service) -> Json:
    return {
        "workloadUid": workload.uid,
        "port": {
            str(port.service_port): port.target_port for port in workload.services[service.key]
        },
        "status": words.word(words.STATUS, workload.status),
    }


def _gateway(gateway: GatewayAddress | None) -> Json:
    if gateway is None:
        return None
    to = gateway.destination
    destination = (
        f"{to.namespace}/{to.hostname}" if isinstance(to, NamespacedHostname) else _address(to)
    )
    return {"destination": destination, "hboneMtlsPort": gateway.hbone_mtls_port}


def _address(address: NetworkAddress) -> str:
    return f"{address.network}/{format_ip(address.ip)}"


def _match(match: Match) -> Json:
    shown: dict[str, Json] = {}
    for field, name in MATCH_FIELDS.items():
        values: tuple[StringMatch | Cidr | int | ServiceAccountMatch, ...] = getattr(match, field)
        if values:
            shown[name] = [_value(value) for value in values]
    return shown


def _value(value: StringMatch | Cidr | int | ServiceAccountMatch) -> Json:
    match value:
        case StringMatch(Kind.PRESENCE, _):
            return {"Presence": []}
        case StringMatch(kind, pattern):
            return {kind.name.capitalize(): pattern}
        case Cidr(ip, prefix):
            return f"{format_ip(ip)}/{prefix}"
        case ServiceAccountMatch(namespace, account):
            return {"namespace": namespace, "serviceAccount": account}
        case int():
            return value
