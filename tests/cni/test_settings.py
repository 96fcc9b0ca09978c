"""The agent's command line."""

from pathlib import Path

import pytest

from cni.settings import parse
from mesh.errors import ConfigError


def test_what_is_given_is_kept() -> None:
    found = parse(["--manifests", "/m", "--node", "n1", "--run-dir", "/r", "--root-namespace", "x"])

    assert (found.manifests, found.node, found.run_dir) == (Path("/m"), "n1", Path("/r"))
    assert found.excluded == ("kube-system", "sluice-system", "x")


def test_a_cluster_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="--kubeconfig /k: comes with the Kubernetes issue"):
        parse(["--kubeconfig", "/k", "--node", "n1"])


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse([])

    assert len(caught.value.problems) == 2
    assert "--manifests" in caught.value.problems[0]
    assert "--node" in caught.value.problems[1]
