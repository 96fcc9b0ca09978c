"""The routes of one service port and one group, as an index: cost hardly grows with routes.

A request looks at the entries of its own path, then at those of each of its prefixes from the
longest, then at regular expressions, then at what takes any path. In each place entries are kept by
what must be equal (method, headers, parameters), so that a look-up finds those few that agree.
What is still looked at one by one: regular expressions that begin alike, and entries that differ in
nothing but regular expressions. A change costs what the changed route has.
"""

from bisect import bisect_left, insort
from operator import attrgetter
from typing import Final

from mesh.model.routes import Route
from mesh.routing.http.entries import ANY, EXACT, PREFIX, Entry, Matched, Shape, entries_of
from mesh.routing.http.view import RequestView
from mesh.wire.http.messages import RequestHead

_BY_RANK: Final = attrgetter("rank")


class Bucket:
    """Entries of one path, by the values that they compare."""

    __slots__ = ("_shapes",)

    def __init__(self) -> None:
        """An empty one."""
        self._shapes: dict[Shape, dict[tuple[bytes, ...], list[Entry]]] = {}

    def __bool__(self) -> bool:
        """Whether there is any entry."""
        return bool(self._shapes)

    def add(self, entry: Entry) -> None:
        """Put an entry at its place."""
        alike = self._shapes.setdefault(entry.shape, {}).setdefault(entry.values, [])
        insort(alike, entry, key=_BY_RANK)

    def discard(self, entry: Entry) -> None:
        """Take an entry away that was added."""
        by_values = self._shapes[entry.shape]
        alike = by_values[entry.values]
        index = bisect_left(alike, entry.rank, key=_BY_RANK)
        while alike[index] is not entry:  # nothing forbids two names for one route
            index += 1
        del alike[index]
        if not alike:
            del by_values[entry.values]
        if not by_values:
            del self._shapes[entry.shape]

    def first(self, view: RequestView) -> Entry | None:
        """The entry that comes first of those that hold."""
        best: Entry | None = None
        for shape, by_values in self._shapes.items():
            values = shape.read(view)
            if values is None:
                continue
            for entry in by_values.get(values, ()):
                if best is not None and best.rank < entry.rank:
                    break
                if not entry.checks or entry.holds(view):
                    best = entry
                    break
        return best


class _Depths:
    """How many elements the indexed paths have, at most: more of a request's need no look."""

    __slots__ = ("_counts", "most")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.most = 0

    def add(self, path: bytes) -> None:
        depth = path.count(b"/")
        self._counts[depth] = self._counts.get(depth, 0) + 1
        self.most = max(self.most, depth)

    def discard(self, path: bytes) -> None:
        depth = path.count(b"/")
        self._counts[depth] -= 1
        if not self._counts[depth]:
            del self._counts[depth]
            self.most = max(self._counts, default=0)


class RouteTable:
    """HTTP or gRPC routes that are matched together: those of one port, kind and group."""

    __slots__ = ("_any", "_depths", "_exact", "_held", "_patterns", "_prefixes")

    def __init__(self) -> None:
        """An empty one: nothing matches."""
        self._held: dict[str, tuple[Entry, ...]] = {}
        self._exact: dict[bytes, Bucket] = {}
        self._prefixes: dict[bytes, Bucket] = {}
        self._patterns: dict[bytes, Bucket] = {}
        self._any: dict[bytes, Bucket] = {}
        self._depths = _Depths()

    def __len__(self) -> int:
        """How many routes there are."""
        return len(self._held)

    def put(self, name: str, route: Route) -> None:
        """Add a route, or replace it.

        Raises:
            PatternInvalidError: a regular expression of it is none; nothing has changed.
        """
        self.put_entries(name, entries_of(route))

    def put_entries(self, name: str, entries: tuple[Entry, ...]) -> None:
        """Add or replace a route that was already taken apart, by `entries_of`."""
        self.remove(name)
        self._held[name] = entries
        for entry in entries:
            index = self._index(entry)
            index.setdefault(entry.path, Bucket()).add(entry)
            if entry.where != EXACT:
                self._depths.add(entry.path)

    def remove(self, name: str) -> None:
        """Take a route away, if it is there."""
        for entry in self._held.pop(name, ()):
            index = self._index(entry)
            bucket = index[entry.path]
            bucket.discard(entry)
            if not bucket:
                del index[entry.path]
            if entry.where != EXACT:
                self._depths.discard(entry.path)

    def match(self, request: RequestHead) -> Matched | None:
        """What comes first of all that a request matches; its target must be normalised."""
        found = self.first(RequestView(request))
        return None if found is None else found.matched

    def first(self, view: RequestView) -> Entry | None:
        """The same for a request that is looked at already."""
        bucket = self._exact.get(view.path)
        if bucket is not None and (found := bucket.first(view)):
            return found
        beginnings = self._beginnings(view.path)
        if self._prefixes:
            for beginning in reversed(beginnings):
                bucket = self._prefixes.get(beginning)
                if bucket is not None and (found := bucket.first(view)):
                    return found
        if self._patterns and (found := self._first_pattern(view, beginnings)):
            return found
        bucket = self._any.get(b"")
        return None if bucket is None else bucket.first(view)

    def _first_pattern(self, view: RequestView, beginnings: list[bytes]) -> Entry | None:
        best: Entry | None = None
        for beginning in (b"", *beginnings):
            bucket = self._patterns.get(beginning)
            found = None if bucket is None else bucket.first(view)
            if found is not None and (best is None or found.rank < best.rank):
                best = found
        return best

    def _beginnings(self, path: bytes) -> list[bytes]:
        """The path up to the end of its first element, of its second, and so on."""
        found = []
        end = 0
        for _ in range(self._depths.most):
            end = path.find(b"/", end + 1)
            if end < 0:
                found.append(path)
                break
            found.append(path[:end])
        return found

    def _index(self, entry: Entry) -> dict[bytes, Bucket]:
        if entry.where == EXACT:
            return self._exact
        if entry.where == PREFIX:
            return self._prefixes
        return self._any if entry.where == ANY else self._patterns
