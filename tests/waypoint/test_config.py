"""The waypoint's settings, read out of environment variables."""

import subprocess
import sys

import pytest

from mesh.errors import ConfigError
from mesh.model.identity import Identity
from mesh.runtime.settings import Workers
from waypoint.config import Config

NEEDED = {"GATEWAY_NAME": "edge", "POD_NAMESPACE": "shop", "SERVICE_ACCOUNT": "edge-account"}


def problems(**environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        Config.from_env({**NEEDED, **environ})
    return caught.value.problems


def test_the_gateway_the_namespace_and_the_account_are_enough() -> None:
    config = Config.from_env(NEEDED)
    assert config.gateway == "edge"
    assert config.identity == Identity("cluster.local", "shop", "edge-account")
    assert config.xds.address == "https://localhost:15012"
    assert (config.ports.admin, config.ports.stats, config.ports.readiness) == (15000, 15020, 15021)


def test_without_them_it_says_all_that_is_missing() -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_env({})
    named = [problem.partition("=")[0] for problem in caught.value.problems]
    assert named == ["GATEWAY_NAME", "POD_NAMESPACE", "SERVICE_ACCOUNT"]


def test_every_problem_is_told_at_once() -> None:
    found = problems(SECRET_TTL="soon", XDS_ADDRESS="http://x:1", HTTP2_FRAME_SIZE="1")
    assert {problem.partition("=")[0] for problem in found} == {
        "SECRET_TTL",
        "XDS_ADDRESS",
        "HTTP2_FRAME_SIZE",
    }


def test_the_number_of_workers_has_a_variable_of_its_own() -> None:
    config = Config.from_env({**NEEDED, "WAYPOINT_WORKER_THREADS": "3"})
    assert config.workers.of(8) == 3
    assert Config.from_env({**NEEDED, "WAYPOINT_CPU_LIMIT": "2"}).workers == Workers(limit=2)
    assert "WAYPOINT_WORKER_THREADS" in problems(WAYPOINT_WORKER_THREADS="many")[0]


def test_the_supervisor_loads_no_heavy_library() -> None:
    heavy = ["trio", "OpenSSL", "grpc", "google.protobuf", "msgpack"]
    program = (
        "import waypoint.__main__, waypoint.config, sys;"
        f"print([n for n in {heavy} if n in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert loaded.stdout == "[]\n"


def test_a_worker_loads_no_protobuf_before_it_is_needed() -> None:
    program = "import waypoint.worker.__main__, sys; print('google.protobuf' in sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert loaded.stdout == "False\n", "4 MB of each worker's memory"
