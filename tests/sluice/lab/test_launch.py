"""Starting and going, whatever was killed in between."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sluice.lab.home import Home
from sluice.lab.launch import remove
from tests.sluice.lab.labs import COMMAND, Lab, leftovers, running

pytestmark = pytest.mark.netns
POD = """
apiVersion: v1
kind: Pod
metadata: {name: stubborn}
spec:
  containers:
  - name: a
    image: none
    command: [sh, -c, "trap '' TERM; env -u SLUICE_LAB setsid sleep 1000 & wait"]
"""


@pytest.mark.slow
def test_down_leaves_nothing_and_is_fine_with_nothing(tmp_path: Path) -> None:
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(POD)
    lab = Lab("goes")
    config, other = tmp_path / "mesh.yaml", tmp_path / "other.yaml"
    config.write_text("trustDomain: a.example")
    other.write_text("trustDomain: b.example")
    lab.must("up", "--without-mesh", "-f", str(manifest), "--mesh-config", str(config))
    assert leftovers("goes")
    lab.must("up", "--without-mesh", "--mesh-config", str(config))
    refused = lab.run("up", "--without-mesh", "--mesh-config", str(other))
    assert "the lab runs with another: `sluice lab down` first" in refused.stderr
    other.write_text("trustDomain: 7")
    assert "trustDomain: must be a string" in lab.run("up", "--mesh-config", str(other)).stderr

    lab.must("down")

    assert leftovers("goes") == []
    assert lab.run("down").returncode == 0
    assert lab.run("status").returncode == 1
    assert "no lab named 'goes' runs" in lab.run("status").stderr


@pytest.mark.slow
def test_a_lab_that_died_is_built_anew_by_the_next_up() -> None:
    lab = Lab("dies")
    lab.must("up", "--without-mesh", "--nodes", "1")
    keeper = lab.run("exec", "node-1", "--", "true")
    assert keeper.returncode == 0
    for line in leftovers("dies"):
        if line.startswith("process "):
            os.kill(int(line.removeprefix("process ")), signal.SIGKILL)

    lab.must("up", "--without-mesh")

    assert "node-2" in lab.must("status")
    lab.must("down")
    assert leftovers("dies") == []


@pytest.mark.slow
def test_a_start_that_was_killed_in_the_middle_is_taken_away() -> None:
    words = [*COMMAND, "up", "--name", "killed", "--without-mesh"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as starting:
        while not list(Path("/run/netns").glob("sluice-killed-*")):
            assert starting.poll() is None
        for line in leftovers("killed"):
            if line.startswith("process "):
                os.kill(int(line.removeprefix("process ")), signal.SIGKILL)
        starting.kill()

    Lab("killed").must("down")

    assert leftovers("killed") == []


@pytest.mark.slow
def test_a_second_lab_of_the_same_name_is_the_first_one() -> None:
    words = [*COMMAND, "up", "--name", "twin", "--without-mesh", "--nodes", "1"]
    lab = Lab("twin")
    try:
        with (
            subprocess.Popen(words, stderr=subprocess.PIPE) as one,
            subprocess.Popen(words, stderr=subprocess.PIPE) as other,
        ):
            assert (one.wait(30), other.wait(30)) == (0, 0)
        assert lab.must("get", "nodes").count("node-") == 1

        done = lab.run("up", "--nodes", "2", "--without-mesh")
        assert done.returncode == 1
        assert "--nodes 2: the lab runs with 1: `sluice lab down` first" in done.stderr
        assert lab.must("exec", "node-1", "--", "echo", "alive") == "alive\n"
    finally:
        lab.must("down")
    assert leftovers("twin") == []


def test_only_the_labs_own_processes_are_killed() -> None:
    sleeper = [sys.executable, "-c", "import signal; signal.pause()"]
    home = Home.of("mine")
    with (
        subprocess.Popen(sleeper, env={"SLUICE_LAB": "mine"}) as ours,
        subprocess.Popen(sleeper, env={"SLUICE_LAB": "mine-too"}) as other,
        subprocess.Popen(sleeper, env={"NOT_SLUICE_LAB": "mine"}) as stranger,
    ):
        remove(home)

        assert ours.wait(5) == -signal.SIGKILL
        assert other.poll() is None
        assert stranger.poll() is None
        other.kill()
        stranger.kill()


def test_a_lab_does_not_take_another_labs_namespaces() -> None:
    paths = [Path("/run/netns", f"sluice-a-{place}") for place in ("b-fabric", "fabric", "node-1")]
    for path in paths:
        path.touch()

    assert Home.of("a").all_netns() == paths[1:]
    for path in paths:
        path.unlink()


def test_without_root_the_mend_is_said() -> None:
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *COMMAND, "up"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "run it as root" in done.stderr


def test_a_missing_program_is_named() -> None:
    path = Path(__file__).parent  # no programs there
    words = [*COMMAND, "up", "--name", "poor"]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none /usr/sbin; {' '.join(words)}"],
        env={"PATH": f"{path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "apt-get install ipset iptables nftables" in done.stderr


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """The labs' folder on a disk of its own, with little room."""
    folder = Path("/run/sluice")
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
    with suppress(OSError):  # other labs keep it
        folder.rmdir()


@pytest.mark.slow
def test_a_full_disk_refuses_a_manifest_and_ends_nothing(small_disk: Path) -> None:
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: %s}" % ("x" * 9000)
    with running("full") as lab:
        filler = small_disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass

        done = lab.run("apply", "-f", "-", given=config)
        assert done.returncode == 1
        assert "No space left" in done.stderr
        assert lab.run("get", "cm", "default/c").returncode == 1
        assert lab.must("exec", "node-1", "--", "echo", "alive") == "alive\n"

        filler.unlink()
        lab.apply(config)
        assert lab.run("get", "cm", "default/c").returncode == 0
