"""The metrics page (15020): the workers' counters added up, and what this process counts itself."""

import logging
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final, Generic, Protocol

import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics

from mesh.errors import MeshError
from mesh.observe.collector import traffic_families
from mesh.runtime.control.certificates import Certificates
from mesh.runtime.control.discovery import Counts, Discovery
from mesh.runtime.control.last_good import LastGood
from mesh.runtime.control.store import Store
from mesh.runtime.control.workers import LinkT, Workers
from mesh.runtime.http_server import Request, Response, compressed, text
from mesh.wire.feed_answers import METRICS, MetricRow, read_metrics

ASK_S: Final = 1.0
PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
PATHS: Final = frozenset({"/metrics", "/stats/prometheus"})
OWN_DESCRIPTORS: Final = "/proc/{pid}/fd"

log = logging.getLogger(__name__)


class Counted(Protocol):
    """What is counted."""

    store: Store
    certificates: Certificates

    @property
    def discovery(self) -> Discovery | None:
        """None without a control plane."""

    @property
    def last_good(self) -> LastGood | None:
        """The state that was loaded, as long as it is what is served from."""


class Rows(Protocol):
    """Makes families of what the workers have counted."""

    def __call__(self, rows: Iterable[MetricRow]) -> Iterable[Metric]:
        """The families; rows that it does not know are passed over."""


class Stats(Generic[LinkT]):
    """The page."""

    def __init__(
        self,
        component: str,
        counted: Counted,
        workers: Workers[LinkT],
        *,
        of_rows: Iterable[Rows] = (traffic_families,),
        of_own: Callable[[], Iterable[Metric]] = tuple,
    ) -> None:
        """Count these parts when somebody asks.

        Args:
            component: the program's name.
            counted: what every control process has.
            workers: who is asked.
            of_rows: what is made of the workers' answers.
            of_own: what this program's control process counts beside that.
        """
        self._counted, self._workers = counted, workers
        self._of_rows, self._of_own = tuple(of_rows), of_own
        self._build = {"component": component, "tag": version("sluice-mesh")}

    async def page(self, request: Request) -> Response:
        """Text or OpenMetrics, and as gzip or not, as the client accepts.

        Cancellation: nothing changes.
        """
        if request.path not in PATHS or request.method == "POST":
            return text("not found", 404)
        registry = _Once(await self._families())
        if "application/openmetrics-text" in request.headers.get("accept", ""):
            write: Callable[[CollectorRegistry], bytes] = openmetrics.generate_latest
            answer = Response(200, write(registry), openmetrics.CONTENT_TYPE_LATEST)
        else:
            answer = Response(200, generate_latest(registry), PLAIN)
        return await compressed(request, answer)

    async def _families(self) -> list[Metric]:
        rows: list[MetricRow] = []
        for body in await self._workers.ask(METRICS, trio.current_time() + ASK_S):
            try:
                rows += read_metrics(body)
            except MeshError as error:
                log.warning("an answer is left out", extra={"code": error.code})
        return [
            *_process_families([link.pid for link in self._workers.links]),
            _gauge("istio_build", "Istio component build info.", self._build),
            *self._discovery_families(),
            *(family for make in self._of_rows for family in make(rows)),
            *self._of_own(),
            *self._own_families(),
        ]

    def _discovery_families(self) -> Iterator[Metric]:
        discovery = self._counted.discovery
        counts = Counts() if discovery is None else discovery.counts
        yield _counter("istio_xds_message", "Messages received (unstable).", "url", counts.messages)
        yield _counter(
            "istio_xds_message_bytes", "Octets received (unstable).", "url", counts.octets
        )
        yield _counter(
            "istio_xds_connection_terminations",
            "Discovery streams that ended (unstable).",
            "reason",
            counts.terminations,
        )

    def _own_families(self) -> Iterator[Metric]:
        """What Istio's proxies do not count."""
        certificates = self._counted.certificates
        expiry = GaugeMetricFamily(
            "sluice_certificate_expiry_timestamp_seconds",
            "When the certificate of an identity expires.",
            labels=("identity",),
        )
        for certificate in certificates.held.values():
            expiry.add_metric((str(certificate.identity),), certificate.not_after)
        yield expiry
        yield GaugeMetricFamily(
            "sluice_certificates_missing",
            "Identities of this proxy's own that have no certificate.",
            value=len(certificates.reasons),
        )
        last_good = self._counted.last_good
        yield GaugeMetricFamily(
            "sluice_last_good_state_age_seconds",
            "Age of the saved state that is served from; 0 when it is the control plane's.",
            value=0.0 if last_good is None else max(0.0, time.time() - last_good.saved_at),
        )
        yield GaugeMetricFamily(
            "sluice_state_version", "The version of the state.", value=self._counted.store.version
        )


class _Once(CollectorRegistry):
    """Families that were collected before."""

    def __init__(self, families: Iterable[Metric]) -> None:
        super().__init__()
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def _process_families(workers: list[int]) -> Iterator[Metric]:
    """Of this process and the workers together; a limit is each one's own."""
    descriptors = 0
    for pid in ("self", *map(str, workers)):
        try:
            descriptors += sum(1 for _ in Path(OWN_DESCRIPTORS.format(pid=pid)).iterdir())
        except OSError:
            continue  # it has just ended
    yield GaugeMetricFamily(
        "process_open_fds", "Number of open file descriptors", value=descriptors
    )
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield GaugeMetricFamily(
        "process_max_fds", "Maximum number of file descriptors", value=float(soft)
    )


def _gauge(name: str, words: str, labels: dict[str, str]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=tuple(labels))
    family.add_metric(tuple(labels.values()), 1.0)
    return family


def _counter(name: str, words: str, label: str, counts: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, words, labels=(label,))
    for value, number in counts.items():
        family.add_metric((value,), number)
    return family
