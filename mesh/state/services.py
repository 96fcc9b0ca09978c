"""Services by name, by virtual address, and by ranges of addresses."""

from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar

from mesh.model.address import Ip
from mesh.model.workload import NetworkAddress, Service, Visibility

KeyT = TypeVar("KeyT", bound=Hashable)


def masked(ip: Ip, prefix: int) -> int:
    """The first `prefix` bits of an address, as a number."""
    return int.from_bytes(ip, "big") >> (len(ip) * 8 - prefix)


Block = tuple[str, int, int]
"""Which ranges are compared alike: network, octets of an address, prefix length."""


class Services:
    """All services; several may share a hostname or an address."""

    def __init__(self) -> None:
        """None yet."""
        self._by_key: dict[str, Service] = {}
        self._by_hostname: dict[str, list[Service]] = {}
        self._by_ip: dict[tuple[str, Ip], list[Service]] = {}
        self._by_range: dict[Block, dict[int, list[Service]]] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def values(self) -> Iterator[Service]:
        """All of them."""
        return iter(self._by_key.values())

    def get(self, key: str) -> Service | None:
        """By `namespace/hostname`."""
        return self._by_key.get(key)

    def put(self, service: Service) -> bool:
        """Add or replace; whether that changed anything."""
        old = self._by_key.get(service.key)
        if old == service:
            return False
        self.remove(service.key)
        self._by_key[service.key] = service
        self._by_hostname.setdefault(service.hostname, []).append(service)
        for address in service.addresses:
            self._shelf(address).append(service)
        return True

    def remove(self, key: str) -> bool:
        """Forget it; whether it was known."""
        service = self._by_key.pop(key, None)
        if service is None:
            return False
        _drop(self._by_hostname, service.hostname, service)
        for address in service.addresses:
            if address.prefix is None:
                _drop(self._by_ip, (address.network, address.ip), service)
                continue
            block = (address.network, len(address.ip), address.prefix)
            if (ranges := self._by_range.get(block)) is not None:
                _drop(ranges, masked(address.ip, address.prefix), service)
                if not ranges:
                    del self._by_range[block]
        return True

    def _shelf(self, address: NetworkAddress) -> list[Service]:
        if address.prefix is None:
            return self._by_ip.setdefault((address.network, address.ip), [])
        block = (address.network, len(address.ip), address.prefix)
        ranges = self._by_range.setdefault(block, {})
        return ranges.setdefault(masked(address.ip, address.prefix), [])

    def named(self, hostname: str, namespace: str) -> Service | None:
        """The best that a client of `namespace` may see."""
        return _best(self._by_hostname.get(hostname, ()), namespace)

    def all_named(self, hostname: str) -> tuple[Service, ...]:
        """Everyone who has the hostname, the first to come first."""
        return tuple(self._by_hostname.get(hostname, ()))

    def at(self, network: str, ip: Ip, namespace: str) -> Service | None:
        """The best that a client of `namespace` may see; an exact address before any range."""
        if (exact := _best(self._by_ip.get((network, ip), ()), namespace)) is not None:
            return exact
        found: Service | None = None
        found_rank = (False, -1, False)
        for (block_network, octets, prefix), ranges in self._by_range.items():
            if block_network != network or octets != len(ip):
                continue
            service = _best(ranges.get(masked(ip, prefix), ()), namespace)
            if service is None:
                continue
            rank = (service.namespace == namespace, prefix, service.canonical)
            if rank > found_rank:
                found, found_rank = service, rank
        return found


def _best(services: Iterable[Service], namespace: str) -> Service | None:
    """Own namespace first, then a canonical one, then the first to come."""
    visible = (
        service
        for service in services
        if service.visibility is Visibility.PUBLIC or service.namespace == namespace
    )
    return min(visible, key=lambda s: (s.namespace != namespace, not s.canonical), default=None)


def _drop(index: dict[KeyT, list[Service]], key: KeyT, service: Service) -> None:
    services = [other for other in index.get(key, ()) if other is not service]
    if services:
        index[key] = services
    else:
        index.pop(key, None)
