"""The controllers together: run until none of them wants anything more."""

import math
from collections.abc import Callable
from random import Random
from typing import Final

import trio

from mesh.model.kubernetes import ObjectKey
from sluice.lab.accounts import plan_accounts, plan_removals
from sluice.lab.deployments import plan_deployments
from sluice.lab.made import Made, plan_orphans
from sluice.lab.objects import Changes, Objects
from sluice.lab.scheduling import plan_scheduling
from sluice.lab.slices import plan_slices
from sluice.lab.store import Store

_ENOUGH: Final = 50
"""Rounds after which two controllers must be at odds: each round settles at least one step."""

_GATHER_S: Final = 0.005
"""How long changes gather before they are acted on together: pods often come in crowds."""

_AGAIN_S: Final = 1.0
"""Between two tries to write to a disk that was full."""


class Controllers:
    """Makes of what users want what there must be."""

    def __init__(self, store: Store, random: Random, made: Made) -> None:
        self._store, self._made = store, made
        self._plans: tuple[Callable[[Objects], Changes], ...] = (
            made.plan,
            plan_orphans,
            plan_removals,
            plan_accounts,
            lambda objects: plan_deployments(objects, random),
            plan_scheduling,
            plan_slices,
        )

    def refresh(self) -> None:
        """Settle if the control plane wants something else to be there."""
        if self._made.refresh():
            self.settle()

    async def follow_made(self) -> None:
        """Settle whenever the control plane wants something else, for ever.

        Cancellation: stops between two changes.
        """
        await self._made.follow(self.refresh)

    def settle(self) -> None:
        """Carry out every plan until there is nothing left to do."""
        for _ in range(_ENOUGH):
            # A list: every plan has its turn in each round.
            if True not in [self._carry_out(plan) for plan in self._plans]:
                return

    def _carry_out(self, plan: Callable[[Objects], Changes]) -> bool:
        changes = plan(self._store.objects)
        is_changed = self._store.note(changes.puts)
        for key in changes.removals:
            self.remove(key)
        return is_changed or bool(changes.removals)

    def remove(self, key: ObjectKey) -> None:
        """Remove an object, or begin to when it has processes or holds others."""
        if key.kind in ("Pod", "Namespace") and not self._is_empty(key):
            self._store.begin_removal(key)
        else:
            self._store.remove([key])

    def _is_empty(self, key: ObjectKey) -> bool:
        return key.kind == "Namespace" and not self._store.objects.inside(key.name)

    async def run(self) -> None:
        """Settle after every change, for ever.

        Cancellation: stops between two changes.
        """
        while True:
            seen = self._store.changed.count
            self.settle()
            with trio.move_on_after(math.inf if self._store.is_written else _AGAIN_S):
                await self._store.changed.wait_past(seen)
            await trio.sleep(_GATHER_S)
            if not self._store.is_written:
                self._store.flush()
