"""The accepted connections of this worker, judged again whenever the rules change.

A connection is registered before it is judged for the first time, so that a change between the
judgement and the registration cannot slip through.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mesh.model.workload import Workload
from mesh.policy.authorize import ConnectionFacts, Verdict, authorize
from mesh.state.world import World


@dataclass(slots=True, eq=False)
class Live:
    """A connection that was let in, and what the policies ask about it."""

    facts: ConnectionFacts
    destination_uid: str
    stop: Callable[[Verdict], None]
    """Ends it; called at most once."""


class Connections:
    """Who is let in now."""

    def __init__(self, world: World) -> None:
        """`world` is the worker's own state."""
        self._world = world
        self._live: dict[Live, None] = {}

    def __len__(self) -> int:
        return len(self._live)

    def register(self, live: Live) -> Verdict:
        """Remember it and judge it."""
        self._live[live] = None
        return self._judge(live)

    def forget(self, live: Live) -> None:
        """It has ended. Twice is fine."""
        self._live.pop(live, None)

    def judge_again(self) -> None:
        """The state has changed: end what is no longer allowed."""
        for live in list(self._live):
            verdict = self._judge(live)
            if not verdict.allowed:
                self.forget(live)
                live.stop(verdict)

    def _judge(self, live: Live) -> Verdict:
        workload: Workload | None = self._world.workload(live.destination_uid)
        return authorize(self._world, workload, live.facts)
