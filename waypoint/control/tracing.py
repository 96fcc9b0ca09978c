"""Who this waypoint says that it is when it tells spans."""

from importlib.metadata import version
from random import Random
from typing import Final

from mesh.model.span import Attribute
from mesh.runtime.control.spans import SpanExporter
from mesh.wire.otlp import Source
from waypoint.config import Config

REVISION: Final = "latest"
"""Of a workload that says none, as Istio has it."""


def exporter_of(config: Config, chance: Random) -> SpanExporter | None:
    """What tells a collector; None when there is none."""
    if config.tracing is None:
        return None
    return SpanExporter(config.tracing, source_of(config), chance)


def source_of(config: Config) -> Source:
    """The resource by OpenTelemetry's conventions, and Istio's words on every span."""
    tag = version("sluice-mesh")
    said = {
        "k8s.namespace.name": config.pod_namespace,
        "k8s.pod.name": config.pod_name,
        "k8s.node.name": config.node_name,
        "k8s.cluster.name": config.cluster_id,
        "service.version": tag,
    }
    if config.tracing is not None:
        said |= dict(config.tracing.resource)
    common: tuple[Attribute, ...] = (
        ("istio.canonical_service", config.gateway),
        ("istio.canonical_revision", REVISION),
        ("istio.namespace", config.pod_namespace),
        ("istio.cluster_id", config.cluster_id),
    )
    resource = tuple((name, value) for name, value in sorted(said.items()) if value)
    return Source(resource, common, tag)
