"""WorkloadEntries and the endpoints of ServiceEntries, each among the others."""

from dataclasses import replace
from sys import intern
from typing import Final

from controlplane.translate.build_workloads import network_gateway, policies_of
from controlplane.translate.built import Built
from controlplane.translate.endpoint_ports import ports_at_place
from controlplane.translate.entry_facts import MachineFacts, PlaceFacts
from controlplane.translate.facts import ServiceFacts
from controlplane.translate.store import Store
from controlplane.translate.waypoints import Choice, waypoint_of
from mesh.model.address import format_ip
from mesh.model.workload import Port, Service, Workload

_DEFAULT: Final = "default"


def build_machine(store: Store, facts: MachineFacts, built: Built) -> None:
    """The workload that a WorkloadEntry is, and its status."""
    namespace = facts.key.namespace
    account = facts.place.account or _DEFAULT
    waypoint = waypoint_of(store, facts.labels, namespace, "workload", account)
    # What a namespace asks for in vain is told once, at the namespace.
    is_told = waypoint.is_own or (waypoint.address is not None and not waypoint.problem)
    if is_told and waypoint.condition is not None:
        built.status = {"conditions": [waypoint.condition]}
    if waypoint.is_own and waypoint.problem:
        built.problems.append(waypoint.problem)
    _check_network(store, facts.place, "spec", built)
    services: dict[str, tuple[Port, ...]] = {}
    for service in store.services_of(facts):
        ports = ports_at_place(service, facts.place.ports)
        services.update({intern(each.key): ports for each in store.served(service)})
    place = f"{store.settings.cluster_id}/networking.istio.io/WorkloadEntry"
    plain = replace(
        facts.workload,
        uid=f"{place}/{namespace}/{facts.key.name}",
        authorization_policies=policies_of(store, facts),
        services=services,
    )
    built.values.append(_placed(store, plain, facts.place, waypoint))


def build_endpoints(store: Store, facts: ServiceFacts, built: Built) -> None:
    """The workloads that a ServiceEntry brings itself."""
    entry = facts.entry
    if entry is None:
        return
    served = tuple(store.served(facts))
    lost = [host for host in facts.hosts if all(host != each.hostname for each in served)]
    for host in lost:
        owner = store.owner(host, facts.key.namespace)
        built.problems.append(f"spec.hosts: {owner} has {host} already: no effect for this host")
    for written in entry.ranges:
        for other in store.vips.others(facts.key, written)[:1]:
            built.problems.append(
                f"spec.addresses: {format_ip(written[0])} is {other}'s too: callers in their "
                "namespaces reach their own, others one of them: give each an address of its own"
            )
    plain = replace(entry.workload, authorization_policies=policies_of(store, facts))
    for place in entry.places:
        _check_network(store, place, "spec.endpoints", built)
        if served:
            built.values.append(_endpoint(store, facts, plain, place, served))
    if entry.is_by_name:
        for service in served:
            place = PlaceFacts(text=service.hostname, hostname=service.hostname)
            built.values.append(_endpoint(store, facts, plain, place, (service,), is_implied=True))


def _endpoint(
    store: Store,
    facts: ServiceFacts,
    plain: Workload,
    place: PlaceFacts,
    served: tuple[Service, ...],
    *,
    is_implied: bool = False,
) -> Workload:
    namespace, account = facts.key.namespace, place.account or _DEFAULT
    waypoint = Choice()
    if not is_implied:
        waypoint = waypoint_of(store, place.labels, namespace, "workload", account)
    ports = ports_at_place(facts, place.ports)
    kind = f"{store.settings.cluster_id}/networking.istio.io/ServiceEntry"
    named = replace(
        plain,
        uid=f"{kind}/{namespace}/{facts.key.name}/{place.text}",
        services={intern(each.key): ports for each in served},
    )
    return _placed(store, named, place, waypoint)


def _placed(store: Store, workload: Workload, place: PlaceFacts, waypoint: Choice) -> Workload:
    network = place.network or store.network
    return replace(
        workload,
        addresses=place.addresses,
        hostname=place.hostname,
        network=network,
        network_gateway=network_gateway(store, network),
        service_account=intern(place.account or _DEFAULT),
        locality=place.locality,
        capacity=place.capacity,
        waypoint=waypoint.address,
    )


def _check_network(store: Store, place: PlaceFacts, field: str, built: Built) -> None:
    network = place.network
    if network in ("", store.network) or network_gateway(store, network) is not None:
        return
    mend = "make its Gateway, of class istio-remote and labelled topology.istio.io/network"
    built.problems.append(f"{field}.network: no Gateway leads to {network!r:.60}: {mend}")
