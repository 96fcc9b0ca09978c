"""What the control plane writes beside the manifests: statuses, and objects that are to be there.

Nothing is written that says what stands there already.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from controlplane.metrics import Metrics
from controlplane.publish import Publication
from controlplane.write_statuses import merged_status
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.runtime.manifests_write import (
    ManifestUnwritableError,
    ObjectWriter,
    PatchWriter,
    made_folder,
)

WRITER: Final = "control"
Objects = Mapping[ObjectKey, KubernetesObject]


class Writes:
    """The writing side of one control plane; used by one thread at a time, and blocks it."""

    def __init__(self, folder: Path, now: Callable[[], str], metrics: Metrics) -> None:
        """Write nothing yet.

        Args:
            folder: of manifests.
            now: the time as objects carry it.
            metrics: where writes are counted.
        """
        self._patches = PatchWriter(folder, WRITER)
        self._made = ObjectWriter(made_folder(folder))
        self._now, self._metrics = now, metrics
        self._done: dict[ObjectKey, tuple[KubernetesObject, Mapping[str, Json]]] = {}
        """What was last written about, and from what: the same again is not even looked at."""
        self._kept_statuses: frozenset[ObjectKey] | None = None
        self._kept_objects: frozenset[ObjectKey] | None = None

    def update(self, publication: Publication, objects: Objects) -> None:
        """Write what a publication wants.

        Args:
            publication: of `objects`.
            objects: all that there are, patched.

        Raises:
            ManifestUnwritableError: some of it; everything else is written.
        """
        failures = [*self._write_statuses(publication.statuses, objects)]
        failures += self._write_objects(publication.objects)
        if failures:
            raise failures[0]

    def _write_statuses(
        self, statuses: Mapping[ObjectKey, Mapping[str, Json]], objects: Objects
    ) -> list[ManifestUnwritableError]:
        failures: list[ManifestUnwritableError] = []
        for key, wanted in statuses.items():
            found = objects.get(key)
            if found is None:
                continue
            done = self._done.get(key)
            if done is not None and done[0] is found and done[1] is wanted:
                continue
            try:
                self._write_status(found, wanted)
                self._done[key] = found, wanted
            except ManifestUnwritableError as error:
                self._count("status", "failed")
                failures.append(error)
        keys = frozenset(statuses)
        if self._kept_statuses != keys:
            try:
                self._patches.retain(keys)
                self._kept_statuses = keys
            except ManifestUnwritableError as error:
                failures.append(error)
            for key in self._done.keys() - keys:
                del self._done[key]
        return failures

    def _write_status(self, found: KubernetesObject, wanted: Mapping[str, Json]) -> None:
        last = self._patches.last(found.key).get("status")
        status = merged_status(found, wanted, last if isinstance(last, dict) else {}, self._now())
        is_new = self._patches.put(found.key, found.uid, {"status": status})
        self._count("status", "written" if is_new else "unchanged")

    def _write_objects(self, wanted: Objects) -> list[ManifestUnwritableError]:
        failures: list[ManifestUnwritableError] = []
        for each in wanted.values():
            try:
                is_new = self._made.put(each)
                self._count("object", "written" if is_new else "unchanged")
            except ManifestUnwritableError as error:
                self._count("object", "failed")
                failures.append(error)
        keys = frozenset(wanted)
        if self._kept_objects != keys:
            try:
                self._made.retain(keys)
                self._kept_objects = keys
            except ManifestUnwritableError as error:
                failures.append(error)
        return failures

    def _count(self, what: str, outcome: str) -> None:
        self._metrics.writes.labels(what, outcome).inc()
