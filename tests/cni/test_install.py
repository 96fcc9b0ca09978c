"""The plugin's files on the node."""

import json
import subprocess
from pathlib import Path

import pytest

from cni.install import InstallFailedError, Places, install


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "net.d").mkdir()
    return Places(
        net_dir=tmp_path / "net.d",
        bin_dir=tmp_path / "bin",
        run_dir=tmp_path / "run",
        excluded=("kube-system",),
    )


def network(name: str, folder: Path, text: str = "") -> Path:
    path = folder / name
    path.write_text(text or json.dumps({"name": name, "plugins": [{"type": "bridge"}]}))
    path.chmod(0o640)
    return path


def test_program_and_configuration_are_installed_once(places: Places) -> None:
    path = network("10-a.conflist", places.net_dir)

    assert install(places)
    assert not install(places)

    program = places.bin_dir / "sluice-cni"
    asked = subprocess.run(
        [program], env={"CNI_COMMAND": "VERSION"}, input=b"{}", capture_output=True, check=True
    )
    assert "supportedVersions" in json.loads(asked.stdout)
    assert json.loads(path.read_text())["plugins"][-1] == {
        "type": "sluice-cni",
        "cni_agent_run_dir": str(places.run_dir),
        "exclude_namespaces": ["kube-system"],
    }
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in places.net_dir.iterdir()) == ["10-a.conflist"]


def test_the_first_configuration_that_can_be_read_counts(places: Places) -> None:
    network("00-broken.conflist", places.net_dir, "{")
    network("01-notes.txt", places.net_dir)
    first = network("05-a.conflist", places.net_dir)
    second = network("10-b.conflist", places.net_dir)

    install(places)

    assert "sluice-cni" in first.read_text()
    assert "sluice-cni" not in second.read_text()


def test_a_single_plugin_s_file_gives_way_to_the_list(places: Places) -> None:
    network("10-a.conf", places.net_dir, '{"type": "bridge"}')

    install(places)

    assert [each.name for each in places.net_dir.iterdir()] == ["10-a.conflist"]
    assert not install(places)


def test_a_node_without_network_configuration_is_waited_for(places: Places) -> None:
    with pytest.raises(InstallFailedError, match="no network configuration yet"):
        install(places)

    assert (places.bin_dir / "sluice-cni").exists()


def test_rights_that_were_taken_away_come_back(places: Places) -> None:
    network("10-a.conflist", places.net_dir)
    install(places)
    (places.bin_dir / "sluice-cni").chmod(0o600)

    assert install(places)
    assert (places.bin_dir / "sluice-cni").stat().st_mode & 0o777 == 0o755
