"""The mesh configuration's traces, and what becomes of them in a waypoint's pod."""

from pathlib import Path

import pytest

from controlplane.mesh_config import MeshConfig, MeshConfigInvalidError, read_mesh_config
from controlplane.translate.settings import Settings, Traces
from controlplane.translate.translation import Translation
from controlplane.translate.world import Translator
from mesh.runtime.tracing import tracing
from mesh.runtime.variables import Variables
from tests.controlplane.translate.test_gateways import GATEWAY, made, parse

PROVIDER = """
extensionProviders:
- name: otel
  opentelemetry: {service: otel.o11y.svc.cluster.local, port: 4317}
"""
CHOSEN = PROVIDER + "defaultProviders: {tracing: [otel]}\n"


def read(folder: Path, text: str) -> MeshConfig:
    file = folder / "mesh.yaml"
    file.write_text(text)
    return read_mesh_config(file)


@pytest.mark.parametrize(
    ("more", "percent"),
    [
        ("", 1.0),
        ("defaultConfig: {tracing: {sampling: 100}}\n", 100.0),
        ("defaultConfig: {tracing: {sampling: 0.25}}\n", 0.25),
        ("defaultConfig: {tracing: {sampling: 0}}\n", 0.0),
        ("enableTracing: true\n", 1.0),
    ],
)
def test_the_default_provider_hears_a_percentage(tmp_path: Path, more: str, percent: float) -> None:
    config = read(tmp_path, CHOSEN + more)
    assert config.traces == Traces("otel.o11y.svc.cluster.local", 4317, percent)
    assert not config.ignored


def test_a_provider_may_name_its_namespace(tmp_path: Path) -> None:
    config = read(tmp_path, CHOSEN.replace("service: otel", "service: o11y/otel"))
    assert config.traces is not None
    assert config.traces.host == "otel.o11y.svc.cluster.local"


@pytest.mark.parametrize(
    ("text", "ignored"),
    [
        ("", ()),
        (PROVIDER, ("extensionProviders[0]",)),
        (CHOSEN + "enableTracing: false\n", ()),
        ("defaultProviders: {metrics: [prometheus]}\n", ("defaultProviders.metrics",)),
    ],
)
def test_without_a_choice_nothing_is_traced(
    tmp_path: Path, text: str, ignored: tuple[str, ...]
) -> None:
    config = read(tmp_path, text)
    assert config.traces is None
    assert config.ignored == ignored


def test_what_has_no_effect_is_named(tmp_path: Path) -> None:
    text = CHOSEN.replace("[otel]", "[otel, other]").replace("4317", "4317, maxTagLength: 9")
    config = read(
        tmp_path, text + "defaultConfig: {concurrency: 2, tracing: {maxPathTagLength: 9}}"
    )
    assert config.traces is not None
    assert config.ignored == (
        "defaultConfig.concurrency",
        "defaultConfig.tracing.maxPathTagLength",
        "defaultProviders.tracing[1]",
        "extensionProviders[0].opentelemetry.maxTagLength",
    )


@pytest.mark.parametrize(
    ("old", "new", "mend"),
    [
        ("[otel]", "[jaeger]", r"defaultProviders\.tracing\[0\]: 'jaeger' is none of"),
        ("[otel]", "otel", r"defaultProviders\.tracing: must be a list"),
        ("opentelemetry", "zipkin", r"extensionProviders\[0\]\.name: is not of the kind"),
        (", port: 4317", "", r"opentelemetry\.port: is needed"),
        ("4317", "0", r"opentelemetry\.port: 0 must be from 1"),
        ("service: otel.o11y.svc.cluster.local, ", "", r"opentelemetry\.service: is needed"),
        ("otel.o11y", "o t", r"opentelemetry\.service: 'o t.svc.cluster.local' is no hostname"),
        ("4317", "4317, http: {path: /v1/traces}", r"opentelemetry\.http: OTLP over HTTP"),
        ("[otel]}", "[otel]}\ndefaultConfig: {tracing: {sampling: 101}}", "sampling: must"),
        ("[otel]}", "[otel]}\ndefaultConfig: {tracing: {sampling: .nan}}", "sampling: must"),
        ("[otel]}", "[otel]}\ndefaultConfig: {tracing: {sampling: all}}", "sampling: must"),
        ("[otel]}", "[otel]}\ndefaultConfig: []", r"defaultConfig: must be a mapping"),
        ("[otel]}", "[otel]}\nenableTracing: maybe", r"enableTracing: must be true or false"),
    ],
)  # fmt: skip
def test_each_problem_names_its_field(tmp_path: Path, old: str, new: str, mend: str) -> None:
    assert old in CHOSEN
    with pytest.raises(MeshConfigInvalidError, match=mend):
        read(tmp_path, CHOSEN.replace(old, new))


def translate(traces: Traces | None) -> Translation:
    found, _ = parse(GATEWAY, "test")
    return Translator(Settings(traces=traces)).update({one.key: one for one in found})


def environ(traces: Traces | None) -> dict[str, str]:
    template = made(translate(traces), "Deployment").at("spec", "template", "spec")
    (container,) = template.parts("containers")
    return {one.text("name"): one.text("value") for one in container.parts("env")}


def test_a_waypoints_pod_reads_what_the_configuration_says() -> None:
    variables = Variables(environ(Traces("otel.o11y.svc.cluster.local", 4317, 12.5)))
    found = tracing(variables, "way.shop")
    assert not variables.problems
    assert found is not None
    assert (found.address, found.is_plain) == ("otel.o11y.svc.cluster.local:4317", True)
    assert (found.sampler.ratio, found.sampler.heeds_parent) == (0.125, True)


def test_without_traces_a_waypoints_pod_hears_nothing_of_them() -> None:
    assert not [name for name in environ(None) if name.startswith("OTEL_")]
