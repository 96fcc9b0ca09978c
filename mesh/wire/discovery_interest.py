"""What a discovery client wants of one type: everything, or single names with what goes with them.

An interest remembers what its client was sent, so that each difference is sent once.
"""

from collections.abc import Collection, Iterable, Mapping

from mesh.wire.discovery_catalogue import Catalogue, Difference, Resource


class Everything:
    """All resources of a type. What was sent is remembered as a catalogue that others share."""

    with_aliases = False

    def __init__(self, versions: Mapping[str, str]) -> None:
        """Begin with what the client says that it has, by name."""
        self._versions = versions
        self._sent: Catalogue | None = None
        self._again: set[str] = set()

    def subscribe(self, names: Iterable[str]) -> bool:
        """Owe an answer for single names, sent before or not; whether there is any."""
        self._again.update(names)
        return bool(self._again)

    def unsubscribe(self, names: Iterable[str]) -> bool:
        """Nothing: who wants everything wants each."""
        self._again.difference_update(names)
        return False

    def take(self, catalogue: Catalogue) -> Difference:
        """What the client lacks of it now; counts as sent from then on."""
        if self._sent is None:
            owed = catalogue.lacking(self._versions)
        else:
            owed = catalogue.since(self._sent)
        self._sent, self._versions = catalogue, {}
        if self._again:
            owed = self._answered(catalogue, owed)
        return owed

    def _answered(self, catalogue: Catalogue, owed: Difference) -> Difference:
        told = {resource.name for resource in owed.changed} | set(owed.removed)
        asked = sorted(self._again - told)
        self._again = set()
        found = tuple(catalogue.resources[name] for name in asked if name in catalogue.resources)
        absent = tuple(name for name in asked if name not in catalogue.resources)
        return Difference(owed.changed + found, owed.removed + absent)

    def versions(self) -> dict[str, str]:
        """What the client has, by name."""
        if self._sent is None:
            return dict(self._versions)
        return {name: resource.version for name, resource in self._sent.resources.items()}


class ForWaypoint:
    """What is for one Gateway. There is no choosing: a name is answered, and changes nothing."""

    with_aliases = False

    def __init__(self, waypoint: str, versions: Mapping[str, str]) -> None:
        """Begin with what the client says that it has; `waypoint` is `namespace/name`."""
        self._waypoint = waypoint
        self._have = dict(versions)
        self._again: set[str] = set()

    def subscribe(self, names: Iterable[str]) -> bool:
        """Owe an answer for single names, sent before or not; whether there is any."""
        self._again.update(names)
        return bool(self._again)

    def unsubscribe(self, names: Iterable[str]) -> bool:
        """Nothing: what is for it, it gets."""
        self._again.difference_update(names)
        return False

    def take(self, catalogue: Catalogue) -> Difference:
        """What the client lacks of it now; counts as sent from then on."""
        wanted = {r.name: r for r in catalogue.by_waypoint.get(self._waypoint, ())}
        again, self._again = self._again, set()
        changed = tuple(
            r for n, r in wanted.items() if self._have.get(n) != r.version or n in again
        )
        removed = {name: None for name in self._have if name not in wanted}
        removed |= {name: None for name in sorted(again) if name not in wanted}
        self._have = {name: resource.version for name, resource in wanted.items()}
        return Difference(changed, tuple(removed))

    def versions(self) -> dict[str, str]:
        """What the client has, by name."""
        return dict(self._have)


class Named:
    """The workloads of the client's own node, and what it asks for by name or `network/IP`.

    A name brings what goes with it: a service its workloads. A name that the client has is not
    answered; a new one is answered with all that it brings, or with its removal when there is
    nothing of that name.
    """

    with_aliases = True

    def __init__(self, node: str, versions: Mapping[str, str]) -> None:
        """Begin with what the client says that it has: it goes on wanting that."""
        self._node = node
        self._names = set(versions)
        self._have = dict(versions)
        self._asked: set[str] = {name for name, version in versions.items() if not version}

    @property
    def names(self) -> Collection[str]:
        """What has been asked for."""
        return self._names

    def subscribe(self, names: Iterable[str]) -> bool:
        """Want more names; whether an answer is owed."""
        fresh = set(names) - self._names
        self._names |= fresh
        self._asked |= {name for name in fresh if name not in self._have}
        return bool(self._asked)

    def unsubscribe(self, names: Iterable[str]) -> bool:
        """Want these no longer; whether an answer is owed: what they alone had brought goes."""
        gone = set(names) & self._names
        self._names -= gone
        self._asked -= gone
        return bool(gone)

    def take(self, catalogue: Catalogue) -> Difference:
        """What the client lacks of it now; counts as sent from then on."""
        wanted = {r.name: r for r in catalogue.by_node.get(self._node, ())}
        owed: dict[str, Resource] = {}
        unknown = []
        for name in sorted(self._names):
            brought = {resource.name: resource for resource in _brought(catalogue, name)}
            wanted |= brought
            if name in self._asked:
                owed |= brought
                if not brought:
                    unknown.append(name)
        self._asked = set()
        owed |= {n: r for n, r in wanted.items() if self._have.get(n) != r.version}
        removed = [name for name in self._have if name not in wanted]
        self._have = {name: resource.version for name, resource in wanted.items()}
        return Difference(tuple(owed.values()), tuple(dict.fromkeys(removed + unknown)))

    def versions(self) -> dict[str, str]:
        """What the client has, by name."""
        return dict(self._have)


def _brought(catalogue: Catalogue, name: str) -> Iterable[Resource]:
    """Who is called so, and the workloads of those among them that are services."""
    exact = catalogue.resources.get(name)
    named = [exact] if exact is not None else catalogue.by_alias.get(name, [])
    for resource in named:
        yield resource
        yield from catalogue.by_service.get(resource.name, ())
