"""What may be stored: every slip is named, with its object, its field and its mend."""

from pathlib import Path

import pytest

from mesh.errors import ConfigError
from tests.sluice.lab.worlds import SHOP, World

POD = """
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: [{name: a, image: sluice/echo}]}
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def refused(world: World, text: str) -> str:
    """The sentences of a refusal; nothing may be stored."""
    before = world.store.generation
    with pytest.raises(ConfigError) as caught:
        world.apply(text)
    assert world.store.generation == before
    return "\n".join(caught.value.problems)


def test_an_unknown_kind_is_named(world: World) -> None:
    said = refused(world, "apiVersion: v1\nkind: Podd\nmetadata: {name: a}")

    assert "test.yaml: Podd default/a: kind Podd: unknown" in said
    assert "Deployment" in said


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("UDPRoute", "comes with the ingress gateway"),
        ("ListenerSet", "comes with the ingress gateway"),
        ("WorkloadGroup", "write a WorkloadEntry"),
        ("StatefulSet", "Deployments and Pods"),
        ("VirtualService", "Gateway API"),
    ],
)
def test_a_kind_that_comes_later_is_refused_by_name(world: World, kind: str, words: str) -> None:
    said = refused(world, f"apiVersion: x/v1\nkind: {kind}\nmetadata: {{name: a}}")

    assert f"kind {kind}" in said
    assert words in said


def test_a_wrong_version_says_which_is_right(world: World) -> None:
    said = refused(world, "apiVersion: apps/v1\nkind: Pod\nmetadata: {name: a}")

    assert "apiVersion 'apps/v1' is not one of its: write v1" in said


def test_all_slips_of_all_documents_are_told_at_once(world: World) -> None:
    said = refused(
        world,
        """
apiVersion: v1
kind: Service
metadata: {name: one}
spec: {selectr: {app: a}, ports: [{port: http}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: two}
spec: {mtls: {mode: STRIKT}}
""",
    )

    assert "Service default/one: spec.selectr: no such field: did you mean selector?" in said
    assert "spec.ports[0].port: must be a port number" in said
    assert "PeerAuthentication default/two: spec.mtls.mode: must be one of" in said


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("nodeName: node-9", "spec.nodeName: there is no Node node-9"),
        (
            "serviceAccountName: nobody",
            "spec.serviceAccountName: there is no ServiceAccount default/nobody",
        ),
        (
            "volumes: [{name: v, configMap: {name: gone}}]",
            "spec.volumes[0].configMap.name: there is no ConfigMap default/gone",
        ),
    ],
)
def test_a_dangling_reference_is_named(world: World, change: str, sentence: str) -> None:
    assert sentence in refused(world, POD.replace("{containers", f"{{{change}, containers"))


def test_a_missing_namespace_is_named(world: World) -> None:
    said = refused(world, POD.replace("name: a}", "name: a, namespace: nowhere}", 1))

    assert "metadata.namespace: there is no namespace nowhere" in said


def test_a_reference_to_something_in_the_same_stream_is_fine(world: World) -> None:
    world.apply(SHOP)

    assert world.objects.find("Service", "shop", "web")


@pytest.mark.parametrize(
    ("container", "sentence"),
    [
        ("{name: a, image: nginx}", "command: is missing: the lab has no images but"),
        (
            "{name: a, image: sluice/echo, volumeMounts: [{name: v, mountPath: /v}]}",
            "no volume 'v' in this pod",
        ),
    ],
)
def test_a_container_that_cannot_run_is_refused(
    world: World, container: str, sentence: str
) -> None:
    assert sentence in refused(world, POD.replace("{name: a, image: sluice/echo}", container))


@pytest.mark.parametrize(
    "image",
    [
        "sluice/echo",
        "sluice/echo:1",
        "gcr.io/k8s-staging-gateway-api/echo-basic:v2025",
        "localhost:5000/my-echo-basic@sha256:00",
        "docker.io/istio/echo-advanced:1",
    ],
)
def test_an_echo_image_is_known_in_any_registry(world: World, image: str) -> None:
    world.apply(POD.replace("sluice/echo", f"'{image}'"))


def test_a_name_that_cannot_be_is_refused(world: World) -> None:
    assert "metadata.name: must be" in refused(world, POD.replace("name: a}", "name: A_b}", 1))


def test_the_same_object_twice_in_one_call_is_refused(world: World) -> None:
    assert "stands twice" in refused(world, f"{POD}---{POD}")


def test_a_pod_that_runs_keeps_its_spec(world: World) -> None:
    world.apply(POD)

    assert "delete the pod first" in refused(world, POD.replace("sluice/echo", "x/echo-basic"))
    assert world.apply(POD) == []


def test_a_deployment_must_select_its_own_pods(world: World) -> None:
    said = refused(world, SHOP.replace("matchLabels: {app: web}", "matchLabels: {app: other}"))

    assert "spec.selector: must match the template's labels; add there: app: other" in said


def test_a_node_can_be_labelled_and_none_can_be_made(world: World) -> None:
    node = "apiVersion: v1\nkind: Node\nmetadata: {name: %s, labels: {zone: a}}"
    world.apply(node % "node-1")

    found = world.objects.find("Node", "", "node-1")
    assert found
    assert found.labels["zone"] == "a"
    assert found.labels["kubernetes.io/hostname"] == "node-1"
    assert "the lab has node-1, node-2" in refused(world, node % "node-3")


def test_what_the_manifest_no_longer_says_goes(world: World) -> None:
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: n%s}"
    world.apply(namespace % ", labels: {istio.io/dataplane-mode: ambient}")
    world.apply(namespace % "")

    found = world.objects.find("Namespace", "", "n")
    assert found
    assert found.labels == {"kubernetes.io/metadata.name": "n"}


def test_a_namespace_that_is_going_takes_nothing_new(world: World) -> None:
    world.apply(SHOP)
    pod = POD.replace("name: a}", "name: a, namespace: shop}", 1)
    namespace = world.objects.find("Namespace", "", "shop")
    assert namespace
    world.controllers.remove(namespace.key)

    assert "is going" in refused(world, pod)
