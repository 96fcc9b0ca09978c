"""Every command of the README runs: make's in CI, the lab's in tests/e2e/test_readme.py."""

import re

import pytest

from tests.repo.tree import ROOT

FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[list[str]]:
    """The shell blocks of the README, as lines without comments."""
    found = FENCE.findall((ROOT / "README.md").read_text())
    return [
        [line.partition("  #")[0].strip() for line in block.splitlines() if line.strip()]
        for block in found
    ]


def targets() -> list[str]:
    """The commands that are targets of make."""
    return [line for block in blocks() for line in block if line.startswith("make ")]


@pytest.mark.parametrize("command", targets())
def test_a_target_is_run_by_ci(command: str) -> None:
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_a_block_is_either_for_make_or_for_the_lab() -> None:
    kinds = [{line.startswith("make ") for line in block} for block in blocks()]
    assert all(len(kind) == 1 for kind in kinds)
    assert {True} in kinds
    assert {False} in kinds
