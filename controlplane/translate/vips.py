"""Addresses that several claim: a caller reaches one of them, and the entry is told.

Compared are whole ranges as they are written: a range within another is meant so.
"""

from collections.abc import Iterator

from controlplane.translate.facts import ServiceFacts
from mesh.model.address import Ip
from mesh.model.kubernetes import ObjectKey

Range = tuple[Ip, int | None]


class Vips:
    """The addresses of Services and of ServiceEntries; held by `Store`, which alone changes it."""

    def __init__(self) -> None:
        """Know none."""
        self._entries: dict[Range, set[ObjectKey]] = {}
        self._services: dict[Ip, ObjectKey] = {}

    def put(self, facts: ServiceFacts) -> None:
        """Hold these; none are held under their key."""
        if facts.entry is None:
            self._services.update(dict.fromkeys(facts.addresses, facts.key))
            return
        for written in facts.entry.ranges:
            self._entries.setdefault(written, set()).add(facts.key)

    def drop(self, facts: ServiceFacts) -> None:
        """Forget these, which are held."""
        if facts.entry is None:
            for ip in facts.addresses:
                if self._services.get(ip) == facts.key:
                    del self._services[ip]
            return
        for written in set(facts.entry.ranges):
            self._entries[written].discard(facts.key)
            if not self._entries[written]:
                del self._entries[written]

    def others(self, key: ObjectKey, written: Range) -> list[ObjectKey]:
        """Who else has an address, sorted."""
        found = self._entries.get(written, set()) - {key}
        ip, prefix = written
        if prefix is None and ip in self._services:
            found.add(self._services[ip])
        return sorted(found)

    def entries_at(self, facts: ServiceFacts) -> Iterator[ObjectKey]:
        """ServiceEntries with an address of these, these themselves too."""
        for written in ranges_of(facts):
            yield from self._entries.get(written, ())


def ranges_of(facts: ServiceFacts) -> tuple[Range, ...]:
    """The addresses that an object itself says it has."""
    if facts.entry is not None:
        return facts.entry.ranges
    return tuple((ip, None) for ip in facts.addresses)
