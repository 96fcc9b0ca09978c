"""What a row of the table says: routes, then requests and what is to come of each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.e2e.conformance.world import MESH

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
V1, V2 = "echo-v1", "echo-v2"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request, and what is to come of it."""

    url: str = "http://echo/"
    """`{echo-v2}` in it stands for the address of that deployment's pod."""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    client: str = f"{MESH}/deploy/{V1}"
    status: int = 200
    """Of HTTP; with `grpc://` of gRPC; with `ws://` 101."""
    or_status: int = 0
    """Another one that is as good; 0: none."""
    backend: str = ""
    """Whose pod answers; empty: nobody's."""
    path: str = ""
    """The target as the backend saw it; empty: as it was asked."""
    seen: Mapping[str, str] = field(default_factory=dict)
    """Headers that the backend saw, several values joined by commas."""
    not_seen: tuple[str, ...] = ()
    answered: Mapping[str, str] = field(default_factory=dict)
    """Headers of the answer."""
    not_answered: tuple[str, ...] = ()
    location: str = ""
    host: str = ""
    """As the backend saw it; empty: whichever."""
    proto: str = ""
    """The version of HTTP that the backend was asked in; empty: whichever."""


@dataclass(frozen=True, kw_only=True)
class Shares:
    """One request sent often, and how often each backend is to answer."""

    url: str
    shares: Mapping[str, float]
    count: int = 500


@dataclass(frozen=True, kw_only=True)
class Mirrored:
    """A path that is asked for, and which backends are to write it down as well."""

    path: str
    backends: tuple[str, ...]
    count: int = 1
    share: float = 1
    """Of the requests, to each of them."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One test of the suite."""

    name: str
    routes: tuple[str, ...] = ()
    cases: tuple[Case, ...] = ()
    shares: tuple[Shares, ...] = ()
    mirrored: tuple[Mirrored, ...] = ()

    @property
    def manifest(self) -> str:
        """Its routes in one stream."""
        return "\n---\n".join(self.routes)


def service(name: str, **more: Json) -> dict[str, Json]:
    """A parentRef to a Service."""
    return {"group": "", "kind": "Service", "name": name, **more}


def to(name: str, port: int = 80, **more: Json) -> dict[str, Json]:
    """A backendRef."""
    return {"name": name, "port": port, **more}


def prefix(path: str) -> dict[str, Json]:
    """A match of a path's beginning."""
    return {"path": {"type": "PathPrefix", "value": path}}


def exact(path: str) -> dict[str, Json]:
    """A match of a whole path."""
    return {"path": {"type": "Exact", "value": path}}


def header(name: str, value: str) -> dict[str, Json]:
    """A match of a header."""
    return {"headers": [{"name": name, "value": value}]}


def query(**values: str) -> dict[str, Json]:
    """A match of query parameters, all of them."""
    return {"queryParams": [{"name": name, "value": value} for name, value in values.items()]}


def rule(
    *backends: dict[str, Json],
    matches: Sequence[dict[str, Json]] = (),
    filters: Sequence[dict[str, Json]] = (),
    **more: Json,
) -> dict[str, Json]:
    """One rule of a route; `more` are its other fields."""
    parts: dict[str, Json] = {
        **more,
        "matches": list(matches),
        "filters": list(filters),
        "backendRefs": list(backends),
    }
    return {key: value for key, value in parts.items() if value}


def headers_set(**values: str) -> dict[str, Json]:
    """A filter that sets headers of the answer; `_` in a name is `-`."""
    listed: list[Json] = [
        {"name": name.replace("_", "-"), "value": value} for name, value in values.items()
    ]
    return {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": listed}}


def redirect(**fields: Json) -> dict[str, Json]:
    """A filter that redirects."""
    return {"type": "RequestRedirect", "requestRedirect": dict(fields)}


def route(
    name: str,
    *rules: dict[str, Json],
    parents: Sequence[dict[str, Json]] = (),
    namespace: str = MESH,
    kind: str = "HTTPRoute",
) -> str:
    """A route's manifest; its parent is the Service `echo` unless it is said."""
    return json.dumps(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"parentRefs": list(parents or [service("echo")]), "rules": list(rules)},
        }
    )
