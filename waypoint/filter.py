"""What a user's own L7 filter is written with.

A filter is a class. A waypoint makes one object of it for each request, in a process of its own
that holds no key. Every hook has the time budget of its `Filter` object; a hook that takes longer,
or raises, fails the request (or lets it pass: `spec.failure`).

    from waypoint.filter import Answer, Filter, Request

    class Stamp(Filter):
        def request(self, request: Request) -> Answer | None:
            if "x-tenant" not in request.headers:
                return Answer(400, body=b"which tenant?")
            request.headers["x-stamped"] = self.config["stamp"]
            return None

To test one takes pytest and nothing else: make the object, call the hook, look.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import ClassVar

from mesh.model.fields import Json


class Headers(MutableMapping[str, str]):
    """The fields of a head: names have no case; several values of one name are kept in order."""

    def __init__(self, pairs: list[tuple[str, str]] | None = None) -> None:
        """Take the pairs; names become lower case."""
        self.pairs = [(name.lower(), value) for name, value in pairs or ()]

    def __getitem__(self, name: str) -> str:
        """All values of a name, joined as RFC 9110 section 5.3 says."""
        found = self.all(name)
        if not found:
            raise KeyError(name)
        return ", ".join(found)

    def __setitem__(self, name: str, value: str) -> None:
        """Put one value in place of all."""
        self.discard(name)
        self.add(name, value)

    def __delitem__(self, name: str) -> None:
        """Take every value of a name away."""
        if not self.discard(name):
            raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        """Each name once."""
        return iter(dict.fromkeys(name for name, _ in self.pairs))

    def __len__(self) -> int:
        """How many names there are."""
        return len(dict.fromkeys(name for name, _ in self.pairs))

    def all(self, name: str) -> list[str]:
        """Every value of a name."""
        return [value for each, value in self.pairs if each == name.lower()]

    def add(self, name: str, value: str) -> None:
        """One value more."""
        self.pairs.append((name.lower(), value))

    def discard(self, name: str) -> bool:
        """Take every value of a name away, if there are any; whether there were."""
        before = len(self.pairs)
        self.pairs = [pair for pair in self.pairs if pair[0] != name.lower()]
        return len(self.pairs) < before


@dataclass(slots=True)
class Request:
    """A request's head. What a filter changes here goes on to the backend."""

    method: str
    target: str
    """The path with its query."""
    authority: str
    headers: Headers = field(default_factory=Headers)
    client: str = ""
    """Who asks: `spiffe://...`; not to be changed."""
    route: str = ""
    """`namespace/name` of the route; not to be changed."""


@dataclass(slots=True)
class Response:
    """A response's head. What a filter changes here goes on to the client."""

    status: int
    headers: Headers = field(default_factory=Headers)


@dataclass(slots=True)
class Answer:
    """The filter's own answer: the backend is not asked."""

    status: int
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""


class Filter:
    """The base of every filter; a hook that is not overridden costs nothing."""

    config: ClassVar[Mapping[str, Json]] = {}
    """`spec.config` of the Filter object."""

    def request(self, request: Request) -> Answer | None:
        """The head has come. None lets it go on."""

    def request_body(self, piece: bytes, *, last: bool) -> bytes:
        """A piece of the request's content: gives what goes on instead. The last may be empty."""
        del last
        return piece

    def response(self, response: Response) -> None:
        """The head of the answer has come."""

    def response_body(self, piece: bytes, *, last: bool) -> bytes:
        """A piece of the answer's content: gives what goes on instead. The last may be empty."""
        del last
        return piece
