"""A worker's link: whatever the worker has, it is brought to what is wanted."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from mesh.model.identity import Identity
from mesh.runtime.bell import Bell
from mesh.runtime.control.store import Store
from mesh.runtime.feed_channel import FeedChannel
from mesh.runtime.netns import create_netns, open_netns, remove_netns
from mesh.wire.discovery_client import ADDRESS_TYPE
from mesh.wire.feed import (
    AddPod,
    Certificate,
    CertificateFailed,
    CertificateWanted,
    Drain,
    ForgetCertificate,
    PodHeld,
    RemovePod,
    SetLogLevel,
    StateDelta,
)
from tests.ztunnel.control.puppet import Puppet
from tests.ztunnel.control.world import identity, workload
from tests.ztunnel.node_agent import pod
from ztunnel.control.pod_link import PodLink, PodsWanted
from ztunnel.control.pod_workers import PodNotServedError, PodWorkers
from ztunnel.control.pods import Pods

WEB = identity("web")
PATIENCE_S = 5.0


class House:
    """Everything around the links."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.bell = Bell()
        self.store = Store(before=100)
        self.pods = Pods(self.bell)
        self.workers = PodWorkers(self.bell)
        self.certificates: dict[Identity, Certificate] = {}
        self.needed: set[Identity] = {WEB}
        self.may_replace = True
        self.asked_for: list[Identity] = []
        self.puppets: list[Puppet] = []
        self.wanted = PodsWanted(
            store=self.store,
            pods=self.pods,
            certificates=self.certificates,
            is_needed=lambda one: one in self.needed,
            may_replace=lambda: self.may_replace,
            on_certificate_wanted=self.asked_for.append,
            on_answer=self.workers.answered,
            bell=self.bell,
        )

    def begin(self, *names: str) -> None:
        for name in names:
            self.put(name)
        self.store.begin()
        self.bell.ring()

    def put(self, name: str) -> None:
        resource = workload(name)
        self.store.apply(ADDRESS_TYPE, {resource.uid: resource}, ())
        self.bell.ring()

    def certify(self, one: Identity, not_after: float = 1.0) -> None:
        self.certificates[one] = Certificate(one, b"key", b"chain", b"roots", not_after)
        self.bell.ring()

    def start(self, puppet: Puppet, index: int = 0) -> Puppet:
        feed = puppet.pair()
        self.puppets.append(puppet)
        self.nursery.start_soon(puppet.run)
        link = PodLink(index, os.getpid(), FeedChannel(feed), self.wanted)
        self.nursery.start_soon(self.workers.run_link, link)
        return puppet


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with trio.open_nursery() as nursery:
        made = House(nursery)
        with trio.fail_after(PATIENCE_S):
            yield made
        nursery.cancel_scope.cancel()
    made.pods.close()
    for puppet in made.puppets:
        puppet.close()


@pytest.fixture
def namespaces(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    paths = tmp_path / "one", tmp_path / "two"
    for path in paths:
        create_netns(path)
    yield paths
    for path in paths:
        remove_netns(path)


def names(puppet: Puppet) -> set[str]:
    return {one.name for one in puppet.world.workloads()}


async def test_a_new_worker_gets_the_whole_state_with_a_reset(house: House) -> None:
    house.begin("a", "b")
    puppet = house.start(Puppet())
    await puppet.wait_version(house.store.version)
    assert (names(puppet), puppet.resets) == ({"a", "b"}, 1)


async def test_a_worker_gets_what_changes_later_without_a_reset(house: House) -> None:
    house.begin("a")
    puppet = house.start(Puppet())
    await puppet.wait_version(house.store.version)
    house.put("b")
    await puppet.wait_version(house.store.version)
    assert (names(puppet), puppet.resets) == ({"a", "b"}, 1)


async def test_nothing_is_sent_before_the_state_is_whole(house: House) -> None:
    house.put("a")
    puppet = house.start(Puppet())
    await house.workers.wait(lambda: house.workers.greeted == 1)
    await trio.testing.wait_all_tasks_blocked()
    assert not any(isinstance(one, StateDelta) for one in puppet.heard)


async def test_a_worker_that_has_our_version_already_is_told_nothing(house: House) -> None:
    house.begin("a")
    puppet = house.start(Puppet(version=house.store.version))
    house.put("b")
    await puppet.wait_version(house.store.version)
    assert (names(puppet), puppet.resets) == ({"b"}, 0)


async def test_a_worker_with_a_predecessors_state_keeps_it_until_ours_is_current(
    house: House,
) -> None:
    house.may_replace = False
    house.begin("a")
    puppet = house.start(Puppet(version=99))
    await house.workers.wait(lambda: house.workers.greeted == 1)
    await trio.testing.wait_all_tasks_blocked()
    assert puppet.version == 99
    house.may_replace = True
    house.bell.ring()
    await puppet.wait_version(house.store.version)
    assert puppet.resets == 1


async def test_one_that_does_not_apply_is_waited_for_and_named(house: House) -> None:
    quick, slow = house.start(Puppet(), 0), house.start(Puppet(), 1)
    house.begin("a")
    await house.workers.wait_applied(house.store.version)
    slow.is_deaf = True
    house.put("b")
    await quick.wait_version(house.store.version)
    with trio.move_on_after(0.05) as scope:
        await house.workers.wait_applied(house.store.version)
    assert scope.cancelled_caught
    assert house.workers.behind(house.store.version) == [1]


async def test_one_that_has_gone_is_not_waited_for(house: House) -> None:
    house.begin("a")
    puppet = house.start(Puppet())
    await puppet.wait_version(house.store.version)
    puppet.is_deaf = True
    house.put("b")
    house.workers.gone(0, os.getpid())
    await house.workers.wait_applied(house.store.version)


async def test_a_successor_takes_the_place_of_a_worker(house: House) -> None:
    house.begin("a")
    first = house.start(Puppet())
    await first.wait_version(house.store.version)
    second = house.start(Puppet())
    await second.wait_version(house.store.version)
    assert len(house.workers.links) == 1


async def test_certificates_are_sent_and_renewals_and_ends_too(house: House) -> None:
    house.begin()
    house.certify(WEB)
    puppet = house.start(Puppet())
    await puppet.wait_heard(Certificate)
    house.certify(WEB, not_after=2.0)
    renewed = await puppet.wait_heard(Certificate, 2)
    assert isinstance(renewed, Certificate)
    assert renewed.not_after == 2.0
    del house.certificates[WEB]
    house.needed.clear()
    house.bell.ring()
    assert await puppet.wait_heard(ForgetCertificate) == ForgetCertificate(WEB)


async def test_a_certificate_of_a_predecessor_is_kept_until_there_is_a_newer_one(
    house: House,
) -> None:
    house.begin()
    puppet = house.start(Puppet(identities=(WEB, identity("gone"))))
    assert await puppet.wait_heard(ForgetCertificate) == ForgetCertificate(identity("gone"))
    assert puppet.identities == (WEB,)


async def test_a_worker_says_whose_certificate_it_lacks_and_hears_why_there_is_none(
    house: House,
) -> None:
    house.begin()
    puppet = house.start(Puppet())
    await house.workers.wait(lambda: house.workers.greeted == 1)
    await puppet.say(CertificateWanted(WEB))
    await house.workers.wait(lambda: house.asked_for == [WEB])
    await house.workers.certificate_failed(WEB, "refused")
    assert await puppet.wait_heard(CertificateFailed) == CertificateFailed(WEB, "refused")


@pytest.mark.netns
async def test_a_pod_is_served_by_all_workers_and_again_by_their_successors(
    house: House, namespaces: tuple[Path, Path]
) -> None:
    house.begin()
    puppets = [house.start(Puppet(), index) for index in (0, 1)]
    house.pods.add(pod("web"), open_netns(namespaces[0]))
    await house.workers.wait_listening("uid-web")
    assert [list(puppet.uids()) for puppet in puppets] == [["uid-web"]] * 2
    successor = house.start(Puppet(), 0)
    await successor.wait_heard(AddPod)


@pytest.mark.netns
async def test_the_same_namespace_again_changes_nothing_and_another_moves_the_pod(
    house: House, namespaces: tuple[Path, Path]
) -> None:
    house.begin()
    puppet = house.start(Puppet())
    for path, moves in ((namespaces[0], 0), (namespaces[0], 0), (namespaces[1], 1)):
        house.pods.add(pod("web"), open_netns(path))
        await trio.testing.wait_all_tasks_blocked()
        await house.workers.wait_listening("uid-web")
        assert len([one for one in puppet.heard if isinstance(one, RemovePod)]) == moves
        assert puppet.namespaces() == {_id(path)}


def _id(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


@pytest.mark.netns
async def test_a_pod_without_place_for_listeners_says_why_and_is_tried_again(
    house: House, namespaces: tuple[Path, Path]
) -> None:
    house.begin()
    puppet = house.start(Puppet(refuses={"uid-web": "port 15001 is taken"}))
    house.pods.add(pod("web"), open_netns(namespaces[0]))
    with pytest.raises(PodNotServedError, match="15001"):
        await house.workers.wait_listening("uid-web")
    assert house.workers.failed_pods() == {"uid-web"}
    puppet.refuses.clear()
    for link in house.workers.links:
        link.forget_failures()
    house.bell.ring()
    await house.workers.wait_listening("uid-web")


@pytest.mark.netns
async def test_pods_that_workers_serve_are_known_to_a_new_control_process(
    house: House, namespaces: tuple[Path, Path]
) -> None:
    house.begin()
    held = {
        f"uid-{name}": (PodHeld(pod(name)), open_netns(path))
        for name, path in zip(("web", "old"), namespaces, strict=True)
    }
    puppet = house.start(Puppet(version=99, holds=held))
    await house.workers.wait(lambda: len(house.pods.held) == 2)
    await trio.testing.wait_all_tasks_blocked()
    assert not any(isinstance(one, AddPod | RemovePod) for one in puppet.heard)
    assert house.pods.settle(["uid-web"]) == ["uid-old"]
    assert await puppet.wait_heard(RemovePod) == RemovePod("uid-old")


@pytest.mark.netns
async def test_a_worker_without_state_gets_no_pods(
    house: House, namespaces: tuple[Path, Path]
) -> None:
    puppet = house.start(Puppet())
    house.pods.add(pod("web"), open_netns(namespaces[0]))
    await trio.testing.wait_all_tasks_blocked()
    assert list(puppet.uids()) == []
    house.begin()
    await house.workers.wait_listening("uid-web")


async def test_every_worker_answers_a_question_and_a_deaf_one_is_left_out(house: House) -> None:
    house.begin()
    first = house.start(Puppet(answers={"metrics": b"abcdef"}), 0)
    second = house.start(Puppet(answers={"metrics": b"x"}), 1)
    await house.workers.wait(lambda: house.workers.greeted == 2)
    answers = await house.workers.ask("metrics", trio.current_time() + PATIENCE_S)
    assert sorted(answers) == [b"abcdef", b"x"]
    first.is_deaf = True
    assert await house.workers.ask("metrics", trio.current_time() + 0.05) == [b"x"]
    second.is_deaf = True
    assert await house.workers.ask("metrics", trio.current_time() + 0.01) == []


async def test_a_drain_is_told_to_all_and_to_those_who_come_later(house: House) -> None:
    house.begin()
    early = house.start(Puppet(), 0)
    await early.wait_version(house.store.version)
    await house.workers.drain(3.0)
    assert await early.wait_heard(Drain) == Drain(3.0)
    late = house.start(Puppet(), 1)
    assert await late.wait_heard(Drain) == Drain(3.0)


async def test_log_levels_are_told_to_all_and_to_those_who_come_later(house: House) -> None:
    level = SetLogLevel("access", "debug")
    early = house.start(Puppet(), 0)
    await house.workers.wait(lambda: house.workers.greeted == 1)
    await house.workers.set_levels([level])
    assert await early.wait_heard(SetLogLevel) == level
    late = house.start(Puppet(), 1)
    assert await late.wait_heard(SetLogLevel) == level


async def test_garbage_on_a_feed_is_survived(house: House) -> None:
    house.begin("a")
    puppet = house.start(Puppet())
    await puppet.wait_version(house.store.version)
    await puppet.channel.send_packet(b"garbage")
    house.put("b")
    await puppet.wait_version(house.store.version)
