"""The values of a translation, kept by the object that each comes from."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from controlplane.translate.built import Value
from controlplane.translate.translation import Changed, Translation
from mesh.model.kubernetes import ObjectKey
from mesh.model.policy import Authorization
from mesh.model.workload import Service, Workload

ValueT = TypeVar("ValueT", Workload, Service, Authorization)


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


class Outputs:
    """All values, and all problems."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._names: dict[ObjectKey, frozenset[tuple[type[Value], str]]] = {}
        self._workloads = _Table[Workload]()
        self._services = _Table[Service]()
        self._policies = _Table[Authorization]()
        self._problems: dict[ObjectKey, tuple[str, ...]] = {}
        self._shown_problems: dict[ObjectKey, tuple[str, ...]] = {}

    def replace(self, key: ObjectKey, values: Iterable[Value], problems: tuple[str, ...]) -> None:
        """Hold what an object becomes in place of what it became before."""
        names = {(type(value), self._put(value)) for value in values}
        for sort, name in self._names.pop(key, frozenset()) - names:
            self._drop(sort, name)
        if names:
            self._names[key] = frozenset(names)
        if problems != self._problems.get(key, ()):
            self._shown_problems = {}
            self._problems.pop(key, None)
            if problems:
                self._problems[key] = problems

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

    def _drop(self, sort: type[Value], name: str) -> None:
        if sort is Workload:
            self._workloads.drop(name)
        elif sort is Service:
            self._services.drop(name)
        else:
            self._policies.drop(name)

    def translation(self) -> Translation:
        """All of it, with what has changed since the last call."""
        workloads, put_workloads, removed_workloads = self._workloads.show()
        services, put_services, removed_services = self._services.show()
        policies, put_policies, removed_policies = self._policies.show()
        if not self._shown_problems:
            self._shown_problems = dict(self._problems)
        return Translation(
            workloads=workloads,
            services=services,
            policies=policies,
            problems=self._shown_problems,
            changed=Changed(
                put_workloads,
                put_services,
                put_policies,
                removed_workloads,
                removed_services,
                removed_policies,
            ),
        )
