"""Which connections a change of the state judges again, and which verdict counts."""

from dataclasses import dataclass, field, replace

from mesh.model.address import SocketAddress, parse_ip
from mesh.model.identity import Identity
from mesh.model.policy import (
    Action,
    Authorization,
    Match,
    PolicyScope,
    StringMatch,
    StringMatchKind,
)
from mesh.model.workload import Workload
from mesh.policy.authorize import ConnectionFacts, Verdict
from mesh.state.world import World
from mesh.wire.feed import StateDelta
from ztunnel.worker.connections import Connections, Live

SHOP = Workload(uid="shop", name="shop", namespace="town", services={})
FARM = Workload(uid="farm", name="farm", namespace="country", services={})
WEB = Identity("cluster.local", "town", "web")
FACTS = ConnectionFacts(WEB, parse_ip("10.0.0.1"), SocketAddress.parse("10.0.0.2:80"))
EVERYBODY = Match(principals=(StringMatch(StringMatchKind.PRESENCE),))


def deny(name: str, scope: PolicyScope, namespace: str = "town") -> Authorization:
    return Authorization(
        name=name, namespace=namespace, scope=scope, action=Action.DENY, rules=(((EVERYBODY,),),)
    )


@dataclass
class Place:
    world: World = field(default_factory=World)
    stopped: list[str] = field(default_factory=list)
    version: int = 0

    def __post_init__(self) -> None:
        self.connections = Connections(self.world)
        self.change(workloads=(SHOP, FARM))

    def change(self, **parts: object) -> None:
        self.version += 1
        delta = replace(StateDelta(self.version, last=True), **parts)
        self.connections.judge_again(self.world.apply(delta))

    def open(self, workload: Workload) -> tuple[Live, Verdict]:
        live = Live(FACTS, workload.uid, lambda _verdict: self.stopped.append(workload.uid))
        return live, self.connections.register(live, workload)


def test_a_mesh_wide_policy_ends_everything_that_it_forbids() -> None:
    place = Place()
    assert place.open(SHOP)[1].allowed
    place.open(FARM)
    place.change(policies=(deny("all", PolicyScope.GLOBAL),))
    assert sorted(place.stopped) == ["farm", "shop"]
    assert len(place.connections) == 0


def test_a_namespaces_policy_ends_nothing_elsewhere() -> None:
    place = Place()
    place.open(SHOP)
    place.open(FARM)
    place.change(policies=(deny("town", PolicyScope.NAMESPACE),))
    assert place.stopped == ["shop"]


def test_a_policy_that_comes_to_be_attached_ends_what_it_forbids() -> None:
    place = Place()
    place.open(SHOP)
    place.change(policies=(deny("strict", PolicyScope.WORKLOAD_SELECTOR),))
    assert place.stopped == []
    place.change(workloads=(replace(SHOP, authorization_policies=("town/strict",)),))
    assert place.stopped == ["shop"]


def test_a_policy_that_no_longer_lets_in_ends_what_it_let_in() -> None:
    place = Place()
    let_in = replace(deny("all", PolicyScope.NAMESPACE), action=Action.ALLOW)
    nobody = replace(deny("nobody", PolicyScope.NAMESPACE), action=Action.ALLOW, rules=())
    place.change(policies=(let_in, nobody))
    assert place.open(SHOP)[1].allowed
    place.change(policies=(replace(let_in, scope=PolicyScope.WORKLOAD_SELECTOR),))
    assert place.stopped == ["shop"]


def test_a_named_policy_that_goes_refuses() -> None:
    place = Place()
    named = replace(SHOP, authorization_policies=("town/unused",))
    harmless = replace(deny("unused", PolicyScope.WORKLOAD_SELECTOR), rules=())
    place.change(workloads=(named,), policies=(harmless,))
    assert place.open(named)[1].allowed
    place.change(removed_policies=("town/unused",))
    assert place.stopped == ["shop"]


def test_a_workload_that_is_lost_is_judged_by_as_it_was() -> None:
    place = Place()
    place.open(SHOP)
    place.change(removed_addresses=("shop",))
    assert place.stopped == []
    place.change(policies=(deny("town", PolicyScope.NAMESPACE),))
    assert place.stopped == ["shop"]


def test_a_connection_is_registered_before_it_is_judged_and_ended_once() -> None:
    place = Place()
    place.change(policies=(deny("town", PolicyScope.NAMESPACE),))
    live, verdict = place.open(SHOP)
    assert not verdict.allowed
    assert len(place.connections) == 1
    place.connections.forget(live)
    place.connections.forget(live)
    place.change(policies=(deny("more", PolicyScope.NAMESPACE),))
    assert place.stopped == []
