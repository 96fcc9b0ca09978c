"""The agent's numbers, for monitoring and for `sluice lab status`."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from mesh.runtime.http_server import Request, Response, text

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Status:
    """What the agent counts, and whether it is ready."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self._registry = CollectorRegistry()
        self.is_installed = False
        """Whether the plugin is in the node's network configuration."""
        self.is_listening = False
        """Whether the plugin and the node proxy are answered."""
        self._reconciled = Counter(
            "nodeagent_reconcile_events",
            "What was done about pods, by type; a pod that had drifted is `healed`.",
            ["type"],
            registry=self._registry,
        )
        self._calls = Counter(
            "istio_cni_plugin_requests",
            "Calls of the plugin, by command and outcome (success or an error's code).",
            ["command", "outcome"],
            registry=self._registry,
        )
        self._installs = Counter(
            "istio_cni_installs",
            "How often the plugin or its configuration had to be written.",
            registry=self._registry,
        )
        self._gauges = {
            name: Gauge(name, words, registry=self._registry)
            for name, words in {
                "unprotected_pods": "Running pods that are to be in the mesh and are not captured.",
                "enrolled_pods": "Pods in the mesh.",
                "releasing_pods": "Pods that were freed and still have connections in the proxy.",
                "earlier_connections": "Connections from before their pods' enrolment.",
                "ztunnel_connected": "How many node proxies are connected.",
            }.items()
        }

    def count_step(self, kind: str) -> None:
        """Something was done about a pod."""
        self._reconciled.labels(kind).inc()

    def count_call(self, command: str, outcome: str) -> None:
        """A call of the plugin was answered."""
        self._calls.labels(command, outcome).inc()

    def count_install(self) -> None:
        """The plugin or its configuration was written."""
        self._installs.inc()

    def show(self, **gauges: int) -> None:
        """Set gauges by their names."""
        for name, value in gauges.items():
            self._gauges[name].set(value)

    async def page(self, request: Request) -> Response:
        """Answer `/metrics`, `/readyz` and `/healthz`.

        Cancellation: it never waits.
        """
        match request.path:
            case "/metrics":
                return Response(200, generate_latest(self._registry), CONTENT_TYPE)
            case "/readyz" if self.is_installed and self.is_listening:
                return text("ready")
            case "/readyz":
                missing = "the sockets" if self.is_installed else "a network configuration"
                return text(f"waiting for {missing}", 503)
            case "/healthz":
                return text("alive")
            case _:
                return text("pages: /metrics /readyz /healthz", 404)
