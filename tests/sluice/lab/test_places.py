"""Mount points of labs: nobody's clean-up takes away what another lab uses."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.lab.home import Home
from sluice.lab.places import make_place, remove_places

pytestmark = pytest.mark.netns


@pytest.fixture
def homes() -> Iterator[tuple[Home, Home]]:
    made = Home.of("places-one"), Home.of("places-two")
    for home in made:
        home.folder.mkdir(parents=True)
    yield made
    for home in made:
        home.made_folders.unlink(missing_ok=True)
        home.folder.rmdir()


def test_what_a_lab_has_made_goes_with_it(homes: tuple[Home, Home], tmp_path: Path) -> None:
    home, _ = homes
    (tmp_path / "there").mkdir()
    make_place(home, tmp_path / "there" / "a" / "b", is_folder=True)
    make_place(home, tmp_path / "there" / "a" / "c.conf", is_folder=False)
    make_place(home, tmp_path / "there" / "a" / "b", is_folder=True)
    assert (tmp_path / "there" / "a" / "b").is_dir()
    assert (tmp_path / "there" / "a" / "c.conf").read_bytes() == b""
    remove_places(home)
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]
    assert list((tmp_path / "there").iterdir()) == []


def test_what_another_lab_uses_stays_until_that_goes(
    homes: tuple[Home, Home], tmp_path: Path
) -> None:
    one, two = homes
    target = tmp_path / "a" / "b"
    make_place(one, target, is_folder=True)
    make_place(two, target, is_folder=True)
    remove_places(one)
    assert target.is_dir()
    remove_places(two)
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_is_neither_marked_nor_removed(
    homes: tuple[Home, Home], tmp_path: Path
) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    make_place(homes[0], target, is_folder=True)
    assert list(target.iterdir()) == []
    remove_places(homes[0])
    assert target.is_dir()


MOUNTED = """
import os, subprocess, sys
target = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "none", target], check=True)
open(f"{target}/token", "w").close()
print("mounted", flush=True)
sys.stdin.readline()
print(os.path.exists(f"{target}/token"))
"""


def test_a_mount_in_another_namespace_outlives_the_end_of_another_lab(
    homes: tuple[Home, Home], tmp_path: Path
) -> None:
    one, two = homes
    target = tmp_path / "tokens"
    make_place(one, target, is_folder=True)
    make_place(two, target, is_folder=True)
    own = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", MOUNTED]
    with subprocess.Popen(
        [*own, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as pod:
        assert pod.stdout is not None
        assert pod.stdout.readline() == "mounted\n"
        remove_places(one)
        assert pod.communicate(os.linesep)[0] == "True\n"
    remove_places(two)
    assert not target.exists()
