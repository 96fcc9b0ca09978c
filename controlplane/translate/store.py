"""Every object's facts, and the indexes that answer what one has to do with another."""

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

from controlplane.translate.allocate import Allocations
from controlplane.translate.entry_facts import MachineFacts
from controlplane.translate.facts import (
    ClassFacts,
    Facts,
    GatewayFacts,
    IgnoredFacts,
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
from controlplane.translate.hosts import Hosts
from controlplane.translate.labels import GATEWAY_NAME, NETWORK, SelectorIndex
from controlplane.translate.route_facts import ProgramFacts, RouteFacts, RoutingFacts, TrafficFacts
from controlplane.translate.route_store import RouteStore, discard
from controlplane.translate.settings import Settings
from controlplane.translate.targeted_facts import TargetedFacts
from controlplane.translate.vips import Vips
from mesh.model.kubernetes import ObjectKey
from mesh.model.workload import Service
from mesh.policy.peer_authentication import Mode, PeerAuthentication, inherited_mode, oldest

FactsT = TypeVar(
    "FactsT",
    ClassFacts,
    GatewayFacts,
    MachineFacts,
    NamespaceFacts,
    NodeFacts,
    PeerFacts,
    PodFacts,
    PolicyFacts,
    ServiceFacts,
    SliceFacts,
)
ItemT = TypeVar("ItemT")
Place = (
    NamespaceFacts
    | NodeFacts
    | MachineFacts
    | GatewayFacts
    | ClassFacts
    | ThingFacts
    | RoutingFacts
    | IgnoredFacts
)


SERVICE_ENTRY: Final = "ServiceEntry"


class Shelf(Generic[FactsT]):
    """The facts of one kind, by namespace and name."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._by_namespace: dict[str, dict[str, FactsT]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_namespace)

    def get(self, namespace: str, name: str) -> FactsT | None:
        """One of them."""
        return self._by_namespace.get(namespace, {}).get(name)

    def of(self, namespace: str) -> Iterable[FactsT]:
        """Those of a namespace."""
        return self._by_namespace.get(namespace, {}).values()

    def all(self) -> Iterator[FactsT]:
        """All of them."""
        for facts in self._by_namespace.values():
            yield from facts.values()

    def put(self, facts: FactsT) -> None:
        """Hold these in place of what is held under their key."""
        self._by_namespace.setdefault(facts.key.namespace, {})[facts.key.name] = facts

    def drop(self, key: ObjectKey) -> None:
        """Forget these, which are held."""
        of_namespace = self._by_namespace[key.namespace]
        del of_namespace[key.name]
        if not of_namespace:
            del self._by_namespace[key.namespace]


class _Selectors(Generic[ItemT]):
    """A selector index for each namespace."""

    def __init__(self) -> None:
        self._by_namespace: dict[str, SelectorIndex[ItemT]] = {}

    def at(self, namespace: str) -> SelectorIndex[ItemT]:
        return self._by_namespace.setdefault(namespace, SelectorIndex())


class Store:
    """All facts. One owner changes them, between two translations."""

    def __init__(self, settings: Settings) -> None:
        """Know nothing."""
        self.settings = settings
        self.classes = Shelf[ClassFacts]()
        self.gateways = Shelf[GatewayFacts]()
        self.namespaces = Shelf[NamespaceFacts]()
        self.nodes = Shelf[NodeFacts]()
        self.peers = Shelf[PeerFacts]()
        self.pods = Shelf[PodFacts]()
        self.policies = Shelf[PolicyFacts]()
        self.services = Shelf[ServiceFacts]()
        self.entries = Shelf[ServiceFacts]()
        """ServiceEntries."""
        self.machines = Shelf[MachineFacts]()
        """WorkloadEntries."""
        self.hosts = Hosts()
        self.vips = Vips()
        self.allocations = Allocations()
        self.slices = Shelf[SliceFacts]()
        self.things: dict[ObjectKey, ThingFacts] = {}
        self.routing = RouteStore()
        self._services_by_selector = _Selectors[ServiceFacts]()
        self._policies_by_selector = _Selectors[PolicyFacts]()
        self._peers_by_selector = _Selectors[PeerFacts]()
        self._pods_of_node: dict[str, set[ObjectKey]] = {}
        self._slices_of_pod: dict[tuple[str, str], dict[ObjectKey, SliceFacts]] = {}
        self._slices_of_service: dict[tuple[str, str], set[ObjectKey]] = {}
        self._inherited: dict[str, Mode] = {}

    # Changing.

    def replace(self, old: Facts | None, new: Facts | None) -> None:
        """Hold new facts in place of old ones of the same object."""
        if old is not None:
            self._drop(old)
        if new is not None:
            self._put(new)

    def _put(self, facts: Facts) -> None:
        match facts:
            case PodFacts(key=key, node=node):
                self.pods.put(facts)
                self._pods_of_node.setdefault(node, set()).add(key)
            case ServiceFacts():
                self._put_service(facts)
            case SliceFacts(key=key):
                self.slices.put(facts)
                for pod in facts.pods:
                    self._slices_of_pod.setdefault(pod, {})[key] = facts
                of_service = (key.namespace, facts.service)
                self._slices_of_service.setdefault(of_service, set()).add(key)
            case PolicyFacts(key=key, selector=selector):
                self.policies.put(facts)
                if facts.authorization is not None:
                    self._policies_by_selector.at(key.namespace).put(key.name, selector, facts)
            case PeerFacts(key=key, selector=selector):
                self.peers.put(facts)
                self._peers_by_selector.at(key.namespace).put(key.name, selector, facts)
                self._inherited.clear()
            case _:
                self._put_place(facts)

    def _put_place(self, facts: Place) -> None:
        match facts:
            case NamespaceFacts():
                self.namespaces.put(facts)
            case NodeFacts():
                self.nodes.put(facts)
            case MachineFacts():
                self.machines.put(facts)
            case GatewayFacts():
                self.gateways.put(facts)
            case ClassFacts():
                self.classes.put(facts)
            case ThingFacts(key=key):
                self.things[key] = facts
            case RouteFacts() | TrafficFacts() | ProgramFacts() | TargetedFacts():
                self.routing.put(facts)
            case IgnoredFacts():
                pass

    def _drop(self, facts: Facts) -> None:
        match facts:
            case PodFacts(key=key, node=node):
                self.pods.drop(key)
                discard(self._pods_of_node, node, key)
            case ServiceFacts():
                self._drop_service(facts)
            case SliceFacts(key=key):
                self.slices.drop(key)
                for pod in facts.pods:
                    del self._slices_of_pod[pod][key]
                    if not self._slices_of_pod[pod]:
                        del self._slices_of_pod[pod]
                discard(self._slices_of_service, (key.namespace, facts.service), key)
            case PolicyFacts(key=key, selector=selector):
                self.policies.drop(key)
                if facts.authorization is not None:
                    self._policies_by_selector.at(key.namespace).remove(key.name, selector)
            case PeerFacts(key=key, selector=selector):
                self.peers.drop(key)
                self._peers_by_selector.at(key.namespace).remove(key.name, selector)
                self._inherited.clear()
            case _:
                self._drop_place(facts)

    def _drop_place(self, facts: Place) -> None:
        match facts:
            case NamespaceFacts(key=key):
                self.namespaces.drop(key)
            case NodeFacts(key=key):
                self.nodes.drop(key)
            case MachineFacts(key=key):
                self.machines.drop(key)
            case GatewayFacts(key=key):
                self.gateways.drop(key)
            case ClassFacts(key=key):
                self.classes.drop(key)
            case ThingFacts(key=key):
                del self.things[key]
            case RouteFacts() | TrafficFacts() | ProgramFacts() | TargetedFacts():
                self.routing.drop(facts)
            case IgnoredFacts():
                pass

    def _put_service(self, facts: ServiceFacts) -> None:
        selecting = self._services_by_selector.at(facts.key.namespace)
        selecting.put(_label(facts), facts.selector, facts)
        self._shelf(facts).put(facts)
        self.vips.put(facts)
        if facts.entry is not None:
            self.hosts.put(facts)
            self.allocations.put(facts)

    def _drop_service(self, facts: ServiceFacts) -> None:
        selecting = self._services_by_selector.at(facts.key.namespace)
        selecting.remove(_label(facts), facts.selector)
        self._shelf(facts).drop(facts.key)
        self.vips.drop(facts)
        if facts.entry is not None:
            self.hosts.drop(facts)
            self.allocations.drop(facts)

    def _shelf(self, facts: ServiceFacts) -> Shelf[ServiceFacts]:
        return self.services if facts.entry is None else self.entries

    # Asking.

    def front(self, key: ObjectKey) -> ServiceFacts | None:
        """A Service or a ServiceEntry."""
        shelf = self.entries if key.kind == SERVICE_ENTRY else self.services
        return shelf.get(key.namespace, key.name)

    def served(self, facts: ServiceFacts) -> Iterator[Service]:
        """The services that a Service or a ServiceEntry is: those of hosts that it has."""
        namespace = facts.key.namespace
        for service in facts.services:
            if facts.entry is None or self.owner(service.hostname, namespace) == facts.key:
                yield service

    def owner(self, host: str, namespace: str = "") -> ObjectKey | None:
        """Who has a host, in a namespace or (a namespace is not given) of all."""
        suffix = f".svc.{self.settings.cluster_domain}"
        name, _, place = host.removesuffix(suffix).partition(".")
        if host.endswith(suffix) and namespace in ("", place):
            service = self.services.get(place, name)
            if service is not None and service.service is not None:
                return service.key
        entry = self.hosts.first(host, namespace)
        return entry.key if entry is not None else None

    def selectable(self, namespace: str | None = None) -> Iterator[Selectable]:
        """What policies can select, in a namespace or (None) everywhere."""
        if namespace is None:
            yield from self.pods.all()
            yield from self.machines.all()
            yield from self.entries.all()
        else:
            yield from self.pods.of(namespace)
            yield from self.machines.of(namespace)
            yield from self.entries.of(namespace)

    def namespace(self, name: str) -> NamespaceFacts:
        """A namespace; one without labels when there is no object for it."""
        key = ObjectKey("Namespace", "", name)
        return self.namespaces.get("", name) or NamespaceFacts(key, {}, None)

    @property
    def network(self) -> str:
        """The cluster's own network."""
        if self.settings.network is not None:
            return self.settings.network
        return self.namespace(self.settings.root_namespace).labels.get(NETWORK, "")

    def services_of(self, pod: PodFacts | MachineFacts) -> Iterator[ServiceFacts]:
        """Services that select a pod, or to which a slice that names it belongs; some twice."""
        namespace = pod.key.namespace
        yield from self._services_by_selector.at(namespace).selecting(pod.labels)
        if isinstance(pod, MachineFacts):
            return
        for found in self._slices_of_pod.get((namespace, pod.key.name), {}).values():
            service = self.services.get(found.key.namespace, found.service)
            # Without the uid it may be a namesake that is gone.
            if service is not None and pod.uid and found.pods[namespace, pod.key.name] == pod.uid:
                yield service

    def policies_of(self, pod: Selectable) -> Iterator[PolicyFacts]:
        """Policies that select a pod by its labels."""
        for namespace in {pod.key.namespace, self.settings.root_namespace}:
            yield from self._policies_by_selector.at(namespace).selecting(pod.labels)

    def peer_of(self, pod: Selectable) -> PeerAuthentication | None:
        """The PeerAuthentication that selects a pod by its labels; of several, the oldest."""
        namespace = pod.key.namespace
        if namespace == self.settings.root_namespace:
            return None  # there a selector means nothing
        selecting = self._peers_by_selector.at(namespace).selecting(pod.labels)
        return oldest(facts.peer for facts in selecting)

    def inherited_mode(self, namespace: str) -> Mode:
        """What holds in a namespace where no selector says otherwise."""
        if namespace not in self._inherited:
            here, root = (
                [facts.peer for facts in self.peers.of(place)]
                for place in (namespace, self.settings.root_namespace)
            )
            self._inherited[namespace] = inherited_mode(here, root)
        return self._inherited[namespace]

    def pods_of_gateway(self, key: ObjectKey) -> Iterator[PodFacts]:
        """Pods that say that they are a Gateway's, and are of its namespace."""
        for pod in self.pods.of(key.namespace):
            if pod.labels.get(GATEWAY_NAME) == key.name:
                yield pod

    def pods_of_node(self, node: str) -> Iterable[ObjectKey]:
        """Pods that are on a node."""
        return self._pods_of_node.get(node, ())

    def slices_of_service(self, namespace: str, name: str) -> Iterable[ObjectKey]:
        """Slices that belong to a service."""
        return self._slices_of_service.get((namespace, name), ())


def _label(facts: ServiceFacts) -> str:
    """A name for an index that holds Services and ServiceEntries."""
    return facts.key.name if facts.entry is None else f"{SERVICE_ENTRY}/{facts.key.name}"
