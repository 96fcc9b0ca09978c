"""What a discovery server has to tell: resources, each encoded once, and how they changed.

1. A resource's version is a hash of its octets: the same object has the same version after a
   restart, so that a client that comes back is sent what has changed and nothing else.
2. A catalogue is never changed: all streams share it, and the next one shares its resources.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage

from mesh.proto import discovery_pb2
from mesh.wire.configuration import CONFIGURATION_TYPE

ADDRESS_TYPE: Final = "type.googleapis.com/istio.workload.Address"
AUTHORIZATION_TYPE: Final = "type.googleapis.com/istio.security.Authorization"
TYPES: Final = (ADDRESS_TYPE, AUTHORIZATION_TYPE, CONFIGURATION_TYPE)

VERSION_OCTETS: Final = 8
RESOURCES_TAG: Final = b"\x12"
"""Field 2 of DeltaDiscoveryResponse, with a length before its octets."""
ALIASES_TAG: Final = b"\x22"
"""Field 4 of Resource, with a length before its octets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource as responses carry it."""

    name: str
    version: str
    framed: bytes
    """The resource without aliases, with the tag and length that it has in a response."""
    aliases: tuple[str, ...] = ()
    """`network/IP`: other names by which it may be asked for."""
    node: str = ""
    """Where it runs, when it is a workload."""
    services: tuple[str, ...] = ()
    """Names of the services that it serves: who asks for one of them is told of it too."""
    waypoints: frozenset[str] = frozenset()
    """`namespace/name` of the Gateways that a configuration is for."""

    @property
    def framed_with_aliases(self) -> bytes:
        """As `framed`, with the aliases: what is answered to who asks for single names."""
        octets = self.framed[1:]
        while octets[0] & 0x80:
            octets = octets[1:]
        aliases = (alias.encode() for alias in self.aliases)
        more = b"".join(ALIASES_TAG + _varint(len(alias)) + alias for alias in aliases)
        return _framed(octets[1:] + more)


def make_resource(
    type_url: str,
    name: str,
    message: bytes,
    *,
    aliases: tuple[str, ...] = (),
    node: str = "",
    services: tuple[str, ...] = (),
) -> Resource:
    """Encode one resource around its message (which must be encoded the same way every time)."""
    version = blake2b(message, digest_size=VERSION_OCTETS).hexdigest()
    body = AnyMessage(type_url=type_url, value=message)
    wrapped = discovery_pb2.Resource(name=name, version=version, resource=body)
    return Resource(
        name=name,
        version=version,
        framed=_framed(wrapped.SerializeToString(deterministic=True)),
        aliases=aliases,
        node=node,
        services=services,
    )


def _framed(octets: bytes) -> bytes:
    return RESOURCES_TAG + _varint(len(octets)) + octets


def _varint(number: int) -> bytes:
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


@dataclass(frozen=True, slots=True)
class Difference:
    """What somebody lacks: resources to be sent, names to be removed."""

    changed: tuple[Resource, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


class Catalogue:
    """All resources of one type at one time. The indexes are made when first asked for."""

    def __init__(
        self,
        resources: Mapping[str, Resource],
        previous: "Catalogue | None" = None,
        last: Difference | None = None,
    ) -> None:
        """Keep the resources, by name; `last` is what they changed since `previous`."""
        self.resources = resources
        self.serial: int = 0 if previous is None else previous.serial + 1
        self._last = last or Difference()

    def since(self, older: "Catalogue") -> Difference:
        """What somebody lacks who has an older one of the same chain: cheap for the one before."""
        if older is self:
            return Difference()
        if older.serial == self.serial - 1:
            return self._last
        return difference(older.resources, self.resources)

    def lacking(self, versions: Mapping[str, str]) -> Difference:
        """What somebody lacks who has these versions, by name."""
        return Difference(
            tuple(r for name, r in self.resources.items() if versions.get(name) != r.version),
            tuple(name for name in versions if name not in self.resources),
        )

    @cached_property
    def by_alias(self) -> Mapping[str, list[Resource]]:
        """Who may be meant by an alias."""
        return _index((alias, r) for r in self.resources.values() for alias in r.aliases)

    @cached_property
    def by_service(self) -> Mapping[str, list[Resource]]:
        """Who serves a service, by its name."""
        return _index((service, r) for r in self.resources.values() for service in r.services)

    @cached_property
    def by_node(self) -> Mapping[str, list[Resource]]:
        """Who runs on a node."""
        return _index((r.node, r) for r in self.resources.values() if r.node)

    @cached_property
    def by_waypoint(self) -> Mapping[str, list[Resource]]:
        """What is for a Gateway, by `namespace/name`."""
        return _index((name, r) for r in self.resources.values() for name in r.waypoints)


def _index(pairs: Iterable[tuple[str, Resource]]) -> dict[str, list[Resource]]:
    found: dict[str, list[Resource]] = {}
    for key, resource in pairs:
        found.setdefault(key, []).append(resource)
    return found


def difference(older: Mapping[str, Resource], newer: Mapping[str, Resource]) -> Difference:
    """What changed between two sets of resources."""
    changed = []
    for name, resource in newer.items():
        before = older.get(name)
        if before is not resource and not _is_same(before, resource):
            changed.append(resource)
    return Difference(tuple(changed), tuple(name for name in older if name not in newer))


def _is_same(before: Resource | None, now: Resource) -> bool:
    if before is None or before.version != now.version:
        return False
    return before.waypoints == now.waypoints


def successor(previous: Catalogue, resources: Mapping[str, Resource]) -> Catalogue:
    """The catalogue after a change; `previous` itself when nothing has changed."""
    last = difference(previous.resources, resources)
    return Catalogue(resources, previous, last) if last else previous


@dataclass(frozen=True, slots=True)
class Published:
    """What there is to tell, by type URL, and which generation of the manifests it comes from."""

    generation: int = 0
    catalogues: Mapping[str, Catalogue] = field(
        default_factory=lambda: {type_url: Catalogue({}) for type_url in TYPES}
    )
