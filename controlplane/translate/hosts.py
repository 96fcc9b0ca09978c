"""Who has a host name that several ServiceEntries, or one and a Service, claim.

1. In one namespace: a Service before any ServiceEntry, then the oldest, then the first by name.
2. For the others a host is that of a Service of this name, else of the oldest entry of all that
   have it in their own namespace.
"""

from collections.abc import Iterator

from controlplane.translate.facts import ServiceFacts
from mesh.model.kubernetes import ObjectKey


class Hosts:
    """The claims of all ServiceEntries; held by `Store`, which alone changes it."""

    def __init__(self) -> None:
        """Know none."""
        self._claims: dict[str, dict[ObjectKey, ServiceFacts]] = {}

    def put(self, facts: ServiceFacts) -> None:
        """Hold the claims of an entry; none are held under its key."""
        for host in facts.hosts:
            self._claims.setdefault(host, {})[facts.key] = facts

    def drop(self, facts: ServiceFacts) -> None:
        """Forget the claims of an entry, which are held."""
        for host in facts.hosts:
            del self._claims[host][facts.key]
            if not self._claims[host]:
                del self._claims[host]

    def claiming(self, host: str) -> Iterator[ServiceFacts]:
        """Every entry that has a host, in no order."""
        yield from self._claims.get(host, {}).values()

    def first(self, host: str, namespace: str = "") -> ServiceFacts | None:
        """The entry that comes first, in a namespace or of all."""
        found = (facts for facts in self.claiming(host) if namespace in ("", facts.key.namespace))
        return min(found, key=age, default=None)


def age(facts: ServiceFacts) -> tuple[bool, str, ObjectKey]:
    """By which the oldest entry sorts first; one whose age nobody knows comes last."""
    created = facts.entry.created if facts.entry is not None else ""
    return not created, created, facts.key
