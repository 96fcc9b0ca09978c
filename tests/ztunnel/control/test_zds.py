"""The proxy's side of ZDS, against an agent on a real socket."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trio

from mesh.runtime.netns import create_netns, remove_netns
from mesh.wire import zds as wire
from mesh.wire.discovery_client import ADDRESS_TYPE
from mesh.wire.zds import AddPod
from tests.ztunnel.control.puppet import Puppet
from tests.ztunnel.control.test_pod_link import House
from tests.ztunnel.control.world import workload
from tests.ztunnel.node_agent import NodeAgent, pod
from ztunnel.control import zds as module
from ztunnel.control.zds import ZdsClient

pytestmark = pytest.mark.netns

PATIENCE_S = 8.0


@pytest.fixture
def netns(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "netns"
    create_netns(path)
    yield path
    remove_netns(path)


@pytest.fixture
def other_netns(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "other"
    create_netns(path)
    yield path
    remove_netns(path)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[NodeAgent]:
    with NodeAgent(tmp_path / "zds.sock") as listening:
        yield listening


class Scene:
    """An agent, the client, and one worker."""

    def __init__(self, house: House, agent: NodeAgent) -> None:
        self.house, self.agent = house, agent
        self.client = ZdsClient(str(agent.path), house.pods, house.workers, Random(1))
        resource = workload("web")
        house.store.apply(ADDRESS_TYPE, {resource.uid: resource}, ())
        house.begin()
        self.puppet = house.start(Puppet())
        house.nursery.start_soon(self.client.run)

    async def on_agent(self, act: Callable[[], object]) -> object:
        """Let the (blocking) agent do something."""
        return await trio.to_thread.run_sync(act)

    async def accept(self) -> None:
        await self.on_agent(self.agent.accept)

    async def add(self, name: str, netns: Path) -> object:
        return await self.on_agent(partial(self.agent.add, pod(name), netns))

    async def snapshot_sent(self) -> object:
        return await self.on_agent(self.agent.snapshot_sent)


@pytest.fixture
async def scene(agent: NodeAgent) -> AsyncIterator[Scene]:
    async with trio.open_nursery() as nursery:
        house = House(nursery)
        with trio.fail_after(PATIENCE_S):
            yield Scene(house, agent)
        nursery.cancel_scope.cancel()
    house.pods.close()
    for puppet in house.puppets:
        puppet.close()


async def test_a_pod_is_acknowledged_when_the_worker_listens(scene: Scene, netns: Path) -> None:
    await scene.accept()
    assert await scene.add("web", netns) == ""
    assert list(scene.puppet.uids()) == ["uid-web"]
    assert not scene.client.is_connected
    assert await scene.snapshot_sent() == ""
    await scene.house.workers.wait(lambda: scene.client.is_connected)


async def test_a_pod_comes_and_goes_at_any_time(
    scene: Scene, netns: Path, other_netns: Path
) -> None:
    await scene.accept()
    await scene.snapshot_sent()
    assert await scene.add("web", netns) == ""
    assert await scene.add("web", netns) == ""  # again
    assert await scene.add("web", other_netns) == ""  # a namesake in a new namespace
    assert await scene.on_agent(partial(scene.agent.remove, "uid-web")) == ""
    assert await scene.on_agent(partial(scene.agent.remove, "uid-web")) == ""  # again
    await scene.house.workers.wait(lambda: not scene.house.pods.held)


async def test_the_agent_hears_why_a_pod_is_not_served(scene: Scene, netns: Path) -> None:
    scene.puppet.refuses["uid-web"] = "port 15001 is taken"
    await scene.accept()
    assert await scene.add("web", netns) == "port 15001 is taken"


async def test_the_agent_does_not_wait_for_ever(
    scene: Scene, netns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.05)
    await scene.accept()
    scene.puppet.is_deaf = True
    assert await scene.add("web", netns) == "no worker listens in the pod yet"
    assert [held.info.uid for held in scene.house.pods.held] == ["uid-web"], "it is still wanted"


async def test_what_a_new_snapshot_does_not_name_goes(
    scene: Scene, netns: Path, other_netns: Path
) -> None:
    await scene.accept()
    await scene.add("web", netns)
    await scene.add("old", other_netns)
    await scene.snapshot_sent()
    await scene.on_agent(scene.agent.hang_up)
    await scene.accept()
    assert len(scene.house.pods.held) == 2
    assert await scene.on_agent(partial(scene.agent.keep, "uid-web")) == ""
    assert "not known" in str(await scene.on_agent(partial(scene.agent.keep, "uid-new")))
    await scene.snapshot_sent()
    assert [held.info.uid for held in scene.house.pods.held] == ["uid-web"]


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize(
    "broken",
    [
        lambda agent: agent.snapshot_sent(),
        lambda agent: agent.keep("uid-web"),
        lambda agent: agent.ask_raw(b"garbage"),
        lambda agent: agent.ask_raw(wire.encode_request(AddPod(pod("web")))),
        lambda agent: agent.ask_raw(bytes(wire.MAX_PACKET_OCTETS + 1)),
        lambda agent: agent.ask_raw(wire.encode_request(wire.DelPod("x")), [0]),
        lambda agent: agent.ask_raw(wire.encode_request(AddPod(pod("web"))), [0, 1, 2]),
    ],
    ids=["snapshot twice", "keep late", "garbage", "no netns", "too long", "netns", "netns thrice"],
)
async def test_what_the_protocol_does_not_allow_ends_the_conversation_only(
    scene: Scene, netns: Path, broken: Callable[[NodeAgent], object]
) -> None:
    await scene.accept()
    await scene.add("web", netns)
    await scene.snapshot_sent()
    before = open_descriptors()

    def provoke() -> bool:
        try:
            broken(scene.agent)
        except (wire.ZdsInvalidError, ConnectionError):
            return True  # no answer at all
        return scene.agent.has_gone()

    assert await scene.on_agent(provoke)
    await scene.accept()
    assert list(scene.puppet.uids()) == ["uid-web"]
    assert open_descriptors() <= before


async def test_after_stop_it_does_not_call_again(scene: Scene, netns: Path) -> None:
    await scene.accept()
    await scene.add("web", netns)
    scene.client.stop()
    assert await scene.on_agent(scene.agent.has_gone)
    assert list(scene.puppet.uids()) == ["uid-web"]
