"""The accepted connections of this worker, judged again whenever the rules change.

1. A connection is registered before it is judged for the first time, so that a change between the
   judgement and the registration cannot slip through.
2. It is judged by its destination as that is *now*, so that a policy that comes to be attached to
   a workload ends what it forbids. Only a workload that the state has lost is judged by as it was.
3. A change costs what it concerns: connections are kept by destination, and only those of
   destinations that a changed policy may reach are judged.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mesh.model.workload import Workload
from mesh.policy.authorize import ConnectionFacts, Verdict, authorize
from mesh.state.world import Changes, World


@dataclass(slots=True, eq=False)
class Live:
    """A connection that was let in, and what the policies ask about it."""

    facts: ConnectionFacts
    uid: str
    """The destination's."""
    stop: Callable[[Verdict], None]
    """Ends it; called at most once."""


class _Destination:
    """A workload of this node and the connections to it."""

    __slots__ = ("live", "workload")

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.live: dict[Live, None] = {}


class Connections:
    """Who is let in now."""

    def __init__(self, world: World) -> None:
        """`world` is the worker's own state."""
        self._world = world
        self._destinations: dict[str, _Destination] = {}

    def __len__(self) -> int:
        return sum(len(destination.live) for destination in self._destinations.values())

    def register(self, live: Live, workload: Workload) -> Verdict:
        """Remember it and judge it; `workload` is its destination."""
        destination = self._destinations.get(live.uid)
        if destination is None:
            destination = self._destinations[live.uid] = _Destination(workload)
        destination.workload = workload
        destination.live[live] = None
        return authorize(self._world, workload, live.facts)

    def forget(self, live: Live) -> None:
        """It has ended. Twice is fine."""
        destination = self._destinations.get(live.uid)
        if destination is not None:
            destination.live.pop(live, None)
            if not destination.live:
                del self._destinations[live.uid]

    def judge_again(self, changes: Changes) -> None:
        """The state has changed: end what is no longer allowed."""
        if not changes.affects_connections:
            return
        for uid, destination in list(self._destinations.items()):
            now = destination.workload = self._world.workload(uid) or destination.workload
            if changes.concerns(now):
                self._judge(destination)

    def _judge(self, destination: _Destination) -> None:
        for live in list(destination.live):
            verdict = authorize(self._world, destination.workload, live.facts)
            if not verdict.allowed:
                self.forget(live)
                live.stop(verdict)
