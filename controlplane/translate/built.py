"""What the building of one object gives."""

from dataclasses import dataclass, field

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject
from mesh.model.policy import Authorization
from mesh.model.workload import Service, Workload
from mesh.wire.configuration_values import Configuration, configuration_name


@dataclass(frozen=True, slots=True)
class Told:
    """A value that only waypoints are told, and which of them are."""

    value: Configuration
    waypoints: frozenset[str] = frozenset()
    """`namespace/name` of their Gateways."""

    @property
    def key(self) -> str:
        """What discovery calls it."""
        return configuration_name(self.value)


Value = Workload | Service | Authorization | Told


@dataclass(slots=True)
class Built:
    """The values of one object, and what is wrong with it among the others."""

    values: list[Value] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    status: dict[str, Json] | None = None
    """What its status is to say; see `Translation.statuses`."""
    objects: list[KubernetesObject] = field(default_factory=list)
    """That are to be there because of it."""
