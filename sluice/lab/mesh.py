"""How the programs of the mesh are started in a lab: a control plane, and two on each node.

Nothing here is of the lab's making: these are the programs that run on any machine, with their own
flags and variables.
"""

import json
import os
import sys
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject
from sluice.lab.addresses import CONTROL, DNS_SERVICE, node_address
from sluice.lab.cni import added_plugins, read_chain
from sluice.lab.components import Component, until
from sluice.lab.home import LAB_VARIABLE, PROXY_ACCOUNT, SYSTEM_NAMESPACE, Home, proxy_pod_name
from sluice.lab.objects import make_object
from sluice.lab.probes import get_http
from sluice.lab.store import Store
from sluice.lab.tokens import write_token
from sluice.lab.topology import CONTROL_PLACE

_DISCOVERY_PORT: Final = 15012
_DEBUG_PORT: Final = 15014
_READINESS_PORT: Final = 15021
_PATIENCE_S: Final = 20.0
_ASK_S: Final = 2.0


def variables(home: Home) -> dict[str, str]:
    """What every program of the mesh has in its environment."""
    kept = ("PATH", "HOME", "LANG", "PYTHONPATH", "PYTHONWARNINGS")
    return {n: os.environ[n] for n in kept if n in os.environ} | {LAB_VARIABLE: home.lab}


def program(module: str) -> tuple[str, ...]:
    """A program of this distribution, as a command line begins."""
    return (sys.executable, "-m", module)


async def syncz(home: Home) -> dict[str, Json]:
    """What the control plane says about who has seen what.

    Raises:
        OSError: it does not answer, or not so.
        trio.TooSlowError: the same.

    Cancellation: the question is given up.
    """
    with trio.fail_after(_ASK_S):
        where = ("127.0.0.1", _DEBUG_PORT)
        status, body = await get_http(home.netns(CONTROL_PLACE), where, "/debug/syncz")
    try:
        page = json.loads(body) if status == 200 else None
    except ValueError:
        page = None
    if not isinstance(page, dict):
        raise OSError(f"/debug/syncz answers {status}")
    return page


def control(home: Home) -> Component:
    """The control plane."""

    async def is_ready() -> bool:
        await syncz(home)
        return True

    async def prepare() -> None:
        await trio.to_thread.run_sync(lambda: home.state.mkdir(parents=True, exist_ok=True))

    return Component(
        name="control",
        place=CONTROL_PLACE,
        words=(
            *program("controlplane"),
            *("--source", "directory", "--manifests", str(home.manifests)),
            *("--listen", f"{CONTROL.v4}:{_DISCOVERY_PORT}", "--state", str(home.state)),
            *("--discovery-url", f"https://{CONTROL.v4}:{_DISCOVERY_PORT}"),
            *(("--mesh-config", str(home.mesh_config)) if home.mesh_config.exists() else ()),
        ),
        variables=variables(home),
        prepare=prepare,
        is_ready=is_ready,
    )


def agent(home: Home, node: str) -> Component:
    """A node's agent; it is ready when pods can be given to it."""
    folders = home.node(node)

    async def is_ready() -> bool:
        await trio.lowlevel.checkpoint()
        return has_plugin(home, node) and (folders.run / "pluginevent.sock").exists()

    async def prepare() -> None:
        await trio.lowlevel.checkpoint()

    return Component(
        name=f"agent@{node}",
        place=node,
        words=(
            *program("cni"),
            *("--manifests", str(home.manifests), "--node", node),
            *("--cni-net-dir", str(folders.net_d), "--cni-bin-dir", str(folders.bin)),
            *("--run-dir", str(folders.run), "--zds-socket", str(folders.zds_socket)),
            *("--root-namespace", SYSTEM_NAMESPACE),
        ),
        variables=variables(home) | {"NODE_NAME": node},
        prepare=prepare,
        is_ready=is_ready,
    )


def has_plugin(home: Home, node: str) -> bool:
    """Whether the agent has put its plugin into the node's chain."""
    try:
        return bool(added_plugins(read_chain(home.node(node))))
    except MeshError:
        return False


def proxy(home: Home, store: Store, node: str) -> Component:
    """A node's proxy; it is ready when it says so itself."""
    folders, root = home.node(node), home.state / "root-cert.pem"
    address = f"https://{CONTROL.v4}:{_DISCOVERY_PORT}"

    async def is_ready() -> bool:
        with trio.fail_after(_ASK_S):
            where = (node_address(node).v4, _READINESS_PORT)
            status, _ = await get_http(home.netns(node), where, "/healthz/ready")
        return status == 200

    async def prepare() -> None:
        await write_token(home, store, node)
        await until(root.exists, _PATIENCE_S, f"{root.name} of the control plane")

    return Component(
        name=f"ztunnel@{node}",
        place=node,
        words=program("ztunnel"),
        variables={
            **variables(home),
            "XDS_ADDRESS": address,
            "CA_ADDRESS": address,
            "XDS_ROOT_CA": str(root),
            "CA_ROOT_CA": str(root),
            "AUTH_TOKEN": str(folders.token),
            "INPOD_UDS": str(folders.zds_socket),
            "NODE_NAME": node,
            "POD_NAME": proxy_pod_name(node),
            "POD_NAMESPACE": SYSTEM_NAMESPACE,
            "SERVICE_ACCOUNT": PROXY_ACCOUNT,
            "INSTANCE_IP": node_address(node).v4,
            "ZTUNNEL_WORKER_THREADS": "1",
            "SLUICE_STATE_DIR": str(folders.ztunnel),
            # A cluster gives it a pod's resolver; here it sees the machine's.
            "SLUICE_DNS_SERVERS": DNS_SERVICE,
        },
        prepare=prepare,
        is_ready=is_ready,
    )


def proxy_pod(node: str) -> KubernetesObject:
    """The pod that a node's proxy is: the CA asks where its caller runs."""
    address = node_address(node)
    container: Json = {"name": "istio-proxy", "image": "sluice/ztunnel"}
    return make_object(
        "Pod",
        "v1",
        {
            "name": proxy_pod_name(node),
            "namespace": SYSTEM_NAMESPACE,
            "labels": {"app": "ztunnel"},
        },
        spec={
            "containers": [container],
            "serviceAccountName": PROXY_ACCOUNT,
            "nodeName": node,
            "hostNetwork": True,
            "restartPolicy": "Always",
        },
        status=proxy_status(address.v4, address.v6, is_ready=False),
    )


def proxy_status(v4: str, v6: str, *, is_ready: bool) -> dict[str, Json]:
    """The status of such a pod."""
    truth = "True" if is_ready else "False"
    return {
        "phase": "Running",
        "hostIP": v4,
        "podIP": v4,
        "podIPs": [{"ip": v4}, {"ip": v6}],
        "conditions": [{"type": name, "status": truth} for name in ("ContainersReady", "Ready")],
    }
