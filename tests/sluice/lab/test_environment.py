"""What a container is told."""

from pathlib import Path

import pytest

from mesh.model.kubernetes import KubernetesObject
from sluice.lab.environment import expanded, variables_of, volume_files
from sluice.lab.errors import PodRefusedError
from tests.sluice.lab.worlds import World

WORLD = """
apiVersion: v1
kind: ConfigMap
metadata: {name: words}
data: {greeting: hello, other: x}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
data: {key: AAECAw==}
stringData: {plain: text}
---
apiVersion: v1
kind: Pod
metadata: {name: a, labels: {app: web}}
spec:
  containers:
  - name: a
    image: sluice/echo
    envFrom: [{prefix: W_, configMapRef: {name: words}}]
    env:
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: APP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: PLAIN, valueFrom: {secretKeyRef: {name: keys, key: plain}}}
    - {name: BOTH, value: "$(NAME)/$(W_greeting)/$(NOBODY)/$$(NAME)"}
    - {name: MAYBE, valueFrom: {configMapKeyRef: {name: words, key: gone, optional: true}}}
  volumes:
  - {name: some, configMap: {name: words, items: [{key: greeting, path: deep/g.txt}]}}
  - {name: whole, secret: {secretName: keys}}
  - {name: out, configMap: {name: words, items: [{key: greeting, path: ../g.txt}]}}
  - {name: gone, configMap: {name: words, items: [{key: nothing, path: n}]}}
  - {name: empty, emptyDir: {}}
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.apply(WORLD)
    return made


def pod_of(world: World) -> KubernetesObject:
    return world.only("Pod", "default")


def test_variables_come_from_everywhere_and_use_each_other(world: World) -> None:
    pod = pod_of(world)
    container = pod.at("spec").parts("containers")[0]

    assert variables_of(container, pod, world.objects) == {
        "W_greeting": "hello",
        "W_other": "x",
        "NAME": "a",
        "APP": "web",
        "NODE": "node-1",
        "PLAIN": "text",
        "BOTH": "a/hello/$(NOBODY)/$(NAME)",
    }


def test_a_volume_has_its_chosen_files_or_all_of_them(world: World) -> None:
    pod = pod_of(world)
    some, whole, out, gone, empty = pod.at("spec").parts("volumes")

    assert volume_files(some, pod, world.objects) == {"deep/g.txt": b"hello"}
    assert volume_files(whole, pod, world.objects) == {"key": b"\0\1\2\3", "plain": b"text"}
    assert volume_files(empty, pod, world.objects) == {}
    with pytest.raises(PodRefusedError, match="must stay inside"):
        volume_files(out, pod, world.objects)
    with pytest.raises(PodRefusedError, match="no key nothing"):
        volume_files(gone, pod, world.objects)


def test_an_unknown_name_stays_as_it_is() -> None:
    assert expanded("$(A) $(B) $$(A) $A", {"A": "1"}) == "1 $(B) $(A) $A"
