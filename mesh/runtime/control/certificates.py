"""Certificates of the local workloads: fetched ahead, renewed in time, never thrown away.

1. There is a task for each identity that some local workload has, as long as one has it.
2. Few fetches run at a time; those that a connection waits for go first, first certificates before
   renewals.
3. A failed renewal changes nothing but the time of the next try; whoever waits for a first
   certificate is told why there is none.
"""

import heapq
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from random import Random
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.model.identity import Identity
from mesh.runtime.backoff import doubling, spread
from mesh.runtime.bell import Bell
from mesh.runtime.certificates import renewal_time
from mesh.wire.feed import Certificate

MAX_FETCHES: Final = 8
FETCH_S: Final = 10.0
FIRST_DELAY_S: Final = 1.0
MOST_DELAY_S: Final = 150.0
IMPATIENT_S: Final = 0.5
"""A connection that waits causes no second try so soon after a failed one."""

MIN_SLEEP_S: Final = 0.001
MAX_SLEEP_S: Final = 3600.0
"""A clock may be set: look at it again."""

Fetch = Callable[[Identity], Awaitable[tuple[Certificate, float]]]
"""Gives a certificate and since when it is valid, or raises MeshError."""

log = logging.getLogger(__name__)


class Priority(IntEnum):
    """Who goes first."""

    WAITED_FOR = 0
    FIRST = 1
    RENEWAL = 2


@dataclass(eq=False)
class _Places:
    """At most so many at a time; of those that wait, the most urgent first."""

    free: int
    _waiting: list[tuple[int, int, trio.Event]] = field(default_factory=list)
    _turn: int = 0

    async def take(self, priority: Priority) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.free:
            self.free -= 1
            return
        self._turn += 1
        event = trio.Event()
        place = (priority, self._turn, event)
        heapq.heappush(self._waiting, place)
        try:
            await event.wait()
        except trio.Cancelled:
            if event.is_set():
                self.give()
            else:
                self._waiting.remove(place)
                heapq.heapify(self._waiting)
            raise

    def give(self) -> None:
        if self._waiting:
            heapq.heappop(self._waiting)[2].set()
        else:
            self.free += 1


@dataclass(eq=False)
class _Kept:
    """One identity's state."""

    identity: Identity
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    is_waited_for: bool = False
    hurried: trio.Event = field(default_factory=trio.Event)
    reason: str = ""
    failed_at: float = -1e9


class Certificates:
    """The certificates of all local identities."""

    def __init__(
        self,
        fetch: Fetch,
        on_failure: Callable[[Identity, str], Awaitable[None]],
        bell: Bell,
        chance: Random,
        clock: Callable[[], float],
    ) -> None:
        """Nothing is fetched before `run`.

        Args:
            fetch: gets one certificate.
            on_failure: told when somebody waits for a certificate and there is none.
            bell: rung on each change.
            chance: for jitter.
            clock: seconds since the epoch.
        """
        self._fetch, self._on_failure = fetch, on_failure
        self._bell, self._chance, self._clock = bell, chance, clock
        self._held: dict[Identity, Certificate] = {}
        self._since: dict[Identity, float] = {}
        self._kept: dict[Identity, _Kept] = {}
        self._early: set[Identity] = set()
        self._places = _Places(MAX_FETCHES)
        self._wanted: frozenset[Identity] = frozenset()
        self._wanted_changed = trio.Event()

    @property
    def held(self) -> Mapping[Identity, Certificate]:
        """What there is; a renewal puts another in its place."""
        return self._held

    @property
    def reasons(self) -> Mapping[Identity, str]:
        """Why identities without certificate have none."""
        return {
            identity: kept.reason
            for identity, kept in self._kept.items()
            if identity not in self._held
        }

    def want(self, identities: frozenset[Identity]) -> None:
        """These are the local identities, all of them."""
        if identities != self._wanted:
            self._wanted = identities
            self._wanted_changed.set()

    async def hurry(self, identity: Identity) -> None:
        """A connection waits for this one; if nobody is known to have it, as soon as somebody is.

        Cancellation: it goes on being fetched.
        """
        kept = self._kept.get(identity)
        if identity in self._held:
            self._bell.ring()  # on its way to the worker
        elif kept is None:
            # Asked of our predecessor, perhaps: we do not know yet who is here.
            self._early.add(identity)
        elif kept.reason and trio.current_time() < kept.failed_at + IMPATIENT_S:
            await self._on_failure(identity, kept.reason)
        else:
            kept.is_waited_for = True
            kept.hurried.set()

    async def run(self) -> None:
        """Keep all wanted certificates until cancelled.

        Cancellation: what is being fetched is given up.
        """
        async with trio.open_nursery() as fetching:
            while True:
                self._wanted_changed = trio.Event()
                for identity in self._kept.keys() - self._wanted:
                    self._forget(identity)
                for identity in self._wanted - self._kept.keys():
                    kept = self._kept[identity] = _Kept(identity)
                    kept.is_waited_for = identity in self._early
                    self._early.discard(identity)
                    fetching.start_soon(self._keep, kept)
                await self._wanted_changed.wait()

    def _forget(self, identity: Identity) -> None:
        self._kept.pop(identity).scope.cancel()
        self._held.pop(identity, None)
        self._since.pop(identity, None)
        log.info("certificate is not needed any more", extra={"identity": str(identity)})
        self._bell.ring()

    async def _keep(self, kept: _Kept) -> None:
        delays = spread(doubling(FIRST_DELAY_S, MOST_DELAY_S), self._chance)
        with kept.scope:
            while True:
                if await self._fetch_one(kept):
                    delays = spread(doubling(FIRST_DELAY_S, MOST_DELAY_S), self._chance)
                    await self._sleep_until_renewal(kept)
                else:
                    kept.hurried = trio.Event()
                    with trio.move_on_after(self._delay_s(kept, next(delays))):
                        await kept.hurried.wait()

    def _delay_s(self, kept: _Kept, delay_s: float) -> float:
        """Not later than the end of what is still valid."""
        held = self._held.get(kept.identity)
        if held is None:
            return delay_s
        return min(delay_s, max(FIRST_DELAY_S, held.not_after - self._clock()))

    async def _fetch_one(self, kept: _Kept) -> bool:
        identity = kept.identity
        await self._places.take(self._priority(kept))
        try:
            with trio.fail_after(FETCH_S):
                certificate, since = await self._fetch(identity)
        except (MeshError, trio.TooSlowError) as error:
            reason = str(error) or f"no answer within {FETCH_S:g} s"
            await self._failed(kept, reason, getattr(error, "code", "certificate_late"))
            return False
        finally:
            self._places.give()
        kept.is_waited_for, kept.reason = False, ""
        self._put(certificate, since)
        return True

    def _put(self, certificate: Certificate, since: float) -> None:
        identity = certificate.identity
        self._since[identity] = since
        if self._held.get(identity) == certificate:
            return  # a file that nobody has renewed
        self._held[identity] = certificate
        left_s = round(certificate.not_after - self._clock())
        log.info("certificate", extra={"identity": str(identity), "expires": f"in {left_s}s"})
        self._bell.ring()

    def _priority(self, kept: _Kept) -> Priority:
        if kept.is_waited_for:
            return Priority.WAITED_FOR
        return Priority.RENEWAL if kept.identity in self._held else Priority.FIRST

    async def _failed(self, kept: _Kept, reason: str, code: str) -> None:
        kept.reason, kept.failed_at = reason, trio.current_time()
        log.warning(
            "no certificate", extra={"code": code, "identity": str(kept.identity), "error": reason}
        )
        if kept.is_waited_for:
            kept.is_waited_for = False
            await self._on_failure(kept.identity, reason)

    async def _sleep_until_renewal(self, kept: _Kept) -> None:
        certificate = self._held[kept.identity]
        now = self._clock()
        due = renewal_time(
            self._since[kept.identity], certificate.not_after, now, self._chance.random()
        )
        # One that is past its middle when it arrives must not be asked for in a circle.
        due = max(due, now + max(FIRST_DELAY_S, (certificate.not_after - now) / 10))
        while (left_s := due - self._clock()) > MIN_SLEEP_S:  # noqa: ASYNC110 - for the wall clock
            await trio.sleep(min(left_s, MAX_SLEEP_S))
