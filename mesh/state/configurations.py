"""What a waypoint is told beside workloads and services, as values, by their names in discovery.

As in the world (mesh/state/world.py): what a part of a version adds counts at once, what the
version removes goes with its last part.
"""

from collections.abc import Mapping

from mesh.model.routes import Waypoint
from mesh.wire.configuration_values import Configuration, configuration_of
from mesh.wire.feed import StateDelta


class Configurations:
    """All configuration of one waypoint."""

    def __init__(self, namespace: str, gateway: str) -> None:
        """Know nothing yet; the Gateway is the waypoint's own."""
        self._own = f"Waypoint/{namespace}/{gateway}"
        self._values: dict[str, Configuration] = {}
        self._version = 0
        self._removed: dict[str, None] = {}
        self._kept: set[str] | None = None

    @property
    def values(self) -> Mapping[str, Configuration]:
        """Each by its name; it changes with `apply` only."""
        return self._values

    @property
    def waypoint(self) -> Waypoint | None:
        """What the waypoint knows of itself."""
        found = self._values.get(self._own)
        return found if isinstance(found, Waypoint) else None

    def apply(self, delta: StateDelta) -> frozenset[str]:
        """Take one part of a version; returns the names of what came, changed or went.

        Raises:
            ValueUnreadableError: octets that the control process should not have let through; what
                stood before them in the part counts.
        """
        if delta.reset or delta.version != self._version:
            self._version = delta.version
            self._removed = {}
            self._kept = set() if delta.reset else None
        self._removed.update(dict.fromkeys(delta.removed_configuration))
        changed: set[str] = set()
        for one in delta.configuration:
            self._removed.pop(one.key, None)
            if self._kept is not None:
                self._kept.add(one.key)
            value = configuration_of(one.kind, one.octets)
            if self._values.get(one.key) != value:
                self._values[one.key] = value
                changed.add(one.key)
        if delta.last:
            changed.update(self._sweep())
        return frozenset(changed)

    def _sweep(self) -> set[str]:
        gone = set(self._removed)
        if self._kept is not None:
            gone |= self._values.keys() - self._kept
        self._removed, self._kept = {}, None
        return {name for name in gone if self._values.pop(name, None) is not None}
