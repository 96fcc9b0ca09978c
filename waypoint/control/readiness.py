"""Whether this waypoint carries what it is to carry, and if not, what is still missing."""

from collections.abc import Iterator
from typing import Protocol

from mesh.runtime.control.certificates import Certificates
from mesh.runtime.control.link import Link
from mesh.runtime.control.store import Store
from mesh.runtime.control.workers import Workers
from mesh.runtime.http_server import Request, Response, text
from waypoint.config import Config


class Looked(Protocol):
    """What readiness looks at."""

    config: Config
    store: Store
    workers: Workers[Link]
    certificates: Certificates


class Readiness:
    """The page on port 15021."""

    def __init__(self, looked: Looked) -> None:
        """Look at these parts whenever somebody asks."""
        self._looked = looked

    def pending(self) -> Iterator[str]:
        """What is missing. A worker that has greeted listens."""
        looked = self._looked
        links = looked.workers.links
        # A saved state is enough: it is served from while the control plane is away.
        if looked.store.is_empty and not looked.workers.have_state:
            yield "state"
        if looked.config.identity not in looked.certificates.held:
            yield "certificate"
        if not any(link.is_greeted and link.applied for link in links):
            yield "workers"

    async def page(self, request: Request) -> Response:
        """200 `ready`, or 500 and what is missing.

        Cancellation: nothing changes.
        """
        if request.path != "/healthz/ready" or request.method == "POST":
            return text("not found", 404)
        if missing := list(self.pending()):
            return text(f"not ready, pending: {', '.join(missing)}", 500)
        return text("ready")
