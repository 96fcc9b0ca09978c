"""A node's life with the real agent, the real plugin, and real rules in real namespaces."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from mesh.runtime.netns import inside, remove_netns
from mesh.wire import zds
from tests.cni.node import AMBIENT, RESULT, Node, Proxy, TestPod, surroundings, until

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _nothing_leaks() -> Iterator[None]:
    """The namespace in which agent, plugin and proxy run is as it was, whatever they did."""
    before = surroundings()
    yield
    assert surroundings() == before


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    made.conflist.parent.mkdir(parents=True)
    made.conflist.write_text(
        json.dumps({"cniVersion": "1.0.0", "name": "test", "plugins": [{"type": "bridge"}]})
    )
    made.put_namespace("shop", AMBIENT)
    made.start()
    yield made
    made.kill(signal.SIGTERM)


@pytest.fixture
def pod() -> Iterator[TestPod]:
    made = TestPod("front")
    os.close(made.make())
    yield made
    made.unmake()


@pytest.fixture
async def ready(node: Node) -> Node:
    """The node, once its agent has installed everything."""
    await until(lambda: node.plugin.exists() and "sluice-cni" in node.conflist.read_text())
    return node


@pytest.fixture
async def proxy(ready: Node, nursery: trio.Nursery) -> Proxy:
    made = Proxy(ready.zds_socket)
    await nursery.start(made.serve)
    return made


async def test_a_pod_of_a_labelled_namespace_is_enrolled_before_it_starts(
    ready: Node, proxy: Proxy, pod: TestPod
) -> None:
    ready.put_pod(pod)

    assert await ready.runs(pod, "ADD") == (0, RESULT)

    status = pod.path.stat()
    assert proxy.pods == {pod.uid: (status.st_dev, status.st_ino)}
    assert zds.AddPod(zds.PodInfo(pod.uid, "front", "shop", "web")) in proxy.heard
    assert pod.is_captured
    assert ready.annotation(pod) == "enabled"
    assert await ready.runs(pod, "ADD") == (0, RESULT)
    assert await ready.runs(pod, "CHECK") == (0, {})
    assert await ready.runs(pod, "STATUS") == (0, {})


async def test_without_a_proxy_a_new_pod_waits_and_nothing_stays_behind(
    ready: Node, pod: TestPod
) -> None:
    ready.put_pod(pod)

    code, answer = await ready.runs(pod, "ADD")

    assert (code, answer["code"]) == (1, 11)
    assert "is ztunnel running" in str(answer["msg"])
    assert pod.rules() == []
    assert ready.records() == ""
    assert (await ready.runs(pod, "STATUS"))[1]["code"] == 50


async def test_a_pod_that_the_proxy_refuses_waits_and_nothing_stays_behind(
    ready: Node, proxy: Proxy, pod: TestPod
) -> None:
    proxy.refusal = "port 15008 is taken in the pod"
    ready.put_pod(pod)

    code, answer = await ready.runs(pod, "ADD")

    assert code == 1
    assert "port 15008 is taken" in str(answer["msg"])
    assert pod.rules() == []
    assert ready.annotation(pod) == ""
    assert isinstance(proxy.heard[-1], zds.DelPod)


async def test_without_the_agent_only_excluded_namespaces_start(ready: Node, pod: TestPod) -> None:
    ready.kill()

    code, answer = await ready.runs(pod, "ADD")

    assert (code, answer["code"]) == (1, 11)
    assert "start sluice-cni-agent" in str(answer["msg"])
    for namespace in ("kube-system", "istio-system", "sluice-system"):
        excluded = TestPod("front", namespace)
        assert await ready.runs(excluded, "ADD") == (0, RESULT)
    assert await ready.runs(pod, "DEL") == (0, {})


async def test_a_pod_outside_the_mesh_is_left_alone_and_followed_when_it_is_labelled(
    ready: Node, proxy: Proxy, pod: TestPod
) -> None:
    ready.put_namespace("shop", {})
    ready.put_pod(pod)
    assert await ready.runs(pod, "ADD") == (0, RESULT)
    assert pod.rules() == []
    assert proxy.pods == {}

    ready.put_namespace("shop", AMBIENT)

    await until(lambda: ready.annotation(pod) == "enabled")
    assert pod.is_captured
    assert pod.uid in proxy.pods


async def test_labels_come_and_go_and_cut_no_connection(
    ready: Node, proxy: Proxy, pod: TestPod
) -> None:
    del proxy
    ready.put_namespace("shop", {})
    ready.put_pod(pod)
    await ready.runs(pod, "ADD")
    with connected(pod) as ends:
        ready.put_namespace("shop", AMBIENT)
        await until(lambda: ready.annotation(pod) == "enabled")
        assert carry(ends)

        ready.put_namespace("shop", {})
        await until(lambda: not pod.is_captured)
        assert ready.annotation(pod) == ""
        assert carry(ends)

        ready.put_namespace("shop", AMBIENT)
        await until(lambda: ready.annotation(pod) == "enabled")
        assert pod.is_captured
        assert carry(ends)


async def test_a_freed_pod_has_nothing_of_ours_left(
    ready: Node, proxy: Proxy, pod: TestPod
) -> None:
    ready.put_pod(pod)
    await ready.runs(pod, "ADD")

    ready.put_namespace("shop", {})

    await until(lambda: not pod.rules() and not proxy.pods)
    await until(lambda: '"phase": "free"' in ready.records())
    assert ready.annotation(pod) == ""


async def test_earlier_connections_end_when_plain_text_is_refused(
    ready: Node, proxy: Proxy, pod: TestPod
) -> None:
    del proxy
    ready.put_namespace("shop", {})
    ready.put_pod(pod)
    await ready.runs(pod, "ADD")
    with connected(pod) as ends:
        ready.put_namespace("shop", AMBIENT)
        await until(lambda: ready.annotation(pod) == "enabled")
        assert carry(ends)

        ready.put("PeerAuthentication", "shop", "all", {"spec": {"mtls": {"mode": "STRICT"}}})
        await until(lambda: "connections from before are ended" in ready.said())

        outbound, inbound = ends
        assert carry([outbound])
        assert not carry([inbound])


async def test_a_proxied_connection_keeps_a_freed_pod_served_until_it_ends(
    ready: Node, proxy: Proxy, pod: TestPod
) -> None:
    ready.put_pod(pod)
    await ready.runs(pod, "ADD")
    server = socket.create_server((pod.node_ip, 0))
    netns = os.open(pod.path, os.O_RDONLY)
    with inside(netns):
        listening = socket.create_server(("", 15001))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x539)
        client = socket.create_connection(server.getsockname())
    os.close(netns)
    captured, _ = listening.accept()
    with server, listening, client, captured:
        ready.put_namespace("shop", {})
        await until(lambda: not pod.is_captured)
        await trio.sleep(2.5)  # longer than any freed pod stays served

        assert carry([(client, captured)])
        assert pod.uid in proxy.pods
    await until(lambda: not pod.rules() and not proxy.pods)


async def test_drift_is_mended(ready: Node, proxy: Proxy, pod: TestPod) -> None:
    del proxy
    ready.put_pod(pod)
    await ready.runs(pod, "ADD")
    before = pod.rules()
    pod.spoil("-t", "nat", "-F", "ISTIO_OUTPUT")
    assert pod.rules() != before

    await until(lambda: pod.rules() == before, 12)

    assert "was not captured any more: mended" in ready.said()


async def test_pods_go_on_without_the_agent_and_its_successor_knows_them(
    ready: Node, proxy: Proxy, pod: TestPod, nursery: trio.Nursery
) -> None:
    ready.put_pod(pod)
    await ready.runs(pod, "ADD")
    held = dict(proxy.pods)
    ready.kill()
    assert pod.is_captured
    assert ready.annotation(pod) == "enabled"

    ready.start()
    again = Proxy(ready.zds_socket)
    await until(lambda: "agent of n1" in ready.said().rpartition("pods stay")[2])
    await until(ready.zds_socket.exists)
    with trio.fail_after(8):
        while True:
            try:
                await nursery.start(again.serve)
                break
            except OSError:
                await trio.sleep(0.05)

    assert again.pods == held
    assert isinstance(again.heard[-1], zds.SnapshotSent)
    assert await ready.runs(pod, "CHECK") == (0, {})


async def test_a_pod_that_goes_is_forgotten_everywhere(
    ready: Node, proxy: Proxy, pod: TestPod
) -> None:
    ready.put_pod(pod)
    await ready.runs(pod, "ADD")

    assert await ready.runs(pod, "DEL") == (0, {})

    assert proxy.pods == {}
    assert ready.annotation(pod) == ""
    assert ready.records() == ""
    assert await ready.runs(pod, "DEL") == (0, {})


async def test_a_pod_whose_object_goes_is_forgotten(
    ready: Node, proxy: Proxy, pod: TestPod
) -> None:
    ready.put_pod(pod)
    await ready.runs(pod, "ADD")

    ready.remove("Pod", "shop", "front")

    await until(lambda: not proxy.pods)
    await until(lambda: not ready.records())


async def test_a_broken_manifest_costs_no_pod_its_place(
    ready: Node, proxy: Proxy, pod: TestPod
) -> None:
    ready.put_pod(pod)
    await ready.runs(pod, "ADD")

    (ready.manifests / "broken.yaml").write_text("kind: [")
    ready.remove("Pod", "shop", "front")
    await until(lambda: "broken.yaml" in ready.said())
    (ready.manifests / "broken.yaml").unlink()

    await until(lambda: not proxy.pods)


async def test_a_namespace_that_is_not_there_is_a_clear_error(ready: Node, proxy: Proxy) -> None:
    del proxy
    ghost = TestPod("ghost")
    ready.put_pod(ghost)

    code, answer = await ready.runs(ghost, "ADD")

    assert (code, answer["code"]) == (1, 11)
    assert str(ghost.path) in str(answer["msg"])
    assert "No such file" in str(answer["msg"])
    assert ready.records() == ""


async def test_a_namespace_that_vanishes_in_the_middle_is_a_clear_error(
    ready: Node, proxy: Proxy, pod: TestPod
) -> None:
    ready.put_pod(pod)
    proxy.on_add = lambda: remove_netns(pod.path)

    code, answer = await ready.runs(pod, "ADD")

    assert (code, answer["code"]) == (1, 11)
    assert str(pod.path) in str(answer["msg"])
    assert proxy.pods == {}
    assert ready.records() == ""
    assert ready.annotation(pod) == ""


async def test_a_pod_that_is_in_no_manifest_waits(ready: Node, proxy: Proxy, pod: TestPod) -> None:
    del proxy
    ready.put_pod(pod)
    namesake = TestPod("front")
    namesake.uid_suffix = "-of-an-earlier-one"

    code, answer = await ready.runs(namesake, "ADD")

    assert (code, answer["code"]) == (1, 11)
    assert "pod shop/front is not in" in str(answer["msg"])


async def test_a_running_pod_is_told_to_wait_for_a_proxy_and_no_longer_when_freed(
    ready: Node, pod: TestPod, nursery: trio.Nursery
) -> None:
    ready.put_namespace("shop", {})
    ready.put_pod(pod)
    await ready.runs(pod, "ADD")

    ready.put_namespace("shop", AMBIENT)
    await until(lambda: ready.annotation(pod) == "pending")
    assert pod.rules() == []
    ready.put_namespace("shop", {})
    await until(lambda: ready.annotation(pod) == "")
    ready.put_namespace("shop", AMBIENT)
    await until(lambda: ready.annotation(pod) == "pending")

    await nursery.start(Proxy(ready.zds_socket).serve)
    await until(lambda: ready.annotation(pod) == "enabled")
    assert pod.is_captured


async def test_the_plugin_s_files_come_back(ready: Node) -> None:
    ready.plugin.unlink()
    await until(ready.plugin.exists)

    ready.conflist.write_text(json.dumps({"name": "test", "plugins": [{"type": "other"}]}))
    await until(lambda: "sluice-cni" in ready.conflist.read_text())

    listed = json.loads(ready.conflist.read_text())
    assert [each["type"] for each in listed["plugins"]] == ["other", "sluice-cni"]


async def test_the_agent_ends_when_asked_and_a_second_one_is_refused(ready: Node) -> None:
    first = ready.agent
    ready.start()
    second, ready.agent = ready.agent, first
    assert second is not None
    assert second.wait(10) == 1
    assert "another agent uses it" in ready.said()

    assert ready.kill(signal.SIGTERM) == 0
    assert not ready.doorbell.exists()


async def test_a_taken_status_port_is_told_and_costs_no_pod(
    node: Node, pod: TestPod, nursery: trio.Nursery
) -> None:
    node.kill()
    with socket.create_server(("", 15022)):
        node.start()
        await until(lambda: "free the port or choose another" in node.said())
        await until(lambda: node.doorbell.exists() and "sluice-cni" in node.conflist.read_text())
        await nursery.start(Proxy(node.zds_socket).serve)
        node.put_pod(pod)

        assert await node.runs(pod, "ADD") == (0, RESULT)


async def test_what_it_counts_can_be_read(ready: Node, proxy: Proxy, pod: TestPod) -> None:
    del proxy
    ready.put_pod(pod)
    await until(lambda: "unprotected_pods 1.0" in page())
    await ready.runs(pod, "ADD")

    await until(lambda: "enrolled_pods 1.0" in page())

    assert "ztunnel_connected 1.0" in page()
    assert "unprotected_pods 0.0" in page()
    assert 'nodeagent_reconcile_events_total{type="enrolled"} 1.0' in page()


def page() -> str:
    with socket.create_connection(("127.0.0.1", 15022)) as asking:
        asking.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        octets = b""
        while more := asking.recv(65536):
            octets += more
    return octets.decode()


Ends = list[tuple[socket.socket, socket.socket]]


def connected(pod: TestPod) -> "Connections":
    return Connections(pod)


class Connections:
    """A connection that the pod opened, and one that it accepted."""

    def __init__(self, pod: TestPod) -> None:
        out_server = socket.create_server((pod.node_ip, 0))
        netns = os.open(pod.path, os.O_RDONLY)
        with inside(netns):
            in_server = socket.create_server((pod.ip, 0))
            out_client = socket.create_connection(out_server.getsockname())
        os.close(netns)
        in_client = socket.create_connection(in_server.getsockname())
        self.listening = [out_server, in_server]
        self.ends = [
            (out_client, out_server.accept()[0]),
            (in_client, in_server.accept()[0]),
        ]

    def __enter__(self) -> Ends:
        return self.ends

    def __exit__(self, *_: object) -> None:
        for each in (*self.listening, *(end for pair in self.ends for end in pair)):
            each.close()


def carry(ends: Ends) -> bool:
    """Whether octets pass both ways on all."""
    for pair in ends:
        for sender, receiver in (pair, pair[::-1]):
            receiver.settimeout(1)
            try:
                sender.sendall(b"ping")
                if receiver.recv(4) != b"ping":
                    return False
            except OSError:
                return False
    return True
