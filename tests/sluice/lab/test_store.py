"""The store: what rises when, and what a full disk does."""

import json
from pathlib import Path

import pytest

from mesh.runtime.manifests_write import ManifestUnwritableError
from tests.sluice.lab.worlds import SHOP, World, documents


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "manifests")


def generation(world: World) -> int:
    return world.only("Deployment", "shop").at("metadata").number("generation")


def test_a_generation_rises_with_the_spec_only(world: World) -> None:
    world.apply(SHOP)
    assert generation(world) == 1

    world.apply(
        SHOP.replace(
            "name: web, namespace: shop}", "name: web, namespace: shop, labels: {a: b}}", 1
        )
    )
    assert generation(world) == 1
    assert world.only("Deployment", "shop").labels == {"a": "b"}

    world.apply(SHOP.replace("replicas: 2", "replicas: 1"))
    assert generation(world) == 2


def test_all_objects_of_one_call_are_of_one_second(world: World) -> None:
    changed = world.apply(SHOP)

    assert len({each.created for each in changed}) == 1
    assert len({each.uid for each in changed}) == len(changed)


def test_an_unchanged_object_is_not_written_again(world: World) -> None:
    world.apply(SHOP)
    before = world.store.generation

    assert world.apply(SHOP) == []
    assert world.store.generation == before


def test_the_folder_has_every_object_and_the_generation(world: World, tmp_path: Path) -> None:
    world.apply(SHOP)

    folder = tmp_path / "manifests"
    bodies = [json.loads(path.read_text()) for path in folder.glob("[!.]*.json")]
    web = [
        each for each in bodies if each["kind"] == "Service" and each["metadata"]["name"] == "web"
    ]
    assert web[0]["spec"]["clusterIP"].startswith("10.96.")
    assert int((folder / ".generation").read_text()) == world.store.generation


def test_a_reader_that_waits_is_told_of_the_next_change(world: World) -> None:
    seen = world.store.changed.count

    world.apply(SHOP)

    assert world.store.changed.count > seen


def test_a_full_disk_stores_nothing(world: World, tmp_path: Path) -> None:
    # A folder in the place of the second object's file: what a disk refuses it refuses by OSError.
    one, two = documents(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}"
    )
    (tmp_path / "manifests" / "ConfigMap.default.two.json").mkdir()

    with pytest.raises(ManifestUnwritableError):
        world.store.put([one, two])

    assert world.objects.get(one.key) is None
    assert not (tmp_path / "manifests" / "ConfigMap.default.one.json").exists()


def test_what_happened_is_held_and_written_when_the_disk_has_room_again(
    world: World, tmp_path: Path
) -> None:
    (one,) = documents("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}")
    in_the_way = tmp_path / "manifests" / "ConfigMap.default.one.json"
    in_the_way.mkdir()

    world.store.note([one])
    assert world.objects.get(one.key) is not None
    assert not world.store.is_written

    in_the_way.rmdir()
    world.store.flush()
    assert world.store.is_written
    assert in_the_way.is_file()
