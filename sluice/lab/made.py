"""The objects that the control plane wants to be there, applied as an API server would be asked to.

1. Only what has the control plane's label is ever changed or removed: the rest is a user's.
2. What belongs to an object goes with it, whoever made it (Kubernetes' garbage collector).
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from mesh.errors import MeshError
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.names import MANAGED, MANAGED_LABEL
from mesh.runtime.manifests import ManifestFolder, Snapshot
from mesh.runtime.manifests_write import made_folder
from sluice.lab.admission import stored_as
from sluice.lab.kinds import KINDS
from sluice.lab.objects import Changes, Objects, is_leaving


class Made:
    """What is wanted, and what of it has been stored."""

    def __init__(self, manifests: Path) -> None:
        """Want nothing yet; `manifests` is the folder that the control plane reads."""
        self._path = made_folder(manifests)
        self._folder = ManifestFolder(self._path)
        self._wanted: Mapping[ObjectKey, KubernetesObject] = {}
        self._stored: set[ObjectKey] = set()

    def refresh(self) -> bool:
        """Look at what is wanted now; whether that is something else."""
        wanted = self._folder.read().objects
        if wanted is self._wanted:
            return False
        self._wanted = wanted
        return True

    async def follow(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever something else may be wanted, for ever.

        Cancellation: stops between two calls.
        """

        async def deliver(_: Snapshot) -> None:
            on_change()

        await ManifestFolder(self._path).watch(deliver)

    def plan(self, objects: Objects) -> Changes:
        """What is to be stored and removed so that everything wanted is there."""
        puts: list[KubernetesObject] = []
        for wanted in self._wanted.values():
            if _may_store(wanted, objects):
                self._stored.add(wanted.key)
                puts += _applied(wanted, objects)
        removals = [key for key in self._stored - self._wanted.keys() if _is_ours(objects, key)]
        self._stored &= self._wanted.keys()
        return Changes(puts, removals)


def _applied(wanted: KubernetesObject, objects: Objects) -> list[KubernetesObject]:
    held = objects.get(wanted.key)
    replicas = None if held is None else held.get("spec", "replicas")
    if replicas is not None and wanted.get("spec", "replicas") is None:
        wanted = wanted.patched({"spec": {"replicas": replicas}})  # whoever scales it may
    try:
        return [stored_as(wanted, objects)]
    except MeshError:
        return []  # no address is left for a service: its Gateway waits, and says so


def _may_store(wanted: KubernetesObject, objects: Objects) -> bool:
    if wanted.key.kind not in KINDS or has_lost_its_owner(wanted, objects):
        return False
    namespace = objects.find("Namespace", "", wanted.key.namespace)
    if wanted.key.namespace and (namespace is None or is_leaving(namespace)):
        return False
    return objects.get(wanted.key) is None or _is_ours(objects, wanted.key)


def _is_ours(objects: Objects, key: ObjectKey) -> bool:
    held = objects.get(key)
    return held is not None and held.labels.get(MANAGED_LABEL) == MANAGED


def plan_orphans(objects: Objects) -> Changes:
    """Objects go when none of those that they belong to is there any more."""
    return Changes((), [each.key for each in objects.all() if has_lost_its_owner(each, objects)])


def has_lost_its_owner(found: KubernetesObject, objects: Objects) -> bool:
    """Whether an object belongs to others of kinds that are stored, and none of them is there."""
    owners = found.get("metadata", "ownerReferences")
    if not isinstance(owners, list) or not owners:
        return False
    return not any(_is_there(owner, found.key.namespace, objects) for owner in owners)


def _is_there(owner: Json, namespace: str, objects: Objects) -> bool:
    match owner:
        case {"kind": str(kind), "name": str(name), "uid": str(uid)} if kind in KINDS:
            place = "" if KINDS[kind].is_cluster_wide else namespace
            held = objects.find(kind, place, name)
            return held is not None and held.uid == uid
        case _:
            return True  # of a kind that is not stored: nobody knows
