"""What one object becomes among the others: the second half of a translation."""

from typing import Final

from controlplane.translate.build_entries import build_endpoints, build_machine
from controlplane.translate.build_gateways import build_class, build_gateway
from controlplane.translate.build_routes import build_route
from controlplane.translate.build_targeted import build_targeted
from controlplane.translate.build_traffic import build_program, build_traffic
from controlplane.translate.build_workloads import build_pod, build_service, build_slice
from controlplane.translate.built import Built
from controlplane.translate.entry_facts import MachineFacts
from controlplane.translate.facts import (
    ClassFacts,
    Facts,
    GatewayFacts,
    NamespaceFacts,
    PeerFacts,
    PodFacts,
    PolicyFacts,
    ServiceFacts,
    SliceFacts,
)
from controlplane.translate.gateway_classes import missing_classes
from controlplane.translate.policy_status import peer_status, policy_status
from controlplane.translate.read_peers import policy_of, strict_policy
from controlplane.translate.route_facts import ProgramFacts, RouteFacts, TrafficFacts
from controlplane.translate.store import Store
from controlplane.translate.targeted_facts import TargetedFacts
from controlplane.translate.waypoints import choose, wanted
from mesh.model.address import Ip
from mesh.model.kubernetes import ObjectKey
from mesh.model.names import HBONE_PORT
from mesh.model.workload import (
    Workload,
)

STATIC: Final = ObjectKey("PeerAuthentication", "", "")
"""The place of the static policy, which belongs to all PeerAuthentications together."""


CLASSES: Final = ObjectKey("GatewayClass", "", "")
"""The place of the GatewayClasses that are made when they are absent."""


def build(store: Store, key: ObjectKey, facts: Facts | None) -> Built:
    """What an object becomes; nothing when it is not there."""
    built = Built()
    match facts:
        case None:
            _nobodys(store, key, built)
        case PodFacts():
            build_pod(store, facts, built)
        case ServiceFacts():
            build_service(store, facts, built)
            build_endpoints(store, facts, built)
        case MachineFacts():
            build_machine(store, facts, built)
        case SliceFacts():
            build_slice(store, facts, built)
        case PolicyFacts():
            _policy(facts, built)
        case PeerFacts():
            _peer(store, facts, built)
        case _:
            _place(store, facts, built)
    return built


def _nobodys(store: Store, key: ObjectKey, built: Built) -> None:
    """What belongs to no one object."""
    if key == STATIC and store.peers:
        built.values.append(strict_policy(store.settings))
    elif key == CLASSES:
        built.objects += missing_classes(store)


def _place(store: Store, facts: Facts, built: Built) -> None:
    match facts:
        case GatewayFacts():
            _network_gateway(facts, built)
            build_gateway(store, facts, built)
        case ClassFacts():
            build_class(facts, built)
        case NamespaceFacts():
            _namespace(store, facts, built)
        case RouteFacts():
            build_route(store, facts, built)
        case TrafficFacts():
            build_traffic(store, facts, built)
        case ProgramFacts():
            build_program(store, facts, built)
        case TargetedFacts():
            build_targeted(store, facts, built)
        case _:
            pass


# Policies.


def _policy(facts: PolicyFacts, built: Built) -> None:
    built.status = policy_status(facts)
    if facts.authorization is not None:
        built.values.append(facts.authorization)


def _peer(store: Store, facts: PeerFacts, built: Built) -> None:
    namespace = facts.key.namespace
    built.status = peer_status(store, facts)
    if facts.selector and namespace != store.settings.root_namespace:
        policy = policy_of(facts.peer, store.inherited_mode(namespace))
        if policy is not None:
            built.values.append(policy)


# Places.


def _namespace(store: Store, facts: NamespaceFacts, built: Built) -> None:
    asked = wanted(facts.labels, facts.key.name)
    if asked is not None:
        choice = choose(store, asked, facts, "", is_own=True)
        built.problems.extend(problem for problem in (choice.problem,) if problem)


def _network_gateway(facts: GatewayFacts, built: Built) -> None:
    if not facts.network:
        return
    for ip, text in facts.ips:
        built.values.append(_gateway_workload(facts, text, addresses=(ip,)))
    if facts.hostname:
        built.values.append(_gateway_workload(facts, facts.hostname, hostname=facts.hostname))


def _gateway_workload(
    facts: GatewayFacts, text: str, *, addresses: tuple[Ip, ...] = (), hostname: str = ""
) -> Workload:
    name = f"NetworkGateway/{facts.network}/{text}/{HBONE_PORT}"
    return Workload(
        uid=name,
        name=name,
        namespace=facts.key.namespace,
        addresses=addresses,
        hostname=hostname,
        network=facts.network,
        service_account=facts.account,
        services={},
    )
