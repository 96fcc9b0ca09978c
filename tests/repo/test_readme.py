"""Every command of the README runs: here, or where `RUN_ELSEWHERE` says."""

import re
import subprocess

import pytest

from tests.repo.tree import ROOT

FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Commands that would run the tests in themselves, or take long, and who runs them instead.
RUN_ELSEWHERE = {
    "make test": ".ci/run",
    "make lint": ".ci/run",
}


def commands() -> list[str]:
    """The lines of the README's shell blocks, without their comments."""
    blocks = FENCE.findall((ROOT / "README.md").read_text())
    lines = (line.partition("  #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def test_the_readme_shows_commands() -> None:
    assert commands()


def test_the_short_commands_of_the_readme_work() -> None:
    for command in commands():
        if command not in RUN_ELSEWHERE:
            subprocess.run(["/bin/sh", "-euc", command], cwd=ROOT, check=True, timeout=50)


@pytest.mark.parametrize("command", sorted(RUN_ELSEWHERE))
def test_a_long_command_is_run_where_the_table_says(command: str) -> None:
    assert command in commands(), "a row without a command: remove it"
    runner = (ROOT / RUN_ELSEWHERE[command]).read_text().splitlines()
    assert command in runner
