"""The tree holds what it should, where a stranger looks for it."""

import ast
import re
from pathlib import Path

import pytest

from tests.repo.tree import ROOT, dotted, imports, modules, tracked

AT_THE_DOOR = {
    ".ci", ".dockerignore", ".gitattributes", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md",
    "LICENSE", "Makefile", "README.md", "SECURITY.md", "bench", "cni", "controlplane", "deploy",
    "docs", "examples", "fuzz", "mesh", "pyproject.toml", "requirements", "scripts", "sluice",
    "tests", "waypoint", "ztunnel",
}  # fmt: skip
LEFTOVERS = re.compile(r"(\.(orig|rej|swp|bak|pyc|log|tmp)|~)$|^(core|nohup\.out)$")
SOURCES = {"", ".py", ".md", ".toml", ".yaml", ".json", ".in", ".proto"}
MAX_OCTETS = 512 * 1024
HIDING = {"typing.Any", "typing.cast", "typing.TYPE_CHECKING"}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "stuff"}


def test_nothing_stands_at_the_door_that_does_not_belong_there() -> None:
    assert {path.parts[0] for path in tracked()} <= AT_THE_DOOR


def test_no_leftovers_are_tracked() -> None:
    assert [str(path) for path in tracked() if LEFTOVERS.search(path.name)] == []


def test_no_file_is_huge() -> None:
    assert [str(path) for path in tracked() if (ROOT / path).stat().st_size > MAX_OCTETS] == []


def test_no_file_names_a_place_that_only_one_machine_has() -> None:
    place = "/wo" + "rk/"  # split, or this file would name it
    naming = [
        str(path)
        for path in tracked()
        if (ROOT / path).suffix in SOURCES and place in (ROOT / path).read_text()
    ]
    assert naming == []


def test_every_module_has_a_docstring() -> None:
    silent = [str(p) for p in modules() if not ast.get_docstring(ast.parse((ROOT / p).read_text()))]
    assert silent == []


def test_an_init_is_a_sign_on_the_door_and_holds_no_code() -> None:
    busy = [
        str(path)
        for path in modules()
        if path.name == "__init__.py" and len(ast.parse((ROOT / path).read_text()).body) > 1
    ]
    assert busy == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [str(path) for path in modules() if path.stem in VAGUE_NAMES] == []


def test_no_source_hides_a_type() -> None:
    hiding = [
        (dotted(path), name) for path in modules() for name in imports(path) if name in HIDING
    ]
    assert hiding == []


def test_every_folder_of_sources_is_a_package() -> None:
    folders = {path.parent for path in modules(generated=True)}
    orphans = {str(f) for f in folders if not (ROOT / f / "__init__.py").is_file()}
    # mesh/proto mirrors the packages of other people's .proto files.
    assert {orphan for orphan in orphans if not orphan.startswith("mesh/proto")} == set()


@pytest.mark.parametrize(
    "script",
    [path for path in tracked() if path.parts[0] in {"scripts", ".ci"}],
    ids=str,
)
def test_a_script_says_what_it_is_and_can_be_run(script: Path) -> None:
    lines = (ROOT / script).read_text().splitlines()
    assert lines[0].startswith("#!")
    assert (ROOT / script).stat().st_mode & 0o111
    assert lines[1].startswith(("# ", '"""'))
