"""The whole translation: `Translator(settings).update(objects)` after every change.

1. A change costs what it touches: objects are told apart by identity (`is`), so a source must
   hand over the very same value for an object that did not change.
2. An object that cannot be understood is a problem of its own; what it said last stays in force,
   and every other object counts.
"""

from collections.abc import Mapping

from controlplane.translate.settings import Settings
from controlplane.translate.translation import Translation
from mesh.model.kubernetes import KubernetesObject, ObjectKey


class Translator:
    """Remembers the last objects and values; owned by one task."""

    def __init__(self, settings: Settings) -> None:
        """Know no objects."""
        self._settings = settings

    def update(self, objects: Mapping[ObjectKey, KubernetesObject]) -> Translation:
        """Everything that node proxies are told about these objects, and what changed.

        Args:
            objects: all objects there are (`mesh.runtime.manifests.Snapshot.objects`); those that
                did not change since the last call are the same values (`is`).
        """
        raise NotImplementedError
