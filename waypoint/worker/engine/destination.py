"""Where requests go: a service's port (or a workload's), its endpoints, and which has its turn.

1. The endpoints are read again when the state has changed them, at the next request.
2. An endpoint that is gone, or is reached otherwise now, gives up its connections at once; what is
   on them goes on to its end.
3. Whoever is set aside for bad conduct has no turn, unless too few would be left.
"""

import math
from bisect import bisect_right
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final

from mesh.model.routes import ServiceTraffic
from mesh.model.workload import AppProtocol, Service
from mesh.observe.request_metrics import Side
from mesh.routing.balance import Endpoint
from waypoint.worker.engine import health
from waypoint.worker.engine.pool import Load, Means, Pool

DRAWS: Final = 4
"""How often somebody else is looked for, when one endpoint is to be avoided."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the state says of a destination."""

    service: Service | None
    speaks: AppProtocol
    endpoints: list[Endpoint]


Find = Callable[[], Found]


class Target:
    """One endpoint of a destination, as this worker knows it."""

    __slots__ = (
        "_means",
        "_pools",
        "active",
        "conduct",
        "destination",
        "endpoint",
        "is_gone",
        "side",
    )

    def __init__(self, destination: "Destination", endpoint: Endpoint, means: Means) -> None:
        """Nothing is open yet."""
        self.destination = destination
        self.endpoint = endpoint
        self._means = means
        self._pools: list[Pool | None] = [None, None]
        self.active = 0
        """Requests that are under way."""
        self.conduct = health.Conduct()
        self.is_gone = False
        self.side: Side | None = None
        """Its labels, once they were asked for."""

    def pool(self, *, is_http2: bool) -> Pool:
        """The connections in one version."""
        found = self._pools[is_http2]
        if found is None:
            found = Pool(self.endpoint, self.destination.load, self._means, is_http2=is_http2)
            self._pools[is_http2] = found
        return found

    def sweep(self, elapsed_s: float, now: float) -> None:
        """Close what nobody has used for so long."""
        for pool in self._pools:
            if pool is not None:
                pool.sweep(elapsed_s, now)

    def leave(self) -> None:
        """It is no endpoint any more, or reached otherwise."""
        self.is_gone = True
        for pool in self._pools:
            if pool is not None:
                pool.shut()


class Destination:
    """A port of a service, or of a workload."""

    __slots__ = (
        "_aside",
        "_bounds",
        "_find",
        "_is_stale",
        "_means",
        "_next",
        "_review_at",
        "_targets",
        "_usable",
        "key",
        "load",
        "service",
        "speaks",
    )

    def __init__(
        self,
        key: tuple[str, int],
        find: Find,
        means: Means,
        traffic: ServiceTraffic,
    ) -> None:
        """Begin; endpoints are looked for with the first request.

        Args:
            key: service (or a workload's uid) and port.
            find: what the state says at this moment.
            means: how connections are made.
            traffic: limits and balancing.
        """
        self.key = key
        self.service: Service | None = None
        """None for a workload; known from the first choice on, as `speaks` is."""
        self.speaks = AppProtocol.UNKNOWN
        self.load = Load(traffic)
        self._find = find
        self._means = means
        self._targets: dict[str, Target] = {}
        self._usable: list[Target] = []
        self._bounds: list[int] = []
        self._aside: dict[Target, float] = {}
        self._review_at = math.inf
        self._next = 0
        self._is_stale = True

    @property
    def targets(self) -> list[Target]:
        """All endpoints that are known here."""
        return list(self._targets.values())

    @property
    def aside(self) -> int:
        """How many are set aside."""
        return len(self._aside)

    # Knowing.

    def mark_stale(self) -> None:
        """The state has changed: look again before the next choice."""
        self._is_stale = True

    def obey(self, traffic: ServiceTraffic) -> None:
        """Other limits from now on."""
        self.load.traffic = traffic
        self._review_at = 0.0

    def noticed(self, changed: AbstractSet[str], moved: AbstractSet[str]) -> None:
        """Workloads have changed: look again; those that have moved are given up at once."""
        known = self._targets
        for uid in [uid for uid in changed if uid in known]:
            self._is_stale = True
            if uid in moved:
                self._usable = []
                self._give_up(known.pop(uid))

    def _give_up(self, target: Target) -> None:
        self._aside.pop(target, None)
        target.leave()

    @property
    def is_deserted(self) -> bool:
        """Whether nothing is under way, and nothing is left to go to."""
        return not (self._targets or self.load.requests or self.load.pending)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is open or under way, and nothing is known that would be missed."""
        load = self.load
        return not (load.requests or load.pending or load.connections or self._aside)

    def _refresh(self, now: float) -> None:
        self._is_stale = False
        found = self._find()
        self.service, self.speaks = found.service, found.speaks
        old, self._targets = self._targets, {}
        for endpoint in found.endpoints:
            uid = endpoint.workload.uid
            target = old.get(uid)
            if target is None or target.endpoint.port != endpoint.port:
                target = Target(self, endpoint, self._means)
            else:
                del old[uid]
                target.endpoint = endpoint
                target.side = None
            self._targets[uid] = target
        for target in old.values():
            self._give_up(target)
        self._review(now)

    def _review(self, now: float) -> None:
        """Work out who may have a turn."""
        for target in [target for target, until in self._aside.items() if until <= now]:
            del self._aside[target]
        self._review_at = min(self._aside.values(), default=math.inf)
        every = list(self._targets.values())
        if self._aside and health.counts(len(self._aside), len(every), self.load.traffic):
            every = [target for target in every if target not in self._aside]
        capacities = [target.endpoint.workload.capacity for target in every]
        if any(capacity != 1 for capacity in capacities):
            self._usable = [target for target in every if target.endpoint.workload.capacity]
            self._bounds = list(accumulate(capacity for capacity in capacities if capacity))
        else:
            self._usable, self._bounds = every, []

    # Choosing.

    def choose(self, random: Random, now: float, avoid: tuple[Target, ...] = ()) -> Target | None:
        """Whose turn it is; None when there is no endpoint.

        Args:
            random: for draws.
            now: the time.
            avoid: have failed this request before, in their order: somebody else, or if there is
                nobody, at least not the last one.
        """
        if self._is_stale:
            self._refresh(now)
        if now >= self._review_at:
            self._review(now)
        usable = self._usable
        if len(usable) < 2:
            return usable[0] if usable else None
        chosen = self._draw(usable, random)
        if chosen in avoid:
            for _ in range(DRAWS):
                chosen = self._draw(usable, random)
                if chosen not in avoid:
                    return chosen
            others = [target for target in usable if target is not avoid[-1]]
            return next((target for target in others if target not in avoid), others[0])
        return chosen

    def _draw(self, usable: list[Target], random: Random) -> Target:
        balance = self.load.traffic.balance
        if balance == "ROUND_ROBIN":
            self._next += 1
            return self._at(usable, self._next)
        one = self._at(usable, int(random.random() * self._span))
        if balance == "RANDOM":
            return one
        other = self._at(usable, int(random.random() * self._span))
        if one is other:
            other = usable[(usable.index(one) + 1) % len(usable)] if len(usable) < DRAWS else one
        weighed = one.active * other.endpoint.workload.capacity
        return one if weighed <= other.active * one.endpoint.workload.capacity else other

    @property
    def _span(self) -> int:
        return self._bounds[-1] if self._bounds else len(self._usable)

    def _at(self, usable: list[Target], place: int) -> Target:
        if self._bounds:
            return usable[bisect_right(self._bounds, place % self._bounds[-1])]
        return usable[place % len(usable)]

    def named(self, uid: str, now: float) -> Target | None:
        """An endpoint by its workload, if it may be chosen."""
        if self._is_stale:
            self._refresh(now)
        found = self._targets.get(uid)
        return None if found is None or found in self._aside else found

    @property
    def has_others(self) -> bool:
        """Whether there is more than one endpoint to choose from."""
        return len(self._usable) > 1

    # Conduct.

    @property
    def is_watched(self) -> bool:
        """Whether it matters how its endpoints answer."""
        traffic = self.load.traffic
        return traffic.consecutive_errors > 0 or traffic.consecutive_gateway_errors > 0

    def answered(self, target: Target, status: int, now: float) -> bool:
        """Note how an endpoint has answered (0: not at all); whether it is set aside for that."""
        traffic = self.load.traffic
        if not target.conduct.answered(status, traffic) or target in self._aside or target.is_gone:
            return False
        if not health.may_set_aside(len(self._aside), len(self._targets), traffic):
            return False
        self._aside[target] = target.conduct.set_aside(traffic, now)
        self._review(now)
        return True

    # Ending.

    def sweep(self, elapsed_s: float, now: float) -> None:
        """Close what nobody has used for long, and what leads to who is no endpoint any more."""
        if self._is_stale:
            self._refresh(now)
        for target in self._targets.values():
            target.sweep(elapsed_s, now)

    def close(self) -> None:
        """Give up every connection."""
        for target in self._targets.values():
            target.leave()
        self._targets.clear()
        self._is_stale = True
