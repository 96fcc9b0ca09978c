"""Pods, Services and EndpointSlices, each among the others."""

from dataclasses import replace
from sys import intern
from typing import Final

from controlplane.translate.accounts import account_of, chooses_by_account
from controlplane.translate.application_tunnel import application_tunnel
from controlplane.translate.auto_waypoints import AUTO, auto_gateways, is_routed
from controlplane.translate.built import Built
from controlplane.translate.canaries import canary_of
from controlplane.translate.conditions import condition
from controlplane.translate.endpoint_ports import ports_at_pod
from controlplane.translate.entry_status import entry_status
from controlplane.translate.facts import (
    NamespaceFacts,
    PodFacts,
    Selectable,
    ServiceFacts,
    SliceFacts,
)
from controlplane.translate.labels import INGRESS_USE_WAYPOINT, SERVICE_NAME
from controlplane.translate.read_peers import STATIC_STRICT, policy_of
from controlplane.translate.store import Store
from controlplane.translate.waypoints import waypoint_of, waypoint_of_account
from mesh.model.fields import Json
from mesh.model.names import HBONE_PORT
from mesh.model.workload import (
    NO_LOCALITY,
    BalanceMode,
    GatewayAddress,
    LoadBalancing,
    NamespacedHostname,
    NetworkAddress,
    NetworkMode,
    Port,
    Service,
    Workload,
    WorkloadStatus,
)
from mesh.policy.peer_authentication import strictness

BY_ACCOUNT: Final = "sluice.dev/WaypointByAccount"
_BY_ACCOUNT: Final = (
    "its endpoints run as several service accounts: a connection goes by the waypoint of the "
    "account of the endpoint that is chosen for it; a ztunnel that is not ours passes that over"
)


def build_pod(store: Store, facts: PodFacts, built: Built) -> None:
    """The workload that a pod is."""
    if facts.workload is None:
        return
    namespace = facts.key.namespace
    network = store.network
    node = store.nodes.get("", facts.node)
    account = facts.workload.service_account
    waypoint = waypoint_of(store, facts.labels, namespace, "workload", account)
    tunnel, problem = application_tunnel(store, facts.labels, namespace)
    # What a namespace asks for in vain is told once, at the namespace.
    problems = (waypoint.problem if waypoint.is_own else "", problem)
    built.problems.extend(problem for problem in problems if problem)
    built.values.append(
        replace(
            facts.workload,
            network=network,
            network_gateway=network_gateway(store, network),
            locality=node.locality if node else NO_LOCALITY,
            waypoint=waypoint.address,
            account_waypoint=waypoint_of_account(store, facts.labels, namespace, account),
            application_tunnel=tunnel,
            authorization_policies=policies_of(store, facts),
            services=_services_of(store, facts),
        )
    )


def _services_of(store: Store, pod: PodFacts) -> dict[str, tuple[Port, ...]]:
    found = {}
    for service in store.services_of(pod):
        for served in store.served(service):
            found[intern(served.key)] = ports_at_pod(service, pod)
    return found


def policies_of(store: Store, pod: Selectable) -> tuple[str, ...]:
    """The policies that a workload names: those of its labels, and of its PeerAuthentication."""
    named = {
        policy.authorization.key
        for policy in store.policies_of(pod)
        if policy.authorization is not None
    }
    return (*(intern(name) for name in sorted(named)), *_peer_policy_of(store, pod))


def _peer_policy_of(store: Store, pod: Selectable) -> tuple[str, ...]:
    inherited = store.inherited_mode(pod.key.namespace)
    peer = store.peer_of(pod)
    if peer is not None and (policy := policy_of(peer, inherited)) is not None:
        return (intern(policy.key),)
    strict = strictness(peer, inherited).everywhere
    return (intern(f"{store.settings.root_namespace}/{STATIC_STRICT}"),) if strict else ()


# Services and slices.


def build_service(store: Store, facts: ServiceFacts, built: Built) -> None:
    """The service that a Service is, or those that a ServiceEntry is."""
    if facts.service is None:
        return
    namespace = store.namespace(facts.key.namespace)
    routed = is_routed(store, facts)
    waypoint = waypoint_of(
        store,
        facts.labels,
        facts.key.namespace,
        "service",
        account_of(store, facts),
        is_routed=routed,
    )
    if routed and waypoint.asked == (facts.key.namespace, AUTO):
        built.objects += auto_gateways(store, facts.key.namespace)
    canary = canary_of(store, facts, waypoint)
    built.problems.extend(problem for problem in (waypoint.problem, canary.problem) if problem)
    by_account = chooses_by_account(store, facts)
    conditions: list[Json] = [canary.condition] if canary.condition is not None else []
    if by_account:
        conditions.append(condition(BY_ACCOUNT, "True", "SeveralAccounts", _BY_ACCOUNT))
    if facts.entry is not None:
        has_waypoint = waypoint.address is not None and not waypoint.problem
        status = entry_status(store, facts, conditions, has_waypoint=has_waypoint)
        built.status = status or None
    elif conditions:
        built.status = {"conditions": conditions}
    ingress = facts.labels.get(INGRESS_USE_WAYPOINT, namespace.labels.get(INGRESS_USE_WAYPOINT))
    built.values.extend(
        replace(
            service,
            addresses=_addresses(store, facts, service.hostname),
            canonical=facts.entry is None or store.owner(service.hostname) == facts.key,
            waypoint=waypoint.address,
            weighted_waypoints=canary.waypoints,
            ingress_use_waypoint=waypoint.address is not None and ingress == "true",
            chooses_by_account=by_account,
            load_balancing=_balancing(service, facts, namespace),
        )
        for service in store.served(facts)
    )


def _addresses(store: Store, facts: ServiceFacts, host: str) -> tuple[NetworkAddress, ...]:
    network = store.network
    if facts.entry is None:
        return tuple(NetworkAddress(network, ip) for ip in facts.addresses)
    if facts.entry.ranges:
        return tuple(NetworkAddress(network, ip, length) for ip, length in facts.entry.ranges)
    return tuple(NetworkAddress(network, ip) for ip in store.allocations.of(facts.key, host))


def _balancing(service: Service, facts: ServiceFacts, namespace: NamespaceFacts) -> LoadBalancing:
    wanted_here = facts.balancing or namespace.balancing
    if service.load_balancing.mode is BalanceMode.PASSTHROUGH:
        return service.load_balancing
    if wanted_here is None or wanted_here.mode is BalanceMode.UNSPECIFIED:
        return service.load_balancing
    return replace(wanted_here, health_policy=service.load_balancing.health_policy)


def build_slice(store: Store, facts: SliceFacts, built: Built) -> None:
    """The workloads that are in a slice and are no pods."""
    namespace = facts.key.namespace
    service = store.services.get(namespace, facts.service)
    if service is None and facts.service:
        mend = f"there is no Service {namespace}/{facts.service}: make it, or remove the slice"
        built.problems.append(f"metadata.labels[{SERVICE_NAME}]: {mend}")
    if service is None or service.service is None:
        return
    ports = tuple(
        Port(port.number, facts.ports[port.name])
        for port in service.ports
        if port.name in facts.ports
    )
    settings = store.settings
    for endpoint in facts.endpoints:
        place = f"{settings.cluster_id}/discovery.k8s.io/EndpointSlice/{namespace}"
        built.values.append(
            Workload(
                uid=f"{place}/{facts.key.name}/{endpoint.text}",
                name=facts.key.name,
                namespace=intern(namespace),
                addresses=endpoint.addresses,
                network=store.network,
                trust_domain=settings.trust_domain,
                cluster_id=settings.cluster_id,
                status=WorkloadStatus.HEALTHY if endpoint.is_ready else WorkloadStatus.UNHEALTHY,
                # Whoever it is, it has no tunnel and no policies of ours.
                network_mode=NetworkMode.HOST_NETWORK,
                services={intern(service.service.key): ports},
            )
        )


def network_gateway(store: Store, network: str) -> GatewayAddress | None:
    """The gateway that leads to a network, if one is declared; of several the first by name."""
    if not network:
        return None
    leading = [g for g in store.gateways.all() if g.network == network]
    for gateway in sorted(leading, key=lambda found: found.key):
        if gateway.ips:
            return GatewayAddress(NetworkAddress(network, gateway.ips[0][0]), HBONE_PORT)
        if gateway.hostname:
            named = NamespacedHostname(gateway.key.namespace, gateway.hostname)
            return GatewayAddress(named, HBONE_PORT)
    return None
