from collections.abc import Mapping

import pytest

from mesh.observe.sampling import Sampler
from mesh.runtime.tracing import Tracing, tracing
from mesh.runtime.variables import Variables

HERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4317"}


def read(**environ: str) -> Tracing:
    variables = Variables({**HERE, **environ})
    found = tracing(variables, "edge.town")
    assert not variables.problems
    assert found is not None
    return found


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_SERVICE_NAME": "edge"},
        {**HERE, "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_without_a_collector_nothing_is_traced(environ: Mapping[str, str]) -> None:
    assert tracing(Variables(environ), "edge.town") is None


@pytest.mark.parametrize(
    ("endpoint", "address", "is_plain"),
    [
        ("http://otel:4317", "otel:4317", True),
        ("http://otel.o11y.svc.cluster.local", "otel.o11y.svc.cluster.local:4317", True),
        ("https://otel:443/", "otel:443", False),
        ("http://[fd00::1]:4317", "[fd00::1]:4317", True),
        ("otel:4317", "otel:4317", False),
        ("10.0.0.1", "10.0.0.1:4317", False),
    ],
)
def test_the_scheme_says_whether_tls_is_spoken(endpoint: str, address: str, is_plain: bool) -> None:
    found = read(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    assert (found.address, found.is_plain) == (address, is_plain)


def test_without_a_scheme_a_variable_says_it() -> None:
    plain = {"OTEL_EXPORTER_OTLP_ENDPOINT": "otel:4317", "OTEL_EXPORTER_OTLP_INSECURE": "true"}
    assert read(**plain).is_plain


def test_the_endpoint_of_traces_comes_first() -> None:
    assert read(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://traces:1").address == "traces:1"


@pytest.mark.parametrize(
    ("sampler", "argument", "found"),
    [
        ("", "", Sampler(1.0, heeds_parent=True)),
        ("always_on", "0.5", Sampler(1.0, heeds_parent=False)),
        ("always_off", "", Sampler(0.0, heeds_parent=False)),
        ("traceidratio", "0.25", Sampler(0.25, heeds_parent=False)),
        ("parentbased_always_on", "", Sampler(1.0, heeds_parent=True)),
        ("parentbased_always_off", "", Sampler(0.0, heeds_parent=True)),
        ("parentbased_traceidratio", "0.01", Sampler(0.01, heeds_parent=True)),
        ("parentbased_traceidratio", "", Sampler(1.0, heeds_parent=True)),
    ],
)
def test_the_sampler_is_named_as_opentelemetry_names_it(
    sampler: str, argument: str, found: Sampler
) -> None:
    assert read(OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG=argument).sampler == found


def test_who_tells_is_the_gateway_unless_the_operator_says_otherwise() -> None:
    assert read().resource == (("service.name", "edge.town"),)
    said = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=front,team=a%2Cb, "}
    assert read(**said).resource == (("service.name", "front"), ("team", "a,b"))
    named = read(**said, OTEL_SERVICE_NAME="edge").resource
    assert named == (("service.name", "edge"), ("team", "a,b"))


def test_headers_and_patience() -> None:
    found = read(
        OTEL_EXPORTER_OTLP_HEADERS="X-Tenant=shop, key=a%20b",
        OTEL_EXPORTER_OTLP_TIMEOUT="250",
        OTEL_EXPORTER_OTLP_CERTIFICATE="/roots.pem",
    )
    assert found.headers == (("x-tenant", "shop"), ("key", "a b"))
    assert (found.timeout_s, found.certificate) == (0.25, "/roots.pem")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://otel:4317"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:x"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:word@otel:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan"),
        ("OTEL_TRACES_SAMPLER_ARG", "half"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "token"),
        ("OTEL_RESOURCE_ATTRIBUTES", "=x"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
    ],
)
def test_each_problem_names_its_variable(name: str, value: str) -> None:
    ratio = {"OTEL_TRACES_SAMPLER": "traceidratio"}
    variables = Variables({**HERE, **ratio, name: value})
    tracing(variables, "edge.town")
    assert len(variables.problems) == 1
    assert variables.problems[0].startswith(f"{name}=")
