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
from controlplane.translate.facts import NamespaceFacts, PodFacts, ServiceFacts, SliceFacts
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
            authorization_policies=_policies_of(store, facts),
            services=_services_of(store, facts),
        )
    )


def _services_of(store: Store, pod: PodFacts) -> dict[str, tuple[Port, ...]]:
    found = {}
    for service in store.services_of(pod):
        if service.service is not None:
            found[intern(service.service.key)] = _ports_of(service, pod)
    return found


def _ports_of(service: ServiceFacts, pod: PodFacts) -> tuple[Port, ...]:
    """The service's ports at one pod; one whose name the pod does not have is left out."""
    if service.fixed_ports is not None:
        return service.fixed_ports
    ports = []
    for port in service.ports:
        target = port.target
        if port.target_name:
            named = (
                own.number
                for own in pod.named_ports
                if (own.name, own.protocol) == (port.target_name, port.protocol)
            )
            target = next(named, 0)
        if target:
            ports.append(Port(port.number, target))
    return tuple(ports)


def _policies_of(store: Store, pod: PodFacts) -> tuple[str, ...]:
    named = {
        policy.authorization.key
        for policy in store.policies_of(pod)
        if policy.authorization is not None
    }
    return (*(intern(name) for name in sorted(named)), *_peer_policy_of(store, pod))


def _peer_policy_of(store: Store, pod: PodFacts) -> tuple[str, ...]:
    inherited = store.inherited_mode(pod.key.namespace)
    peer = store.peer_of(pod)
    if peer is not None and (policy := policy_of(peer, inherited)) is not None:
        return (intern(policy.key),)
    strict = strictness(peer, inherited).everywhere
    return (intern(f"{store.settings.root_namespace}/{STATIC_STRICT}"),) if strict else ()


# Services and slices.


def build_service(store: Store, facts: ServiceFacts, built: Built) -> None:
    """The service that a Service is."""
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
    if conditions:
        built.status = {"conditions": conditions}
    ingress = facts.labels.get(INGRESS_USE_WAYPOINT, namespace.labels.get(INGRESS_USE_WAYPOINT))
    built.values.append(
        replace(
            facts.service,
            addresses=tuple(NetworkAddress(store.network, ip) for ip in facts.addresses),
            waypoint=waypoint.address,
            weighted_waypoints=canary.waypoints,
            ingress_use_waypoint=waypoint.address is not None and ingress == "true",
            chooses_by_account=by_account,
            load_balancing=_balancing(facts.service, facts, namespace),
        )
    )


def _balancing(service: Service, facts: ServiceFacts, namespace: NamespaceFacts) -> LoadBalancing:
    wanted_here = facts.balancing or namespace.balancing
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
