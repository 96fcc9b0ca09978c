"""TLS and TCP routes of one service port and one group: one of them takes a whole connection.

1. TLS: the route with the server name itself, then the longest wildcard (`*.` stands for one label
   or more), then a route without hostnames. TCP: hostnames do not count.
2. Of several the older, then `namespace/name`. A route's first rule is its only one.
3. No route for the server name: the connection is closed.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, TypeAlias

from mesh.model.routes import Route, RouteKind, RouteRule

ConnectionRank: TypeAlias = tuple[int, int, str]
"""Characters of the hostname (negative, and more so for an exact one), age, name."""

NO_RULE: Final = RouteRule()
EXACT_WEIGHT: Final = 1000
"""More than the characters of any hostname."""


@dataclass(frozen=True, slots=True)
class ConnectionMatched:
    """What a connection has matched."""

    route: Route
    rule: RouteRule
    rank: ConnectionRank


_BY_RANK: Final = attrgetter("rank")


class ConnectionTable:
    """TLS or TCP routes that are matched together."""

    __slots__ = ("_by_hostname", "_held")

    def __init__(self) -> None:
        """An empty one: nothing matches."""
        self._held: dict[str, Route] = {}
        self._by_hostname: dict[str, list[ConnectionMatched]] = {}

    def __len__(self) -> int:
        """How many routes there are."""
        return len(self._held)

    def put(self, name: str, route: Route) -> None:
        """Add a route, or replace it."""
        self.remove(name)
        self._held[name] = route
        for hostname in _hostnames(route):
            alike = self._by_hostname.setdefault(hostname, [])
            insort(alike, _matched(route, hostname), key=_BY_RANK)

    def remove(self, name: str) -> None:
        """Take a route away, if it is there."""
        route = self._held.pop(name, None)
        if route is None:
            return
        for hostname in _hostnames(route):
            alike = self._by_hostname[hostname]
            index = bisect_left(alike, _matched(route, hostname).rank, key=_BY_RANK)
            while alike[index].route is not route:  # nothing forbids two names for one route
                index += 1
            del alike[index]
            if not alike:
                del self._by_hostname[hostname]

    def match(self, server_name: str) -> ConnectionMatched | None:
        """The route of a connection that asks for a server name, or for none."""
        name = server_name.lower().removesuffix(".")
        alike = self._by_hostname.get(name) if name else None
        while alike is None and name:
            name = name.partition(".")[2]
            alike = self._by_hostname.get(f"*.{name}") if name else None
        alike = alike or self._by_hostname.get("")
        return alike[0] if alike else None


def _hostnames(route: Route) -> set[str]:
    if route.kind is RouteKind.TCP or not route.hostnames:
        return {""}
    return {hostname.lower() for hostname in route.hostnames}


def _matched(route: Route, hostname: str) -> ConnectionMatched:
    weight = len(hostname) + (EXACT_WEIGHT if not hostname.startswith("*") else 0)
    rank = (-weight if hostname else 0, route.created, f"{route.namespace}/{route.name}")
    return ConnectionMatched(route, next(iter(route.rules), NO_RULE), rank)
