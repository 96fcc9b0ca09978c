"""The container runtime's side of CNI: the node's chain of plugins, run for each pod.

The first plugin of a node's chain is the lab's own (`lab-bridge`, the cable, see topology.py); the
others are programs that somebody installed, run as libcni does it (CNI spec 1.0.0, section 4).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject
from sluice.lab.addresses import Pair, pod_gateway
from sluice.lab.errors import PodRefusedError
from sluice.lab.home import NodeHome
from sluice.lab.spawn import run_in
from sluice.lab.topology import POD_LINK

OWN_PLUGIN: Final = "lab-bridge"
_VERSION: Final = "1.0.0"
_FILE: Final = "10-lab.conflist"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One pod's place in the network."""

    pod: KubernetesObject
    node: str
    netns: Path
    address: Pair
    link: str

    @property
    def container_id(self) -> str:
        """The runtime's name of the pod's sandbox."""
        return self.pod.uid.replace("-", "")

    def result(self) -> dict[str, Json]:
        """What the cable's plugin answers."""
        gateway = pod_gateway(self.node)
        return {
            "cniVersion": _VERSION,
            "interfaces": [
                {"name": self.link},
                {"name": POD_LINK, "sandbox": str(self.netns)},
            ],
            "ips": [
                {"interface": 1, "address": f"{self.address.v4}/32", "gateway": gateway},
                {"interface": 1, "address": f"{self.address.v6}/128"},
            ],
            "routes": [{"dst": "0.0.0.0/0", "gw": gateway}, {"dst": "::/0"}],
            "dns": {},
        }


def write_chain(node: NodeHome) -> None:
    """Give a node its network configuration: the cable, and nothing more yet."""
    for folder in (node.net_d, node.bin, node.run, node.ztunnel):
        folder.mkdir(parents=True, exist_ok=True)
    chain = {"cniVersion": _VERSION, "name": "lab", "plugins": [{"type": OWN_PLUGIN}]}
    (node.net_d / _FILE).write_text(json.dumps(chain, indent=1))


def read_chain(node: NodeHome) -> dict[str, Json]:
    """The configuration list that is in force: the first by name.

    Raises:
        PodRefusedError: there is none, or it cannot be read.
    """
    found = sorted(path for path in node.net_d.glob("*.conflist") if path.is_file())
    if not found:
        raise PodRefusedError(f"no network configuration in {node.net_d}")
    try:
        chain = json.loads(found[0].read_text())
    except (OSError, ValueError) as error:
        raise PodRefusedError(f"network configuration {found[0].name}: {error}") from error
    if not isinstance(chain, dict):
        raise PodRefusedError(f"network configuration {found[0].name} is no mapping")
    return chain


def added_plugins(chain: Mapping[str, Json]) -> list[dict[str, Json]]:
    """The plugins of a chain after the lab's own."""
    plugins = chain.get("plugins")
    if not isinstance(plugins, list):
        return []
    return [each for each in plugins if isinstance(each, dict) and each.get("type") != OWN_PLUGIN]


async def add(node: NodeHome, node_netns: Path, attachment: Attachment) -> None:
    """Run the chain's ADD.

    Raises:
        PodRefusedError: a plugin refused; the pod must not run, and ADD is tried again.

    Cancellation: the plugin that runs is killed.
    """
    chain = read_chain(node)
    result = attachment.result()
    for plugin in added_plugins(chain):
        result = await _call(node, node_netns, attachment, _given(chain, plugin, result), "ADD")


async def delete(node: NodeHome, node_netns: Path, attachment: Attachment) -> None:
    """Run the chain's DEL, in reverse.

    Raises:
        PodRefusedError: a plugin could not do it.

    Cancellation: the plugin that runs is killed.
    """
    chain = read_chain(node)
    for plugin in reversed(added_plugins(chain)):
        given = _given(chain, plugin, attachment.result())
        await _call(node, node_netns, attachment, given, "DEL")


def _given(
    chain: Mapping[str, Json], plugin: Mapping[str, Json], result: dict[str, Json]
) -> dict[str, Json]:
    version = chain.get("cniVersion", _VERSION)
    return {**plugin, "cniVersion": version, "name": chain.get("name", "lab"), "prevResult": result}


async def _call(
    node: NodeHome,
    node_netns: Path,
    attachment: Attachment,
    given: dict[str, Json],
    command: str,
) -> dict[str, Json]:
    program = node.bin / str(given["type"])
    pod = attachment.pod
    words = {
        "IgnoreUnknown": "1",
        "K8S_POD_NAMESPACE": pod.key.namespace,
        "K8S_POD_NAME": pod.key.name,
        "K8S_POD_INFRA_CONTAINER_ID": attachment.container_id,
        "K8S_POD_UID": pod.uid,
    }
    variables = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": attachment.container_id,
        "CNI_NETNS": str(attachment.netns),
        "CNI_IFNAME": POD_LINK,
        "CNI_ARGS": ";".join(f"{name}={value}" for name, value in words.items()),
        "CNI_PATH": str(node.bin),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
    code, out, err = await run_in(
        node_netns, (str(program),), variables, json.dumps(given).encode()
    )
    if code:
        raise PodRefusedError(f"{program.name} {command}: {_reason(out, err, code)}")
    return _answer(out, program.name) if command == "ADD" else {}


def _answer(out: bytes, program: str) -> dict[str, Json]:
    try:
        answer = json.loads(out)
    except ValueError as error:
        raise PodRefusedError(f"{program} ADD answered no JSON: {error}") from error
    if not isinstance(answer, dict):
        raise PodRefusedError(f"{program} ADD answered no mapping")
    return answer


def _reason(out: bytes, err: bytes, code: int) -> str:
    try:
        answer = json.loads(out)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and isinstance(answer.get("msg"), str):
        return str(answer["msg"])
    return (err or out).decode(errors="replace").strip()[-300:] or f"exit code {code}"
