"""Objects that several tests of the lab begin with."""

import itertools
from collections.abc import Callable
from pathlib import Path
from random import Random

from mesh.model.kubernetes import KubernetesObject
from mesh.runtime.manifests import parse
from sluice.lab.addresses import Pair
from sluice.lab.admission import admit
from sluice.lab.base import base_objects
from sluice.lab.controllers import Controllers
from sluice.lab.made import Made
from sluice.lab.objects import Objects
from sluice.lab.pod_run import ContainerRun, PodRun, status_of
from sluice.lab.store import Store

NODES = ("node-1", "node-2")

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: sluice/echo, ports: [{name: http, containerPort: 3000}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
"""


def documents(text: str) -> list[KubernetesObject]:
    """The objects of a manifest."""
    found, problems = parse(text, "test.yaml")
    assert problems == []
    return found


class World:
    """A store with controllers, and no processes behind it."""

    def __init__(self, folder: Path) -> None:
        seconds = itertools.count()
        self.now: Callable[[], str] = lambda: f"2026-01-01T00:00:{next(seconds) % 60:02}Z"
        self.store = Store(folder, Random(7), self.now)
        self.controllers = Controllers(self.store, Random(7), Made(folder))
        self.store.put(base_objects(NODES))
        self.controllers.settle()

    @property
    def objects(self) -> Objects:
        return self.store.objects

    def apply(self, text: str) -> list[KubernetesObject]:
        """Store a manifest; what has changed."""
        changed = self.store.put(admit(documents(text), self.objects))
        self.controllers.settle()
        return changed

    def only(self, kind: str, namespace: str) -> KubernetesObject:
        """The one object of a kind in a namespace."""
        (found,) = self.objects.of(kind, namespace)
        return found

    def run(self, pod: KubernetesObject, number: int, *, is_ready: bool = True) -> None:
        """Let a pod be as if it ran."""
        run = PodRun(key=pod.key, uid=pod.uid, node="node-1", place="", is_on_node=False, grace_s=0)
        run.address = Pair(f"10.244.1.{number}", f"fd00:10:244:1::{number:x}")
        run.is_placed = True
        run.containers["web"] = ContainerRun("web", "sluice/echo", is_ready=is_ready, restarts=1)
        self.store.patch(pod.key, {"status": status_of(run, pod, self.now())})
        self.controllers.settle()
