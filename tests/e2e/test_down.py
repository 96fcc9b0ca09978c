"""After `lab down` nothing is left, whatever happened before."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.mesh import SLUICE, Lab, wait_until
from tests.e2e.worlds import SHOP

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(120)]


def processes_of(name: str) -> list[int]:
    """Everything that carries the lab's name in its environment, but ourselves."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"SLUICE_LAB={name}".encode() in environment:
                found.append(int(entry.name))
    return found


def leftovers(name: str) -> list[str]:
    """Namespaces, processes, files and mounts of a lab."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return [
        *(str(path) for path in Path("/run/netns").glob(f"sluice-{name}-*")),
        *(f"process {pid}" for pid in processes_of(name)),
        *(line for line in mounts if f"/run/sluice/{name}/" in line),
        *(str(path) for path in Path("/run/sluice").glob(f"{name}*")),
    ]


def test_down_takes_everything_away(tmp_path: Path) -> None:
    manifest = tmp_path / "shop.yaml"
    manifest.write_text(SHOP)
    lab = Lab("gone")
    lab.must("up", "-f", str(manifest), seconds=60)
    assert processes_of("gone")

    lab.must("down", seconds=30)

    assert leftovers("gone") == []


def test_down_cleans_up_after_everything_was_killed_in_the_middle_of_up(tmp_path: Path) -> None:
    manifest = tmp_path / "shop.yaml"
    manifest.write_text(SHOP)
    words = [SLUICE, "lab", "up", "--name", "killed", "-f", str(manifest)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as up:
        wait_until("some of it to be there", lambda: len(processes_of("killed")) > 3, 30)
        up.kill()
        for pid in processes_of("killed"):
            os.kill(pid, signal.SIGKILL)
    lab = Lab("killed")

    lab.must("down", seconds=30)

    assert leftovers("killed") == []


def test_down_of_a_lab_that_is_not_there_is_fine() -> None:
    Lab("never").must("down")
