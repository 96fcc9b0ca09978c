"""The objects that a waypoint's Gateway needs: who runs it, where, and as whom."""

from collections.abc import Iterator, Mapping

from controlplane.translate.facts import GatewayFacts
from controlplane.translate.labels import (
    GATEWAY_CLASS,
    GATEWAY_NAME,
    MANAGED_BY,
    TRAFFIC_DISTRIBUTION,
)
from controlplane.translate.store import Store
from controlplane.translate.waypoint_pods import ROOT_CONFIG, ROOT_FILE, pod_template
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.names import (
    DATAPLANE_MODE_LABEL,
    GATEWAY_GROUP,
    HBONE_PORT,
    MANAGED,
    READINESS_PORT,
)


def waypoint_objects(store: Store, gateway: GatewayFacts) -> list[KubernetesObject]:
    """Everything that is to be there for a waypoint, as the control plane applies it."""
    name = gateway.service_name
    metadata = _metadata(gateway)
    objects = [
        _object("v1", "ServiceAccount", _named(gateway.account, metadata)),
        _object("v1", "Service", _of_service(name, metadata), spec=_service(gateway)),
        _object("apps/v1", "Deployment", _named(name, metadata), spec=_deployment(store, gateway)),
    ]
    if gateway.has_own_account and not _is_managed(store, objects[0].key):
        objects = objects[1:]  # a user's own, which is there or comes
    root = _object(
        "v1",
        "ConfigMap",
        {
            "name": ROOT_CONFIG,
            "namespace": gateway.key.namespace,
            "labels": {MANAGED_BY: MANAGED},
        },
        data={ROOT_FILE: store.settings.root_certificate},
    )
    # Where Istio has made it, it is Istio's.
    is_foreign = root.key in store.things and not _is_managed(store, root.key)
    return objects if is_foreign else [root, *objects]  # before the pods that mount it


def taken(store: Store, gateway: GatewayFacts) -> Iterator[ObjectKey]:
    """Objects that are in the way of those to be made, and are somebody else's."""
    namespace, name = gateway.key.namespace, gateway.service_name
    service = store.services.get(namespace, name)
    if service is not None and service.labels.get(MANAGED_BY) != MANAGED:
        yield service.key
    things = [ObjectKey("Deployment", namespace, name)]
    if not gateway.has_own_account:
        things.append(ObjectKey("ServiceAccount", namespace, gateway.account))
    for key in things:
        if key in store.things and not _is_managed(store, key):
            yield key


def _is_managed(store: Store, key: ObjectKey) -> bool:
    found = store.things.get(key)
    return found is not None and found.managed_by == MANAGED


def own_labels(gateway: GatewayFacts) -> dict[str, Json]:
    """The labels of everything that is made for a Gateway."""
    return {
        **gateway.copied_labels,
        GATEWAY_NAME: gateway.key.name,
        GATEWAY_CLASS: gateway.class_name,
        MANAGED_BY: MANAGED,
    }


def _metadata(gateway: GatewayFacts) -> dict[str, Json]:
    owner: dict[str, Json] = {
        "apiVersion": f"{GATEWAY_GROUP}/v1",
        "kind": "Gateway",
        "name": gateway.key.name,
        "uid": gateway.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = own_labels(gateway)
    labels.pop(DATAPLANE_MODE_LABEL, None)  # of the Gateway's own: it is meant for pods
    return {
        "namespace": gateway.key.namespace,
        "labels": labels,
        "annotations": {**gateway.copied_annotations},
        "ownerReferences": [owner],
    }


def _named(name: str, metadata: Mapping[str, Json]) -> dict[str, Json]:
    return {"name": name, **metadata}


def _of_service(name: str, metadata: Mapping[str, Json]) -> dict[str, Json]:
    notes = metadata["annotations"]
    given = notes if isinstance(notes, dict) else {}
    near: dict[str, Json] = {TRAFFIC_DISTRIBUTION: "PreferClose"}
    return {"name": name, **metadata, "annotations": {**near, **given}}


def _object(version: str, kind: str, metadata: dict[str, Json], **fields: Json) -> KubernetesObject:
    body: dict[str, Json] = {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}
    return KubernetesObject.of(body)


def _service(gateway: GatewayFacts) -> Json:
    ports: list[Json] = [
        {
            "name": "status-port",
            "port": READINESS_PORT,
            "targetPort": READINESS_PORT,
            "protocol": "TCP",
            "appProtocol": "tcp",
        }
    ]
    ports += [
        {
            "name": listener.name,
            "port": HBONE_PORT,
            "targetPort": HBONE_PORT,
            "protocol": "TCP",
            "appProtocol": "hbone",
        }
        for listener in gateway.listeners
    ]
    spec: dict[str, Json] = {
        "type": gateway.service_type,
        "ipFamilyPolicy": "PreferDualStack",
        "selector": {GATEWAY_NAME: gateway.key.name},
        "ports": ports,
    }
    wanted = [value for kind, value in gateway.asked if kind == "IPAddress" and value]
    if wanted:
        spec["loadBalancerIP"] = wanted[0]
    return spec


def _deployment(store: Store, gateway: GatewayFacts) -> Json:
    return {
        "selector": {"matchLabels": {GATEWAY_NAME: gateway.key.name}},
        "template": pod_template(store.settings, gateway, own_labels(gateway)),
    }
