"""The pod of a waypoint: its program, and what it needs to find and to prove."""

from collections.abc import Mapping
from typing import Final

from controlplane.translate.facts import GatewayFacts
from controlplane.translate.settings import Settings, Traces
from mesh.model.fields import Json
from mesh.model.names import (
    DATAPLANE_MODE_LABEL,
    DISCOVERY_PORT,
    HBONE_PORT,
    METRICS_PORT,
    READINESS_PORT,
)

IMAGE: Final = "sluice/waypoint"
TOKEN_FOLDER: Final = "/var/run/secrets/tokens"  # noqa: S105 - where Kubernetes puts one
ROOT_FOLDER: Final = "/var/run/secrets/istio"
STATE_FOLDER: Final = "/var/lib/sluice"
"""Where it keeps its last good state: of this pod only."""
ROOT_CONFIG: Final = "istio-ca-root-cert"
"""The ConfigMap with the root certificate, one in each namespace."""
ROOT_FILE: Final = "root-cert.pem"
AUDIENCE: Final = "istio-ca"
TOKEN_S: Final = 43_200
_CANONICAL_NAME: Final = "service.istio.io/canonical-name"
_SCRAPED: Final[dict[str, Json]] = {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": str(METRICS_PORT),
    "prometheus.io/path": "/stats/prometheus",
}
"""By which Prometheus finds the metrics, as Istio's pods have it."""
_FROM_POD: Final = {
    "POD_NAME": "metadata.name",
    "POD_NAMESPACE": "metadata.namespace",
    "INSTANCE_IP": "status.podIP",
    "SERVICE_ACCOUNT": "spec.serviceAccountName",
    "NODE_NAME": "spec.nodeName",
}


def pod_template(
    settings: Settings, gateway: GatewayFacts, labels: Mapping[str, Json]
) -> dict[str, Json]:
    """The template of a waypoint's pods; `labels` are those of everything that is made."""
    own: dict[str, Json] = {
        _CANONICAL_NAME: gateway.service_name,
        **labels,
        DATAPLANE_MODE_LABEL: "none",
        "sidecar.istio.io/inject": "false",
    }
    return {
        "metadata": {"labels": own, "annotations": {**_SCRAPED, **gateway.copied_annotations}},
        "spec": {
            "serviceAccountName": gateway.account,
            "containers": [_container(settings, gateway)],
            "volumes": _volumes(),
        },
    }


def _container(settings: Settings, gateway: GatewayFacts) -> Json:
    return {
        "name": "istio-proxy",
        "image": IMAGE,
        "args": ["proxy"],
        "env": _env(settings, gateway),
        "ports": [
            {"name": name, "containerPort": port, "protocol": "TCP"}
            for name, port in (
                ("metrics", METRICS_PORT),
                ("status-port", READINESS_PORT),
                ("hbone", HBONE_PORT),
            )
        ],
        "startupProbe": _probe(period=1, failures=30),
        "readinessProbe": _probe(period=15, failures=4),
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "2", "memory": "1Gi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 1337,
            "runAsGroup": 1337,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "istio-token", "mountPath": TOKEN_FOLDER, "readOnly": True},
            {"name": "istiod-ca-cert", "mountPath": ROOT_FOLDER, "readOnly": True},
            {"name": "state", "mountPath": STATE_FOLDER},
        ],
    }


def _probe(*, period: int, failures: int) -> Json:
    return {
        "httpGet": {"path": "/healthz/ready", "port": READINESS_PORT},
        "periodSeconds": period,
        "timeoutSeconds": 1,
        "failureThreshold": failures,
    }


def _env(settings: Settings, gateway: GatewayFacts) -> list[Json]:
    url = settings.discovery_url or (
        f"https://istiod.{settings.root_namespace}.svc:{DISCOVERY_PORT}"
    )
    root = f"{ROOT_FOLDER}/{ROOT_FILE}"
    said = {
        "GATEWAY_NAME": gateway.key.name,
        "XDS_ADDRESS": url,
        "CA_ADDRESS": url,
        "XDS_ROOT_CA": root,
        "CA_ROOT_CA": root,
        "SLUICE_STATE_DIR": STATE_FOLDER,
        "AUTH_TOKEN": f"{TOKEN_FOLDER}/istio-token",
        "CLUSTER_ID": settings.cluster_id,
        "TRUST_DOMAIN": settings.trust_domain,
    }
    env: list[Json] = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in _FROM_POD.items()
    ]
    said |= _of_traces(settings.traces)
    env += [{"name": name, "value": value} for name, value in said.items()]
    return env


def _of_traces(traces: Traces | None) -> dict[str, str]:
    if traces is None:
        return {}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{traces.host}:{traces.port}",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": f"{traces.percent / 100:.10g}",
    }


def _volumes() -> list[Json]:
    token: Json = {
        "serviceAccountToken": {
            "audience": AUDIENCE,
            "expirationSeconds": TOKEN_S,
            "path": "istio-token",
        }
    }
    return [
        {"name": "istio-token", "projected": {"sources": [token]}},
        {"name": "istiod-ca-cert", "configMap": {"name": ROOT_CONFIG}},
        {"name": "state", "emptyDir": {}},
    ]
