"""Deployments give pods, as the deployment and replica-set controllers would."""

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Final

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from sluice.lab.objects import FINISHED, Changes, Objects, is_leaving, is_ready, make_object, phase

_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
HASH_LABEL: Final = "pod-template-hash"


def plan_deployments(objects: Objects, random: Random) -> Changes:
    """What is missing, and what is too much.

    Args:
        objects: as they are.
        random: what pods' names end in.
    """
    puts: list[KubernetesObject] = []
    removals: list[ObjectKey] = list(outdated(objects))
    owned = _pods_by_owner(objects)
    for deployment in objects.of("Deployment"):
        pods = owned.get(_replica_set_uid(deployment), [])
        puts += _missing(deployment, pods, random)
        removals += _surplus(deployment, pods)
        status = _status(deployment, [*pods, *puts])
        if status != deployment.get("status"):
            puts.append(deployment.patched({"status": None}).patched({"status": status}))
    return Changes(puts, removals)


def outdated(objects: Objects) -> Iterator[ObjectKey]:
    """Pods of deployments and templates that are no more, when they have to go.

    A pod of an earlier template goes when one of the present template is ready in its place, or at
    once when the strategy is `Recreate`.
    """
    owned = _pods_by_owner(objects)
    for deployment in objects.of("Deployment"):
        present = owned.pop(_replica_set_uid(deployment), [])
        earlier = [pod for uid in _earlier_uids(deployment, owned) for pod in owned.pop(uid)]
        # Who serves nobody goes first.
        earlier = sorted(_alive(earlier), key=is_ready)
        serving = sum(map(is_ready, earlier))
        recreates = deployment.at("spec", "strategy").text("type") == "Recreate"
        ready = sum(map(is_ready, _alive(present)))
        kept = 0 if recreates else max(0, deployment.at("spec").number("replicas", 1) - ready)
        yield from (pod.key for pod in earlier[: len(earlier) - min(kept, serving)])
    yield from (pod.key for pods in owned.values() for pod in pods if not is_leaving(pod))


def _earlier_uids(
    deployment: KubernetesObject, owned: Mapping[str, Sequence[KubernetesObject]]
) -> list[str]:
    """The uids of the replica sets that a deployment's earlier templates would be of."""
    return [
        uid
        for uid, (pod, *_) in owned.items()
        if uid == str(uuid.uuid5(uuid.UUID(deployment.uid), pod.labels.get(HASH_LABEL, "")))
    ]


def owner_of(pod: KubernetesObject) -> str:
    """The uid of the replica set that a pod belongs to, empty when to none."""
    owners = pod.get("metadata", "ownerReferences")
    match owners:
        case [{"kind": "ReplicaSet", "uid": str(uid)}, *_]:
            return uid
        case _:
            return ""


def deployment_pods(objects: Objects, deployment: KubernetesObject) -> list[KubernetesObject]:
    """The pods of a deployment's present template."""
    uid = _replica_set_uid(deployment)
    return [pod for pod in objects.of("Pod", deployment.key.namespace) if owner_of(pod) == uid]


def _pods_by_owner(objects: Objects) -> dict[str, list[KubernetesObject]]:
    owned: dict[str, list[KubernetesObject]] = {}
    for pod in objects.of("Pod"):
        uid = owner_of(pod)
        if uid:
            owned.setdefault(uid, []).append(pod)
    return owned


def _encode(number: int, length: int) -> str:
    letters = []
    for _ in range(length):
        number, index = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[index])
    return "".join(letters)


def _template_hash(deployment: KubernetesObject) -> str:
    template = json.dumps(deployment.get("spec", "template"), sort_keys=True)
    digest = hashlib.sha256(template.encode()).digest()
    return _encode(int.from_bytes(digest[:8]), 9)


def _replica_set_uid(deployment: KubernetesObject) -> str:
    # No ReplicaSet is stored; its uid follows from what it would be of.
    return str(uuid.uuid5(uuid.UUID(deployment.uid), _template_hash(deployment)))


def _alive(pods: Sequence[KubernetesObject]) -> list[KubernetesObject]:
    return [pod for pod in pods if not is_leaving(pod) and phase(pod) not in FINISHED]


def _missing(
    deployment: KubernetesObject, pods: Sequence[KubernetesObject], random: Random
) -> Iterator[KubernetesObject]:
    wanted = deployment.at("spec").number("replicas", 1)
    for _ in range(wanted - len(_alive(pods))):
        yield _pod(deployment, random)


def _surplus(deployment: KubernetesObject, pods: Sequence[KubernetesObject]) -> Iterator[ObjectKey]:
    wanted = deployment.at("spec").number("replicas", 1)
    keepers_first = sorted(_alive(pods), key=lambda pod: (not is_ready(pod), pod.created))
    yield from (pod.key for pod in keepers_first[wanted:])


def _pod(deployment: KubernetesObject, random: Random) -> KubernetesObject:
    template = deployment.at("spec", "template")
    digest = _template_hash(deployment)
    prefix = f"{deployment.key.name}-{digest}-"
    given = template.at("metadata")
    owner: dict[str, Json] = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": prefix[:-1],
        "uid": _replica_set_uid(deployment),
        "controller": True,
        "blockOwnerDeletion": True,
    }
    metadata: dict[str, Json] = {
        "name": prefix + _encode(random.getrandbits(40), 5),
        "generateName": prefix,
        "namespace": deployment.key.namespace,
        "labels": {**given.strings("labels"), HASH_LABEL: digest},
        "ownerReferences": [owner],
    }
    if given.has("annotations"):
        metadata["annotations"] = {**given.strings("annotations")}
    spec = template.at("spec").body
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    defaults: dict[str, Json] = {"restartPolicy": "Always"}
    body: dict[str, Json] = {**defaults, **spec, "serviceAccountName": account}
    return make_object("Pod", "v1", metadata, spec=body, status={"phase": "Pending"})


def _status(deployment: KubernetesObject, pods: Sequence[KubernetesObject]) -> dict[str, Json]:
    uid = _replica_set_uid(deployment)
    alive = _alive([pod for pod in pods if pod.key.kind == "Pod" and owner_of(pod) == uid])
    ready = sum(is_ready(pod) for pod in alive)
    wanted = deployment.at("spec").number("replicas", 1)
    available: dict[str, Json] = {
        "type": "Available",
        "status": "True" if ready >= wanted else "False",
        "reason": "MinimumReplicasAvailable" if ready >= wanted else "MinimumReplicasUnavailable",
    }
    status: dict[str, Json] = {
        "observedGeneration": deployment.at("metadata").number("generation", 1),
        "replicas": len(alive),
        "updatedReplicas": len(alive),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "conditions": [available],
    }
    return {name: value for name, value in status.items() if value != 0 or name == "replicas"}
