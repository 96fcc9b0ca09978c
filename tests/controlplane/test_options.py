"""The command line: what it means, and every problem with its mend."""

from pathlib import Path

import pytest

from controlplane.mesh_config import MeshConfigInvalidError, read_mesh_config
from controlplane.options import Listen, ServeOptions, TokenOptions, UsageError, parse


def serve(folder: Path, *more: str) -> ServeOptions:
    options = parse(["--manifests", str(folder), "--state", "s", *more])
    assert isinstance(options, ServeOptions)
    return options


def test_what_is_not_said_is_as_the_reference_says(tmp_path: Path) -> None:
    options = serve(tmp_path)
    assert (options.listen.address, options.monitoring) == ("[::]:15012", Listen("", 15014))
    assert (options.trust_domain, options.root_namespace) == ("cluster.local", "istio-system")
    assert options.cluster_id == "Kubernetes"
    assert options.trusted == {"istio-system/ztunnel"}


def test_flags_come_before_the_mesh_configuration(tmp_path: Path) -> None:
    config = tmp_path / "mesh.yaml"
    config.write_text("trustDomain: a.example\nrootNamespace: mesh\naccessLogFile: /dev/stdout\n")
    options = serve(tmp_path, "--mesh-config", str(config), "--trust-domain", "b.example")
    assert (options.trust_domain, options.root_namespace) == ("b.example", "mesh")
    assert options.trusted == {"mesh/ztunnel"}
    assert options.ignored_config == ("accessLogFile",)


@pytest.mark.parametrize(
    ("flags", "mend"),
    [
        (["--source", "kubernetes"], "--source: kubernetes is not there yet"),
        (["--source", "etcd"], "--source: 'etcd' is no source"),
        (["--manifests", "/nowhere/at/all"], "--manifests: /nowhere/at/all is not a folder"),
        (["--manifests", ""], "--manifests: is missing"),
        (["--state", ""], "--state: is missing"),
        (["--listen", "15012"], "--listen: '15012' is not HOST:PORT"),
        (["--listen", "localhost:99999"], "--listen: 'localhost:99999'"),
        (["--listen", "::1:15012"], "--listen: '::1:15012'"),
        (["--monitoring-listen", "x:y"], "--monitoring-listen: 'x:y'"),
        (["--trusted-account", "ztunnel"], "--trusted-account: 'ztunnel' is not NAMESPACE/ACCOUNT"),
        (["--certificate-hours", "0"], "--certificate-hours: must be"),
        (["--max-streams", "0"], "--max-streams: must be"),
    ],
)
def test_a_wrong_flag_is_named_with_its_mend(tmp_path: Path, flags: list[str], mend: str) -> None:
    with pytest.raises(UsageError) as caught:
        serve(tmp_path, *flags)
    assert any(problem.startswith(mend) for problem in caught.value.problems)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        parse(["--listen", "x", "--max-streams", "0"])
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("written", "address"),
    [("[::1]:1", "[::1]:1"), ("10.0.0.1:2", "10.0.0.1:2"), (":0", "[::]:0"), ("a:3", "a:3")],
)
def test_where_to_listen(written: str, address: str) -> None:
    assert Listen.parse("--listen", written).address == address


def test_a_token_is_for_an_account_and_perhaps_a_pod() -> None:
    options = parse(["token", "shop", "web", "--state", "s"])
    assert isinstance(options, TokenOptions)
    assert (options.namespace, options.service_account, options.pod) == ("shop", "web", "")
    with pytest.raises(UsageError) as caught:
        parse(["token", "a:b", "", "--lifetime", "0"])
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("a: [", "is not YAML"),
        ("- a", "must be a mapping"),
        ("trustDomain: 7", "trustDomain: must be a string"),
        ("rootNamespace: ''", "rootNamespace: must be a string"),
        (None, "No such file"),
    ],
)
def test_a_bad_mesh_configuration_is_named_with_its_mend(
    tmp_path: Path, text: str | None, mend: str
) -> None:
    config = tmp_path / "mesh.yaml"
    if text is not None:
        config.write_text(text)
    with pytest.raises(MeshConfigInvalidError, match=mend):
        read_mesh_config(config)


def test_an_empty_mesh_configuration_says_nothing(tmp_path: Path) -> None:
    config = tmp_path / "mesh.yaml"
    config.write_text("")
    assert read_mesh_config(config).trust_domain is None
