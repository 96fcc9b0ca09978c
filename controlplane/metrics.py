"""The control plane's counters, under Istio's names where Istio has them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from mesh.runtime.http_server import Response


class Metrics:
    """What one control plane counts; any thread may."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry()
        self.connected = Gauge(
            "pilot_xds", "Discovery streams that are open.", registry=self.registry
        )
        self.pushes = Counter("pilot_xds_pushes", "Responses sent.", registry=self.registry)
        self.rejects = Counter(
            "pilot_total_xds_rejects",
            "Responses that clients rejected, by type.",
            ["type"],
            registry=self.registry,
        )
        self.requests = Counter(
            "citadel_server_csr_count", "Certificate requests.", registry=self.registry
        )
        self.signed = Counter(
            "citadel_server_success_cert_issuance_count",
            "Certificates signed.",
            registry=self.registry,
        )
        self.refused = Counter(
            "sluice_control_refused",
            "Calls refused, by code (docs/reference/codes.md).",
            ["code"],
            registry=self.registry,
        )
        self.generation = Gauge(
            "sluice_control_generation",
            "The generation of the manifests that is served.",
            registry=self.registry,
        )
        self.resources = Gauge(
            "sluice_control_resources",
            "Resources served, by type.",
            ["type"],
            registry=self.registry,
        )
        self.problems = Gauge(
            "sluice_control_problems", "Problems of the manifests.", registry=self.registry
        )
        self.writes = Counter(
            "sluice_control_writes",
            "Statuses and objects that were to be written, by what came of it.",
            ["what", "outcome"],
            registry=self.registry,
        )
        self.translation = Histogram(
            "sluice_control_translation_seconds",
            "From a change of the manifests to what is sent.",
            registry=self.registry,
        )

    def page(self) -> Response:
        """The page `/metrics`."""
        return Response(200, generate_latest(self.registry), CONTENT_TYPE_LATEST)
