"""All that discovery has told, by name and as octets, in versions.

1. A version has the same content in every process that has it: versions begin with the time at
   which a control process starts, so that two processes never give one number to two states.
2. Octets, not objects: only the workers need to look things up. What a worker lacks is made of the
   last changes when these are still kept, otherwise of everything.
3. There is no version before `begin`: a state with workloads but without the policies about them
   must not reach a worker.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mesh.model.policy import Authorization
from mesh.model.workload import Service, Workload
from mesh.wire.configuration import CONFIGURATION_TYPE
from mesh.wire.discovery_client import ADDRESS_TYPE, AUTHORIZATION_TYPE
from mesh.wire.feed import Configured, StateDelta
from mesh.wire.feed_codec import (
    Resource,
    decode_resource,
    encode_resource,
    resource_name,
    state_packets,
)

TYPES: Final = (ADDRESS_TYPE, AUTHORIZATION_TYPE)
"""What a node proxy asks for."""
WAYPOINT_TYPES: Final = (ADDRESS_TYPE, CONFIGURATION_TYPE)
"""What a waypoint asks for."""
ORDER: Final = (AUTHORIZATION_TYPE, CONFIGURATION_TYPE, ADDRESS_TYPE)
"""How a worker hears of everything: first how to treat connections, then who there is."""

MAX_KEPT_OCTETS: Final = 8 * 1024 * 1024
"""Of the packets of recent changes."""

SLICE: Final = 256


@dataclass(frozen=True, slots=True)
class Step:
    """From one version to the next, as packets."""

    before: int
    after: int
    packets: tuple[bytes, ...]


class Store:
    """The state as the control process has it."""

    def __init__(
        self,
        before: int,
        max_kept_octets: int = MAX_KEPT_OCTETS,
        types: tuple[str, ...] = TYPES,
    ) -> None:
        """Begin empty.

        Args:
            before: a number below that of the first version.
            max_kept_octets: of the packets of recent changes.
            types: of the resources that are kept.
        """
        self._max_kept_octets = max_kept_octets
        self.types = types
        self.version = 0
        self._newest = before
        self._octets: dict[str, dict[str, bytes]] = {type_url: {} for type_url in types}
        self._steps: deque[Step] = deque()
        self._kept_octets = 0

    @property
    def is_empty(self) -> bool:
        """Whether it has not begun; a state of no resources is a version too."""
        return self.version == 0

    def holds(self, type_url: str, name: str) -> bool:
        """Whether there is something of this name in discovery."""
        return name in self._octets[type_url]

    def load(self, version: int, octets: Mapping[str, Mapping[str, bytes]]) -> None:
        """Begin with an earlier process's version instead of empty."""
        self.version = version
        self._newest = max(self._newest, version)
        for type_url in self.types:
            self._octets[type_url] = dict(octets.get(type_url, {}))

    def apply(
        self, type_url: str, resources: Mapping[str, Resource], removed: Iterable[str]
    ) -> StateDelta:
        """Change resources of one type: the next version, unless nothing changes.

        Args:
            type_url: one of `types`.
            resources: by their names in discovery.
            removed: names; unknown ones are ignored.

        Returns:
            What has changed.
        """
        held = self._octets[type_url]
        changed: list[Resource] = []
        gone: set[str] = set()
        for name in removed:
            if (octets := held.pop(name, None)) is not None:
                gone.add(resource_name(decode_resource(octets)))
        for name, resource in resources.items():
            octets = encode_resource(resource)
            old = held.get(name)
            if old == octets:
                continue
            key = resource_name(resource)
            if old is not None and key != name:
                gone.add(resource_name(decode_resource(old)))
            held[name] = octets
            changed.append(resource)
        gone -= {resource_name(resource) for resource in changed}
        return self._step(type_url, changed, gone)

    def begin(self) -> None:
        """What was applied so far is a whole state, though it may have no resources."""
        if self.is_empty:
            self._newest += 1
            self.version = self._newest

    def _step(self, type_url: str, changed: list[Resource], gone: set[str]) -> StateDelta:
        before = self.version
        if before and (changed or gone):
            self._newest += 1
            self.version = self._newest
        delta = StateDelta(
            self.version,
            last=True,
            workloads=tuple(one for one in changed if isinstance(one, Workload)),
            services=tuple(one for one in changed if isinstance(one, Service)),
            policies=tuple(one for one in changed if isinstance(one, Authorization)),
            configuration=tuple(one for one in changed if isinstance(one, Configured)),
            removed_addresses=tuple(gone) if type_url == ADDRESS_TYPE else (),
            removed_policies=tuple(gone) if type_url == AUTHORIZATION_TYPE else (),
            removed_configuration=tuple(gone) if type_url == CONFIGURATION_TYPE else (),
        )
        if before != self.version:
            self._keep(Step(before, self.version, tuple(state_packets(delta))))
        return delta

    def _keep(self, step: Step) -> None:
        self._steps.append(step)
        self._kept_octets += _size(step)
        while self._kept_octets > self._max_kept_octets:
            self._kept_octets -= _size(self._steps.popleft())

    def steps_from(self, version: int) -> list[Step] | None:
        """What leads from a version to this one; None when that is not known any more."""
        if version == self.version:
            return []
        steps = list(self._steps)
        for position, step in enumerate(steps):
            if step.before == version:
                return steps[position:]
        return None

    def everything(self) -> "Everything":
        """All resources at this version; later changes do not touch it."""
        return Everything(
            self.version,
            {type_url: tuple(held.values()) for type_url, held in self._octets.items()},
        )

    def octets(self) -> dict[str, dict[str, bytes]]:
        """A copy, by type and name: for the disk."""
        return {type_url: dict(held) for type_url, held in self._octets.items()}


@dataclass(frozen=True, slots=True)
class Everything:
    """The resources of one version."""

    version: int
    octets: Mapping[str, tuple[bytes, ...]]

    def resources(self) -> Iterator[Resource]:
        """Each resource, in the ORDER of types."""
        for type_url in ORDER:
            yield from (decode_resource(octets) for octets in self.octets.get(type_url, ()))

    def packets(self) -> Iterator[tuple[bytes, ...]]:
        """Packets that replace whatever a worker has, a slice at a time."""
        is_first = True
        for piece in _slices(self.resources()):
            yield tuple(
                state_packets(
                    StateDelta(
                        self.version,
                        last=False,
                        reset=is_first,
                        workloads=tuple(one for one in piece if isinstance(one, Workload)),
                        services=tuple(one for one in piece if isinstance(one, Service)),
                        policies=tuple(one for one in piece if isinstance(one, Authorization)),
                        configuration=tuple(one for one in piece if isinstance(one, Configured)),
                    )
                )
            )
            is_first = False
        yield tuple(state_packets(StateDelta(self.version, last=True, reset=is_first)))


def _slices(resources: Iterator[Resource]) -> Iterator[list[Resource]]:
    piece: list[Resource] = []
    for resource in resources:
        piece.append(resource)
        if len(piece) == SLICE:
            yield piece
            piece = []
    if piece:
        yield piece


def _size(step: Step) -> int:
    return sum(len(packet) for packet in step.packets)
