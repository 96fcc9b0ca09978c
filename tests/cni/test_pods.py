"""Records of pods, and what they survive."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from cni.pods import Phase, Pod, Pods, PodUnrememberedError, uid_without
from mesh.redirection.rules import Capture
from mesh.runtime.netns import NetnsGoneError, create_netns, netns_id, open_netns, remove_netns

POD = Pod(
    uid="u/1",
    namespace="shop",
    name="front",
    account="web",
    container="c1",
    netns="/run/netns/x",
    netns_id=(1, 2),
    phase=Phase.RELEASING,
    capture=Capture(inbound=False, virtual_links=("a", "b"), dns=True),
    earlier={"00ff": 80, "01": 0},
)


def loaded(folder: Path) -> Pods:
    pods = Pods(folder)
    pods.load()
    return pods


@pytest.mark.parametrize("pod", [POD, replace(POD, earlier=None), replace(POD, earlier={})])
def test_a_record_survives_the_agent(tmp_path: Path, pod: Pod) -> None:
    loaded(tmp_path / "pods").put(pod)

    assert list(loaded(tmp_path / "pods")) == [pod]


def test_a_forgotten_pod_stays_forgotten(tmp_path: Path) -> None:
    pods = loaded(tmp_path)
    pods.put(POD)
    pods.remove(POD.uid)
    pods.remove(POD.uid)

    assert pods.get(POD.uid) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"uid": 5}', '{"netnsId": [1, 2]}'])
def test_a_record_that_is_not_understood_costs_no_other(tmp_path: Path, text: str) -> None:
    loaded(tmp_path).put(POD)
    (tmp_path / "odd.json").write_text(text)

    assert list(loaded(tmp_path)) == [POD]


def test_a_pod_whose_object_has_no_uid_has_one_for_the_proxy() -> None:
    nameless = replace(POD, uid=uid_without("shop", "front"))

    assert nameless.object_uid == ""
    assert POD.object_uid == "u/1"
    assert nameless.info.uid == "shop.front"


@pytest.mark.netns
def test_a_full_disk_leaves_the_last_record(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", tmp_path], check=True)
    try:
        pods = loaded(tmp_path / "pods")
        pods.put(POD)
        with suppress(OSError), (tmp_path / "fill").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

        with pytest.raises(PodUnrememberedError, match="No space left"):
            pods.put(replace(POD, earlier={str(i): i for i in range(9999)}))

        assert pods.get(POD.uid) == POD
        assert list(loaded(tmp_path / "pods")) == [POD]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.fixture
def netns() -> Iterator[Path]:
    path = Path("/run/netns/test-pods")
    create_netns(path)
    yield path
    remove_netns(path)


@pytest.mark.netns
def test_a_namespace_that_went_or_was_replaced_is_noticed(netns: Path) -> None:
    opened = open_netns(netns)
    pod = replace(POD, netns=str(netns), netns_id=netns_id(opened))
    assert not pod.is_gone()
    os.close(pod.open())

    remove_netns(netns)
    assert pod.is_gone()
    create_netns(netns)

    assert pod.is_gone()
    with pytest.raises(NetnsGoneError, match="another namespace"):
        pod.open()
    os.close(opened)
