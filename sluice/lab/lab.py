"""A running lab, as the commands see it."""

from dataclasses import dataclass

from mesh.model.kubernetes import ObjectKey
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
    proxies: frozenset[ObjectKey]
    """The pods that node proxies are: no kubelet runs them."""
    folder: ManifestFolder
