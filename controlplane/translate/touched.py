"""Which objects must be built anew when one has changed: all that looked at it, and few more."""

from collections.abc import Iterable, Iterator, Mapping

from controlplane.translate.accounts import has_account_gateways
from controlplane.translate.auto_waypoints import AUTO
from controlplane.translate.build import CLASSES, STATIC
from controlplane.translate.entry_facts import MachineFacts
from controlplane.translate.facts import (
    ClassFacts,
    Facts,
    GatewayFacts,
    NamespaceFacts,
    NodeFacts,
    PeerFacts,
    PodFacts,
    PolicyFacts,
    Selectable,
    ServiceFacts,
    SliceFacts,
    ThingFacts,
)
from controlplane.translate.labels import GATEWAY_NAME, NETWORK, selects
from controlplane.translate.route_facts import (
    ProgramFacts,
    RouteFacts,
    TrafficFacts,
    hostname_key,
)
from controlplane.translate.store import SERVICE_ENTRY, Store
from controlplane.translate.targeted_facts import TargetedFacts
from controlplane.translate.touched_routes import named, of_routing
from controlplane.translate.waypoints import wanted, wanted_by
from mesh.model.kubernetes import ObjectKey


def touched(store: Store, old: Facts | None, new: Facts | None) -> Iterator[ObjectKey]:
    """Keys to build anew, some twice, when an object went from `old` to `new` facts.

    Args:
        store: as it is after all changes.
        old: what it was; None when it is new.
        new: what it is; None when it is gone.
    """
    for key in _touched(store, old, new):
        yield key
        if key.kind in ("Service", SERVICE_ENTRY):  # its waypoint may be another one
            yield from named(store, key)


def _touched(store: Store, old: Facts | None, new: Facts | None) -> Iterator[ObjectKey]:
    match new or old:
        case PodFacts(key=key) | MachineFacts(key=key):
            yield key
            yield from _of_pod(store, key, old, new)
        case ServiceFacts(key=key):
            yield key
            yield from _of_service(store, key, old, new)
        case SliceFacts(key=key):
            yield key
            yield from _of_slice(old, new)
            yield from _services_of_slices(store, old, new)
        case PolicyFacts(key=key):
            yield key
            yield from _of_policy(store, key, old, new)
        case PeerFacts(key=key):
            yield from (key, STATIC)
            yield from _of_peer(store, key, old, new)
        case None:
            return
        case place:
            yield place.key
            yield from _of_place(store, old, new)


def _selectors(
    *facts: Facts | None,
) -> Iterator[Mapping[str, str]]:
    for found in facts:
        if isinstance(found, ServiceFacts | PolicyFacts | PeerFacts):
            yield found.selector


def _selected(
    pods: Iterable[Selectable], selectors: Iterable[Mapping[str, str]]
) -> Iterator[ObjectKey]:
    used = [selector for selector in selectors if selector]
    for pod in pods if used else ():
        if any(selects(selector, pod.labels) for selector in used):
            yield pod.key


def _of_pod(
    store: Store, key: ObjectKey, old: Facts | None, new: Facts | None
) -> Iterator[ObjectKey]:
    """A waypoint's pods say whether it is ready; accounts of endpoints, which waypoint it is."""
    counts = has_account_gateways(store, key.namespace)
    for pod in (old, new):
        if not isinstance(pod, PodFacts | MachineFacts):
            continue
        if GATEWAY_NAME in pod.labels:
            yield ObjectKey("Gateway", key.namespace, pod.labels[GATEWAY_NAME])
        if counts:
            yield from (service.key for service in store.services_of(pod))


def _services_of_slices(store: Store, *several: Facts | None) -> Iterator[ObjectKey]:
    for facts in several:
        if isinstance(facts, SliceFacts) and has_account_gateways(store, facts.key.namespace):
            yield ObjectKey("Service", facts.key.namespace, facts.service)


def _of_service(
    store: Store, key: ObjectKey, old: Facts | None, new: Facts | None
) -> Iterator[ObjectKey]:
    yield from _selected(_carriers(store, key.namespace), _selectors(old, new))
    yield from _of_hosts(store, key, old, new)
    for facts in (old, new):
        if isinstance(facts, ServiceFacts):
            yield from store.vips.entries_at(facts)
    if key.kind == SERVICE_ENTRY:
        return
    for found in store.slices_of_service(key.namespace, key.name):
        yield found
        yield from _of_slice(store.slices.get(found.namespace, found.name), None)
    yield from (gateway.key for gateway in store.gateways.all() if _may_be_of(gateway, key))


def _of_hosts(
    store: Store, key: ObjectKey, old: Facts | None, new: Facts | None
) -> Iterator[ObjectKey]:
    """Routes that name its hosts; others who claim the same, and who carries these."""
    for host in {*_claims(old), *_claims(new)}:
        yield from named(store, hostname_key(host))
    if (old is not None) == (new is not None) and _claims(old) == _claims(new):
        return
    for host in {*_claims(old), *_claims(new)}:
        for other in store.hosts.claiming(host):
            if other.key != key:
                yield other.key
                yield from named(store, other.key)
                carriers = _carriers(store, other.key.namespace)
                yield from _selected(carriers, _selectors(other))


def _claims(facts: Facts | None) -> tuple[str, ...]:
    return facts.hosts if isinstance(facts, ServiceFacts) else ()


def _carriers(store: Store, namespace: str) -> Iterator[PodFacts | MachineFacts]:
    """Who can serve the services of a namespace."""
    yield from store.pods.of(namespace)
    yield from store.machines.of(namespace)


def _may_be_of(gateway: GatewayFacts, service: ObjectKey) -> bool:
    """Whether a service may be in front of a Gateway: its own, or one that it names."""
    return bool(gateway.asked) or (
        (gateway.key.namespace, gateway.service_name) == (service.namespace, service.name)
    )


def _of_slice(old: Facts | None, new: Facts | None) -> Iterator[ObjectKey]:
    for facts in (old, new):
        if isinstance(facts, SliceFacts):
            for namespace, name in facts.pods:
                yield ObjectKey("Pod", namespace, name)


def _of_policy(
    store: Store, key: ObjectKey, old: Facts | None, new: Facts | None
) -> Iterator[ObjectKey]:
    if _naming(old) == _naming(new):
        return  # whoever names it goes on naming it
    yield from _selected(_under(store, key.namespace), _selectors(old, new))


def _naming(facts: Facts | None) -> Mapping[str, str] | None:
    if isinstance(facts, PolicyFacts) and facts.authorization is not None:
        return facts.selector
    return None


def _of_peer(
    store: Store, key: ObjectKey, old: Facts | None, new: Facts | None
) -> Iterator[ObjectKey]:
    if all(_selectors(old, new)):
        yield from _selected(store.selectable(key.namespace), _selectors(old, new))
        return
    yield from (each.key for each in _under(store, key.namespace))
    peers = store.peers.all() if _is_root(store, key.namespace) else store.peers.of(key.namespace)
    yield from (peer.key for peer in peers)


def _is_root(store: Store, namespace: str) -> bool:
    return namespace == store.settings.root_namespace


def _under(store: Store, namespace: str) -> Iterator[Selectable]:
    """What a policy of this namespace may concern."""
    return store.selectable(None if _is_root(store, namespace) else namespace)


# Places.


def _of_place(store: Store, old: Facts | None, new: Facts | None) -> Iterator[ObjectKey]:
    match new or old:
        case NodeFacts(key=key):
            yield from store.pods_of_node(key.name)
        case NamespaceFacts(key=key):
            if _is_root(store, key.name) and _network(old) != _network(new):
                yield from _everything(store)
            yield from _around(store, key.name)
        case GatewayFacts(key=key):
            yield from _of_changed_gateway(store, key, old, new)
        case ClassFacts(key=key):
            yield CLASSES
            yield from _of_class(store, key)
        case ThingFacts(key=key):
            yield from (gateway.key for gateway in store.gateways.of(key.namespace))
            yield from named(store, key)
        case RouteFacts() | TrafficFacts() | ProgramFacts() | TargetedFacts():
            yield from of_routing(store, old, new)
        case _:
            return


def _of_changed_gateway(
    store: Store, key: ObjectKey, old: Facts | None, new: Facts | None
) -> Iterator[ObjectKey]:
    yield from _of_gateway(store, key)
    yield from store.routing.traffic()
    if {_leads_to(old), _leads_to(new)} & {store.network} - {""}:
        yield from (pod.key for pod in store.pods.all())
    yield from store.routing.naming(key)
    if key.name == AUTO and store.settings.auto_waypoint:
        yield from (service.key for service in store.services.of(key.namespace))
        yield from (entry.key for entry in store.entries.of(key.namespace))
    if _leads_to(old) or _leads_to(new):
        yield from _outside(store)
    for class_name in {_class_of(old), _class_of(new)}:
        yield from store.routing.naming(ObjectKey("GatewayClass", "", class_name))
    if _for_account(old) or _for_account(new):
        yield from _around(store, key.namespace)


def _of_class(store: Store, key: ObjectKey) -> Iterator[ObjectKey]:
    yield from store.routing.traffic()
    yield from store.routing.naming(key)
    for gateway in store.gateways.all():
        if gateway.class_name == key.name:
            yield from store.routing.naming(gateway.key)
            yield gateway.key
            yield from _of_gateway(store, gateway.key)
            if gateway.for_account:
                yield from _around(store, gateway.key.namespace)


def _network(facts: Facts | None) -> str:
    return facts.labels.get(NETWORK, "") if isinstance(facts, NamespaceFacts) else ""


def _leads_to(facts: Facts | None) -> str:
    return facts.network if isinstance(facts, GatewayFacts) else ""


def _class_of(facts: Facts | None) -> str:
    return facts.class_name if isinstance(facts, GatewayFacts) else ""


def _for_account(facts: Facts | None) -> str:
    return facts.for_account if isinstance(facts, GatewayFacts) else ""


def _around(store: Store, namespace: str) -> Iterator[ObjectKey]:
    yield from (each.key for each in store.selectable(namespace))
    yield from (service.key for service in store.services.of(namespace))


def _everything(store: Store) -> Iterator[ObjectKey]:
    yield from (each.key for each in store.selectable())
    yield from (service.key for service in store.services.all())
    yield from (found.key for found in store.slices.all())


def _outside(store: Store) -> Iterator[ObjectKey]:
    """What may be in another network."""
    yield from (machine.key for machine in store.machines.all())
    yield from (entry.key for entry in store.entries.all())


def _of_gateway(store: Store, key: ObjectKey) -> Iterator[ObjectKey]:
    """Everything that asks for a gateway as its waypoint, and the gateway's own pods."""
    gateway = (key.namespace, key.name)
    for namespace in store.namespaces.all():
        if wanted(namespace.labels, namespace.key.name) == gateway:
            yield namespace.key
    for pod in store.pods.all():
        asked, _ = wanted_by(store, pod.labels, pod.key.namespace)
        own = pod.key.namespace == key.namespace and pod.labels.get(GATEWAY_NAME) == key.name
        if own or asked == gateway:
            yield pod.key
    for asking, labels in _asking(store):
        asked, _ = wanted_by(store, labels, asking.namespace)
        if asked == gateway:
            yield asking


def _asking(store: Store) -> Iterator[tuple[ObjectKey, Mapping[str, str]]]:
    """Who beside pods and namespaces can ask for a waypoint, with the labels that do."""
    for service in store.services.all():
        yield service.key, service.labels
    for machine in store.machines.all():
        yield machine.key, machine.labels
    for entry in store.entries.all():
        yield entry.key, entry.labels
        for place in entry.entry.places if entry.entry is not None else ():
            yield entry.key, place.labels
