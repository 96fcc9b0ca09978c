"""Request metrics: Istio's `istio_requests_total` and its histograms, with a waypoint's labels.

Label sets are bounded as those of connections are (`mesh.observe.metrics`): past the bound, new
ones are counted under `overflow`. Both ends' labels are made once and kept (`Side`), as to put them
together for each request would cost more than to count it.
"""

from bisect import bisect_left
from typing import Final

from mesh.model.identity import Identity
from mesh.model.workload import Service, Workload
from mesh.wire.feed_answers import MetricRow

REQUESTS: Final = "istio_requests"
"""The family of rows that hold all of one label set: see `RequestMetrics.rows`."""
REQUESTS_TOTAL: Final = "istio_requests"
DURATION: Final = "istio_request_duration_milliseconds"
REQUEST_OCTETS: Final = "istio_request_bytes"
RESPONSE_OCTETS: Final = "istio_response_bytes"
EVENTS: Final = "sluice_waypoint_events"
"""Things that happen to requests and endpoints, by what they are and whose."""

POLICIES: Final = "sluice_waypoint_policies"
"""What policies have decided, by the policy and what came of it."""
FILTERS: Final = "sluice_waypoint_filters"
"""Failures of users' filters, by the filter and the code of what went wrong."""
AUDITED: Final = "audited"
TRIED: Final = "dry_run"

EJECTED: Final = "endpoint_ejected"
MIRROR_DROPPED: Final = "mirror_dropped"
RETRIED: Final = "retried"
RETRY_REFUSED: Final = "retry_over_budget"
OVERFLOWED: Final = "overflow"

BOUNDS: Final = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000,
    600_000, 1_800_000, 3_600_000,
)  # fmt: skip
"""Upper ends of the histograms' buckets; one more is without end."""
BUCKETS: Final = len(BOUNDS) + 1

UNKNOWN: Final = "unknown"
OVERFLOW: Final = "overflow"
REPORTER: Final = "waypoint"
MAX_LABEL_SETS: Final = 20_000

SOURCE_LABELS: Final = (
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
)
DESTINATION_LABELS: Final = (
    "destination_workload",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_cluster",
    "destination_service",
    "destination_service_namespace",
    "destination_service_name",
)
REQUEST_LABELS: Final = (
    "request_protocol",
    "response_code",
    "grpc_response_status",
    "response_flags",
    "connection_security_policy",
)
LABELS: Final = ("reporter", *SOURCE_LABELS, *DESTINATION_LABELS, *REQUEST_LABELS)
EVENT_LABELS: Final = ("event", "destination_service")
POLICY_LABELS: Final = ("policy", "outcome")
FILTER_LABELS: Final = ("filter", "code")

Labels = tuple[str, ...]


class Side:
    """One end's labels, the same object for the same labels: compared by being it."""

    __slots__ = ("labels",)

    def __init__(self, labels: Labels) -> None:
        """The values, in the order of SOURCE_LABELS or DESTINATION_LABELS."""
        self.labels = labels


class _Histogram:
    """How many values were in each bucket, and their sum."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.sum = 0.0


class _Counts:
    """One label set's."""

    __slots__ = ("asked", "duration", "said", "total")

    def __init__(self) -> None:
        self.total = 0
        self.duration = _Histogram()
        self.asked = _Histogram()
        self.said = _Histogram()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The total; then of duration (in us), request and response: the sum, and each bucket."""
        return (
            self.total,
            round(self.duration.sum * 1000),
            *self.duration.counts,
            round(self.asked.sum),
            *self.asked.counts,
            round(self.said.sum),
            *self.said.counts,
        )


_Key = tuple[Side, Side, bool, int, str, str]


class RequestMetrics:
    """The counters of one worker."""

    def __init__(self, max_label_sets: int = MAX_LABEL_SETS) -> None:
        """Nothing is counted yet."""
        self._max = max_label_sets
        self._sides: dict[Labels, Side] = {}
        self._counts: dict[_Key, _Counts] = {}
        self._overflow = Side(tuple(OVERFLOW for _ in SOURCE_LABELS))
        self._overflow_there = Side(tuple(OVERFLOW for _ in DESTINATION_LABELS))
        self._events: dict[tuple[str, str], int] = {}
        self._policies: dict[tuple[str, str], int] = {}
        self._filters: dict[tuple[str, str], int] = {}

    def source(self, workload: Workload | None, identity: Identity | None) -> Side:
        """Who calls."""
        return self._side(_labels(workload, identity), self._overflow)

    def destination(self, workload: Workload | None, service: Service | None) -> Side:
        """Who answers; None of a workload: nobody was reached."""
        named = (service.hostname, service.namespace, service.name) if service else ("", "", "")
        labels = (*_labels(workload, workload.identity if workload else None), *named)
        return self._side(labels, self._overflow_there)

    def _side(self, labels: Labels, overflow: Side) -> Side:
        labels = tuple(label or UNKNOWN for label in labels)
        found = self._sides.get(labels)
        if found is None:
            if len(self._sides) >= self._max:
                return overflow
            found = self._sides[labels] = Side(labels)
        return found

    def observe(  # noqa: PLR0913 - the facts of one request, on the hottest path
        self,
        source: Side,
        destination: Side,
        *,
        is_grpc: bool,
        status: int,
        grpc_status: str,
        flag: str,
        duration_ms: float,
        request_octets: int,
        response_octets: int,
    ) -> None:
        """A request has had its answer (status 0: nobody was there for one)."""
        key = source, destination, is_grpc, status, grpc_status, flag
        counts = self._counts.get(key)
        if counts is None:
            if len(self._counts) >= self._max:
                key = self._overflow, self._overflow_there, is_grpc, status, "", flag
            counts = self._counts.setdefault(key, _Counts())
        counts.total += 1
        histogram = counts.duration
        histogram.sum += duration_ms
        histogram.counts[bisect_left(BOUNDS, duration_ms)] += 1
        histogram = counts.asked
        histogram.sum += request_octets
        histogram.counts[bisect_left(BOUNDS, request_octets)] += 1
        histogram = counts.said
        histogram.sum += response_octets
        histogram.counts[bisect_left(BOUNDS, response_octets)] += 1

    def note(self, event: str, service: str) -> None:
        """One of the events above has happened with a service (`namespace/hostname`)."""
        key = event, service
        if key not in self._events and len(self._events) >= self._max:
            key = event, OVERFLOW
        self._events[key] = self._events.get(key, 0) + 1

    def event_count(self, event: str, service: str) -> int:
        """How often it has happened."""
        return self._events.get((event, service), 0)

    def note_policy(self, policy: str, outcome: str) -> None:
        """A policy (`namespace/name`; empty: none by itself) has decided, or has matched."""
        key = policy, outcome
        if key not in self._policies and len(self._policies) >= self._max:
            key = OVERFLOW, outcome
        self._policies[key] = self._policies.get(key, 0) + 1

    def policy_count(self, policy: str, outcome: str) -> int:
        """How often it has."""
        return self._policies.get((policy, outcome), 0)

    def note_filter(self, name: str, code: str) -> None:
        """A filter (`namespace/name`; empty: the process of several) has failed."""
        key = name, code
        if key not in self._filters and len(self._filters) >= self._max:
            key = OVERFLOW, code
        self._filters[key] = self._filters.get(key, 0) + 1

    def filter_count(self, name: str, code: str) -> int:
        """How often it has."""
        return self._filters.get((name, code), 0)

    def rows(self) -> list[MetricRow]:
        """Everything counted so far, for the answer to a `metrics` query.

        A row of REQUESTS has the values of LABELS, and the total, then for duration (in us),
        request octets and response octets the sum and the count of each bucket. A row of EVENTS
        has those of EVENT_LABELS and a count, one of POLICIES those of POLICY_LABELS, one of
        FILTERS those of FILTER_LABELS.
        """
        return [
            *(
                (REQUESTS, _request_labels(key), counts.numbers)
                for key, counts in self._counts.items()
            ),
            *((EVENTS, key, (number,)) for key, number in self._events.items()),
            *((POLICIES, key, (number,)) for key, number in self._policies.items()),
            *((FILTERS, key, (number,)) for key, number in self._filters.items()),
        ]


def _request_labels(key: _Key) -> Labels:
    source, destination, is_grpc, status, grpc_status, flag = key
    principal = source.labels[SOURCE_LABELS.index("source_principal")]
    return (
        REPORTER,
        *source.labels,
        *destination.labels,
        "grpc" if is_grpc else "http",
        str(status),
        grpc_status,
        flag,
        UNKNOWN if principal == UNKNOWN else "mutual_tls",
    )


def _labels(workload: Workload | None, identity: Identity | None) -> Labels:
    principal = str(identity) if identity else ""
    if workload is None:
        return ("", "", "", identity.namespace if identity else "", principal, "", "", "")
    return (
        workload.workload_name,
        workload.canonical_name,
        workload.canonical_revision,
        workload.namespace,
        principal,
        workload.canonical_name,
        workload.canonical_revision,
        workload.cluster_id,
    )
