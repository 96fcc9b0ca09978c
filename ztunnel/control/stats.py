"""What only a node proxy's metrics page counts: its pods."""

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from ztunnel.control.pod_workers import PodWorkers
from ztunnel.control.pods import Pods


def pod_families(pods: Pods, workers: PodWorkers) -> Iterator[Metric]:
    """Of the pods that are served, and that came and went."""
    failed = workers.failed_pods()
    counts = {
        "active_proxy_count": (
            "Pods that are served (unstable).",
            len(pods.enrolled) - len(failed),
        ),
        "pending_proxy_count": ("Pods that wait to be served (unstable).", len(failed)),
    }
    for name, (words, number) in counts.items():
        yield GaugeMetricFamily(f"workload_manager_{name}", words, value=number)
    for name, words, number in (
        ("started", "Pods that came (unstable).", pods.came),
        ("stopped", "Pods that went (unstable).", pods.went),
    ):
        yield CounterMetricFamily(f"workload_manager_proxies_{name}", words, value=number)
