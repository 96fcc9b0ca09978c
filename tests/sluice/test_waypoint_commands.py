"""The manifests that `sluice waypoint` writes, and what it says without a lab."""

import subprocess
import sys

import pytest

from mesh.model.kubernetes import KubernetesObject
from sluice.waypoint_commands import gateway_name, manifest

COMMANDS = ("apply", "list", "status", "delete")


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "sluice", "waypoint", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("gateway", "account", "name"),
    [("", "", "waypoint"), ("", "baker", "baker-waypoint"), ("own", "baker", "own")],
)
def test_a_waypoint_has_a_name_that_is_not_the_accounts(
    gateway: str, account: str, name: str
) -> None:
    assert gateway_name(gateway, account) == name


def test_a_manifest_says_what_it_is_for() -> None:
    found = KubernetesObject.of(manifest("shop", "way", "workload", "baker"))

    assert found.labels == {"istio.io/waypoint-for": "workload"}
    assert found.annotations == {"istio.io/for-service-account": "baker"}
    assert found.get("spec", "gatewayClassName") == "sluice-waypoint"
    assert found.get("spec", "listeners", 0, "port") == 15008


def test_a_manifest_leaves_out_what_is_usual() -> None:
    found = KubernetesObject.of(manifest("shop", "way", "", ""))

    assert not found.labels
    assert not found.annotations


@pytest.mark.slow
def test_every_command_has_its_exit_codes_in_its_help() -> None:
    for command in COMMANDS:
        assert "Exit code" in run(command, "--help").stdout


@pytest.mark.slow
def test_wrong_use_and_a_lab_that_is_not_there_are_told_apart() -> None:
    assert run("apply", "--for", "everything").returncode == 2
    absent = run("list", "--name", "no-such-lab")
    assert absent.returncode == 1
    assert "no lab named" in absent.stderr
