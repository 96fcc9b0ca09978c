"""Whether this proxy carries what it is to carry, and if not, what is still missing."""

from collections.abc import Iterator
from typing import Protocol

from mesh.runtime.control.store import Store
from mesh.runtime.http_server import Request, Response, text
from mesh.runtime.tls_revocation import Revocations
from ztunnel.config import Config, Mode
from ztunnel.control.pod_workers import PodWorkers
from ztunnel.control.pods import Pods
from ztunnel.control.zds import ZdsClient


class Looked(Protocol):
    """What readiness looks at."""

    config: Config
    store: Store
    workers: PodWorkers
    pods: Pods
    revocations: Revocations
    zds: ZdsClient


class Readiness:
    """The page on port 15021."""

    def __init__(self, looked: Looked) -> None:
        """Look at these parts whenever somebody asks."""
        self._looked = looked

    def pending(self) -> Iterator[str]:
        """What is missing, in the words of Istio's node proxy (but for the last, which is ours)."""
        looked = self._looked
        if looked.store.is_empty and not looked.workers.have_state:
            yield "state manager"
        if not any(link.is_greeted and link.applied for link in looked.workers.links):
            yield "proxy"
        if not self._has_pods():
            yield "workload proxy manager"
        if looked.revocations.are_unknown:
            yield "revocation lists"

    def _has_pods(self) -> bool:
        looked = self._looked
        if looked.workers.failed_pods():
            return False
        if looked.config.mode is Mode.SHARED:
            return looked.zds.is_connected
        return bool(looked.pods.held) and all(
            looked.workers.some_listen(pod.info.uid) for pod in looked.pods.held
        )

    async def page(self, request: Request) -> Response:
        """200 `ready`, or 500 and what is missing.

        Cancellation: nothing changes.
        """
        if request.path != "/healthz/ready" or request.method == "POST":
            return text("not found", 404)
        if missing := list(self.pending()):
            return text(f"not ready, pending: {', '.join(missing)}", 500)
        return text("ready")
