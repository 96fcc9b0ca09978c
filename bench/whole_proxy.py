"""How much memory a whole proxy takes at rest: supervisor, control process, workers.

    ./scripts/private-namespace .venv/bin/python -m bench.whole_proxy [ztunnel|waypoint] [WORKERS]

A real control plane tells it of a small mesh; no pod is handed to it. Every process's proportional
share (PSS) counts once, so the sum is what the machine would get back. A node proxy gets two
workers, a waypoint one.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.processes import Started, pss_octets

NODE: Final = "node-1"
NAMESPACE: Final = "istio-system"
WORKERS: Final = {"ztunnel": "2", "waypoint": "1"}
MANIFESTS: Final = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: ztunnel-pod, namespace: {NAMESPACE}, uid: bench-ztunnel}}
spec:
  nodeName: {NODE}
  serviceAccountName: ztunnel
  hostNetwork: true
  containers: [{{name: a}}]
status: {{phase: Running, podIPs: [{{ip: 127.0.0.1}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: sluice-waypoint}}
spec: {{controllerName: sluice.dev/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: waypoint, namespace: {NAMESPACE}}}
spec:
  gatewayClassName: sluice-waypoint
  listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]
---
apiVersion: v1
kind: Pod
metadata:
  name: waypoint-pod
  namespace: {NAMESPACE}
  uid: bench-waypoint
  labels: {{gateway.networking.k8s.io/gateway-name: waypoint}}
spec:
  nodeName: {NODE}
  serviceAccountName: waypoint
  containers: [{{name: a}}]
status: {{phase: Running, podIPs: [{{ip: 127.0.0.2}}]}}
"""


def command(program: str, *words: str) -> list[str]:
    """A program of this distribution."""
    return [str(Path(sys.executable).with_name(program)), *words]


@contextmanager
def running(words: list[str], says: str, env: Mapping[str, str]) -> Iterator[Started]:
    """A program, once it has said something.

    Raises:
        RuntimeError: it has not; the message has what it said.
    """
    process = Started(words, env={**os.environ, **env})
    try:
        process.wait_line(says, 20)
        yield process
    finally:
        process.stop()


def family(pid: int) -> dict[int, str]:
    """A process and its children: the ids, and which part each is."""
    found = {pid: "supervisor"}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        found[int(child)] = words[words.index(b"-m") + 1].decode().rpartition(".")[2]
    return found


def main(program: str = "ztunnel", workers: str = "") -> None:
    """Start the control plane and a proxy, measure, end both."""
    with tempfile.TemporaryDirectory() as folder:
        manifests, state = Path(folder, "manifests"), Path(folder, "state")
        manifests.mkdir()
        (manifests / "mesh.yaml").write_text(MANIFESTS)
        server = command(
            "sluice-control", "--source", "directory", "--manifests", str(manifests),
            "--listen", "127.0.0.1:15012", "--state", str(state),
        )  # fmt: skip
        with running(server, "manifests taken in", {}):
            token = subprocess.run(
                command("sluice-control", "token", NAMESPACE, program, f"{program}-pod",
                        "--state", str(state)),
                capture_output=True, text=True, check=True,
            ).stdout.strip()  # fmt: skip
            variables = {
                "XDS_ADDRESS": "https://127.0.0.1:15012",
                "CA_ADDRESS": "https://127.0.0.1:15012",
                "XDS_ROOT_CA": str(state / "root-cert.pem"),
                "CA_ROOT_CA": str(state / "root-cert.pem"),
                "AUTH_TOKEN": token,
                "INPOD_UDS": str(Path(folder, "no-agent.sock")),
                "NODE_NAME": NODE,
                "POD_NAME": f"{program}-pod",
                "POD_NAMESPACE": NAMESPACE,
                "SERVICE_ACCOUNT": program,
                "INSTANCE_IP": "127.0.0.1",
                "GATEWAY_NAME": program,
                f"{program.upper()}_WORKER_THREADS": workers or WORKERS[program],
            }
            with running(command(program), "the state is current", variables) as proxy:
                parts = {pid: (part, pss_octets(pid)) for pid, part in family(proxy.pid).items()}
    for part, octets in parts.values():
        print(f"  {part:10} {octets / 1e6:6.1f} MB")
    print(f"  {'together':10} {sum(octets for _, octets in parts.values()) / 1e6:6.1f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
