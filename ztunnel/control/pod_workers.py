"""All workers of this node proxy: in which pods they listen."""

from typing import Final

import trio

from mesh.errors import UnavailableError
from mesh.runtime.control.workers import Workers
from ztunnel.control.pod_link import PodLink
from ztunnel.control.pods import OWN_UID

RETRY_S: Final = 5.0
"""How often a pod that could not be served is tried again."""


class PodNotServedError(UnavailableError):
    """No worker can listen in a pod; the node agent is told why."""

    code = "pod_not_served"


class PodWorkers(Workers[PodLink]):
    """The links to the workers, by the workers' index."""

    async def retry(self) -> None:
        """Try again and again where pods could not be served.

        Cancellation: nothing changes.
        """
        while True:
            await trio.sleep(RETRY_S)
            if any(link.listening and any(link.listening.values()) for link in self.links):
                for link in self.links:
                    link.forget_failures()
                self._bell.ring()

    async def wait_listening(self, uid: str) -> None:
        """Wait until every worker listens in a pod.

        Raises:
            PodNotServedError: one cannot.

        Cancellation: nothing changes.
        """
        await self.wait(lambda: bool(self._refusal(uid)) or self._all_listen(uid))
        if refusal := self._refusal(uid):
            raise PodNotServedError(refusal)

    def some_listen(self, uid: str) -> bool:
        """Whether the pod is served, though perhaps not by all workers yet."""
        return any(link.listening.get(uid) == "" for link in self.links)

    def failed_pods(self) -> set[str]:
        """Uids of enrolled pods where some worker could not listen."""
        failed = {uid for link in self.links for uid, error in link.listening.items() if error}
        return failed - {OWN_UID}

    def _all_listen(self, uid: str) -> bool:
        return bool(self.links) and all(link.listening.get(uid) == "" for link in self.links)

    def _refusal(self, uid: str) -> str:
        return next(filter(None, (link.listening.get(uid) for link in self.links)), "")
