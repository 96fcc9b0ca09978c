"""The objects of a lab: kept here, written into the folder of manifests, and watched.

1. `put` stores all of its objects or none: what a user asks for. `note` always holds them, and
   writes them when the disk lets it: what the lab itself has seen happen.
2. The folder's generation rises after each change, so that a reader can say what it has seen.
3. `metadata.generation` rises with the spec only; `resourceVersion` with everything.
"""

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.runtime.bell import Bell
from mesh.runtime.manifests_write import (
    ManifestUnwritableError,
    remove_object,
    write_generation,
    write_object,
)
from sluice.lab.kinds import KINDS
from sluice.lab.objects import Objects, is_leaving

_SERVERS_OWN = frozenset({"apiVersion", "kind", "metadata", "status"})

log = logging.getLogger(__name__)


class Store:
    """All objects. Everything happens at once: no call waits; `changed` is rung on each change."""

    def __init__(self, folder: Path, random: Random, now: Callable[[], str]) -> None:
        """Begin empty.

        Args:
            folder: where the objects are written, a file each.
            random: what uids are made of.
            now: the time as objects carry it, a whole second.
        """
        self.objects = Objects()
        self.generation = 0
        self._folder, self._random, self._now = folder, random, now
        self._version = 0
        self.changed = Bell()
        self._unwritten: set[ObjectKey] = set()
        self._is_generation_written = True

    def put(self, objects: Sequence[KubernetesObject]) -> list[KubernetesObject]:
        """Store objects in place of those of the same keys; all of one call are of one second.

        Args:
            objects: whole bodies; what belongs to the server in their metadata is not looked at.

        Returns:
            Those that are new or changed, as stored.

        Raises:
            ManifestUnwritableError: a full disk; nothing is stored.
        """
        now = self._now()
        stamped = [self._stamped(each, now) for each in objects]
        fresh = [each for each in stamped if each is not self.objects.get(each.key)]
        self._write(fresh)
        for each in fresh:
            self.objects.hold(each)
        if fresh:
            self._announce()
        return fresh

    def note(self, objects: Sequence[KubernetesObject]) -> bool:
        """Hold objects as `put` does, on the disk too as soon as it lets us; whether any is new."""
        now = self._now()
        stamped = [self._stamped(each, now) for each in objects]
        fresh = [each for each in stamped if each is not self.objects.get(each.key)]
        for each in fresh:
            self.objects.hold(each)
            self._unwritten.add(each.key)
        if fresh:
            self._write_held()
            self._announce()
        return bool(fresh)

    @property
    def is_written(self) -> bool:
        """Whether everything that is held is on the disk too."""
        return self._is_generation_written and not self._unwritten

    def flush(self) -> None:
        """Try again to write what a full disk has refused."""
        self._write_held()
        self.touch()

    def _write_held(self) -> None:
        for key in sorted(self._unwritten):
            held = self.objects.get(key)
            try:
                if held is not None:
                    write_object(self._folder, held)
            except ManifestUnwritableError as error:
                log.warning("%s", error)
                return
            self._unwritten.discard(key)

    def patch(self, key: ObjectKey, patch: Mapping[str, Json]) -> None:
        """Lay a merge patch (RFC 7396) over an object; one that is gone stays gone."""
        held = self.objects.get(key)
        if held is not None:
            self.note([held.patched(patch)])

    def begin_removal(self, key: ObjectKey) -> None:
        """Note in an object that it is to go; whoever holds its things removes it then."""
        held = self.objects.get(key)
        if held is not None and not is_leaving(held):
            self.note([held.patched({"metadata": {"deletionTimestamp": self._now()}})])

    def remove(self, keys: Iterable[ObjectKey]) -> None:
        """Forget objects; those that are not there are fine."""
        gone = [key for key in keys if self.objects.get(key) is not None]
        for key in gone:
            remove_object(self._folder, key)
            self.objects.drop(key)
        if gone:
            self._announce()

    def touch(self) -> int:
        """Raise the folder's generation without a change of ours, and say what it is now.

        A reader that reports it has seen everything that others wrote beside the folder before.
        """
        self.generation += 1
        try:
            write_generation(self._folder, self.generation)
            self._is_generation_written = True
        except ManifestUnwritableError as error:
            self._is_generation_written = False
            log.warning("%s", error)
        return self.generation

    def _announce(self) -> None:
        self.touch()
        self.changed.ring()

    def _write(self, objects: Sequence[KubernetesObject]) -> None:
        for number, each in enumerate(objects):
            try:
                write_object(self._folder, each)
            except ManifestUnwritableError:
                self._restore(objects[:number])
                raise

    def _restore(self, written: Sequence[KubernetesObject]) -> None:
        for each in written:
            before = self.objects.get(each.key)
            if before is None:
                remove_object(self._folder, each.key)
            else:
                write_object(self._folder, before)

    def _stamped(self, given: KubernetesObject, now: str) -> KubernetesObject:
        """The object with the server's part of its metadata; the old one when nothing differs."""
        old = self.objects.get(given.key)
        metadata = {**given.at("metadata").body}
        metadata["uid"] = old.uid if old else str(self._new_uid())
        metadata["creationTimestamp"] = old.created if old else now
        metadata.pop("generation", None)
        if KINDS[given.key.kind].has_generation:
            metadata["generation"] = _generation(given, old)
        metadata["resourceVersion"] = (
            "" if old is None else old.at("metadata").text("resourceVersion")
        )
        body: dict[str, Json] = {**given.body, "metadata": metadata}
        if old is not None and body == old.body:
            return old
        self._version += 1
        metadata["resourceVersion"] = str(self._version)
        return KubernetesObject.of(body)

    def _new_uid(self) -> uuid.UUID:
        return uuid.UUID(int=self._random.getrandbits(128), version=4)


def _generation(given: KubernetesObject, old: KubernetesObject | None) -> int:
    if old is None:
        return 1
    before = old.at("metadata").number("generation", 1)
    return before + (_wanted(given) != _wanted(old))


def _wanted(found: KubernetesObject) -> dict[str, Json]:
    """What an object asks for: its spec, or whatever it has instead."""
    return {name: value for name, value in found.body.items() if name not in _SERVERS_OWN}
