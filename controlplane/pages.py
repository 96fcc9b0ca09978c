"""What the control plane says over HTTP: metrics for everybody, the mesh for this machine only."""

import json
from collections.abc import Callable
from typing import Final

from controlplane.discovery import Discovery
from controlplane.metrics import Metrics
from controlplane.publish import Publication
from mesh.runtime.http_server import Request, Response, text

_JSON: Final = "application/json"
_PAGES: Final = "/debug/syncz\n/debug/configz\n/debug/problems\n/metrics\n/ready"


class Pages:
    """The pages of one control plane."""

    def __init__(
        self, discovery: Discovery, publication: Callable[[], Publication], metrics: Metrics
    ) -> None:
        """Show what these know."""
        self._discovery, self._publication, self._metrics = discovery, publication, metrics
        self._debug: dict[str, Callable[[], Response]] = {
            "/debug": lambda: text(_PAGES),
            "/debug/": lambda: text(_PAGES),
            "/debug/syncz": self._syncz,
            "/debug/configz": self._configz,
            "/debug/problems": self._problems,
        }

    async def answer(self, request: Request) -> Response:
        """One page.

        Cancellation: there is nothing to wait for.
        """
        if request.path == "/metrics":
            return self._metrics.page()
        if request.path == "/ready":
            return text("ready")
        page = self._debug.get(request.path)
        if page is None:
            return text("no such page", 404)
        if not request.is_from_loopback:
            return text("from this machine's loopback only", 403)
        return page()

    def _syncz(self) -> Response:
        publication = self._publication()
        clients = [
            {
                "node": client.name,
                "kind": client.kind,
                "pod": client.pod,
                "address": client.peer,
                "connected": client.connected,
                "acked_generation": client.machine.acknowledged_generation,
                "rejected": client.machine.rejection,
            }
            for client in self._discovery.clients()
        ]
        return _json(
            {
                "generation": publication.published.generation,
                "problems": list(publication.problems),
                "clients": clients,
            }
        )

    def _configz(self) -> Response:
        published = self._publication().published
        return _json(
            {
                "generation": published.generation,
                "resources": {
                    type_url: {
                        name: {"version": resource.version, "aliases": list(resource.aliases)}
                        for name, resource in sorted(catalogue.resources.items())
                    }
                    for type_url, catalogue in published.catalogues.items()
                },
            }
        )

    def _problems(self) -> Response:
        return _json(list(self._publication().problems))


def _json(value: object) -> Response:
    return Response(200, json.dumps(value, indent=1).encode() + b"\n", _JSON)
