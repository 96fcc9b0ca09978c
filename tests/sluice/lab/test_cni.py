"""The runtime's side of CNI, with plugins that are programs."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from mesh.runtime.netns import create_netns, remove_netns
from sluice.lab import cni
from sluice.lab.addresses import Pair
from sluice.lab.errors import PodRefusedError
from sluice.lab.home import NodeHome
from tests.sluice.lab.worlds import documents

pytestmark = pytest.mark.netns
PLUGIN = """#!/bin/sh
echo "$0 $CNI_COMMAND $CNI_NETNS $CNI_IFNAME $CNI_ARGS" >>%s
tee -a %s.in | sed 's/.*"prevResult": //; s/}$//'
"""
REFUSES = """#!/bin/sh
echo '{"cniVersion": "1.0.0", "code": 11, "msg": "try again"}'
exit 1
"""


@pytest.fixture
def netns() -> Iterator[Path]:
    path = Path("/run/netns/test-cni-node")
    create_netns(path)
    yield path
    remove_netns(path)


@pytest.fixture
def node(tmp_path: Path) -> NodeHome:
    made = NodeHome(tmp_path / "node")
    cni.write_chain(made)
    return made


@pytest.fixture
def attachment() -> cni.Attachment:
    (pod,) = documents(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop, uid: 1-2-3}"
    )
    return cni.Attachment(
        pod=pod,
        node="node-1",
        netns=Path("/run/netns/some-pod"),
        address=Pair("10.244.1.2", "fd00:10:244:1::2"),
        link="pod123",
    )


def install(node: NodeHome, name: str, text: str) -> None:
    """Put a plugin behind those that are there."""
    path = node.bin / name
    path.write_text(text)
    path.chmod(0o755)
    (file,) = node.net_d.iterdir()
    chain = json.loads(file.read_text())
    chain["plugins"].append({"type": name, "own": "setting"})
    file.write_text(json.dumps(chain))


async def test_each_plugin_is_called_as_a_runtime_calls_it(
    node: NodeHome, netns: Path, attachment: cni.Attachment, tmp_path: Path
) -> None:
    log = tmp_path / "calls"
    install(node, "first", PLUGIN % (log, log))
    install(node, "second", PLUGIN % (log, log))

    await cni.add(node, netns, attachment)
    await cni.delete(node, netns, attachment)

    lines = log.read_text().splitlines()
    called = [(Path(line.split()[0]).name, line.split()[1]) for line in lines]
    assert called == [("first", "ADD"), ("second", "ADD"), ("second", "DEL"), ("first", "DEL")]
    assert "/run/netns/some-pod eth0 IgnoreUnknown=1;K8S_POD_NAMESPACE=shop" in lines[0]
    assert "K8S_POD_UID=1-2-3" in lines[0]
    given = json.JSONDecoder().raw_decode((tmp_path / "calls.in").read_text())[0]
    assert given["own"] == "setting"
    assert given["prevResult"]["ips"][0]["address"] == "10.244.1.2/32"


async def test_a_plugin_that_refuses_says_why(
    node: NodeHome, netns: Path, attachment: cni.Attachment
) -> None:
    install(node, "refuses", REFUSES)

    with pytest.raises(PodRefusedError, match="refuses ADD: try again"):
        await cni.add(node, netns, attachment)


async def test_a_plugin_that_is_not_there_refuses(
    node: NodeHome, netns: Path, attachment: cni.Attachment
) -> None:
    install(node, "gone", REFUSES)
    (node.bin / "gone").unlink()

    with pytest.raises(PodRefusedError, match="gone"):
        await cni.add(node, netns, attachment)


async def test_a_broken_configuration_refuses(
    node: NodeHome, netns: Path, attachment: cni.Attachment
) -> None:
    (file,) = node.net_d.iterdir()
    file.write_text("{")

    with pytest.raises(PodRefusedError, match="network configuration"):
        await cni.add(node, netns, attachment)


async def test_a_plugin_that_hangs_is_killed_with_the_wait_for_it(
    node: NodeHome, netns: Path, attachment: cni.Attachment, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    os.mkfifo(pid)
    install(node, "hangs", f"#!/bin/sh\necho $$ >{pid}\nexec sleep 1000\n")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cni.add, node, netns, attachment)
        number = int(await trio.Path(pid).read_text())
        descriptor = os.pidfd_open(number)
        nursery.cancel_scope.cancel()

    with trio.fail_after(5):
        await trio.lowlevel.wait_readable(descriptor)
    os.close(descriptor)
