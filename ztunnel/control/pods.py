"""The pods that this node proxy is to serve, with their network namespaces.

The node agent says which; until it has said all (or when it is away), what workers still serve
counts as well.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mesh.runtime.bell import Bell
from mesh.runtime.netns import netns_id
from mesh.wire.feed import PodInfo

OWN_UID: Final = "sluice/own"
"""Of the pod that the node proxy itself runs in. No pod of Kubernetes has such a uid."""


@dataclass(frozen=True, slots=True)
class HeldPod:
    """A pod to be served."""

    info: PodInfo
    netns: int
    """A descriptor that the registry owns."""
    netns_id: tuple[int, int]


class Pods:
    """Pods by uid. Owns the descriptors of their namespaces."""

    def __init__(self, bell: Bell) -> None:
        """Start with none; the bell is rung on each change."""
        self._bell = bell
        self._held: dict[str, HeldPod] = {}
        self.came = 0
        self.went = 0
        """How many pods came and went in this process."""

        self.is_settled = False
        """Whether somebody has said which pods there are: what is not held is to go."""

    @property
    def held(self) -> tuple[HeldPod, ...]:
        """All pods to be served."""
        return tuple(self._held.values())

    @property
    def enrolled(self) -> tuple[HeldPod, ...]:
        """All but the node proxy's own."""
        return tuple(pod for uid, pod in self._held.items() if uid != OWN_UID)

    def get(self, uid: str) -> HeldPod | None:
        """By uid."""
        return self._held.get(uid)

    def adopt(self, info: PodInfo, netns: int) -> None:
        """A worker serves this pod already; takes over the descriptor."""
        if info.uid in self._held or self.is_settled:
            os.close(netns)
        else:
            self._put(info, netns)

    def add(self, info: PodInfo, netns: int) -> None:
        """Serve this pod, in this namespace; takes over the descriptor.

        The same namespace again changes nothing; another one takes the place of the old.
        """
        old = self._held.get(info.uid)
        if old is not None and old.netns_id == netns_id(netns) and old.info == info:
            os.close(netns)
            return
        self.remove(info.uid)
        self._put(info, netns)

    def remove(self, uid: str) -> None:
        """Do not serve this pod any more; one that is not known is fine."""
        if (old := self._held.pop(uid, None)) is not None:
            os.close(old.netns)
            self.went += uid != OWN_UID
            self._bell.ring()

    def settle(self, told: Iterable[str]) -> list[str]:
        """These are all, but for our own: others go. Returns the uids of those."""
        stay = {*told, OWN_UID}
        gone = [uid for uid in self._held if uid not in stay]
        for uid in gone:
            self.remove(uid)
        self.is_settled = True
        self._bell.ring()
        return gone

    def close(self) -> None:
        """Give every descriptor up."""
        for uid in list(self._held):
            self.remove(uid)

    def _put(self, info: PodInfo, netns: int) -> None:
        self._held[info.uid] = HeldPod(info, netns, netns_id(netns))
        self.came += info.uid != OWN_UID
        self._bell.ring()
