"""The whole translation: `Translator(settings).update(objects)` after every change.

1. A change costs what it touches: objects are told apart by identity (`is`), so a source must
   hand over the very same value for an object that did not change.
2. An object that cannot be understood is a problem of its own; what it said last stays in force,
   and every other object counts. A policy that never could be understood closes (`read_closed.py`).
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from operator import is_
from typing import Final

from controlplane.translate.build import CLASSES, STATIC, build
from controlplane.translate.facts import Facts, IgnoredFacts
from controlplane.translate.outputs import Outputs
from controlplane.translate.read import read
from controlplane.translate.read_closed import CLOSED, read_closed
from controlplane.translate.settings import Settings
from controlplane.translate.store import Store
from controlplane.translate.touched import touched
from controlplane.translate.translation import Translation
from mesh.model.fields import FieldInvalidError
from mesh.model.kubernetes import KubernetesObject, ObjectKey

Move = tuple[Facts | None, Facts | None]

BULK: Final = 10
"""When more than one object in so many has changed, asking what each touches costs more."""


class Translator:
    """Remembers the last objects and values; owned by one task."""

    def __init__(self, settings: Settings) -> None:
        """Know no objects."""
        self._settings = settings
        self._store = Store(settings)
        self._objects: Mapping[ObjectKey, KubernetesObject] = {}
        self._facts: dict[ObjectKey, Facts] = {}
        self._invalid: dict[ObjectKey, str] = {}
        self._closed: set[ObjectKey] = set()
        """Objects that never could be read, for which something else stands in."""
        self._outputs = Outputs()
        self._is_new = True

    def update(self, objects: Mapping[ObjectKey, KubernetesObject]) -> Translation:
        """Everything that node proxies are told about these objects, and what changed.

        Args:
            objects: all objects there are (`mesh.runtime.manifests.Snapshot.objects`); those that
                did not change since the last call are the same values (`is`).
        """
        changed = _differing(self._objects, objects)
        self._objects = objects
        moved = [(self._facts.get(key), self._reread(key)) for key in changed]
        # Only now: what a change touches is asked of the world as it is after all of them.
        for key in self._to_build(changed, moved):
            self._rebuild(key)
        return self._outputs.translation()

    def _to_build(self, changed: list[ObjectKey], moved: list[Move]) -> set[ObjectKey]:
        if self._is_new or len(changed) * BULK > len(self._objects):
            self._is_new = False
            self._store.allocations.settle()
            return {*changed, *self._objects, STATIC, CLASSES}
        to_build = {*changed, *self._store.allocations.settle()}
        for old, new in moved:
            to_build.update(touched(self._store, old, new))
        return to_build

    def _reread(self, key: ObjectKey) -> Facts | None:
        """Hold what an object says now, or still what it said when it makes no sense."""
        old = self._facts.get(key)
        found = self._objects.get(key)
        self._invalid.pop(key, None)
        new = old
        if found is None:
            new = None
            self._closed.discard(key)
        else:
            try:
                new = read(found, self._settings)
                self._closed.discard(key)
            except FieldInvalidError as error:
                new = self._without_sense(found, old, f"{error.field}: {error.mend}")
        if new == old:
            new = old  # a status that nobody looks at, above all our own
        if new is not old:
            self._store.replace(old, new)
        if new is None:
            self._facts.pop(key, None)
        else:
            self._facts[key] = new
        return new

    def _without_sense(
        self, found: KubernetesObject, old: Facts | None, problem: str
    ) -> Facts | None:
        """What counts of an object that cannot be read."""
        key = found.key
        if not isinstance(old, IgnoredFacts | None) and key not in self._closed:
            self._invalid[key] = f"{problem}; what it said before stays in force"
            return old
        stands_in = read_closed(found, self._settings, f"{problem}; {CLOSED}")
        if stands_in is None:
            self._closed.discard(key)
            self._invalid[key] = f"{problem}; it has no effect"
        else:
            self._closed.add(key)
        return stands_in

    def _rebuild(self, key: ObjectKey) -> None:
        facts = self._facts.get(key)
        built = build(self._store, key, facts)
        invalid = (self._invalid[key],) if key in self._invalid else ()
        own: Iterable[str] = () if facts is None else facts.problems
        built.problems[:0] = (*invalid, *own)
        self._outputs.replace(key, built)


def _differing(
    old: Mapping[ObjectKey, KubernetesObject], new: Mapping[ObjectKey, KubernetesObject]
) -> list[ObjectKey]:
    if len(old) <= len(new) and all(map(is_, old, new)):
        # The usual case, ten times as quick: the same keys in the same order, new ones behind.
        pairs = zip(new, old.values(), new.values(), strict=False)
        return [
            *(key for key, before, now in pairs if before is not now),
            *islice(new, len(old), None),
        ]
    return [
        *(key for key in old if key not in new),
        *(key for key, found in new.items() if old.get(key) is not found),
    ]
