"""The parts that messages of the workload API have in common.

What repeats among many resources is one object in all of them: texts are interned, and small values
are kept in tables of limited size. A process that holds all of the cluster depends on it.
"""

import sys
from collections.abc import Iterable, Mapping
from enum import IntEnum
from functools import lru_cache
from typing import Final, TypeVar

from mesh.errors import MeshError, PeerError
from mesh.model.address import Ip, ip_from_bytes
from mesh.model.workload import (
    AppProtocol,
    GatewayAddress,
    Locality,
    NamespacedHostname,
    NetworkAddress,
    Port,
)
from mesh.proto import workload_pb2

EnumT = TypeVar("EnumT", bound=IntEnum)

SHARED_KINDS: Final = 16_384
"""How many distinct values of one kind are kept in order to be shared."""

MAX_PORT: Final = 65_535


class ResourceInvalidError(PeerError):
    """A resource of the workload API that cannot be meant as it stands."""

    code = "resource_invalid"

    def __init__(self, resource: str, field: str, reason: str) -> None:
        """Keep which resource (by its name in discovery), which field, and why."""
        where = f"{field}: {reason}" if field else reason
        super().__init__(f"{resource}: {where}")
        self.resource, self.field, self.reason = resource, field, reason


class FieldReader:
    """Reads the fields of one resource, and names it when one is not valid."""

    __slots__ = ("resource",)

    def __init__(self, resource: str) -> None:
        """`resource` is its name in discovery."""
        self.resource = resource

    def wrong(self, field: str, reason: str) -> ResourceInvalidError:
        """The error to raise."""
        return ResourceInvalidError(self.resource, field, reason)

    def member(self, field: str, members: Mapping[int, EnumT], number: int) -> EnumT:
        """A number as the member of an enumeration."""
        try:
            return members[number]
        except KeyError:
            raise self.wrong(field, f"no such value: {number}") from None

    def ip(self, field: str, octets: bytes) -> Ip:
        """An address."""
        try:
            return ip_from_bytes(octets)
        except MeshError:
            raise self.wrong(field, f"an address has 4 or 16 octets, not {len(octets)}") from None

    def range(self, field: str, octets: bytes, prefix: int) -> tuple[Ip, int]:
        """An address with a prefix length; a range of v4-mapped addresses is one of IPv4."""
        if prefix > len(octets) * 8:
            raise self.wrong(field, f"a prefix of {prefix} bits in {len(octets)} octets")
        ip = self.ip(field, octets)
        if len(ip) == len(octets):
            return ip, prefix
        if prefix >= MAPPED_BITS:
            return ip, prefix - MAPPED_BITS
        return Ip(octets), prefix

    def port(self, field: str, number: int) -> int:
        """A TCP port, 0 included: it has a meaning of its own in several places."""
        if number > MAX_PORT:
            raise self.wrong(field, f"no port: {number}")
        return number

    def ports(self, field: str, ports: Iterable[workload_pb2.Port]) -> tuple[Port, ...]:
        """A list of ports."""
        read = []
        for port in ports:
            numbers = port.service_port, port.target_port
            if max(numbers) > MAX_PORT:
                raise self.wrong(field, f"no port: {max(numbers)}")
            read.append((*numbers, self.member(field, APP_PROTOCOLS, port.app_protocol)))
        return _ports(tuple(read))

    def network_address(self, field: str, message: workload_pb2.NetworkAddress) -> NetworkAddress:
        """An address (or a range) of a network."""
        network = sys.intern(message.network)
        if message.HasField("length"):
            return NetworkAddress(network, *self.range(field, message.address, message.length))
        return NetworkAddress(network, self.ip(field, message.address))

    def gateway(self, field: str, message: workload_pb2.GatewayAddress) -> GatewayAddress:
        """A waypoint or a network gateway."""
        port = self.port(field, message.hbone_mtls_port)
        match message.WhichOneof("destination"):
            case "hostname":
                name = message.hostname
                return _gateway(_hostname(name.namespace, name.hostname), port)
            case "address":
                return _gateway(self.network_address(field, message.address), port)
            case _:
                raise self.wrong(field, "neither hostname nor address")


MAPPED_BITS: Final = 96
"""What a v4-mapped address has before its IPv4 address."""

APP_PROTOCOLS: Final = {member.value: member for member in AppProtocol}


@lru_cache(maxsize=SHARED_KINDS)
def _ports(read: tuple[tuple[int, int, AppProtocol], ...]) -> tuple[Port, ...]:
    return tuple(_port(*numbers) for numbers in read)


@lru_cache(maxsize=SHARED_KINDS)
def _port(service_port: int, target_port: int, app_protocol: AppProtocol) -> Port:
    return Port(service_port, target_port, app_protocol)


@lru_cache(maxsize=SHARED_KINDS)
def _hostname(namespace: str, hostname: str) -> NamespacedHostname:
    return NamespacedHostname(sys.intern(namespace), sys.intern(hostname))


@lru_cache(maxsize=SHARED_KINDS)
def _gateway(destination: NamespacedHostname | NetworkAddress, port: int) -> GatewayAddress:
    return GatewayAddress(destination, port)


@lru_cache(maxsize=SHARED_KINDS)
def shared_locality(region: str, zone: str, subzone: str) -> Locality:
    """One object for each place."""
    return Locality(sys.intern(region), sys.intern(zone), sys.intern(subzone))


@lru_cache(maxsize=SHARED_KINDS)
def shared_services(
    items: tuple[tuple[str, tuple[Port, ...]], ...],
) -> Mapping[str, tuple[Port, ...]]:
    """One object for each set of services with their ports; sort the items."""
    return {sys.intern(key): ports for key, ports in items}


@lru_cache(maxsize=SHARED_KINDS)
def shared_texts(texts: tuple[str, ...]) -> tuple[str, ...]:
    """One object for each list."""
    return tuple(map(sys.intern, texts))


# Writing.


def port_messages(ports: Iterable[Port]) -> Iterable[workload_pb2.Port]:
    """Ports as messages."""
    return (
        workload_pb2.Port(
            service_port=port.service_port,
            target_port=port.target_port,
            app_protocol=port.app_protocol.name,
        )
        for port in ports
    )


def network_address_message(address: NetworkAddress) -> workload_pb2.NetworkAddress:
    """An address or a range as a message."""
    return workload_pb2.NetworkAddress(
        network=address.network, address=address.ip, length=address.prefix
    )


def gateway_message(gateway: GatewayAddress | None) -> workload_pb2.GatewayAddress | None:
    """A gateway as a message, if there is one."""
    if gateway is None:
        return None
    message = workload_pb2.GatewayAddress(hbone_mtls_port=gateway.hbone_mtls_port)
    where = gateway.destination
    if isinstance(where, NamespacedHostname):
        name = workload_pb2.NamespacedHostname(namespace=where.namespace, hostname=where.hostname)
        message.hostname.CopyFrom(name)
    else:
        message.address.CopyFrom(network_address_message(where))
    return message
