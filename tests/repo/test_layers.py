"""The floors of the house hold: `lint-imports` passes here, and fails where one is broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repo.tree import ROOT, tracked

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-logo", "--no-cache"],
        cwd=root,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources, to be spoilt."""
    for path in tracked():
        if path.suffix == ".py" and path.parts[0] not in {"tests", "bench"}:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, tmp_path / path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_floors_hold() -> None:
    outcome = lint_imports(ROOT)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("mesh/wire/spoilt.py", "import socket"),
        ("mesh/policy/spoilt.py", "import time"),
        ("mesh/model/spoilt.py", "import mesh.wire.feed"),
        ("mesh/runtime/spoilt.py", "import ztunnel"),
        ("cni/spoilt.py", "import controlplane"),
    ],
)
def test_a_broken_floor_is_noticed(copy: Path, module: str, forbidden: str) -> None:
    (copy / module).write_text(f'"""Spoilt."""\n\n{forbidden}\n')
    outcome = lint_imports(copy)
    assert outcome.returncode == 1, outcome.stdout
    assert "BROKEN" in outcome.stdout
