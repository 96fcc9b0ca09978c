"""Manifests alone: what a lab would make of them, without a lab.

Pods run and are ready, services have addresses, waypoints are there. What a manifest says itself
(an address, a status) stays.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Final

from controlplane.translate.settings import Settings
from controlplane.translate.world import Translator
from mesh.errors import MeshError
from mesh.model.fields import FieldInvalidError, Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.names import REDIRECTION_ANNOTATION
from sluice.lab.accounts import plan_accounts
from sluice.lab.addresses import node_name, pod_address
from sluice.lab.admission import stored_as
from sluice.lab.base import base_objects
from sluice.lab.deployments import plan_deployments
from sluice.lab.objects import Objects, make_object, node_of, pod_ips, selects, wants_mesh
from sluice.lab.scheduling import plan_scheduling
from sluice.lab.slices import plan_slices
from sluice.why.known import Known, known_of

ROUNDS: Final = 8
"""More than a waypoint needs: Gateway, Deployment, pod, slice, address, status."""
NODES: Final = 2
CREATED: Final = "2020-01-01T00:00:00Z"
_FIRST_NODE: Final = node_name(1)


def known_of_manifests(given: Iterable[KubernetesObject], problems: Iterable[str]) -> Known:
    """What a mesh of these manifests would know.

    Args:
        given: the objects, of one key only one.
        problems: that were found in the manifests.
    """
    standing = _Standing(given, problems)
    return standing.settle()


class _Standing:
    def __init__(self, given: Iterable[KubernetesObject], problems: Iterable[str]) -> None:
        self._objects = Objects()
        self._problems = [*problems]
        self._random = Random(0)  # noqa: S311 - ends of names, the same every time
        self._made: dict[ObjectKey, KubernetesObject] = {}
        self._aside: list[KubernetesObject] = []
        for each in base_objects([node_name(number) for number in range(1, NODES + 1)]):
            self._hold(each)
        documents = [*given]
        for each in documents:
            self._take(each)
        for each in [*_missing_namespaces(documents, self._objects)]:
            self._hold(each)
        self._aside = [*_with_pods(self._objects)]
        for each in self._aside:
            self._objects.drop(each.key)

    def settle(self) -> Known:
        translator = Translator(Settings())
        found = translator.update({})
        for _ in range(ROUNDS):
            self._control()
            everything = {each.key: each for each in (*self._objects.all(), *self._aside)}
            found = translator.update(everything)
            if not self._obey(found.objects, found.statuses):
                break
        everything = {each.key: each for each in (*self._objects.all(), *self._aside)}
        return known_of(found, everything, self._problems)

    def _take(self, document: KubernetesObject) -> None:
        try:
            stored = stored_as(document, self._objects)
        except MeshError as error:
            self._problems.append(str(error))
            return
        kept: dict[str, Json] = {}
        if document.get("status"):
            kept["status"] = document.get("status")
        if document.annotations:
            kept["metadata"] = {"annotations": {**document.annotations}}
        self._hold(stored.patched(kept))

    def _hold(self, found: KubernetesObject) -> None:
        if not found.uid:
            uid = str(uuid.uuid5(uuid.NAMESPACE_OID, str(found.key)))
            created = found.created or CREATED
            found = found.patched({"metadata": {"uid": uid, "creationTimestamp": created}})
        self._objects.hold(found)

    def _control(self) -> None:
        """Deployments give pods, which run; services get endpoints."""
        for each in plan_accounts(self._objects).puts:
            self._hold(each)
        for each in plan_deployments(self._objects, self._random).puts:
            self._hold(each)
        for each in plan_scheduling(self._objects).puts:
            self._hold(each)
        for pod in self._objects.of("Pod"):
            if not pod_ips(pod):
                self._hold(self._running(pod))
        slices = plan_slices(self._objects)
        for key in slices.removals:
            self._objects.drop(key)
        for each in slices.puts:
            self._hold(each)

    def _running(self, pod: KubernetesObject) -> KubernetesObject:
        taken = [ip for each in self._objects.of("Pod") for ip in pod_ips(each)]
        # Addresses of a node that is no lab's are as good as any.
        node = node_of(pod) if node_of(pod) in _lab_nodes() else _FIRST_NODE
        pair = pod_address(node, taken)
        if pair is None:
            return pod
        ips: list[Json] = [{"ip": pair.v4}, {"ip": pair.v6}]
        ready: Json = {"type": "Ready", "status": "True"}
        status: Json = {
            "phase": "Running",
            "podIP": pair.v4,
            "podIPs": ips,
            "conditions": [ready],
        }
        namespace = self._objects.find("Namespace", "", pod.key.namespace)
        if not wants_mesh(pod, namespace):
            return pod.patched({"status": status})
        enrolled: Json = {"annotations": {REDIRECTION_ANNOTATION: "enabled"}}
        return pod.patched({"status": status, "metadata": enrolled})

    def _obey(
        self,
        made: Mapping[ObjectKey, KubernetesObject],
        statuses: Mapping[ObjectKey, Mapping[str, Json]],
    ) -> bool:
        """What the control plane wants to be there, and says; whether that is new."""
        is_new = False
        for key, wanted in made.items():
            if self._made.get(key) != wanted:
                self._made[key] = wanted
                self._take(wanted)
                is_new = True
        for key, status in statuses.items():
            held = self._objects.get(key)
            if held is None:
                continue
            patched = held.patched({"status": dict(status)})
            if patched.body != held.body:
                self._objects.hold(patched)
                is_new = True
        return is_new


def _lab_nodes() -> frozenset[str]:
    return frozenset(node_name(number) for number in range(1, NODES + 1))


def _missing_namespaces(
    documents: Iterable[KubernetesObject], objects: Objects
) -> Iterator[KubernetesObject]:
    """Manifests of an application often leave its namespace to somebody else."""
    names = {each.key.namespace for each in documents if each.key.namespace}
    for name in sorted(names):
        if objects.find("Namespace", "", name) is None:
            yield make_object("Namespace", "v1", {"name": name})


def _with_pods(objects: Objects) -> Iterator[KubernetesObject]:
    """Deployments whose pods are among the manifests: they need no others."""
    for deployment in objects.of("Deployment"):
        try:
            labels = deployment.at("spec", "selector").strings("matchLabels")
        except FieldInvalidError:
            continue
        pods = objects.of("Pod", deployment.key.namespace)
        if any(selects(labels, pod.labels) and pod_ips(pod) for pod in pods):
            yield deployment
