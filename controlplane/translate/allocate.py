"""Addresses for ServiceEntries that have none: one of each family for every host (Istio's ranges).

1. Who has been given an address keeps it: it stands in the entry's status, and is taken up again
   after a restart. Of two who say that they have the same, the older keeps it.
2. New ones follow one another; an address that a user has written somewhere is not given.
"""

from typing import Final

from controlplane.translate.facts import ServiceFacts
from controlplane.translate.hosts import age
from mesh.model.address import Ip
from mesh.model.kubernetes import ObjectKey

_V4: Final = (4, bytes((240, 240)), 1 << 16)
_V6: Final = (16, bytes((0x20, 0x01, 0, 2, 0, 0)), 1 << 32)
"""Octets of an address, how it begins, and how many there are; the first and last are not given."""

Claim = tuple[ObjectKey, str]
"""An entry and one of its hosts."""


class Allocations:
    """What has been given to whom; held by `Store`, which alone changes it."""

    def __init__(self) -> None:
        """Nothing is given."""
        self._entries: dict[ObjectKey, ServiceFacts] = {}
        self._given: dict[ObjectKey, dict[tuple[str, int], Ip]] = {}
        """By entry; then by host and octets of the address."""
        self._holder: dict[Ip, Claim] = {}
        self._written: dict[Ip, int] = {}
        self._next = {4: 1, 16: 1}
        self._pending: set[ObjectKey] = set()

    def of(self, key: ObjectKey, host: str) -> tuple[Ip, ...]:
        """What a host of an entry has been given."""
        given = self._given.get(key, {})
        return tuple(given[host, octets] for octets in (4, 16) if (host, octets) in given)

    def put(self, facts: ServiceFacts) -> None:
        """Hold an entry; `settle` gives it what it wants."""
        self._entries[facts.key] = facts
        self._pending.add(facts.key)
        for ip in _written(facts):
            self._written[ip] = self._written.get(ip, 0) + 1
            if ip in self._holder:
                key, host = self._holder[ip]
                self._release(key, (host, len(ip)))
                self._pending.add(key)

    def drop(self, facts: ServiceFacts) -> None:
        """Forget an entry; what it was given is free unless it comes again before `settle`."""
        del self._entries[facts.key]
        self._pending.add(facts.key)
        for ip in _written(facts):
            self._written[ip] -= 1
            if not self._written[ip]:
                del self._written[ip]

    def settle(self) -> set[ObjectKey]:
        """Give every entry what it wants; whose entries are to be built anew."""
        pending, self._pending = sorted(self._pending), set[ObjectKey]()
        wanting: list[ServiceFacts] = []
        for key in pending:
            facts = self._entries.get(key)
            wants = facts is not None and facts.entry is not None and facts.entry.wants_addresses
            hosts = facts.hosts if facts is not None and wants else ()
            for host, octets in list(self._given.get(key, {})):
                if host not in hosts:
                    self._release(key, (host, octets))
            if facts is not None and wants:
                wanting.append(facts)
        for facts in sorted(wanting, key=age):
            self._take_up(facts)
        for facts in wanting:
            for host in facts.hosts:
                for sort in (_V4, _V6):
                    self._give(facts.key, host, sort)
        return set(pending)

    def _take_up(self, facts: ServiceFacts) -> None:
        for host, ip in facts.entry.kept if facts.entry is not None else ():
            is_free = ip not in self._holder and ip not in self._written and _is_ours(ip)
            is_new = (host, len(ip)) not in self._given.get(facts.key, {})
            if host in facts.hosts and is_free and is_new:
                self._hold(facts.key, host, ip)

    def _give(self, key: ObjectKey, host: str, sort: tuple[int, bytes, int]) -> None:
        octets, prefix, count = sort
        if (host, octets) in self._given.get(key, {}):
            return
        start = self._next[octets]
        for step in range(min(count, 1 << 16)):
            number = (start + step) % count
            ip = Ip(prefix + number.to_bytes(octets - len(prefix), "big"))
            is_usable = 0 < number < count - 1
            if is_usable and ip not in self._holder and ip not in self._written:
                self._next[octets] = (number + 1) % count
                self._hold(key, host, ip)
                return

    def _hold(self, key: ObjectKey, host: str, ip: Ip) -> None:
        self._given.setdefault(key, {})[host, len(ip)] = ip
        self._holder[ip] = key, host

    def _release(self, key: ObjectKey, what: tuple[str, int]) -> None:
        of_key = self._given[key]
        del self._holder[of_key.pop(what)]
        if not of_key:
            del self._given[key]


def _written(facts: ServiceFacts) -> list[Ip]:
    """Addresses of our ranges that a user has written."""
    if facts.entry is None:
        return []
    return [ip for ip, prefix in facts.entry.ranges if prefix is None and _is_ours(ip)]


def _is_ours(ip: Ip) -> bool:
    return any(len(ip) == octets and ip.startswith(prefix) for octets, prefix, _ in (_V4, _V6))
