"""The mesh configuration's traces: which collector waypoints tell, and of how many requests.

`defaultProviders.tracing` names one of the `extensionProviders` that is `opentelemetry` (by gRPC),
`defaultConfig.tracing.sampling` says of which percentage of traces, and `enableTracing: false` of
none. The Telemetry API is not read.
"""

import re
from collections.abc import Iterator
from typing import Final

from controlplane.translate.route_fields import number_at
from controlplane.translate.settings import Traces
from mesh.model.fields import FieldInvalidError, Part

KIND: Final = "opentelemetry"
OF_KIND: Final = frozenset({"service", "port", "http"})
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
DEFAULT_PERCENT: Final = 1.0
"""Istio's."""


def read_tracing(config: Part) -> tuple[Traces | None, list[str], list[str]]:
    """The traces of a mesh configuration.

    Returns:
        Where they go, if anywhere; fields beside that have no effect; everything that is wrong.
    """
    try:
        ignored = list(_ignored(config))
        percent = _percent(config)
        wanted = config.at("defaultProviders").texts("tracing")[:1]
        if not wanted or not config.flag("enableTracing", default=True):
            return None, ignored, []
        return _traces(config, wanted[0], percent), ignored, []
    except FieldInvalidError as error:
        return None, [], [f"{error.field}: {error.mend}"]


def _traces(config: Part, wanted: str, percent: float) -> Traces:
    providers = [part for part in config.parts("extensionProviders") if part.text("name") == wanted]
    if not providers:
        mend = f"{wanted!r:.80} is none of extensionProviders: write it there"
        raise config.at("defaultProviders").invalid("tracing[0]", mend)
    if not providers[0].has(KIND):
        mend = f"is not of the kind {KIND}: no other collector is spoken to"
        raise providers[0].invalid("name", mend)
    how = providers[0].at(KIND)
    if how.has("http"):
        raise how.invalid("http", "OTLP over HTTP is not there: name the collector's gRPC port")
    host, port = how.text("service").rpartition("/")[2], number_at(how, "port", 1, 65_535)
    if not host or not port:
        raise how.invalid("service" if port else "port", "is needed")
    if not _HOST.fullmatch(host):
        raise how.invalid("service", f"{host!r:.80} is no hostname")
    return Traces(host, port, percent)


def _percent(config: Part) -> float:
    part = config.at("defaultConfig", "tracing")
    match part.body.get("sampling"):
        case None:
            return DEFAULT_PERCENT
        case bool():
            pass
        case int(value) | float(value) if 0 <= value <= 100:
            return float(value)
        case _:
            pass
    raise part.invalid("sampling", "must be a percentage: a number from 0 to 100")


def _ignored(config: Part) -> Iterator[str]:
    """Fields near those that are read, but without effect."""
    for names, read in (
        (("defaultProviders",), {"tracing"}),
        (("defaultConfig",), {"tracing"}),
        (("defaultConfig", "tracing"), {"sampling"}),
    ):
        part = config.at(*names)
        yield from (part.field(name) for name in part.body if name not in read)
    wanted = config.at("defaultProviders").texts("tracing")
    yield from (f"defaultProviders.tracing[{index}]" for index in range(1, len(wanted)))
    for provider in config.parts("extensionProviders"):
        if provider.has(KIND) and provider.text("name") not in wanted[:1]:
            yield provider.path
        elif provider.has(KIND):
            how = provider.at(KIND)
            yield from (how.field(name) for name in how.body if name not in OF_KIND)
