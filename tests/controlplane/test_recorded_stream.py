"""The recorded world `stream`, from its manifests to the stream: what istiod said, we say."""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from mesh.model.fields import Json
from mesh.proto import security_pb2, workload_pb2
from mesh.proto.discovery_pb2 import DeltaDiscoveryResponse
from mesh.wire.discovery_catalogue import ADDRESS_TYPE, AUTHORIZATION_TYPE
from tests.controlplane.running import PROXIES, Control, Talk, control
from tests.controlplane.translate.recordings import recorded

MESSAGES = {
    ADDRESS_TYPE: workload_pb2.Address,
    AUTHORIZATION_TYPE: security_pb2.Authorization,
}
Said = tuple[str, dict[str, object], list[str]]
Versions = dict[str, dict[str, str]]


def of_ours(response: DeltaDiscoveryResponse) -> Said:
    message = MESSAGES[response.type_url]
    sent: dict[str, object] = {
        r.name: message.FromString(r.resource.value) for r in response.resources
    }
    return response.type_url, sent, sorted(response.removed_resources)


def of_theirs(step: Mapping[str, object]) -> Iterator[Said]:
    events = step["events"]
    assert isinstance(events, list)
    for event in events:
        if "response" in event:
            response = event["response"]
            message = MESSAGES[response["type_url"]]
            sent = {
                r["name"]: message.FromString(base64.b64decode(r["bytes"]))
                for r in response["resources"]
            }
            yield response["type_url"], sent, sorted(response["removed_resources"])


def key_of(found: dict[str, Json]) -> str:
    metadata = found["metadata"]
    assert isinstance(metadata, dict)
    place = f"{metadata['namespace']}/" if "namespace" in metadata else ""
    return f"{found['kind']} {place}{metadata['name']}"


class Folder:
    """The world's objects, changed step by step as `changes.yaml` says."""

    def __init__(self, plane: Control, world: Path) -> None:
        self._plane = plane
        manifests = (world / "input.yaml").read_text()
        self._objects = {key_of(each): each for each in yaml.safe_load_all(manifests) if each}

    def write(self) -> int:
        return self._plane.write("world", *PROXIES, *self._objects.values())

    def change(self, step: dict[str, list[dict[str, Json]]], ending: list[str]) -> int:
        for each in step.get("apply", []):
            self._objects[key_of(each)] = each
        for key in ending:
            ended = dict(self._objects[key])
            metadata = ended["metadata"]
            assert isinstance(metadata, dict)
            ended["metadata"] = {**metadata, "deletionTimestamp": "2026-11-23T03:30:42Z"}
            self._objects[key] = ended
        for name in step.get("delete", []):
            del self._objects[str(name)]
        return self.write()


def remember(versions: Versions, response: DeltaDiscoveryResponse) -> None:
    of_type = versions.setdefault(response.type_url, {})
    of_type |= {resource.name: resource.version for resource in response.resources}
    for name in response.removed_resources:
        of_type.pop(name, None)


async def hear(talk: Talk, versions: Versions, count: int) -> list[Said]:
    said = []
    for _ in range(count):
        response = await talk.next()
        remember(versions, response)
        said.append(of_ours(response))
    return said


def claimed(how: str, versions: Versions) -> Versions:
    """What the client says that it has when it comes back."""
    if how == "none":
        return {}
    # istiod gives policies no version, and sends them all again; we are to be asked the same.
    policies = dict.fromkeys(versions.get(AUTHORIZATION_TYPE, {}), "")
    claim = {ADDRESS_TYPE: dict(versions[ADDRESS_TYPE]), AUTHORIZATION_TYPE: policies}
    if how == "stale":
        claim[ADDRESS_TYPE]["Kubernetes//Pod/shelf/catalogue"] = "0000000000000000"
        claim[ADDRESS_TYPE]["Kubernetes//Pod/shelf/never-was"] = "1111111111111111"
    return claim


async def test_the_recorded_conversation_is_had_with_us(tmp_path: Path) -> None:
    world = recorded("stream")
    steps = json.loads((world / "expected.json").read_text())["stream"]
    changes = yaml.safe_load((world / "changes.yaml").read_text())
    assert [step["step"] for step in steps[1:]] == [change["step"] for change in changes]
    versions: Versions = {}
    async with control(tmp_path) as plane:
        folder = Folder(plane, world)
        plane.remove("proxies")
        await plane.wait_taken(folder.write())
        pending = list(zip(steps, [{}, *changes], strict=True))
        while pending:
            _, change = pending[0]
            if "apply" in change or "delete" in change:
                await plane.wait_taken(folder.change(change, []))
            async with plane.discovery() as talk:
                claim = claimed(change.get("reconnect", "none"), versions)
                versions = {kind: dict(names) for kind, names in claim.items()}
                for type_url in (ADDRESS_TYPE, AUTHORIZATION_TYPE):
                    talk.ask(type_url, versions=claim.get(type_url))
                step, _ = pending.pop(0)
                expected = list(of_theirs(step))
                assert await hear(talk, versions, len(expected)) == expected, step["step"]
                while pending and "reconnect" not in pending[0][1]:
                    step, change = pending.pop(0)
                    generation = folder.change(change, change.get("ending", []))
                    expected = list(of_theirs(step))
                    assert await hear(talk, versions, len(expected)) == expected, step["step"]
                    await plane.wait_taken(generation)
