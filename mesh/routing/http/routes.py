"""All routes of a waypoint, and which of them a client's requests to a service port follow.

1. A route in a service's own namespace (producer) is for every client; one in another namespace
   (consumer) is for clients of that namespace only, and there it displaces the producer's.
2. Routes are never merged across these groups; within one, those for the port and those for every
   port are.
3. One kind has a group's port: GRPC, HTTP, TLS, TCP, the first of which there is a route.
4. Without any route the port is forwarded as if there were none; with routes, what none of them
   matches goes nowhere.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from mesh.model.routes import Route, RouteKind
from mesh.routing.http.connections import ConnectionMatched, ConnectionTable
from mesh.routing.http.entries import Entry, Matched, Rank, entries_of
from mesh.routing.http.table import RouteTable
from mesh.routing.http.view import RequestView
from mesh.wire.http.messages import RequestHead

_OF_REQUESTS: Final = frozenset((RouteKind.GRPC, RouteKind.HTTP))

_Group: TypeAlias = tuple[str, int, str]
"""Service, port (0: every port), namespace of the routes."""


@dataclass(frozen=True, slots=True)
class RequestRoutes:
    """The routes that requests are matched with: HTTP or gRPC."""

    is_grpc: bool
    tables: tuple[RouteTable, ...]

    def match(self, request: RequestHead) -> Matched | None:
        """What comes first of all that a request matches; its target must be normalised."""
        if len(self.tables) == 1:
            return self.tables[0].match(request)
        view = RequestView(request)
        found = [entry for table in self.tables if (entry := table.first(view))]
        return min(found, key=_rank).matched if found else None


@dataclass(frozen=True, slots=True)
class ConnectionRoutes:
    """The routes that whole connections are matched with: TLS, by the server name, or TCP."""

    is_tls: bool
    tables: tuple[ConnectionTable, ...]

    def match(self, server_name: str = "") -> ConnectionMatched | None:
        """The route of a connection; None: close it."""
        found = [matched for table in self.tables if (matched := table.match(server_name))]
        return min(found, key=lambda matched: matched.rank, default=None)


Chosen: TypeAlias = RequestRoutes | ConnectionRoutes


class _Tables:
    """The tables of a group, by kind; an empty one is not kept."""

    __slots__ = ("chosen", "connections", "requests")

    def __init__(self) -> None:
        self.requests: dict[RouteKind, RouteTable] = {}
        self.connections: dict[RouteKind, ConnectionTable] = {}
        self.chosen: Chosen | None = None

    def put(self, name: str, route: Route, entries: tuple[Entry, ...]) -> None:
        if route.kind in _OF_REQUESTS:
            self.requests.setdefault(route.kind, RouteTable()).put_entries(name, entries)
        else:
            self.connections.setdefault(route.kind, ConnectionTable()).put(name, route)
        self.chosen = _chosen(self)

    def remove(self, name: str, kind: RouteKind) -> None:
        for tables in (self.requests, self.connections):
            table = tables.get(kind)
            if table is not None:
                table.remove(name)
                if not len(table):
                    del tables[kind]
        self.chosen = _chosen(self)


class Routes:
    """Every route that a waypoint was told of, by the name of its resource."""

    __slots__ = ("_groups", "_held")

    def __init__(self) -> None:
        """None yet."""
        self._held: dict[str, Route] = {}
        self._groups: dict[_Group, _Tables] = {}

    def __len__(self) -> int:
        """How many routes there are."""
        return len(self._held)

    def put(self, name: str, route: Route) -> None:
        """Add a route, or replace it; costs what the route itself has.

        Raises:
            PatternInvalidError: a regular expression of it is none; nothing has changed.
        """
        entries = entries_of(route) if route.kind in _OF_REQUESTS else ()
        self.remove(name)
        self._held[name] = route
        for group in _groups(route):
            self._groups.setdefault(group, _Tables()).put(name, route, entries)

    def remove(self, name: str) -> None:
        """Take a route away, if it is there."""
        route = self._held.pop(name, None)
        if route is None:
            return
        for group in _groups(route):
            tables = self._groups[group]
            tables.remove(name, route.kind)
            if tables.chosen is None:
                del self._groups[group]

    def choose(self, service: str, port: int, client_namespace: str) -> Chosen | None:
        """The routes for a client's traffic to a service; None: forward it as it is.

        Args:
            service: `namespace/hostname`.
            port: of the service, that was called.
            client_namespace: where the client's identity says it is; empty when it has none.
        """
        own = service.partition("/")[0]
        for namespace in (client_namespace, own) if client_namespace != own else (own,):
            here = self._groups.get((service, port, namespace))
            everywhere = self._groups.get((service, 0, namespace))
            if here is not None and everywhere is not None:
                return _chosen(here, everywhere)
            found = here or everywhere
            if found is not None:
                return found.chosen
        return None


def _chosen(*found: _Tables) -> Chosen | None:
    """The tables of the first kind that any of these has."""
    kinds = (kind for each in found for kind in (*each.requests, *each.connections))
    kind = min(kinds, default=None)
    if kind is None:
        return None
    if kind in _OF_REQUESTS:
        tables = tuple(each.requests[kind] for each in found if kind in each.requests)
        return RequestRoutes(kind is RouteKind.GRPC, tables)
    connections = tuple(each.connections[kind] for each in found if kind in each.connections)
    return ConnectionRoutes(kind is RouteKind.TLS, connections)


def _groups(route: Route) -> set[_Group]:
    return {(parent.service, parent.port, route.namespace) for parent in route.parents}


def _rank(entry: Entry) -> Rank:
    return entry.rank
