"""What the building of one object gives."""

from dataclasses import dataclass, field

from mesh.model.policy import Authorization
from mesh.model.workload import Service, Workload

Value = Workload | Service | Authorization


@dataclass(slots=True)
class Built:
    """The values of one object, and what is wrong with it among the others."""

    values: list[Value] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
