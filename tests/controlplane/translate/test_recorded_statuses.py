"""Statuses beside those that Istio's control plane was seen to write for the same manifests."""

import json

import pytest

from controlplane.translate.settings import Settings
from controlplane.translate.world import Translator
from mesh.model.fields import Json
from tests.controlplane.translate.recordings import FOLDER, recorded, world
from tests.controlplane.translate.routing import translated

KINDS = ("AuthorizationPolicy", "Service", "ServiceEntry", "WorkloadEntry")
WORLDS = sorted(file.parent.name for file in FOLDER.glob("*/expected.json"))

Said = dict[str, list[tuple[Json, Json, Json]]]


def said(conditions: Json) -> list[tuple[Json, Json, Json]]:
    assert isinstance(conditions, list)
    return sorted(
        (
            (each["type"], each["status"], each["reason"])
            for each in conditions
            if isinstance(each, dict)
        ),
        key=str,
    )


def recorded_statuses(name: str) -> Said:
    statuses = json.loads((recorded(name) / "expected.json").read_text())["statuses"]
    return {
        key: said(status.get("conditions", []))
        for key, status in statuses.items()
        if key.partition(" ")[0] in KINDS
    }


@pytest.mark.parametrize("name", WORLDS)
def test_conditions_are_those_of_the_recordings(name: str) -> None:
    translation = Translator(Settings()).update(world(name).objects)
    ours = {
        str(key): said(status.get("conditions", []))
        for key, status in translation.statuses.items()
        if key.kind in KINDS
    }
    assert ours == recorded_statuses(name)


@pytest.mark.parametrize("name", ["service-entry-dns", "service-entry-selector"])
def test_entries_are_given_the_addresses_of_the_recordings(name: str) -> None:
    recorded_ones = json.loads((recorded(name) / "expected.json").read_text())["statuses"]
    given = {
        str(key): status["addresses"]
        for key, status in Translator(Settings()).update(world(name).objects).statuses.items()
        if "addresses" in status
    }
    assert given == {key: status["addresses"] for key, status in recorded_ones.items()}


def policy(spec: str, name: str = "p", kind: str = "AuthorizationPolicy") -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: shop, creationTimestamp: "2026-01-0{len(name)}T00:00:00Z"}}
spec: {spec}
"""


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        ("AuthorizationPolicy", "{}", ("ZtunnelAccepted", "True", "Accepted")),
        (
            "AuthorizationPolicy",
            "{targetRefs: [{kind: Service, name: web}]}",
            ("WaypointAccepted", "True", "Accepted"),
        ),
        (
            "AuthorizationPolicy",
            "{targetRefs: [{kind: Service, name: nobody}]}",
            ("WaypointAccepted", "False", "TargetNotFound"),
        ),
        ("PeerAuthentication", "{mtls: {mode: STRICT}}", ("ZtunnelAccepted", "True", "Accepted")),
        (
            "PeerAuthentication",
            "{portLevelMtls: {'80': {mode: STRICT}}}",
            ("ZtunnelAccepted", "True", "UnsupportedValue"),
        ),
    ],
)
def test_policies_say_who_enforces_them(
    kind: str, spec: str, expected: tuple[str, str, str]
) -> None:
    found = translated(policy(spec, kind=kind))
    [status] = [s for key, s in found.statuses.items() if key.kind == kind]
    assert said(status["conditions"]) == [expected]


def test_a_policy_for_a_service_without_a_waypoint_is_bound_to_none() -> None:
    dark = """
apiVersion: v1
kind: Service
metadata: {name: dark, namespace: shop, labels: {istio.io/use-waypoint: none}}
spec: {clusterIP: 10.96.0.8, ports: [{port: 80}]}
"""
    found = translated(dark, policy("{targetRefs: [{kind: Service, name: dark}]}"))
    [status] = [s for key, s in found.statuses.items() if key.kind == "AuthorizationPolicy"]
    assert said(status["conditions"]) == [("WaypointAccepted", "False", "AncestorNotBound")]


def test_only_the_oldest_peer_authentication_of_a_namespace_counts() -> None:
    older, younger = (
        policy("{mtls: {mode: STRICT}}", name, "PeerAuthentication") for name in ("a", "bb")
    )
    found = translated(older, younger)
    reasons = {
        key.name: said(status["conditions"])[0][2]
        for key, status in found.statuses.items()
        if key.kind == "PeerAuthentication"
    }
    assert reasons == {"a": "Accepted", "bb": "Conflicted"}
