"""What a translation gives: everything that proxies are told, and what is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controlplane.translate.built import Told
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.policy import Authorization
from mesh.model.workload import Service, Workload


@dataclass(frozen=True, slots=True)
class Changed:
    """Names of what is new, another, or gone since the translation before."""

    put_workloads: frozenset[str] = frozenset()
    put_services: frozenset[str] = frozenset()
    put_policies: frozenset[str] = frozenset()
    removed_workloads: frozenset[str] = frozenset()
    removed_services: frozenset[str] = frozenset()
    removed_policies: frozenset[str] = frozenset()
    put_configuration: frozenset[str] = frozenset()
    removed_configuration: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """Values by their names in the workload API. A value that did not change is the same (`is`)."""

    workloads: Mapping[str, Workload] = field(default_factory=dict)
    """By uid."""

    services: Mapping[str, Service] = field(default_factory=dict)
    """By `namespace/hostname`."""

    policies: Mapping[str, Authorization] = field(default_factory=dict)
    """By `namespace/name`; those that come from PeerAuthentications too."""

    configuration: Mapping[str, Told] = field(default_factory=dict)
    """What waypoints are told beside; by its name in discovery."""

    problems: Mapping[ObjectKey, tuple[str, ...]] = field(default_factory=dict)
    """What is wrong with an object: `FIELD: what is wrong: what to do`, for its status."""

    statuses: Mapping[ObjectKey, Mapping[str, Json]] = field(default_factory=dict)
    """What the statuses of objects are to say. Conditions have neither time nor generation: these
    are added when they are written (`controlplane/writes.py`)."""

    objects: Mapping[ObjectKey, KubernetesObject] = field(default_factory=dict)
    """That are to be there because of others; whoever applies them gives them uid and address."""

    changed: Changed = field(default_factory=Changed)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Every problem with its object in front, sorted."""
        return tuple(
            f"{key}: {problem}" for key in sorted(self.problems) for problem in self.problems[key]
        )
