"""Passive health: an endpoint that keeps failing is set aside for a while (outlier detection).

1. So many bad answers in a row set it aside, at once, for longer each time it happens again.
2. Never more than the destination's share of endpoints, though one at least, and never the last.
3. Each interval of good conduct takes one of the earlier times off the count.
"""

from typing import Final

from mesh.model.routes import ServiceTraffic

MAX_EJECTION_SECONDS: Final = 300.0
GATEWAY_STATUSES: Final = frozenset({502, 503, 504})


class Conduct:
    """How one endpoint has answered."""

    __slots__ = ("_back_at", "_times", "errors", "gateway_errors")

    def __init__(self) -> None:
        """Nothing is known against it."""
        self.errors = 0
        """Bad answers in a row."""
        self.gateway_errors = 0
        self._times = 0
        self._back_at = 0.0

    def answered(self, status: int, traffic: ServiceTraffic) -> bool:
        """Note an answer (0: there was none); whether it is one too many."""
        if 0 < status < 500:
            self.errors = self.gateway_errors = 0
            return False
        self.errors += 1
        if status == 0 or status in GATEWAY_STATUSES:
            self.gateway_errors += 1
        else:
            self.gateway_errors = 0
        limit, gateway_limit = traffic.consecutive_errors, traffic.consecutive_gateway_errors
        return 0 < limit <= self.errors or 0 < gateway_limit <= self.gateway_errors

    def set_aside(self, traffic: ServiceTraffic, now: float) -> float:
        """Begin a time aside; when it is over."""
        interval = max(traffic.ejection_interval_s, 0.001)
        good = int(max(0.0, now - self._back_at) / interval) if self._times else 0
        self._times = max(0, self._times - good) + 1
        self.errors = self.gateway_errors = 0
        longest = max(traffic.ejection_s, MAX_EJECTION_SECONDS)
        self._back_at = now + min(traffic.ejection_s * self._times, longest)
        return self._back_at


def may_set_aside(aside: int, total: int, traffic: ServiceTraffic) -> bool:
    """Whether one more of so many may be set aside."""
    if aside + 1 >= total:
        return False
    return aside + 1 <= max(1, total * traffic.max_ejected_percent // 100)


def counts(aside: int, total: int, traffic: ServiceTraffic) -> bool:
    """Whether who is set aside is left out: not when too few would be left."""
    return (total - aside) * 100 >= traffic.min_healthy_percent * total
