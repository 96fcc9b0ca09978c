"""The node proxy's variables: defaults, meanings, and every problem at once."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ConfigError
from mesh.runtime.settings import CertificateFiles, Workers
from mesh.runtime.variables import Variables
from ztunnel.config import Config, Mode, ProxyWorkload

DEDICATED = {"PROXY_MODE": "dedicated", "PROXY_WORKLOAD_INFO": "shop/web-1/web"}
FILES = {"CERT_FILE": "c.pem", "KEY_FILE": "k.pem", "ROOT_FILE": "r.pem"}


def problems_of(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        Config.from_env(environ)
    return caught.value.problems


def test_nothing_set_gives_the_defaults_of_istio() -> None:
    config = Config.from_env({})
    assert config.mode is Mode.SHARED
    assert config.xds.address == config.ca.address == "https://localhost:15012"
    assert config.inpod_uds == "/var/run/ztunnel/ztunnel.sock"
    assert (config.cluster_id, config.trust_domain) == ("Kubernetes", "cluster.local")
    assert config.packet_mark == 1337
    assert config.drain_s == 5.0
    assert (config.pool_max_streams, config.pool_unused_release_s) == (100, 300.0)
    assert config.http2.frame_octets == 1024 * 1024
    assert config.warnings == ()


def test_in_kubernetes_the_control_plane_is_istiod() -> None:
    config = Config.from_env({"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    assert config.xds.address == "https://istiod.istio-system.svc:15012"


def test_an_empty_address_switches_discovery_off() -> None:
    assert Config.from_env({"XDS_ADDRESS": ""}).xds.address == ""


def test_an_address_needs_no_scheme() -> None:
    assert Config.from_env({"CA_ADDRESS": "ca:15012"}).ca.address == "https://ca:15012"


def test_a_token_never_travels_in_plain_text() -> None:
    assert "https://" in problems_of({"XDS_ADDRESS": "http://istiod:15010"})[0]


def test_every_problem_is_reported_at_once_by_variable_and_mend() -> None:
    problems = problems_of(
        {
            "PROXY_MODE": "sidecar",
            "POOL_UNUSED_RELEASE_TIMEOUT": "soon",
            "HTTP2_FRAME_SIZE": "1",
            "KEEPALIVE_ENABLED": "perhaps",
            "ZTUNNEL_WORKER_THREADS": "many",
        }
    )
    names = [problem.partition("=")[0] for problem in problems]
    assert sorted(names) == [
        "HTTP2_FRAME_SIZE",
        "KEEPALIVE_ENABLED",
        "POOL_UNUSED_RELEASE_TIMEOUT",
        "PROXY_MODE",
        "ZTUNNEL_WORKER_THREADS",
    ]
    assert all("write" in problem for problem in problems)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("5m", 300.0), ("250ms", 0.25), ("1h30m", 5400.0), ("1m 5s", 65.0), ("7", 7.0), ("1d", 86400)],
)
def test_a_duration_is_a_number_with_a_unit(written: str, seconds: float) -> None:
    assert Config.from_env({"SECRET_TTL": written}).secret_ttl_s == pytest.approx(seconds)


@given(st.text(max_size=12))
def test_any_duration_is_read_or_reported(written: str) -> None:
    read = Variables({"SECRET_TTL": written})
    assert read.seconds("SECRET_TTL", 3.0) >= 0
    assert len(read.problems) <= 1


@pytest.mark.parametrize(
    ("grace", "seconds"), [("30", 25.0), ("11", 6.0), ("10", 9.0), ("1", 1.0), ("2", 1.0)]
)
def test_a_drain_ends_before_the_orchestrator_kills(grace: str, seconds: float) -> None:
    assert Config.from_env({"TERMINATION_GRACE_PERIOD_SECONDS": grace}).drain_s == seconds


def test_the_deadline_of_a_drain_can_be_said() -> None:
    environ = {"TERMINATION_GRACE_PERIOD_SECONDS": "30", "CONNECTION_TERMINATION_DEADLINE": "2s"}
    assert Config.from_env(environ).drain_s == 2.0


@pytest.mark.parametrize(
    ("written", "cores", "number"),
    [("", 2, 2), ("", 16, 4), ("0", 16, 16), ("3", 2, 3), ("50%", 8, 4), ("10%", 2, 1)],
)
def test_the_number_of_workers(written: str, cores: int, number: int) -> None:
    assert Config.from_env({"ZTUNNEL_WORKER_THREADS": written}).workers.of(cores) == number


def test_a_limit_of_cores_bounds_the_default_only() -> None:
    limited = {"ZTUNNEL_CPU_LIMIT": "1"}
    assert Config.from_env(limited).workers.of(8) == 1
    assert Config.from_env({**limited, "ZTUNNEL_WORKER_THREADS": "3"}).workers.of(8) == 3


def test_no_machine_is_without_a_worker() -> None:
    assert Workers().of(0) == Workers(number=0).of(0) == 1


def test_old_tls_is_a_start_error() -> None:
    assert "TLS 1.3" in problems_of({"TLS12_ENABLED": "true"})[0]


def test_what_istio_knows_and_we_do_not_is_a_warning() -> None:
    config = Config.from_env(
        {"UNSTABLE_ENABLE_SOCKS5": "1", "XDS_ON_DEMAND": "false", "FAKE_CA": "true"}
    )
    named = [warning.split()[0] for warning in config.warnings]
    assert named == ["FAKE_CA", "UNSTABLE_ENABLE_SOCKS5"]


def test_a_dedicated_proxy_names_its_workload_and_marks_nothing() -> None:
    config = Config.from_env(DEDICATED)
    assert config.proxy_workload == ProxyWorkload("shop", "web-1", "web")
    assert config.packet_mark is None


def test_a_dedicated_proxy_without_workload_is_an_error() -> None:
    assert "NAMESPACE/NAME/SERVICE_ACCOUNT" in problems_of({"PROXY_MODE": "dedicated"})[0]


def test_without_a_control_plane_nobody_is_asked() -> None:
    config = Config.from_env({**DEDICATED, **FILES, "LOCAL_XDS_PATH": "world.yaml"})
    assert config.xds.address == config.ca.address == ""
    assert config.certificate_files == CertificateFiles("c.pem", "k.pem", "r.pem")


def test_certificate_files_come_all_together_and_in_dedicated_mode_only() -> None:
    some = {name: value for name, value in FILES.items() if name != "KEY_FILE"}
    assert problems_of({**DEDICATED, **some})[0].startswith("KEY_FILE")
    assert "dedicated" in problems_of(FILES)[0]


def test_two_sources_of_state_are_an_error() -> None:
    both = {"LOCAL_XDS": "workloads: []", "LOCAL_XDS_PATH": "world.yaml"}
    assert problems_of(both)[0].startswith("LOCAL_XDS_PATH")
    assert problems_of({"LOCAL_XDS": "{}", "XDS_ADDRESS": "a:1"})[0].startswith("XDS_ADDRESS")


def test_headers_and_metadata_are_taken_by_prefix() -> None:
    config = Config.from_env(
        {"XDS_HEADER_FOO_BAR": "1", "ISTIO_META_X": "y", "ISTIO_META_CLUSTER_ID": "east"}
    )
    assert config.xds.headers == (("foo_bar", "1"),)
    assert ("X", "y") in config.node_metadata
    assert config.cluster_id == "east"


def test_proxy_config_fills_what_no_variable_says() -> None:
    written = (
        "{concurrency: 3, statsPort: 1, discoveryAddress: 'a:15012', proxyMetadata: {NETWORK: n}}"
    )
    config = Config.from_env({"PROXY_CONFIG": written, "XDS_ADDRESS": "b:15012"})
    assert config.workers.of(8) == 3
    assert (config.ports.stats, config.network) == (1, "n")
    assert config.xds.address == "https://b:15012"


@pytest.mark.parametrize("written", ["[", "7", "{drainDuration: 5s}", "{statsPort: [1]}"])
def test_a_proxy_config_that_cannot_be_obeyed_is_an_error(written: str) -> None:
    assert problems_of({"PROXY_CONFIG": written})[0].startswith("PROXY_CONFIG")


def test_the_settings_load_without_the_heavy_libraries() -> None:
    heavy = "trio", "OpenSSL", "cryptography", "grpc", "google.protobuf", "msgpack", "yaml"
    program = f"import ztunnel.config, sys; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
