"""A folder of manifests, read and watched; `manifests_write` writes into it.

    MANIFESTS/**/*.yaml, *.yml, *.json          objects, written by their owner
    MANIFESTS/.generation                       a whole number, raised after each change
    MANIFESTS.status/WRITER/FILE.json           merge patches over objects, by other programs

1. Every file appears by rename, so that nobody reads half of one.
2. A problem is a sentence that names the file, the document or object, the field and the mend. It
   spoils nothing else: other documents count, and what a file held last stays in force.
3. A patch whose uid is not the object's is for a namesake, and is not applied.

Whole contract: docs/reference/manifests.md.
"""

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from mesh.errors import UnavailableError
from mesh.model.fields import FieldInvalidError, Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.runtime.manifests_files import Files
from mesh.runtime.manifests_watch import FolderWatch
from mesh.runtime.manifests_write import GENERATION, status_folder
from mesh.runtime.manifests_yaml import documents

AGAIN_S: Final = 1.0
"""How long to wait before what could not be read is tried again."""


class GenerationUnreadableError(UnavailableError):
    """The generation of a folder of manifests cannot be read just now."""

    code = "generation_unreadable"

    def __init__(self, path: Path, reason: str) -> None:
        """Keep the file and the kernel's reason."""
        super().__init__(f"{path}: cannot be read ({reason}): mend its rights")
        self.path, self.reason = path, reason


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The folder at one time, with all patches applied. An unchanged object is the same (`is`)."""

    generation: int = 0
    objects: Mapping[ObjectKey, KubernetesObject] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def parse(text: str, origin: str) -> tuple[list[KubernetesObject], list[str]]:
    """Objects in a text of manifests, and a sentence for each document that gives none.

    Args:
        text: YAML (several documents) or JSON; a `List` counts as what it holds.
        origin: the file's name, for the sentences and for `KubernetesObject.origin`.
    """
    objects: list[KubernetesObject] = []
    problems: list[str] = []
    for document in documents(text):
        where = f"{origin}, document {document.number}"
        if document.problem:
            problems.append(f"{where}{document.problem}")
        else:
            _gather(document.value, where, origin, objects, problems)
    return objects, problems


def _gather(
    value: Json, where: str, origin: str, objects: list[KubernetesObject], problems: list[str]
) -> None:
    match value:
        case {"kind": str(kind), "items": list(items)} if kind.endswith("List"):
            for number, item in enumerate(items, 1):
                _gather(item, f"{where}, item {number}", origin, objects, problems)
        case dict():
            try:
                objects.append(KubernetesObject.of(value, origin))
            except FieldInvalidError as error:
                problems.append(f"{where}: {error}")
        case _:
            problems.append(f"{where}: is no mapping: write one object, with kind and metadata")


def _read_objects(text: str, path: str) -> tuple[dict[ObjectKey, KubernetesObject], list[str]]:
    objects, problems = parse(text, path)
    held: dict[ObjectKey, KubernetesObject] = {}
    for found in objects:
        if found.key in held:
            problems.append(f"{path}: {found.key} stands here twice: remove one; the first counts")
        held.setdefault(found.key, found)
    return held, problems


@dataclass(frozen=True, slots=True)
class _Patch:
    uid: str
    patch: dict[str, Json]


def _read_patch(text: str, path: str) -> tuple[dict[ObjectKey, _Patch], list[str]]:
    where = f"{path} (of the status folder)"
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, [f"{where}: is not JSON ({error}): its writer must write it again"]
    match body:
        case {
            "kind": str(kind),
            "namespace": str(namespace),
            "name": str(name),
            "uid": str(uid),
            "patch": dict(patch),
        }:
            return {ObjectKey(kind, namespace, name): _Patch(uid, patch)}, []
        case _:
            mend = "must have the strings kind, namespace, name and uid, and the mapping patch"
            return {}, [f"{where}: {mend}"]


class ManifestFolder:
    """Reads one folder again and again, at the price of what has changed. For one reader."""

    def __init__(self, folder: Path) -> None:
        """Read nothing yet; neither the folder nor its status folder need be there."""
        self.folder = folder
        self._manifests = Files(folder, _read_objects)
        self._patches = Files(status_folder(folder), _read_patch)
        self._objects: dict[ObjectKey, KubernetesObject] = {}
        self._twice: dict[ObjectKey, str] = {}
        self._last = Snapshot()

    def read(self) -> Snapshot:
        """The folder now; the same snapshot (`is`) as the last when nothing has changed.

        It blocks on the disk. Everything of the snapshot's generation is in it.
        """
        return self._read(lambda _folder: None)

    async def watch(self, deliver: Callable[[Snapshot], Awaitable[None]]) -> None:
        """Deliver the folder now and after each change, for ever; a burst of changes is one.

        The next reading begins when `deliver` has returned.

        Raises:
            WatchFailedError: the kernel's inotify limits are used up.

        Cancellation: stops between two deliveries, or inside one.
        """
        delivered: Snapshot | None = None
        with FolderWatch([GENERATION]) as watch:
            while True:
                snapshot = await trio.to_thread.run_sync(self._read, watch.add)
                if snapshot is not delivered:
                    await deliver(snapshot)
                    delivered = snapshot
                with trio.move_on_after(AGAIN_S if self._is_incomplete else math.inf):
                    await watch.wait_changed()

    @property
    def _is_incomplete(self) -> bool:
        return self._manifests.is_incomplete or self._patches.is_incomplete

    def _read(self, on_folder: Callable[[Path], None]) -> Snapshot:
        # The generation first: whatever is written later belongs to a later one, or comes early.
        generation, problem = self._generation()
        changed = self._manifests.refresh(on_folder) | self._patches.refresh(on_folder)
        if not self._manifests.is_listed:
            generation = self._last.generation  # nobody knows whether all of it was seen
        moved = [key for key in changed if self._merge(key)]
        problems = (
            *problem,
            *self._manifests.problems,
            *(text for _, text in sorted(self._twice.items())),
            *self._patches.problems,
        )
        if moved:
            self._last = Snapshot(generation, dict(self._objects), problems)
        elif (generation, problems) != (self._last.generation, self._last.problems):
            self._last = Snapshot(generation, self._last.objects, problems)
        return self._last

    def _generation(self) -> tuple[int, list[str]]:
        try:
            return read_generation(self.folder), []
        except ValueError:
            mend = "must hold a whole number: the folder's owner must write one"
            return self._last.generation, [f"{GENERATION}: {mend}"]
        except GenerationUnreadableError as error:
            return self._last.generation, [str(error)]

    def _merge(self, key: ObjectKey) -> bool:
        """Make one object anew from its file and its patches; whether it is another now."""
        holders = self._manifests.holders(key)
        self._twice.pop(key, None)
        if not holders:
            return self._objects.pop(key, None) is not None
        if len(holders) > 1:
            (first, _), (second, _), *_ = holders
            self._twice[key] = f"{first} and {second}: both hold {key}: remove one; {first} counts"
        found = holders[0][1]
        for _, patch in self._patches.holders(key):
            if patch.uid == found.uid:
                found = found.patched(patch.patch)
        if found == self._objects.get(key):
            return False
        self._objects[key] = found
        return True


def read_generation(folder: Path) -> int:
    """The folder's generation; 0 before there is one.

    Raises:
        ValueError: the file holds something else than a whole number.
        GenerationUnreadableError: it is there, and cannot be read.
    """
    path = folder / GENERATION
    try:
        return int(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        raise GenerationUnreadableError(path, error.strerror or str(error)) from error
