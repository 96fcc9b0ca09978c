"""Waypoints of service accounts: whose they are, and as whom the endpoints of a service run."""

from collections.abc import Iterator
from typing import Final

from controlplane.translate.facts import GatewayFacts, PodFacts, ServiceFacts
from controlplane.translate.gateway_classes import accepts, is_waypoint
from controlplane.translate.labels import USE_WAYPOINT, selects
from controlplane.translate.store import Store

UNKNOWN: Final = ""
"""The account of an endpoint that is no pod."""
DEFAULT: Final = "default"
"""That of whoever names none."""


def has_account_gateways(store: Store, namespace: str) -> bool:
    """Whether any Gateway of a namespace is for a service account."""
    return any(gateway.for_account for gateway in store.gateways.of(namespace))


def account_gateway(
    store: Store, namespace: str, account: str, traffic: str
) -> GatewayFacts | None:
    """The waypoint of an account, for `service` or `workload`; of several the first by name."""
    found = (
        gateway
        for gateway in store.gateways.of(namespace)
        if gateway.for_account == account
        and is_waypoint(store, gateway)
        and accepts(store, gateway) in (traffic, "all")
    )
    return min(found, key=lambda gateway: gateway.key, default=None)


def chooses_by_account(store: Store, service: ServiceFacts) -> bool:
    """Whether endpoints of a service run as several accounts, of which some have a waypoint.

    Then each endpoint's account counts, unless the service's own label says what does.
    """
    namespace = service.key.namespace
    if service.labels.get(USE_WAYPOINT) or not has_account_gateways(store, namespace):
        return False
    accounts = {*accounts_of(store, service)}
    return len(accounts) > 1 and any(
        account and account_gateway(store, namespace, account, "service") for account in accounts
    )


def account_of(store: Store, service: ServiceFacts) -> str:
    """The account as which all endpoints of a service run; empty when there is no one such.

    It costs a look at every pod of the namespace, and is only done where accounts matter.
    """
    if not has_account_gateways(store, service.key.namespace):
        return UNKNOWN
    accounts = {*accounts_of(store, service)}
    return accounts.pop() if len(accounts) == 1 else UNKNOWN


def accounts_of(store: Store, service: ServiceFacts) -> Iterator[str]:
    """The accounts of a service's endpoints, some twice."""
    if service.selector:
        yield from _selected(store, service)
    if service.entry is not None:
        yield from (place.account or UNKNOWN for place in service.entry.places)
    else:
        yield from _of_slices(store, service)


def _selected(store: Store, service: ServiceFacts) -> Iterator[str]:
    namespace = service.key.namespace
    for pod in store.pods.of(namespace):
        if selects(service.selector, pod.labels):
            yield from _account(pod)
    for machine in store.machines.of(namespace):
        if selects(service.selector, machine.labels):
            yield machine.place.account or DEFAULT


def _of_slices(store: Store, service: ServiceFacts) -> Iterator[str]:
    namespace = service.key.namespace
    for key in store.slices_of_service(namespace, service.key.name):
        facts = store.slices.get(key.namespace, key.name)
        if facts is None:
            continue
        yield from (UNKNOWN for _ in facts.endpoints)
        for place in facts.pods:
            named = store.pods.get(*place)
            if named is not None:
                yield from _account(named)


def _account(pod: PodFacts) -> Iterator[str]:
    if pod.workload is not None:
        yield pod.workload.service_account
