"""What the controllers make of what users want."""

from pathlib import Path

import pytest

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject
from sluice.lab.objects import is_leaving, node_of
from tests.sluice.lab.worlds import SHOP, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.apply(SHOP)
    return made


def staying(world: World) -> list[KubernetesObject]:
    return [pod for pod in world.objects.of("Pod", "shop") if not is_leaving(pod)]


def endpoints(world: World) -> list[Json]:
    return world.only("EndpointSlice", "shop").root.items("endpoints")


def test_a_deployment_gives_pods_that_are_spread_over_the_nodes(world: World) -> None:
    pods = world.objects.of("Pod", "shop")

    assert sorted(node_of(pod) for pod in pods) == ["node-1", "node-2"]
    for pod in pods:
        owner, digest, _ = pod.key.name.rsplit("-", 2)
        assert owner == "web"
        assert pod.labels == {"app": "web", "pod-template-hash": digest}
        assert pod.get("metadata", "ownerReferences", 0, "name") == f"web-{digest}"
        assert pod.get("metadata", "generateName") == f"web-{digest}-"


def test_a_deployment_that_shrinks_keeps_the_pods_that_are_ready(world: World) -> None:
    ready, _ = staying(world)
    world.run(ready, 2)

    world.apply(SHOP.replace("replicas: 2", "replicas: 1"))

    assert [pod.key for pod in staying(world)] == [ready.key]


OTHER = SHOP.replace("image: sluice/echo", "image: x/echo-basic")


def test_another_template_gives_other_pods_each_when_its_successor_is_ready(world: World) -> None:
    before = staying(world)
    for pod in before:
        world.run(pod, 2)

    world.apply(OTHER)

    assert len(staying(world)) == 4
    first, second = (pod for pod in staying(world) if pod.key not in {p.key for p in before})
    world.run(first, 3)
    assert len(staying(world)) == 3
    world.run(second, 4)
    assert {pod.key for pod in staying(world)} == {first.key, second.key}


def test_a_template_that_is_given_up_leaves_the_pods_that_were_there(world: World) -> None:
    before = staying(world)
    for pod in before:
        world.run(pod, 2)
    world.apply(OTHER)
    assert len(staying(world)) == 4

    world.apply(SHOP)

    assert [pod.key for pod in staying(world)] == [pod.key for pod in before]


def test_the_strategy_recreate_lets_all_go_at_once(world: World) -> None:
    before = {pod.key for pod in staying(world)}

    world.apply(OTHER.replace("replicas: 2", "replicas: 2\n  strategy: {type: Recreate}"))

    assert len(staying(world)) == 2
    assert before.isdisjoint(pod.key for pod in staying(world))


def test_a_deployment_takes_its_pods_with_it(world: World) -> None:
    world.controllers.remove(world.only("Deployment", "shop").key)
    world.controllers.settle()

    assert staying(world) == []


def test_a_status_counts_the_ready_pods(world: World) -> None:
    world.run(staying(world)[0], 2)

    status = world.only("Deployment", "shop").at("status")
    assert status.number("replicas") == 2
    assert status.number("readyReplicas") == 1
    assert status.number("observedGeneration") == 1


def test_endpoints_have_the_number_of_a_named_port_and_who_they_are(world: World) -> None:
    pod = staying(world)[0]
    world.run(pod, 2)

    found = world.only("EndpointSlice", "shop")
    assert found.root.items("ports") == [{"name": "http", "port": 3000, "protocol": "TCP"}]
    (endpoint,) = found.root.parts("endpoints")
    assert endpoint.texts("addresses") == ["10.244.1.2"]
    assert endpoint.at("conditions").flag("ready")
    assert endpoint.at("targetRef").text("uid") == pod.uid


def test_a_pod_that_is_not_ready_is_an_endpoint_that_is_not_ready(world: World) -> None:
    world.run(staying(world)[0], 2, is_ready=False)

    (endpoint,) = world.only("EndpointSlice", "shop").root.parts("endpoints")
    assert not endpoint.at("conditions").flag("ready", default=True)


def test_a_pod_that_goes_is_not_ready_any_more(world: World) -> None:
    pod = staying(world)[0]
    world.run(pod, 2)
    world.store.begin_removal(pod.key)
    world.controllers.settle()

    (endpoint,) = world.only("EndpointSlice", "shop").root.parts("endpoints")
    assert endpoint.at("conditions").body == {"ready": False, "serving": True, "terminating": True}


def test_a_service_that_goes_takes_its_slices_with_it(world: World) -> None:
    world.controllers.remove(world.only("Service", "shop").key)
    world.controllers.settle()

    assert world.objects.of("EndpointSlice", "shop") == []


def test_a_namespace_goes_last_with_all_that_it_holds(world: World) -> None:
    namespace = world.objects.find("Namespace", "", "shop")
    assert namespace
    world.controllers.remove(namespace.key)
    world.controllers.settle()

    assert world.objects.of("Service", "shop") == []
    assert world.objects.get(namespace.key) is not None
    world.store.remove(pod.key for pod in world.objects.of("Pod", "shop"))
    world.controllers.settle()

    assert world.objects.inside("shop") == []
    assert world.objects.get(namespace.key) is None


def test_a_pod_that_no_node_suits_waits(world: World) -> None:
    world.apply("""
apiVersion: v1
kind: Pod
metadata: {name: picky}
spec: {nodeSelector: {disk: fast}, containers: [{name: a, image: sluice/echo}]}
""")
    assert node_of(world.only("Pod", "default")) == ""

    world.apply("apiVersion: v1\nkind: Node\nmetadata: {name: node-2, labels: {disk: fast}}")

    assert node_of(world.only("Pod", "default")) == "node-2"
