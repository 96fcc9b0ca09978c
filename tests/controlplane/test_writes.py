"""Statuses and objects beside the manifests: written once, taken away, and tried again."""

import errno
import json
from pathlib import Path

import pytest
import trio

from controlplane import app
from controlplane.metrics import Metrics
from controlplane.publish import Publication
from controlplane.writes import Objects, Writes
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.runtime import manifests_write
from mesh.runtime.manifests import ManifestFolder
from mesh.runtime.manifests_write import (
    ManifestUnwritableError,
    made_folder,
    status_folder,
    write_object,
)
from tests.controlplane.running import control, until

NOW = "2026-01-02T00:00:00Z"
WEB = KubernetesObject.of(
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "uid": "1"}}
)
MADE = KubernetesObject.of(
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "way"}}
)
STATUS: dict[str, Json] = {"conditions": [{"type": "A", "status": "True"}]}
WANTED = Publication(statuses={WEB.key: STATUS}, objects={MADE.key: MADE})


class Plane:
    """The writing side over a folder, and what it has counted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.metrics = folder / "manifests", Metrics()
        self.writes = Writes(self.folder, lambda: NOW, self.metrics)
        write_object(self.folder, WEB)

    def read(self) -> Objects:
        return ManifestFolder(self.folder).read().objects

    def count(self, what: str, outcome: str) -> float:
        labels = {"what": what, "outcome": outcome}
        return self.metrics.registry.get_sample_value("sluice_control_writes_total", labels) or 0


@pytest.fixture
def plane(tmp_path: Path) -> Plane:
    return Plane(tmp_path)


def test_a_status_lies_over_its_object_for_every_reader(plane: Plane) -> None:
    plane.writes.update(WANTED, plane.read())

    held = plane.read()[WEB.key]
    assert held.get("status", "conditions", 0, "type") == "A"
    assert held.get("status", "conditions", 0, "lastTransitionTime") == NOW


def test_what_stands_there_is_not_written_again(plane: Plane) -> None:
    plane.writes.update(WANTED, plane.read())
    plane.writes.update(WANTED, plane.read())
    Writes(plane.folder, lambda: "later", plane.metrics).update(WANTED, plane.read())

    assert plane.count("status", "written") == 1
    assert plane.count("status", "unchanged") == 2
    assert plane.read()[WEB.key].get("status", "conditions", 0, "lastTransitionTime") == NOW


def test_what_is_not_wanted_any_more_goes_also_that_of_an_earlier_run(plane: Plane) -> None:
    plane.writes.update(WANTED, plane.read())
    Writes(plane.folder, lambda: NOW, plane.metrics).update(Publication(), plane.read())

    assert plane.read()[WEB.key].get("status") is None
    assert [*made_folder(plane.folder).iterdir()] == []
    assert [*(status_folder(plane.folder) / "control").iterdir()] == []


def test_an_object_that_is_to_be_there_is_a_file_of_its_own(plane: Plane) -> None:
    plane.writes.update(WANTED, plane.read())
    plane.writes.update(WANTED, plane.read())

    (path,) = made_folder(plane.folder).iterdir()
    assert json.loads(path.read_text()) == MADE.body
    assert plane.count("object", "written") == 1
    assert MADE.key not in plane.read()


def test_a_full_disk_keeps_nothing_else_from_being_written(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = manifests_write._write

    def full(path: Path, text: str, rights: int) -> None:
        if path.parent.name == "control":
            raise ManifestUnwritableError(path, "full")
        whole(path, text, rights)

    with monkeypatch.context() as patched:
        patched.setattr(manifests_write, "_write", full)
        with pytest.raises(ManifestUnwritableError):
            plane.writes.update(WANTED, plane.read())
    assert plane.count("status", "failed") == 1
    assert plane.count("object", "written") == 1

    plane.writes.update(WANTED, plane.read())
    assert plane.count("status", "written") == 1


async def test_what_a_full_disk_refused_is_written_when_it_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "WRITE_AGAIN_S", 0.01)
    gateway: dict[str, Json] = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": "own"},
        "spec": {"controllerName": "sluice.dev/gateway-controller"},
    }
    written = tmp_path / "manifests.status" / "control" / "GatewayClass..own.json"
    async with control(tmp_path) as plane:
        with monkeypatch.context() as patched:
            patched.setattr(
                "pathlib.Path.rename", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "f"))
            )
            path = plane.manifests / "own.yaml"
            path.write_text(json.dumps(gateway))
            (plane.manifests / ".generation").write_text("9")
            await plane.wait_taken(9)
            assert not written.exists()

        async def is_written() -> bool:
            await trio.lowlevel.checkpoint()
            return written.exists()

        await until(is_written)


async def test_classes_are_wanted_and_looked_at(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        made = ManifestFolder(tmp_path / "manifests.made").read().objects
        assert {key.name for key in made if key.kind == "GatewayClass"} == {
            "sluice",
            "sluice-waypoint",
            "sluice-east-west",
            "istio-remote",
        }
        plane.write("classes", *(each.body for each in made.values()))
        await plane.wait_taken(plane.touch())
        held = ManifestFolder(plane.manifests).read().objects
        found = held[ObjectKey("GatewayClass", "", "sluice-waypoint")]
        assert found.get("status", "conditions", 0, "status") == "True"
