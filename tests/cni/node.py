"""A node for tests: its folders, its manifests, a pod, the real agent, and the real plugin."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.redirection.rules import Family
from mesh.runtime.firewall import saved_rules
from mesh.runtime.manifests import ManifestFolder
from mesh.runtime.manifests_write import remove_object, write_generation, write_object
from mesh.runtime.netlink_wiring import wire
from mesh.runtime.netns import create_netns, inside, open_netns, remove_netns
from mesh.wire import zds

AMBIENT = {"istio.io/dataplane-mode": "ambient"}
RESULT: dict[str, Json] = {"cniVersion": "1.0.0", "ips": [{"address": "10.79.0.2/24"}]}


@dataclass
class TestPod:
    """A pod's namespace, with a cable to this one."""

    __test__ = False
    name: str
    namespace: str = "shop"
    number: int = 2
    uid_suffix: str = ""

    @property
    def path(self) -> Path:
        return Path(f"/run/netns/test-cni-{self.name}")

    @property
    def uid(self) -> str:
        return f"uid-{self.name}{self.uid_suffix}"

    @property
    def ip(self) -> str:
        return f"10.79.{self.number}.2"

    @property
    def node_ip(self) -> str:
        return f"10.79.{self.number}.1"

    def make(self) -> int:
        """Its namespace's descriptor; the loopback is left down, as a bare runtime does."""
        create_netns(self.path)
        netns = open_netns(self.path)
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        cable = f"tcni-{self.number}"
        wire(here, lambda wiring: wiring.veth(cable, "eth0", netns))
        wire(here, lambda wiring: wiring.address(cable, f"{self.node_ip}/24"))
        wire(netns, lambda wiring: wiring.up("eth0"))
        wire(netns, lambda wiring: wiring.address("eth0", f"{self.ip}/24"))
        os.close(here)
        return netns

    def unmake(self) -> None:
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        wire(here, lambda wiring: wiring.remove(f"tcni-{self.number}"))
        os.close(here)
        remove_netns(self.path)

    def rules(self) -> list[str]:
        netns = open_netns(self.path)
        try:
            text = "".join(saved_rules(netns, family) for family in Family)
        finally:
            os.close(netns)
        return [line for line in text.splitlines() if line.startswith("-A")]

    def spoil(self, *words: str) -> None:
        """Run iptables in it."""
        netns = open_netns(self.path)
        with inside(netns):
            child = subprocess.Popen(["/usr/sbin/iptables-nft", *words])
        os.close(netns)
        if child.wait():
            raise ChildProcessError

    @property
    def is_captured(self) -> bool:
        return any("15001" in line for line in self.rules())


@dataclass
class Node:
    """One node."""

    folder: Path
    generation: int = 0
    agent: subprocess.Popen[bytes] | None = None

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests"

    @property
    def zds_socket(self) -> Path:
        return self.folder / "zds.sock"

    @property
    def doorbell(self) -> Path:
        return self.folder / "run" / "pluginevent.sock"

    @property
    def plugin(self) -> Path:
        return self.folder / "bin" / "sluice-cni"

    @property
    def conflist(self) -> Path:
        return self.folder / "net.d" / "10-test.conflist"

    def put(self, kind: str, namespace: str, name: str, body: Mapping[str, Json]) -> None:
        """Write an object."""
        metadata = body.get("metadata")
        given = metadata if isinstance(metadata, dict) else {}
        named: dict[str, Json] = {"name": name, "namespace": namespace, **given}
        made = KubernetesObject.of({"apiVersion": "v1", "kind": kind, **body, "metadata": named})
        write_object(self.manifests, made)
        self._raise_generation()

    def remove(self, kind: str, namespace: str, name: str) -> None:
        remove_object(self.manifests, ObjectKey(kind, namespace, name))
        self._raise_generation()

    def _raise_generation(self) -> None:
        self.generation += 1
        write_generation(self.manifests, self.generation)

    def put_namespace(self, name: str, labels: Mapping[str, Json]) -> None:
        self.put("Namespace", "", name, {"metadata": {"labels": dict(labels)}})

    def put_pod(self, pod: TestPod, **annotations: str) -> None:
        self.put(
            "Pod",
            pod.namespace,
            pod.name,
            {
                "metadata": {"uid": pod.uid, "annotations": dict(annotations)},
                "spec": {"nodeName": "n1", "serviceAccountName": "web"},
                "status": {"phase": "Running"},
            },
        )

    def annotation(self, pod: TestPod) -> str:
        """What the manifests say about a pod's enrolment."""
        read = ManifestFolder(self.manifests).read()
        found = read.objects.get(ObjectKey("Pod", pod.namespace, pod.name))
        return found.annotations.get("ambient.istio.io/redirection", "") if found else ""

    def start(self, *extra: str) -> None:
        """Start the agent."""
        log = (self.folder / "agent.log").open("ab")
        self.agent = subprocess.Popen(
            [
                *(sys.executable, "-m", "cni"),
                *("--manifests", str(self.manifests), "--node", "n1"),
                *("--cni-net-dir", str(self.folder / "net.d")),
                *("--cni-bin-dir", str(self.folder / "bin")),
                *("--run-dir", str(self.folder / "run"), "--zds-socket", str(self.zds_socket)),
                *("--root-namespace", "istio-system", "--attest-seconds", "0.3", *extra),
            ],
            stdout=log,
            stderr=log,
        )
        log.close()

    def kill(self, how: signal.Signals = signal.SIGKILL) -> int:
        """End the agent; its exit code."""
        if self.agent is None:
            return 0
        self.agent.send_signal(how)
        code = self.agent.wait(10)
        self.agent = None
        return code

    def said(self) -> str:
        """The agent's log."""
        return (self.folder / "agent.log").read_text()

    def records(self) -> str:
        """What the agent remembers of pods."""
        return "".join(path.read_text() for path in (self.folder / "run" / "pods").glob("*.json"))

    def call(self, pod: TestPod, command: str, **config: Json) -> subprocess.CompletedProcess[str]:
        """Run the installed plugin as a runtime does."""
        listed = json.loads(self.conflist.read_text())
        plugin = listed["plugins"][-1]
        given = {**plugin, "cniVersion": "1.0.0", "name": "test", "prevResult": RESULT, **config}
        words = f"K8S_POD_NAMESPACE={pod.namespace};K8S_POD_NAME={pod.name};K8S_POD_UID={pod.uid}"
        return subprocess.run(
            [self.plugin],
            input=json.dumps(given),
            env={
                "CNI_COMMAND": command,
                "CNI_CONTAINERID": "sandbox-1",
                "CNI_NETNS": str(pod.path),
                "CNI_IFNAME": "eth0",
                "CNI_ARGS": f"IgnoreUnknown=1;{words}",
                "CNI_PATH": str(self.plugin.parent),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    async def runs(self, pod: TestPod, command: str, **config: Json) -> tuple[int, dict[str, Json]]:
        """The plugin's exit code and answer, while other tasks go on."""
        done = await trio.to_thread.run_sync(lambda: self.call(pod, command, **config))
        return done.returncode, json.loads(done.stdout) if done.stdout else {}


class Proxy:
    """A node proxy as far as the agent can see: it takes pods, and listens in none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pods: dict[str, tuple[int, int]] = {}
        self.heard: list[zds.Request] = []
        self.refusal = ""
        self.on_add: Callable[[], object] = lambda: None

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Say hello and acknowledge everything; started when the snapshot is complete."""
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            await connection.connect(str(self.path))
            await connection.send(zds.encode_hello())
            while True:
                packet, ancillary, _, _ = await connection.recvmsg(1024, socket.CMSG_SPACE(4))
                if not packet:
                    return
                rights = [int.from_bytes(octets[:4], "little") for _, _, octets in ancillary]
                request = zds.decode_request(packet, len(rights))
                self._take(request, rights)
                refused = self.refusal if isinstance(request, zds.AddPod) else ""
                await connection.send(zds.encode_response(refused))
                if isinstance(request, zds.SnapshotSent):
                    task_status.started()

    def _take(self, request: zds.Request, rights: list[int]) -> None:
        self.heard.append(request)
        if isinstance(request, zds.AddPod):
            self.on_add()
        for descriptor in rights:
            status = os.fstat(descriptor)
            os.close(descriptor)
            if isinstance(request, zds.AddPod) and not self.refusal:
                self.pods[request.pod.uid] = (status.st_dev, status.st_ino)
        if isinstance(request, zds.DelPod):
            self.pods.pop(request.uid, None)


def surroundings() -> dict[str, list[str]]:
    """The rules, links and routes of the namespace that we are in."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        found = {
            family.name: [line for line in saved_rules(here, family).splitlines() if "-A" in line]
            for family in Family
        }
    finally:
        os.close(here)
    for words in ("-o link", "rule", "-6 rule", "route show table all"):
        printed = subprocess.run(
            ["/usr/sbin/ip", *words.split()], check=True, capture_output=True, text=True
        )
        found[words] = sorted(
            line.partition(":")[2] or line for line in printed.stdout.splitlines()
        )
    return found


async def until(condition: Callable[[], object], seconds: float = 8.0) -> None:
    """Wait for something that another process does."""
    with trio.fail_after(seconds):
        while not await trio.to_thread.run_sync(condition):  # noqa: ASYNC110 - another process
            await trio.sleep(0.02)
