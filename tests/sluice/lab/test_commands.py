"""The commands on a lab that runs, without the programs of the mesh."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from tests.sluice.lab.labs import COMMAND, Lab, running

pytestmark = [pytest.mark.netns, pytest.mark.slow]

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: words, namespace: shop}
data: {greeting: hello, other: x}
---
apiVersion: v1
kind: Pod
metadata: {name: front, namespace: shop, labels: {app: front}}
spec:
  nodeName: node-1
  containers:
  - name: app
    image: none
    command: [sh, -c, "cat /var/lab-words/g.txt; exec sleep 987654"]
    env: [{name: WHERE, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    volumeMounts: [{name: w, mountPath: /var/lab-words}]
  volumes: [{name: w, configMap: {name: words, items: [{key: greeting, path: g.txt}]}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: stock, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: stock}}
  template:
    metadata: {labels: {app: stock}}
    spec:
      nodeSelector: {kubernetes.io/hostname: node-2}
      containers: [{name: app, image: sluice/echo, ports: [{name: web, containerPort: 3000}]}]
---
apiVersion: v1
kind: Service
metadata: {name: stock, namespace: shop}
spec:
  selector: {app: stock}
  ipFamilyPolicy: PreferDualStack
  ports: [{name: http, port: 80, targetPort: web}]
---
apiVersion: v1
kind: Service
metadata: {name: empty, namespace: shop}
spec: {ports: [{port: 80}]}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec: {restartPolicy: %s, containers: [{name: a, image: none, command: [%s]}]}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    manifest = tmp_path_factory.mktemp("lab") / "shop.yaml"
    manifest.write_text(SHOP)
    with running("commands", manifest) as made:
        yield made


def wait_until(holds: Callable[[], bool]) -> None:
    """Look again and again: processes that end tell nobody here."""
    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends
        Event().wait(0.05)


def test_a_pod_reaches_a_service_by_its_name_in_both_families(lab: Lab) -> None:
    for family in ("-4", "-6"):
        answer = lab.must("exec", "shop/front", "--", "curl", family, "-sS", "http://stock/hi")
        found = json.loads(answer)
        assert found["path"] == "/hi"
        assert found["pod"].startswith("stock-")


@pytest.mark.parametrize("place", ["node-1", "node-2", "shop/deploy/stock"])
def test_everywhere_in_the_cluster_services_have_names(lab: Lab, place: str) -> None:
    url = "http://stock.shop.svc.cluster.local"
    assert json.loads(lab.must("exec", place, "--", "curl", "-sS", url))["namespace"] == "shop"


def test_a_client_outside_of_the_nodes_reaches_pods(lab: Lab) -> None:
    pods = json.loads(lab.must("get", "pods", "-o", "json"))["items"]
    ips = [pod["status"]["podIP"] for pod in pods if pod["metadata"]["name"] != "front"]

    for ip in ips:
        url = f"http://{ip}:3000/"
        assert lab.must("exec", "external", "--", "curl", "-sS", url)


def test_a_service_without_endpoints_refuses_at_once(lab: Lab) -> None:
    done = lab.run("exec", "shop/front", "--", "curl", "-sS", "--max-time", "3", "http://empty")

    assert done.returncode == 7, done.stderr


def test_a_name_that_nobody_has_is_not_resolved(lab: Lab) -> None:
    done = lab.run("exec", "shop/front", "--", "curl", "-sS", "http://nobody.shop")

    assert done.returncode == 6, done.stderr


def test_exec_passes_input_output_and_the_exit_code_on(lab: Lab) -> None:
    done = lab.run("exec", "shop/front", "--", "sh", "-c", "cat; echo word >&2; exit 7", given="in")

    assert (done.returncode, done.stdout, done.stderr) == (7, "in", "word\n")


def test_exec_takes_its_own_options_before_the_dashes_and_leaves_the_others(lab: Lab) -> None:
    words = [*COMMAND, "exec", "node-1", "--name", lab.name, "--", "echo", "--name", "-n", "--"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)

    assert done.stdout == "--name -n --\n"


def test_logs_can_be_followed(lab: Lab) -> None:
    words = [*COMMAND, "logs", "--name", lab.name, "-f", "shop/front"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as following:
        assert following.stdout is not None
        assert following.stdout.read(5) == b"hello"
        assert following.poll() is None
        following.kill()


def test_exec_sees_what_the_container_sees(lab: Lab) -> None:
    told = lab.must("exec", "shop/front", "--", "sh", "-c", "cat /var/lab-words/*; echo $WHERE")

    assert told == "hello10.244.1.2\n"
    assert lab.must("logs", "shop/front") == "hello"


@pytest.mark.parametrize("place", ["shop/nobody", "shop/deploy/nobody", "node-9", "a/b/c"])
def test_exec_in_a_place_that_is_not_there_says_so(lab: Lab, place: str) -> None:
    done = lab.run("exec", place, "--", "true")

    assert done.returncode == 1
    assert place.rpartition("/")[2] in done.stderr


def test_exec_of_a_command_that_is_not_there_says_so(lab: Lab) -> None:
    done = lab.run("exec", "node-1", "--", "no-such-program")

    assert done.returncode == 127
    assert "no-such-program" in done.stderr


def test_logs_have_every_line_since_the_start(lab: Lab) -> None:
    lab.must("exec", "shop/front", "--", "curl", "-sS", "http://stock/logged")
    pods = lab.must("get", "pods", "-o", "name").split()
    logs = [lab.must("logs", f"shop/{pod.partition('/')[2]}") for pod in pods]

    assert sum("Echoing back request made to /logged" in log for log in logs) == 1
    assert lab.run("logs", "shop/nobody").returncode == 1


def test_get_knows_kinds_names_and_what_is_absent(lab: Lab) -> None:
    assert lab.get("po", "shop/front")["kind"] == "Pod"
    assert lab.get("namespaces", "shop")["kind"] == "Namespace"
    assert lab.get("peerauthentications")["items"] == []
    assert "NAMESPACE" in lab.must("get", "services")
    assert "kind: Service" in lab.must("get", "svc", "shop/stock", "-o", "yaml")
    assert lab.run("get", "pod", "shop/nobody").returncode == 1
    assert "write a WorkloadEntry" in lab.run("get", "workloadgroups").stderr


def test_status_shows_nodes_and_pods(lab: Lab) -> None:
    status = json.loads(lab.must("status", "-o", "json"))

    assert [node["name"] for node in status["nodes"]] == ["node-1", "node-2"]
    front = next(pod for pod in status["pods"] if pod["name"] == "front")
    assert (front["ip"], front["node"], front["ready"]) == ("10.244.1.2", "node-1", True)
    assert "front" in lab.must("status")


def test_a_container_that_dies_is_started_again(lab: Lab) -> None:
    before = lab.must("exec", "shop/front", "--", "pgrep", "-f", "sleep 987654").split()
    os.kill(int(before[0]), signal.SIGKILL)

    def is_back() -> bool:
        statuses = lab.get("pod", "shop/front")["status"]
        return '"restartCount": 1' in json.dumps(statuses) and '"running"' in json.dumps(statuses)

    wait_until(is_back)


@pytest.mark.parametrize(
    ("policy", "command", "phase"),
    [("Never", "'false'", "Failed"), ("OnFailure", "'true'", "Succeeded")],
)
def test_a_pod_that_is_to_end_ends(lab: Lab, policy: str, command: str, phase: str) -> None:
    name = f"ends-{phase.lower()}"
    lab.apply(POD % (name, policy, command))

    wait_until(lambda: f'"phase": "{phase}"' in json.dumps(lab.get("pod", f"default/{name}")))
    lab.must("delete", "pod", f"default/{name}")


def test_a_pod_that_cannot_run_does_not_hold_apply_up_and_says_why(lab: Lab) -> None:
    lab.apply(POD % ("broken", "Always", "no-such-program"))

    assert "no-such-program" in json.dumps(lab.get("pod", "default/broken"))
    lab.must("delete", "pod", "default/broken")


def test_a_probe_decides_whether_a_pod_is_ready(lab: Lab) -> None:
    probe = "readinessProbe: {httpGet: {path: /status/%s, port: 3000}}"
    pod = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: probed}\n"
        "spec: {containers: [{name: a, image: sluice/echo, %s}]}"
    )
    done = lab.run("apply", "--timeout", "1", "-f", "-", given=pod % (probe % 500))
    assert done.returncode == 3
    assert "readiness probe" in done.stderr
    assert lab.run("apply", "-f", "-", given=SHOP).returncode == 0
    lab.must("delete", "pod", "probed")

    lab.apply(pod % (probe % 200))
    lab.must("delete", "pod", "default/probed")


def test_delete_takes_a_namespace_with_all_that_it_holds(lab: Lab) -> None:
    lab.apply(SHOP.replace("shop", "later"))
    assert len(list(Path("/run/netns").glob("sluice-commands-pod.later.*"))) == 3

    lab.must("delete", "namespace", "later")

    assert lab.run("get", "ns", "later").returncode == 1
    assert "later" not in lab.must("get", "pods")
    assert list(Path("/run/netns").glob("sluice-commands-pod.later.*")) == []
    assert lab.run("delete", "-f", "-", given=SHOP.replace("shop", "later")).returncode == 0


def test_what_the_lab_itself_needs_is_not_deleted(lab: Lab) -> None:
    for words in (("ns", "kube-system"), ("node", "node-1")):
        done = lab.run("delete", *words)
        assert done.returncode == 1
        assert "the lab itself needs it" in done.stderr


def test_bad_manifests_are_refused_with_their_mend(lab: Lab) -> None:
    done = lab.run("apply", "-f", "-", given="a: b: c")
    assert done.returncode == 1
    assert "stdin, document 1" in done.stderr
    done = lab.run("apply", "-f", "/nowhere.yaml")
    assert done.returncode == 1
    assert "/nowhere.yaml: cannot be read (No such file or directory): name a" in done.stderr


def test_up_again_adds_manifests_and_keeps_what_runs(lab: Lab, tmp_path: Path) -> None:
    more = tmp_path / "more.yaml"
    more.write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: more}")
    lab.must("up", "-f", str(more))

    assert lab.get("ns", "more")
    assert lab.get("pod", "shop/front")
    done = lab.run("up", "--nodes", "3")
    assert done.returncode == 1
    assert "`sluice lab down` first" in done.stderr


def test_wrong_use_is_exit_code_two(lab: Lab) -> None:
    assert lab.run("delete").returncode == 2
    assert lab.run("apply").returncode == 2
    assert lab.run("get").returncode == 2
    assert lab.run("up", "--nodes", "0").returncode == 2
    assert lab.run("status", "--name", "A/B").returncode == 2


def test_a_pod_of_the_nodes_network_and_one_with_a_first_container_run(lab: Lab) -> None:
    lab.apply(
        """
apiVersion: v1
kind: Pod
metadata: {name: on-node}
spec: {hostNetwork: true, nodeName: node-2, containers: [{name: a, image: sluice/echo}]}
---
apiVersion: v1
kind: Pod
metadata: {name: second}
spec:
  initContainers:
  - name: first
    image: none
    command: [sh, -c, "echo made >/tmp/lab-v/file"]
    volumeMounts: [&v {name: v, mountPath: /tmp/lab-v}]
  containers:
  - {name: a, image: none, command: [sh, -c, "cat /tmp/lab-v/file; sleep 1000"], volumeMounts: [*v]}
  volumes: [{name: v, emptyDir: {}}]
"""
    )

    told = lab.must("exec", "external", "--", "curl", "-sS", "http://172.30.0.2:3000/")
    assert json.loads(told)["pod"] == "on-node"
    wait_until(lambda: lab.must("logs", "default/second") == "made\n")
    lab.must("delete", "pod", "default/on-node", "default/second")
    done = lab.run("exec", "node-2", "--", "curl", "-sS", "http://127.0.0.1:3000/")
    assert done.returncode == 7
