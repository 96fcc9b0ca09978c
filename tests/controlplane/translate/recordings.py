"""Recordings of what Istio's control plane sent for given manifests, beside the checkout.

CI lays them there; they are not copied into this tree.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.policy import Authorization
from mesh.model.workload import Service, Workload
from mesh.runtime.manifests import parse
from mesh.wire.workload_api import address_from_bytes, authorization_from_bytes

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data" / "istiod"


@dataclass(frozen=True)
class World:
    """Manifests, and what was sent for them."""

    objects: dict[ObjectKey, KubernetesObject]
    sent: dict[str, Workload | Service | Authorization]
    """By type and name, as in `Address shelf/catalogue.shelf.svc.cluster.local`."""


def recorded(name: str) -> Path:
    """The folder of one recorded world."""
    folder = FOLDER / name
    if not folder.is_dir():
        pytest.fail(f"the recordings are not there: lay them at {FOLDER}", pytrace=False)
    return folder


def world(name: str) -> World:
    """One recorded world."""
    folder = recorded(name)
    found, problems = parse((folder / "input.yaml").read_text(), name)
    assert problems == []
    resources = json.loads((folder / "expected.json").read_text())["resources"]
    sent: dict[str, Workload | Service | Authorization] = {}
    for resource in resources.get("Address", []):
        key = resource["name"]
        sent[f"Address {key}"] = address_from_bytes(base64.b64decode(resource["bytes"]))
    for resource in resources.get("Authorization", []):
        octets = base64.b64decode(resource["bytes"])
        sent[f"Authorization {resource['name']}"] = authorization_from_bytes(octets)
    return World({one.key: one for one in found}, sent)
