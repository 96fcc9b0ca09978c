"""The command itself."""

import subprocess
import sys
from importlib.metadata import version

import pytest

SLUICE = (sys.executable, "-m", "sluice")


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*SLUICE, *words], capture_output=True, text=True, check=False)


def test_it_knows_its_version() -> None:
    assert run("version").stdout == f"{version('sluice-mesh')}\n"


@pytest.mark.slow
def test_every_command_has_its_exit_codes_in_its_help() -> None:
    for command in ("up", "apply", "delete", "get", "exec", "logs", "status", "down"):
        assert "Exit code" in run("lab", command, "--help").stdout


def test_it_starts_without_what_only_the_keeper_needs() -> None:
    heavy = ("trio", "yaml", "pyroute2", "dns", "cryptography", "grpc")
    code = f"import sluice.__main__, sys; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
