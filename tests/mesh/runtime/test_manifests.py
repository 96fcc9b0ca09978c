import os
import resource
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.runtime.manifests import (
    GenerationUnreadableError,
    ManifestFolder,
    Snapshot,
    parse,
    read_generation,
)
from mesh.runtime.manifests_write import (
    ManifestUnwritableError,
    PatchWriter,
    remove_object,
    status_folder,
    write_generation,
    write_object,
)

FRONT = ObjectKey("Pod", "shop", "front")
BACK = ObjectKey("Pod", "shop", "back")
POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: shop, uid: "1"}
"""


def pod(name: str = "front", **spec: Json) -> KubernetesObject:
    metadata: dict[str, Json] = {"name": name, "namespace": "shop", "uid": "1"}
    return KubernetesObject.of(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "manifests").mkdir()
    return tmp_path / "manifests"


# Texts.


LIST = """
kind: List
apiVersion: v1
items:
- {apiVersion: v1, kind: Pod, metadata: {name: %s}}
- {apiVersion: v1, kind: Node, metadata: {name: one}}
"""


def test_every_object_of_every_document_is_found() -> None:
    objects, problems = parse(POD % "front" + "---" + LIST % "a", "shop.yaml")

    assert [str(found.key) for found in objects] == ["Pod shop/front", "Pod default/a", "Node one"]
    assert {found.origin for found in objects} == {"shop.yaml"}
    assert problems == []


def test_a_document_that_gives_no_object_says_why_and_spoils_no_other() -> None:
    bad = ["\nb: [\n", "\njust text\n", "\nkind: Pod\napiVersion: v1\n", LIST % 7]
    objects, problems = parse("---".join([POD % "front", *bad]), "shop.yaml")

    assert [str(found.key) for found in objects] == ["Pod shop/front", "Node one"]
    assert [problem.partition(": ")[0] for problem in problems] == [
        "shop.yaml, document 2, line 7",
        "shop.yaml, document 3",
        "shop.yaml, document 4",
        "shop.yaml, document 5, item 1",
    ]
    assert "metadata.name: must be a name: give the object one" in problems[2]


# Folders.


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert ManifestFolder(tmp_path / "nothing").read() == Snapshot()


def test_files_in_any_depth_are_read_and_hidden_ones_are_not(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "x.yml").write_text(POD % "front")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "y.yaml").write_text(POD % "back")
    (folder / ".z.yaml").write_text(POD % "back")
    (folder / "notes.txt").write_text(POD % "back")

    snapshot = ManifestFolder(folder).read()

    assert list(snapshot.objects) == [FRONT]
    assert snapshot.objects[FRONT].origin == "a/b/x.yml"
    assert snapshot.problems == ()


def test_only_what_changed_is_another_object(folder: Path) -> None:
    reader = ManifestFolder(folder)
    write_object(folder, pod("front"))
    write_object(folder, pod("back"))
    before = reader.read()

    write_object(folder, pod("front", nodeName="one"))
    after = reader.read()

    assert reader.read() is after
    assert after.objects[BACK] is before.objects[BACK]
    assert after.objects[FRONT].get("spec", "nodeName") == "one"
    assert before.objects[FRONT].get("spec", "nodeName") is None


def test_the_same_octets_again_change_nothing(folder: Path) -> None:
    reader = ManifestFolder(folder)
    path = write_object(folder, pod())
    before = reader.read()

    os.utime(path, (1, 1))
    write_object(folder, pod())

    assert reader.read() is before


def test_a_quick_second_write_of_the_same_size_is_noticed(folder: Path) -> None:
    reader = ManifestFolder(folder)
    for node in "abcdefgh":
        (folder / "x.yaml").write_text(POD % "front" + f"spec: {{nodeName: {node}}}")
        assert reader.read().objects[FRONT].get("spec", "nodeName") == node


def test_a_file_that_is_gone_takes_its_objects_along(folder: Path) -> None:
    reader = ManifestFolder(folder)
    write_object(folder, pod())
    reader.read()

    remove_object(folder, FRONT)
    remove_object(folder, FRONT)

    assert reader.read().objects == {}


def test_a_slip_of_the_pen_takes_no_object_away(folder: Path) -> None:
    reader = ManifestFolder(folder)
    path = folder / "x.yaml"
    path.write_text(POD % "front" + "---" + POD % "back")
    good = reader.read()

    path.write_text(POD % "front" + "---\n}: broken")
    broken = reader.read()
    path.write_text(POD % "front")
    mended = reader.read()

    assert broken.objects == good.objects
    assert broken.objects[BACK] is good.objects[BACK]
    assert [problem.partition(":")[0] for problem in broken.problems] == [
        "x.yaml, document 2, line 6"
    ]
    assert list(mended.objects) == [FRONT]
    assert mended.problems == ()


def test_an_unreadable_file_keeps_its_last_objects(folder: Path) -> None:
    reader = ManifestFolder(folder)
    path = folder / "x.yaml"
    path.write_text(POD % "front")
    reader.read()

    path.write_bytes(b"\xff\xfe\x00")
    garbled = reader.read()
    path.unlink()
    path.mkdir()  # a folder of that name is no file
    gone = reader.read()

    assert list(garbled.objects) == [FRONT]
    assert garbled.problems[0].startswith("x.yaml: cannot be read (it is not UTF-8): save it as")
    assert gone == Snapshot()


def test_one_object_in_two_files_is_a_problem_that_names_both(folder: Path) -> None:
    reader = ManifestFolder(folder)
    (folder / "a").mkdir()
    (folder / "a" / "x.yaml").write_text(POD % "front" + "spec: {nodeName: one}")
    (folder / "b.yaml").write_text(POD % "front" + "spec: {nodeName: two}")
    both = reader.read()
    (folder / "a" / "x.yaml").unlink()
    one = reader.read()

    assert both.objects[FRONT].get("spec", "nodeName") == "one"
    assert both.problems == (
        "a/x.yaml and b.yaml: both hold Pod shop/front: remove one; a/x.yaml counts",
    )
    assert one.objects[FRONT].get("spec", "nodeName") == "two"
    assert one.problems == ()


def test_one_object_twice_in_a_file_is_a_problem(folder: Path) -> None:
    (folder / "x.yaml").write_text(POD % "front" + "---" + POD % "front")

    snapshot = ManifestFolder(folder).read()

    assert snapshot.problems == (
        "x.yaml: Pod shop/front stands here twice: remove one; the first counts",
    )


def test_the_generation_is_read_and_a_wrong_one_is_told(folder: Path) -> None:
    reader = ManifestFolder(folder)
    write_generation(folder, 7)
    assert reader.read().generation == 7
    assert read_generation(folder) == 7

    (folder / ".generation").write_text("soon")
    wrong = reader.read()
    write_generation(folder, 7)

    assert wrong.generation == 7
    assert wrong.problems == (
        ".generation: must hold a whole number: the folder's owner must write one",
    )
    assert reader.read().problems == ()


# Patches.


def test_patches_lie_over_the_object_in_the_order_of_their_writers(folder: Path) -> None:
    reader = ManifestFolder(folder)
    write_object(folder, pod(nodeName="one"))
    PatchWriter(folder, "control").put(FRONT, "1", {"status": {"by": "control", "a": 1}})
    PatchWriter(folder, "agent-one").put(FRONT, "1", {"status": {"by": "agent", "b": 2}})

    found = reader.read().objects[FRONT]

    assert found.get("status") == {"by": "control", "a": 1, "b": 2}
    assert found.get("spec", "nodeName") == "one"


def test_a_patch_for_a_namesake_is_not_applied(folder: Path) -> None:
    reader = ManifestFolder(folder)
    writer = PatchWriter(folder, "control")
    writer.put(FRONT, "another", {"status": {}})
    writer.put(BACK, "1", {"status": {}})
    write_object(folder, pod())

    snapshot = reader.read()

    assert list(snapshot.objects) == [FRONT]
    assert snapshot.objects[FRONT].get("status") is None
    assert snapshot.problems == ()


def test_the_same_patch_again_is_no_work_and_a_removed_one_is_gone(folder: Path) -> None:
    reader = ManifestFolder(folder)
    writer = PatchWriter(folder, "control")
    write_object(folder, pod())
    writer.put(FRONT, "1", {"status": {"phase": "Running"}})
    patch = next(writer.folder.glob("*.json"))
    inode = patch.stat().st_ino

    writer.put(FRONT, "1", {"status": {"phase": "Running"}})
    PatchWriter(folder, "control").put(FRONT, "1", {"status": {"phase": "Running"}})
    assert patch.stat().st_ino == inode
    assert reader.read().objects[FRONT].get("status", "phase") == "Running"

    writer.remove(FRONT)
    writer.remove(FRONT)
    assert reader.read().objects[FRONT].get("status") is None


def test_patches_of_an_earlier_run_are_taken_away_unless_retained(folder: Path) -> None:
    earlier = PatchWriter(folder, "control")
    earlier.put(FRONT, "1", {})
    earlier.put(BACK, "1", {})

    now = PatchWriter(folder, "control")
    now.retain([FRONT])

    assert [path.name for path in now.folder.iterdir()] == ["Pod.shop.front.json"]


def test_a_patch_of_an_earlier_run_that_is_damaged_is_written_anew(folder: Path) -> None:
    earlier = PatchWriter(folder, "control")
    earlier.put(FRONT, "1", {"status": {"phase": "Running"}})
    patch = next(earlier.folder.glob("*.json"))
    whole = patch.read_bytes()
    patch.write_bytes(b"\xff" + whole[:10])

    PatchWriter(folder, "control").put(FRONT, "1", {"status": {"phase": "Running"}})

    assert patch.read_bytes() == whole


def test_a_patch_that_is_no_patch_is_told_and_the_last_one_stays(folder: Path) -> None:
    reader = ManifestFolder(folder)
    writer = PatchWriter(folder, "control")
    write_object(folder, pod())
    writer.put(FRONT, "1", {"status": {"phase": "Running"}})
    reader.read()
    path = next(writer.folder.glob("*.json"))

    for text in ("{", '{"kind": "Pod"}', "[" * 100_000):
        path.write_text(text)
        snapshot = reader.read()
        assert snapshot.objects[FRONT].get("status", "phase") == "Running"
        assert snapshot.problems[0].startswith("control/Pod.shop.front.json (of the status folder)")


def test_names_that_are_no_file_names_are_written_all_the_same(folder: Path) -> None:
    keys = [ObjectKey("Pod", "shop", name) for name in ("..", "a/b", "x" * 300, "x" * 299)]
    for key in keys:
        PatchWriter(folder, "control").put(key, "", {"status": {}})
    files = list(status_folder(folder).rglob("*.json"))

    assert len(files) == len(keys)
    assert {file.parent.name for file in files} == {"control"}


def test_a_secret_is_readable_by_its_owner_alone(folder: Path) -> None:
    secret = KubernetesObject.of({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})

    assert write_object(folder, secret).stat().st_mode & 0o077 == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    subprocess.run(["/usr/bin/env", *mount], check=True)
    yield disk
    subprocess.run(["/usr/bin/env", "umount", str(disk)], check=True)


@pytest.mark.netns
def test_a_full_disk_is_told_and_loses_nothing(small_disk: Path) -> None:
    folder = small_disk / "manifests"
    reader = ManifestFolder(folder)
    writer = PatchWriter(folder, "control")
    write_object(folder, pod())
    writer.put(FRONT, "1", {"status": {"phase": "Running"}})

    with pytest.raises(ManifestUnwritableError, match="No space left on device") as caught:
        writer.put(FRONT, "1", {"status": {"phase": "x" * 100_000}})
    with pytest.raises(ManifestUnwritableError):
        write_object(folder, pod(nodeName="x" * 100_000))

    assert caught.value.path == writer.folder / "Pod.shop.front.json"
    found = reader.read().objects[FRONT]
    assert (found.get("status", "phase"), found.get("spec", "nodeName")) == ("Running", None)
    assert list(folder.glob(".*")) == []
    writer.put(FRONT, "1", {"status": {"phase": "Failed"}})
    assert reader.read().objects[FRONT].get("status", "phase") == "Failed"


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Nothing more can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_folder_that_cannot_be_listed_keeps_everything(folder: Path) -> None:
    reader = ManifestFolder(folder)
    write_object(folder, pod())
    write_generation(folder, 7)
    good = reader.read()
    write_generation(folder, 8)

    with no_descriptors():
        kept = reader.read()
        with pytest.raises(GenerationUnreadableError, match="Too many open files"):
            read_generation(folder)

    assert kept.objects == good.objects
    assert kept.generation == 7
    assert any("cannot be read (Too many open files)" in problem for problem in kept.problems)
    (folder / "Pod.shop.front.json").unlink()
    assert reader.read() == Snapshot(8)


# Watching.

Next = Callable[[], Awaitable[Snapshot]]


@asynccontextmanager
async def watching(folder: Path) -> AsyncIterator[Next]:
    send, receive = trio.open_memory_channel[Snapshot](0)

    async def wait_next() -> Snapshot:
        with trio.fail_after(5):
            return await receive.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ManifestFolder(folder).watch, send.send)
        yield wait_next
        nursery.cancel_scope.cancel()


async def test_a_change_is_delivered_soon(folder: Path) -> None:
    async with watching(folder) as wait_next:
        assert (await wait_next()).objects == {}

        began = trio.current_time()
        write_object(folder, pod())
        assert list((await wait_next()).objects) == [FRONT]
        assert trio.current_time() - began < 1

        write_generation(folder, 3)
        assert (await wait_next()).generation == 3

        remove_object(folder, FRONT)
        assert (await wait_next()).objects == {}


async def test_folders_may_come_after_the_watch_and_go_and_come_again(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet" / "there"
    async with watching(folder) as wait_next:
        assert (await wait_next()) == Snapshot()
        write_object(folder, pod())
        while FRONT not in (await wait_next()).objects:
            pass
        PatchWriter(folder, "agent-one").put(FRONT, "1", {"status": {"phase": "Running"}})
        assert (await wait_next()).objects[FRONT].get("status", "phase") == "Running"

        (tmp_path / "not" / "yet").rename(tmp_path / "away")
        assert (await wait_next()).objects == {}
        (tmp_path / "away").rename(tmp_path / "not" / "yet")
        assert (await wait_next()).objects[FRONT].get("status", "phase") == "Running"


async def test_a_burst_is_delivered_at_once_and_a_slow_reader_gets_the_newest(folder: Path) -> None:
    async with watching(folder) as wait_next:
        await wait_next()
        for number in range(50):
            write_object(folder, pod(f"front-{number}"))
        deliveries = 1
        while len((await wait_next()).objects) < 50:
            deliveries += 1
        assert deliveries <= 2


async def test_what_changes_nothing_is_not_delivered(folder: Path) -> None:
    async with watching(folder) as wait_next:
        await wait_next()
        write_object(folder, pod())
        await wait_next()

        write_object(folder, pod())
        (folder / "notes.txt").write_text("nothing")
        (folder / ".hidden").write_text("nothing")
        write_generation(folder, 9)

        assert (await wait_next()).generation == 9


@pytest.mark.slow
async def test_what_could_not_be_read_is_tried_again_though_nothing_changes(folder: Path) -> None:
    write_object(folder, pod())
    hidden = folder.with_name("hidden.yaml")
    hidden.write_text(POD % "back")
    async with watching(folder) as wait_next:
        assert list((await wait_next()).objects) == [FRONT]
        with no_descriptors():
            hidden.rename(folder / "x.yaml")
            kept = await wait_next()
        assert list(kept.objects) == [FRONT]
        assert kept.problems

        found = await wait_next()
        assert set(found.objects) == {FRONT, BACK}
        assert found.problems == ()
