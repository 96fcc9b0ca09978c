"""What the documents say about the tree is so."""

import re
import tomllib
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import pytest

from tests.repo.tree import ROOT, tracked

PAGES = [path for path in tracked() if path.suffix == ".md"]
LINK = re.compile(r"\[[^\]]+\]\(([^)#\s]+)(?:#[^)]*)?\)")
# A page may name a folder or a module of the future in words; a path with a suffix is a promise.
NAMED_FILE = re.compile(
    r"`((?:mesh|ztunnel|waypoint|cni|controlplane|sluice|tests|bench|docs)/[\w./-]+\.\w+|scripts/[\w-]+)`"
)
RELEASE = re.compile(r"^## (Unreleased|(\d+)\.(\d+)\.(\d+) - \d{4}-\d{2}-\d{2})$")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def project() -> dict[str, object]:
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    targets = LINK.findall((ROOT / page).read_text())
    local = [target for target in targets if "://" not in target]
    assert [t for t in local if not (ROOT / page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = NAMED_FILE.findall((ROOT / page).read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_page_is_in_the_list_of_pages() -> None:
    listed = (ROOT / "docs" / "README.md").read_text()
    pages = [page.relative_to("docs") for page in PAGES if page.parts[0] == "docs"]
    pages = [page for page in pages if page.parts[0] not in {"README.md", "decisions"}]
    assert [str(page) for page in pages if f"({page})" not in listed] == []


def test_the_version_is_one() -> None:
    assert project()["version"] == version("sluice-mesh")


def test_the_changelog_lists_releases_from_new_to_old() -> None:
    heads = re.findall(r"^## .*$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == "## Unreleased"
    releases = [RELEASE.match(head) for head in heads[1:]]
    assert all(releases)
    numbers = [tuple(int(n) for n in found.groups()[1:]) for found in releases if found]
    assert all(newer > older for newer, older in pairwise(numbers))


def test_the_changelog_sorts_by_kind() -> None:
    kinds = re.findall(r"^### (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert set(kinds) <= KINDS


def test_every_decision_is_in_the_index_under_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    records = sorted(folder.glob("[0-9][0-9][0-9][0-9]-*.md"))
    numbers = [record.name[:4] for record in records]
    assert len(numbers) == len(set(numbers)), "two decisions share a number"
    assert [r.name for r in records if f"({r.name})" not in index] == []


def test_every_dependency_is_decided() -> None:
    page = (ROOT / "docs" / "decisions" / "0004-dependencies.md").read_text()
    dependencies = project()["dependencies"]
    assert isinstance(dependencies, list)
    names = [re.split(r"[<>=~ ]", str(line))[0] for line in dependencies]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_no_two_errors_share_a_code() -> None:
    page = (ROOT / "docs" / "reference" / "codes.md").read_text()
    codes = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(codes) == sorted(set(codes))
    assert "config_invalid" in codes
