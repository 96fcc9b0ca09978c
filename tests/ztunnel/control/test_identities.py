"""Whose certificates a node needs."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.model.workload import TunnelProtocol
from mesh.runtime.bell import Bell
from mesh.wire.feed import StateDelta
from tests.ztunnel.control.world import identity, workload
from tests.ztunnel.node_agent import pod
from ztunnel.control.identities import LocalIdentities
from ztunnel.control.pods import Pods


@pytest.fixture
def pods() -> Iterator[Pods]:
    made = Pods(Bell())
    yield made
    made.close()


def delta(*workloads: object, removed: tuple[str, ...] = ()) -> StateDelta:
    return StateDelta(1, last=True, workloads=workloads, removed_addresses=removed)  # type: ignore[arg-type]


def test_workloads_of_this_node_that_take_tunnels_are_known_until_they_go(pods: Pods) -> None:
    local = LocalIdentities("node-a", "cluster.local", pods)
    plain = dataclasses.replace(workload("plain"), protocol=TunnelProtocol.NONE)
    native = dataclasses.replace(plain, uid="native", service_account="native", native_tunnel=True)
    local.apply(delta(workload("web"), workload("far", node="node-b"), plain, native))
    assert local.all() == {identity("web"), identity("native")}
    local.apply(delta(workload("web", node="node-b")))
    assert local.all() == {identity("native")}
    local.apply(delta(removed=("native", "unknown")))
    assert local.all() == frozenset()


def test_without_a_name_no_workload_is_ours_by_its_node(pods: Pods) -> None:
    local = LocalIdentities("", "cluster.local", pods)
    local.apply(delta(workload("web", node="")))
    assert local.all() == frozenset()


def test_pods_count_before_the_state_knows_them(pods: Pods) -> None:
    pods.add(pod("web"), os.open(Path("/proc/self/ns/net"), os.O_RDONLY))
    local = LocalIdentities("node-a", "cluster.local", pods)
    assert local.all() == {identity("web")}
