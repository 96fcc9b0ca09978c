"""The values of a translation, kept by the object that each comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from controlplane.translate.built import Built, Told, Value
from controlplane.translate.translation import Changed, Translation
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.policy import Authorization
from mesh.model.workload import Service, Workload

ValueT = TypeVar("ValueT", Workload, Service, Authorization, Told)


@dataclass(slots=True)
class _Table(Generic[ValueT]):
    """Values of one type by name, with what has changed since they were shown last."""

    held: dict[str, ValueT] = field(default_factory=dict)
    shown: dict[str, ValueT] = field(default_factory=dict)
    put: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)

    def set(self, name: str, value: ValueT) -> None:
        # An equal value is the old one: whoever compares by identity sees no change.
        if self.held.get(name) != value:
            self.held[name] = value
            self.put.add(name)
            self.removed.discard(name)

    def drop(self, name: str) -> None:
        if self.held.pop(name, None) is not None:
            self.put.discard(name)
            self.removed.add(name)

    def show(self) -> tuple[dict[str, ValueT], frozenset[str], frozenset[str]]:
        """The values (never changed again), and the names that were put and removed."""
        put, removed = frozenset(self.put), frozenset(self.removed)
        if put or removed:
            self.shown = dict(self.held)
            self.put, self.removed = set(), set()
        return self.shown, put, removed


EntryT = TypeVar("EntryT")


@dataclass(slots=True)
class _Notes(Generic[EntryT]):
    """What is said about objects, by their keys; an equal note is the old one (`is`)."""

    held: dict[ObjectKey, EntryT] = field(default_factory=dict)
    shown: dict[ObjectKey, EntryT] | None = None

    def set(self, key: ObjectKey, note: EntryT | None) -> None:
        if note == self.held.get(key):
            return
        self.shown = None
        if note is None:
            del self.held[key]
        else:
            self.held[key] = note

    def show(self) -> dict[ObjectKey, EntryT]:
        """All of them, never changed again."""
        if self.shown is None:
            self.shown = dict(self.held)
        return self.shown


class Outputs:
    """All values, all problems, and what is to be said and done about objects."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._names: dict[ObjectKey, frozenset[tuple[type[Value], str]]] = {}
        self._workloads = _Table[Workload]()
        self._services = _Table[Service]()
        self._policies = _Table[Authorization]()
        self._configuration = _Table[Told]()
        self._owners: dict[str, ObjectKey] = {}
        """Of services: a host may pass from one object to another."""
        self._problems = _Notes[tuple[str, ...]]()
        self._statuses = _Notes[Mapping[str, Json]]()
        self._made = _Notes[tuple[KubernetesObject, ...]]()
        self._shown_made: tuple[object, dict[ObjectKey, KubernetesObject]] = (None, {})

    def replace(self, key: ObjectKey, built: Built) -> None:
        """Hold what an object becomes in place of what it became before."""
        names = {(type(value), self._put(value)) for value in built.values}
        self._owners.update({name: key for sort, name in names if sort is Service})
        for sort, name in self._names.pop(key, frozenset()) - names:
            if sort is not Service or self._owners.get(name) == key:
                self._drop(sort, name)
        if names:
            self._names[key] = frozenset(names)
        self._problems.set(key, tuple(built.problems) or None)
        self._statuses.set(key, built.status)
        self._made.set(key, tuple(built.objects) or None)

    def _put(self, value: Value) -> str:
        match value:
            case Workload(uid=name):
                self._workloads.set(name, value)
                return name
            case Service(key=name):
                self._services.set(name, value)
                return name
            case Authorization(key=name):
                self._policies.set(name, value)
                return name
            case Told(key=name):
                self._configuration.set(name, value)
                return name

    def _drop(self, sort: type[Value], name: str) -> None:
        if sort is Workload:
            self._workloads.drop(name)
        elif sort is Service:
            self._services.drop(name)
            del self._owners[name]
        elif sort is Told:
            self._configuration.drop(name)
        else:
            self._policies.drop(name)

    def translation(self) -> Translation:
        """All of it, with what has changed since the last call."""
        workloads, put_workloads, removed_workloads = self._workloads.show()
        services, put_services, removed_services = self._services.show()
        policies, put_policies, removed_policies = self._policies.show()
        configuration, put_configuration, removed_configuration = self._configuration.show()
        return Translation(
            workloads=workloads,
            services=services,
            policies=policies,
            configuration=configuration,
            problems=self._problems.show(),
            statuses=self._statuses.show(),
            objects=self._objects(),
            changed=Changed(
                put_workloads,
                put_services,
                put_policies,
                removed_workloads,
                removed_services,
                removed_policies,
                put_configuration,
                removed_configuration,
            ),
        )

    def _objects(self) -> dict[ObjectKey, KubernetesObject]:
        by_maker = self._made.show()
        if self._shown_made[0] is not by_maker:
            made = {each.key: each for several in by_maker.values() for each in several}
            self._shown_made = by_maker, made
        return self._shown_made[1]
