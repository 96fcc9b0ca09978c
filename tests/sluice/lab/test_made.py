"""What the control plane wants to be there, in a lab's store."""

from pathlib import Path

import pytest

from mesh.model.kubernetes import KubernetesObject
from mesh.runtime.manifests_write import ObjectWriter, made_folder
from tests.sluice.lab.worlds import World, documents

GATEWAY = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec: {gatewayClassName: sluice-waypoint, listeners: [{name: m, port: 15008, protocol: HBONE}]}
"""
WANTED = """
apiVersion: v1
kind: Service
metadata:
  name: way
  namespace: shop
  labels: {gateway.istio.io/managed: sluice.dev-gateway-controller}
  ownerReferences:
  - {apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, name: way, uid: UID}
spec: {selector: {app: way}, ports: [{name: m, port: 15008}]}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: way
  namespace: shop
  labels: {gateway.istio.io/managed: sluice.dev-gateway-controller}
  ownerReferences:
  - {apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, name: way, uid: UID}
spec:
  selector: {matchLabels: {app: way}}
  template:
    metadata: {labels: {app: way}}
    spec: {containers: [{name: way, image: sluice/waypoint}]}
"""


class Wanted:
    """A lab, and the control plane's hand in it."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder / "manifests")
        self.writer = ObjectWriter(made_folder(folder / "manifests"))
        self.world.apply(GATEWAY)
        self.uid = self.world.only("Gateway", "shop").uid

    def want(self, text: str) -> list[KubernetesObject]:
        """Want these objects, and nothing else."""
        found = documents(text.replace("UID", f'"{self.uid}"'))
        for each in found:
            self.writer.put(each)
        self.writer.retain({each.key for each in found})
        self.world.controllers.refresh()
        return found


@pytest.fixture
def lab(tmp_path: Path) -> Wanted:
    return Wanted(tmp_path)


def test_what_is_wanted_is_stored_and_has_what_a_server_gives(lab: Wanted) -> None:
    lab.want(WANTED)

    assert lab.world.only("Service", "shop").get("spec", "clusterIP")
    assert lab.world.only("Deployment", "shop").get("metadata", "generation") == 1
    assert lab.world.only("Pod", "shop").labels["app"] == "way"


def test_what_is_wanted_again_changes_nothing(lab: Wanted) -> None:
    lab.want(WANTED)
    before = lab.world.store.generation
    lab.want(WANTED)
    lab.world.controllers.settle()

    assert lab.world.store.generation == before


def test_whoever_scales_what_was_made_may(lab: Wanted) -> None:
    lab.want(WANTED)
    lab.world.store.patch(lab.world.only("Deployment", "shop").key, {"spec": {"replicas": 3}})
    lab.world.controllers.settle()

    assert len(lab.world.objects.of("Pod", "shop")) == 3


def test_what_is_deleted_although_it_is_wanted_comes_back(lab: Wanted) -> None:
    lab.want(WANTED)
    lab.world.controllers.remove(lab.world.only("Service", "shop").key)
    lab.world.controllers.settle()

    assert len(lab.world.objects.of("Service", "shop")) == 1


def test_what_is_not_wanted_any_more_goes(lab: Wanted) -> None:
    lab.want(WANTED)
    lab.want(WANTED.partition("---")[0])

    assert lab.world.objects.of("Deployment", "shop") == []
    assert len(lab.world.objects.of("Service", "shop")) == 1


def test_what_belongs_to_a_gateway_goes_with_it_and_stays_away(lab: Wanted) -> None:
    lab.want(WANTED)
    lab.world.controllers.remove(lab.world.only("Gateway", "shop").key)
    lab.world.controllers.settle()

    assert lab.world.objects.of("Service", "shop") == []
    assert lab.world.objects.of("Deployment", "shop") == []
    assert all(pod.get("metadata", "deletionTimestamp") for pod in lab.world.objects.of("Pod"))


def test_a_users_object_is_neither_changed_nor_removed(lab: Wanted) -> None:
    mine = """
apiVersion: v1
kind: Service
metadata: {name: way, namespace: shop}
spec: {selector: {app: mine}, ports: [{port: 80}]}
"""
    lab.world.apply(mine)
    before = lab.world.only("Service", "shop")
    lab.want(WANTED)
    lab.want("")

    assert lab.world.only("Service", "shop") is before


def test_what_a_user_has_taken_over_is_not_removed(lab: Wanted) -> None:
    lab.want(WANTED)
    service = lab.world.only("Service", "shop")
    lab.world.store.patch(service.key, {"metadata": {"labels": None, "ownerReferences": None}})
    lab.want("")

    assert len(lab.world.objects.of("Service", "shop")) == 1


def test_nothing_is_stored_for_a_namesake_that_is_gone(lab: Wanted) -> None:
    lab.uid = "another"
    lab.want(WANTED)

    assert lab.world.objects.of("Service", "shop") == []
