"""The example filter is what its page says: tested with pytest, and the same in its manifest."""

import subprocess
import sys

import pytest
import yaml

from tests.repo.tree import ROOT
from waypoint.filters.host import hooks_of, load

FOLDER = ROOT / "examples" / "filters"


def test_the_manifest_holds_the_source_that_is_tested() -> None:
    found, _route = yaml.safe_load_all((FOLDER / "tenant.yaml").read_text())
    assert found["spec"]["python"] == (FOLDER / "tenant.py").read_text()
    loaded = load("shop/tenant", found["spec"]["python"], found["spec"]["config"])
    assert hooks_of(loaded) == ["request", "response"]


@pytest.mark.slow
def test_the_examples_own_tests_pass() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "examples/filters"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
