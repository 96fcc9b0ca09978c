"""Rules in the kernel, by the real iptables."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.redirection.rules import Capture, Family, Match, Return, Rule, Table, capture_rules
from mesh.redirection.rules import Chain as Passing
from mesh.runtime.firewall import FirewallRefusedError, _run, saved_rules, set_rules
from mesh.runtime.netns import NetnsGoneError, create_netns, open_netns, remove_netns

pytestmark = pytest.mark.netns
POD = Path("/run/netns/test-firewall-pod")
HOME = Path("/proc/thread-self/ns/net")
families = pytest.mark.parametrize("family", Family)


@pytest.fixture
def pod() -> Iterator[int]:
    create_netns(POD)
    netns = open_netns(POD)
    here, where = {family: home_rules(family) for family in Family}, HOME.stat().st_ino
    yield netns
    # Whatever a test does in the pod, the caller's namespace is as it was, and so is the thread.
    assert here == {family: home_rules(family) for family in Family}
    assert where == HOME.stat().st_ino
    os.close(netns)
    remove_netns(POD)


def home_rules(family: Family) -> list[str]:
    home = os.open(HOME, os.O_RDONLY)
    try:
        return [line for line in saved_rules(home, family).splitlines() if line.startswith("-A")]
    finally:
        os.close(home)


def rules_in(netns: int, family: Family) -> list[str]:
    return [line for line in saved_rules(netns, family).splitlines() if line.startswith("-A")]


@families
@pytest.mark.parametrize(
    "capture",
    [
        Capture(),
        Capture(inbound=False),
        Capture(virtual_links=("net1", "tap+")),
        Capture(dns=True),
    ],
    ids=["all", "outbound", "nested", "dns"],
)
def test_what_is_written_is_what_is_read_back(pod: int, family: Family, capture: Capture) -> None:
    assert set_rules(pod, family, capture_rules(capture, family))
    assert not set_rules(pod, family, capture_rules(capture, family))


@families
def test_taking_the_rules_away_leaves_none(pod: int, family: Family) -> None:
    set_rules(pod, family, capture_rules(Capture(), family))

    assert set_rules(pod, family, ())
    assert rules_in(pod, family) == []
    assert "ISTIO" not in saved_rules(pod, family)
    assert not set_rules(pod, family, ())


def test_rules_of_others_stay(pod: int) -> None:
    other = Rule(
        Table.NAT, Passing.LEAVING, Match(is_tcp=True, destination="10.1.2.3/32"), Return()
    )
    set_rules(pod, Family.V4, (other,))
    theirs = "-A OUTPUT -d 10.9.9.9/32 -j RETURN"
    _raw(pod, f"*nat\n{theirs}\nCOMMIT\n")

    set_rules(pod, Family.V4, capture_rules(Capture(), Family.V4))
    assert theirs in rules_in(pod, Family.V4)
    set_rules(pod, Family.V4, ())

    assert rules_in(pod, Family.V4) == [theirs]


def test_an_option_that_changes_is_followed(pod: int) -> None:
    set_rules(pod, Family.V4, capture_rules(Capture(), Family.V4))
    without_inbound = capture_rules(Capture(inbound=False), Family.V4)

    assert set_rules(pod, Family.V4, without_inbound)
    assert not set_rules(pod, Family.V4, without_inbound)
    assert not any("15006" in line for line in rules_in(pod, Family.V4))


@pytest.mark.parametrize("drift", ["-F ISTIO_OUTPUT", "-D OUTPUT -j ISTIO_OUTPUT"])
def test_drift_is_noticed_and_mended(pod: int, drift: str) -> None:
    wanted = capture_rules(Capture(), Family.V4)
    set_rules(pod, Family.V4, wanted)
    before = rules_in(pod, Family.V4)

    _raw(pod, f"*nat\n{drift}\nCOMMIT\n")

    assert set_rules(pod, Family.V4, wanted)
    assert rules_in(pod, Family.V4) == before


def test_a_rule_that_the_kernel_refuses_changes_nothing(pod: int) -> None:
    nonsense = Match(is_tcp=True, source="not-an-address")
    wanted = (
        *capture_rules(Capture(), Family.V4),
        Rule(Table.NAT, Passing.LEAVING, nonsense, Return()),
    )

    with pytest.raises(FirewallRefusedError, match="not-an-address"):
        set_rules(pod, Family.V4, wanted)

    assert not any("15001" in line for line in rules_in(pod, Family.V4))


def test_a_descriptor_that_is_no_namespace_is_a_clear_error() -> None:
    with Path("/dev/null").open() as file, pytest.raises(NetnsGoneError):
        set_rules(file.fileno(), Family.V4, ())


def _raw(netns: int, text: str) -> None:
    _run(netns, "iptables-nft-restore", text, "--noflush")
