"""Traffic metrics: Istio's `istio_tcp_*` counters by Istio's labels.

`received` counts what the client sent and `sent` what the server sent, whoever reports: Istio's
convention. Label sets are bounded: past the bound, new ones are counted under `overflow` labels,
so that a scan of a cluster cannot fill a proxy's memory.
"""

from dataclasses import dataclass, field
from typing import Final

from mesh.model.identity import Identity
from mesh.model.workload import Workload
from mesh.observe.access_log import ConnectionRecord, Direction
from mesh.observe.dns_metrics import DnsMetrics
from mesh.wire.feed_answers import MetricRow

OPENED: Final = "istio_tcp_connections_opened"
CLOSED: Final = "istio_tcp_connections_closed"
RECEIVED: Final = "istio_tcp_received_bytes"
SENT: Final = "istio_tcp_sent_bytes"
FAILED: Final = "istio_tcp_connections_failed"
COUNTERS: Final[dict[str, str]] = {
    OPENED: "The total number of TCP connections opened.",
    CLOSED: "The total number of TCP connections closed.",
    RECEIVED: "The octets that clients sent.",
    SENT: "The octets that servers sent.",
    FAILED: "The total number of TCP connections that could not be established (unstable).",
}
TRAFFIC: Final = "traffic"
"""The family of rows that hold all COUNTERS of one label set."""
SOCKETS: Final = "istio_tcp_sockets_open"
ON_DEMAND_DNS: Final = "istio_on_demand_dns"
CRL_REJECTIONS: Final = "istio_crl_policy_rejections"
REFUSED: Final = "sluice_connections_refused"
UNKNOWN: Final = "unknown"
OVERFLOW: Final = "overflow"
MAX_LABEL_SETS: Final = 20_000

SIDE_LABELS: Final = (
    "workload",
    "canonical_service",
    "canonical_revision",
    "workload_namespace",
    "principal",
    "app",
    "version",
    "cluster",
)
LABELS: Final = (
    "reporter",
    *(f"source_{label}" for label in SIDE_LABELS),
    "destination_service",
    "destination_service_namespace",
    "destination_service_name",
    *(f"destination_{label}" for label in SIDE_LABELS),
    "request_protocol",
    "response_flags",
    "connection_security_policy",
    "source_region",
    "source_zone",
    "destination_region",
    "destination_zone",
)

SINGLE: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    ON_DEMAND_DNS: (
        "The total number of requests that used on-demand DNS (unstable).",
        (*(f"source_{label}" for label in SIDE_LABELS), "hostname"),
    ),
    CRL_REJECTIONS: (
        "Peers that were refused, or cut off, since their certificate is revoked (unstable).",
        ("reporter",),
    ),
    REFUSED: (
        "Connections turned away before both ends were known, by the code in the log.",
        ("reporter", "code"),
    ),
}
"""Counters with labels of their own: what they count, and the labels."""

Labels = tuple[str, ...]


@dataclass(slots=True)
class _Counts:
    """One label set's counters, in the order of COUNTERS."""

    opened: int = 0
    closed: int = 0
    received: int = 0
    sent: int = 0
    failed: int = 0

    @property
    def numbers(self) -> tuple[int, ...]:
        return self.opened, self.closed, self.received, self.sent, self.failed


@dataclass(slots=True)
class TrafficMetrics:
    """The counters of one worker."""

    max_label_sets: int = MAX_LABEL_SETS
    dns: DnsMetrics = field(default_factory=DnsMetrics)
    _counts: dict[Labels, _Counts] = field(default_factory=dict)
    _open: dict[str, int] = field(default_factory=dict)
    _single: dict[tuple[str, Labels], int] = field(default_factory=dict)

    def observe_open(self, record: ConnectionRecord) -> None:
        """A connection was admitted."""
        self._of(record).opened += 1
        reporter = reporter_of(record)
        self._open[reporter] = self._open.get(reporter, 0) + 1

    def observe_close(self, record: ConnectionRecord) -> None:
        """A connection that was counted as opened has ended; the record is complete."""
        counts = self._of(record)
        counts.closed += 1
        counts.received += record.client_octets
        counts.sent += record.server_octets
        reporter = reporter_of(record)
        self._open[reporter] = self._open.get(reporter, 0) - 1

    def observe_failure(self, record: ConnectionRecord) -> None:
        """A connection was refused, or could not be established: it was never opened."""
        self._of(record).failed += 1

    def observe_refusal(self, direction: Direction, code: str) -> None:
        """A connection was turned away before anybody knew between whom it was."""
        self._count(REFUSED, (_reporter(direction), code))

    def observe_revoked(self, direction: Direction) -> None:
        """A peer's certificate is revoked, and so it was refused or cut off."""
        self._count(CRL_REJECTIONS, (_reporter(direction),))

    def observe_resolution(self, source: Workload, hostname: str) -> None:
        """For a connection of this workload, DNS was asked where a destination is."""
        labels = (*_side(source, source.identity), hostname)
        self._count(ON_DEMAND_DNS, tuple(label or UNKNOWN for label in labels))

    def _count(self, name: str, labels: Labels) -> None:
        key = (name, labels)
        if key not in self._single and len(self._single) >= self.max_label_sets:
            key = (name, tuple(OVERFLOW for _ in labels))
        self._single[key] = self._single.get(key, 0) + 1

    def rows(self) -> list[MetricRow]:
        """Everything counted so far: the answer to a `metrics` query.

        A row of family TRAFFIC has the values of LABELS and the numbers of COUNTERS; one of
        SOCKETS has the reporter and how many connections are open; one of SINGLE's has the values
        of its labels there.
        """
        return [
            *((SOCKETS, (side,), (number,)) for side, number in self._open.items()),
            *((TRAFFIC, labels, counts.numbers) for labels, counts in self._counts.items()),
            *((name, labels, (number,)) for (name, labels), number in self._single.items()),
            *self.dns.rows(),
        ]

    def _of(self, record: ConnectionRecord) -> _Counts:
        labels = labels_of(record)
        found = self._counts.get(labels)
        if found is None:
            if len(self._counts) >= self.max_label_sets:
                labels = (reporter_of(record), *(OVERFLOW for _ in LABELS[1:]))
            found = self._counts.setdefault(labels, _Counts())
        return found


def reporter_of(record: ConnectionRecord) -> str:
    """Which side we are: `source` or `destination`."""
    return _reporter(record.direction)


def _reporter(direction: Direction) -> str:
    match direction:
        case Direction.OUTBOUND:
            return "source"
        case Direction.INBOUND:
            return "destination"
        case Direction.WAYPOINT:
            return "waypoint"


def labels_of(record: ConnectionRecord) -> Labels:
    """The values of LABELS for a connection; what is not known is `unknown`."""
    service = record.service
    source, destination = record.source, record.destination
    return tuple(
        value or UNKNOWN
        for value in (
            reporter_of(record),
            *_side(source, record.source_identity),
            service.hostname if service else record.service_hostname,
            service.namespace if service else "",
            service.name if service else "",
            *_side(destination, record.destination_identity),
            "tcp",
            record.flag.value,
            record.security.value,
            source.locality.region if source else "",
            source.locality.zone if source else "",
            destination.locality.region if destination else "",
            destination.locality.zone if destination else "",
        )
    )


def _side(workload: Workload | None, identity: Identity | None) -> Labels:
    """The values of SIDE_LABELS."""
    principal = str(identity) if identity else ""
    if workload is None:
        return ("", "", "", "", principal, "", "", "")
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
