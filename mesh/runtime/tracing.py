"""Settings of traces, by OpenTelemetry's own variables.

No trio, no OpenSSL, no gRPC below this module: supervisors import it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from mesh.observe.sampling import Sampler
from mesh.runtime.variables import Variables

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
SAMPLER_ARG: Final = "OTEL_TRACES_SAMPLER_ARG"
GRPC_PORT: Final = 4317
DAY_MS: Final = 86_400_000
SAMPLERS: Final[Mapping[str, tuple[float | None, bool]]] = {
    "always_on": (1.0, False),
    "always_off": (0.0, False),
    "traceidratio": (None, False),
    "parentbased_always_on": (1.0, True),
    "parentbased_always_off": (0.0, True),
    "parentbased_traceidratio": (None, True),
}
"""The ratio (None: of SAMPLER_ARG), and whether a caller's decision stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing:
    """Where spans are told, and which requests have some."""

    address: str
    """HOST:PORT of a collector that speaks OTLP over gRPC."""
    is_plain: bool
    """Whether it is spoken to without TLS."""
    certificate: str
    """PEM file of whom to trust there; empty: the system's authorities."""
    headers: tuple[tuple[str, str], ...]
    """For each call."""
    timeout_s: float
    sampler: Sampler
    resource: tuple[tuple[str, str], ...]
    """Who tells: `service.name`, and what else the operator says."""


def tracing(read: Variables, service_name: str) -> Tracing | None:
    """OTEL_...; None without a collector: nothing is traced, and what callers say goes through.

    Args:
        read: the variables.
        service_name: when they say none.
    """
    name = TRACES_ENDPOINT if read.text(TRACES_ENDPOINT) else ENDPOINT
    endpoint = read.text(name)
    if not endpoint or read.flag("OTEL_SDK_DISABLED", default=False):
        return None
    read.choice("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", {"grpc": True})
    is_plain, address = _where(read, name, endpoint)
    said = dict(_pairs(read, "OTEL_RESOURCE_ATTRIBUTES"))
    said["service.name"] = read.text("OTEL_SERVICE_NAME") or said.get("service.name", service_name)
    return Tracing(
        address=address,
        is_plain=is_plain,
        certificate=read.text("OTEL_EXPORTER_OTLP_CERTIFICATE"),
        headers=tuple((k.lower(), v) for k, v in _pairs(read, "OTEL_EXPORTER_OTLP_HEADERS")),
        timeout_s=read.whole("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000, 1, DAY_MS) / 1000,
        sampler=_sampler(read),
        resource=tuple(sorted(said.items())),
    )


def _where(read: Variables, name: str, endpoint: str) -> tuple[bool, str]:
    written = endpoint if "://" in endpoint else f"//{endpoint}"
    try:
        found = urlsplit(written)
        host, port = found.hostname, found.port or GRPC_PORT
    except ValueError:
        found, host, port = urlsplit(""), None, GRPC_PORT
    if not host or found.scheme not in {"", "http", "https"} or found.username is not None:
        read.problem(name, "write http://HOST:PORT (plain text) or https://HOST:PORT")
        return False, ""
    is_plain = found.scheme == "http"
    if not found.scheme:
        is_plain = read.flag("OTEL_EXPORTER_OTLP_INSECURE", default=False)
    return is_plain, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _sampler(read: Variables) -> Sampler:
    ratio, heeds_parent = read.choice("OTEL_TRACES_SAMPLER", "parentbased_always_on", SAMPLERS)
    if ratio is None:
        ratio = _ratio(read)
    return Sampler(ratio, heeds_parent)


def _ratio(read: Variables) -> float:
    try:
        ratio = float(read.text(SAMPLER_ARG, "1"))
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        read.problem(SAMPLER_ARG, "write a number from 0 to 1")
        return 1.0
    return ratio


def _pairs(read: Variables, name: str) -> list[tuple[str, str]]:
    pairs = []
    for part in filter(None, map(str.strip, read.text(name).split(","))):
        key, equals, value = part.partition("=")
        if not (key.strip() and equals):
            read.problem(name, "write KEY=VALUE, and commas between several")
        else:
            pairs.append((key.strip(), unquote(value.strip())))
    return pairs
