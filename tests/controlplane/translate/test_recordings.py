"""Equal to what a real control plane sent, save its slips, which stand here one by one."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from controlplane.translate.settings import Settings
from controlplane.translate.world import Translator
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.policy import (
    Action,
    Authorization,
    Match,
    PolicyScope,
    Rule,
    StringMatch,
    StringMatchKind,
)
from mesh.model.workload import Service, Workload
from mesh.wire.workload_api import address_from_bytes, authorization_from_bytes
from tests.controlplane.translate.recordings import recorded, world

AS_ISTIO = Settings(goes_direct=True)
"""There, who asks for a waypoint that is not ready goes direct."""
Value = Workload | Service | Authorization
Objects = Mapping[ObjectKey, KubernetesObject]
WORLDS = [
    "pod-lifecycle",
    "pod-names-and-places",
    "service-ports",
    "service-kinds",
    "dual-stack",
    "endpoint-slices",
    "peer-mesh-and-namespace",
    "peer-ports",
    "peer-oddities",
    "policy-scopes",
    "policy-fields",
    "policy-http",
    "waypoint-namespace",
    "waypoint-objects",
    "networks",
    "service-entry-static",
    "service-entry-dns",
    "service-entry-none",
    "service-entry-selector",
    "workload-entries",
    "stream",
]
PLAIN_TEXT = (Match(not_principals=(StringMatch(StringMatchKind.PRESENCE),)),)


@dataclass(frozen=True)
class Slips:
    """What we send and Istio did not, what only Istio did, and fields that we send otherwise."""

    added: dict[str, Value] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    otherwise: dict[str, dict[str, object]] = field(default_factory=dict)


def exceptions(namespace: str, peer: str, *rules: Rule) -> dict[str, Value]:
    """The policy of a PeerAuthentication with exceptions by port."""
    name = f"converted_peer_authentication_{peer}"
    policy = Authorization(
        name=name,
        namespace=namespace,
        scope=PolicyScope.WORKLOAD_SELECTOR,
        action=Action.DENY,
        rules=rules,
    )
    return {f"Authorization {namespace}/{name}": policy}


STRICT_ON_8080: Rule = ((replace(PLAIN_TEXT[0], destination_ports=(8080,)),),)
LOOSE_ON_8080: Rule = ((Match(not_destination_ports=(8080,)),), PLAIN_TEXT)

ENTRY = "Kubernetes/networking.istio.io"
SLIPS = {
    "service-entry-static": Slips(
        # Nobody else can reach a socket of Unix.
        left_out=(f"Address {ENTRY}/ServiceEntry/harbour/by-socket/unix:///var/run/shop.sock",),
        # In Istio a network sticks to the endpoints after the one that names it.
        otherwise={f"Address {ENTRY}/ServiceEntry/harbour/suppliers/2001:db8::3": {"network": ""}},
    ),
    "policy-scopes": Slips(
        otherwise={
            # Istio gives a workload without labels every selector policy.
            "Address Kubernetes//Pod/shelf/without-labels": {"authorization_policies": ()},
            f"Address {ENTRY}/WorkloadEntry/shelf/machine-without-labels": {
                "authorization_policies": ()
            },
            # An empty selector selects everything here, as everywhere in Kubernetes.
            "Authorization shelf/empty-selector": {"scope": PolicyScope.NAMESPACE},
        }
    ),
    "peer-oddities": Slips(
        # Istio names these policies and never sends them.
        added={
            **exceptions("till", "loose-strict-port", STRICT_ON_8080),
            **exceptions("press", "loose-strict-port", STRICT_ON_8080),
            **exceptions("press", "unset-loose-port", LOOSE_ON_8080),
            **exceptions("press", "unset-off-port", LOOSE_ON_8080),
        },
        # DISABLE is PERMISSIVE: Istio's exception has no effect.
        otherwise={
            f"Address Kubernetes//Pod/{namespace}/unset-off-port": {
                "authorization_policies": (
                    f"{namespace}/converted_peer_authentication_unset-off-port",
                )
            }
            for namespace in ("till", "press")
        },
    ),
}


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_is_told_as_a_real_control_plane_tells_it(name: str) -> None:
    found = world(name)
    slips = SLIPS.get(name, Slips())

    translated = Translator(AS_ISTIO).update(found.objects)

    expected: dict[str, Any] = {**found.sent, **slips.added}
    for key in slips.left_out:
        del expected[key]
    for key, fields in slips.otherwise.items():
        expected[key] = replace(expected[key], **fields)
    addresses: dict[str, Value] = {**translated.workloads, **translated.services}
    ours: dict[str, Value] = {f"Address {key}": value for key, value in addresses.items()}
    ours |= {f"Authorization {key}": value for key, value in translated.policies.items()}
    assert ours.keys() == expected.keys()
    assert {key: ours[key] for key in ours if ours[key] != expected[key]} == {}


@pytest.mark.parametrize("name", ["policy-http", "policy-scopes", "policy-fields"])
def test_a_policy_has_a_problem_where_a_real_control_plane_writes_that_it_has(name: str) -> None:
    found = world(name)
    statuses = json.loads((recorded(name) / "expected.json").read_text())["statuses"]
    # Odd values get no status of Istio's, an empty selector none either; here both are told.
    ours_alone = {"till/odd-values", "shelf/empty-selector"}

    problems = Translator(AS_ISTIO).update(found.objects).problems

    complained = {
        place.partition(" ")[2]
        for place, status in statuses.items()
        for condition in status["conditions"]
        if condition["reason"] != "Accepted"
    }
    told = {f"{key.namespace}/{key.name}" for key in problems}
    assert told - ours_alone == complained


@pytest.mark.parametrize("name", ["waypoint-namespace", "waypoint-objects"])
def test_a_service_has_a_problem_where_a_real_control_plane_binds_no_waypoint(name: str) -> None:
    found = world(name)
    statuses = json.loads((recorded(name) / "expected.json").read_text())["statuses"]

    problems = Translator(AS_ISTIO).update(found.objects).problems

    unbound = {
        place.partition(" ")[2]
        for place, status in statuses.items()
        if place.startswith("Service ")
        for condition in status["conditions"]
        if condition["status"] == "False"
    }
    assert {f"{key.namespace}/{key.name}" for key in problems if key.kind == "Service"} == unbound


def changed_by(step: dict[str, list[Any]], objects: Objects) -> dict[ObjectKey, KubernetesObject]:
    """The objects after a step."""
    applied = [KubernetesObject.of(body) for body in step.get("apply", [])]
    result = {**objects, **{one.key: one for one in applied}}
    for text in step.get("ending", []):
        key = key_of(text)
        result[key] = result[key].patched(
            {"metadata": {"deletionTimestamp": "2026-08-22T10:00:00Z"}}
        )
    for text in step.get("delete", []):
        del result[key_of(text)]
    return result


def key_of(text: str) -> ObjectKey:
    kind, _, place = text.partition(" ")
    namespace, _, name = place.partition("/")
    return ObjectKey(kind, namespace, name)


def test_each_change_of_a_stream_changes_what_a_real_control_plane_sends_anew() -> None:
    objects: Objects = world("stream").objects
    translator = Translator(AS_ISTIO)
    translator.update(objects)
    steps = json.loads((recorded("stream") / "expected.json").read_text())["stream"]
    checked = 0
    for step in steps:
        objects = changed_by(step, objects)
        translation = translator.update(objects)
        if "away" in step["step"] or not {"apply", "ending", "delete"} & step.keys():
            continue
        sent: dict[str, Value] = {}
        removed: set[str] = set()
        for event in step["events"]:
            response = event["response"]
            removed.update(response["removed_resources"])
            for resource in response["resources"]:
                octets = base64.b64decode(resource["bytes"])
                is_address = response["type_url"].endswith(".Address")
                read = address_from_bytes if is_address else authorization_from_bytes
                sent[resource["name"]] = read(octets)
        changed = translation.changed
        held = {**translation.workloads, **translation.services, **translation.policies}
        put = changed.put_workloads | changed.put_services | changed.put_policies
        gone = changed.removed_workloads | changed.removed_services | changed.removed_policies
        assert {name: held[name] for name in put} == sent, step["step"]
        assert gone == removed, step["step"]
        checked += 1
    assert checked == 7
