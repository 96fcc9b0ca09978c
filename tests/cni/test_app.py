"""The agent's start: what it cannot be without is named, with its mend, and it does not start."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.netns, pytest.mark.slow]
NOBODY = ("--reuid=65534", "--regid=65534", "--clear-groups")


def without(capability: str) -> tuple[str, ...]:
    return f"--bounding-set=-{capability}", f"--inh-caps=-{capability}"


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (NOBODY, "entering the namespaces of pods needs root: start the agent as root"),
        (without("net_admin"), "with CAP_NET_ADMIN"),
        (without("sys_admin"), "making a network namespace (unshare): Operation not permitted"),
    ],
    ids=["nobody", "no net_admin", "no sys_admin"],
)
def test_an_agent_without_its_rights_does_not_start(
    tmp_path: Path, limits: tuple[str, ...], sentence: str
) -> None:
    folders = ("manifests", "cni-net-dir", "cni-bin-dir", "run-dir", "zds-socket")
    places = [word for name in folders for word in (f"--{name}", str(tmp_path / name))]
    words = ["setpriv", *limits, sys.executable, "-m", "cni", "--node", "n1", *places]

    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)

    assert done.returncode == 1
    assert done.stderr.startswith("sluice-cni-agent: ")
    assert sentence in done.stderr
    assert not (tmp_path / "cni-net-dir").exists()
