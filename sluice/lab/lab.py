"""A running lab, as the commands see it."""

from collections.abc import Callable
from dataclasses import dataclass

from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.runtime.manifests import ManifestFolder
from sluice.lab.components import ComponentRun
from sluice.lab.controllers import Controllers
from sluice.lab.home import Home
from sluice.lab.kubelet import Kubelet
from sluice.lab.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """The parts of a lab."""

    home: Home
    nodes: tuple[str, ...]
    has_mesh: bool
    store: Store
    controllers: Controllers
    kubelet: Kubelet
    components: dict[str, ComponentRun]
    folder: ManifestFolder
    clock: Callable[[], float]

    def seen(self, key: ObjectKey) -> KubernetesObject | None:
        """An object with all that others say about it."""
        return self.folder.read().objects.get(key)
