"""Which rules a pod gets, whatever firewall they are written for."""

import pytest

from mesh.redirection.rules import (
    Capture,
    Chain,
    Family,
    Redirect,
    Rule,
    Table,
    TrackApart,
    answer_rules,
    capture_rules,
)

families = pytest.mark.parametrize("family", Family)


def redirects(rules: tuple[Rule, ...]) -> list[tuple[Chain, int]]:
    return [(rule.chain, rule.target.port) for rule in rules if isinstance(rule.target, Redirect)]


@families
def test_a_pod_s_tcp_goes_to_the_proxy_in_both_directions(family: Family) -> None:
    assert redirects(capture_rules(Capture(), family)) == [
        (Chain.ARRIVING, 15006),
        (Chain.LEAVING, 15001),
    ]


@families
def test_without_inbound_capture_only_what_leaves_is_captured(family: Family) -> None:
    assert redirects(capture_rules(Capture(inbound=False), family)) == [(Chain.LEAVING, 15001)]


@families
def test_what_arrives_from_a_nested_machine_is_outbound_before_anything_else(
    family: Family,
) -> None:
    rules = capture_rules(Capture(virtual_links=("net1", "net2")), family)

    arriving = [rule for rule in rules if (rule.table, rule.chain) == (Table.NAT, Chain.ARRIVING)]

    assert [rule.match.in_link for rule in arriving[:4]] == ["net1", "net1", "net2", "net2"]
    assert redirects(rules)[:2] == [(Chain.ARRIVING, 15001), (Chain.ARRIVING, 15001)]


@families
def test_nothing_marked_by_the_proxy_is_captured_again(family: Family) -> None:
    for rule in capture_rules(Capture(), family):
        if isinstance(rule.target, Redirect):
            assert rule.match.mark_not is not None
            assert rule.match.mark_not.value == 0x539


def test_what_answers_need_captures_nothing() -> None:
    assert redirects(answer_rules()) == []
    assert set(answer_rules()) <= set(capture_rules(Capture(), Family.V4))


def test_families_differ_in_addresses_only() -> None:
    v4, v6 = (capture_rules(Capture(), family) for family in Family)

    assert [(r.table, r.chain, r.target) for r in v4] == [(r.table, r.chain, r.target) for r in v6]


@families
def test_with_dns_both_kinds_of_queries_go_to_the_proxy_before_other_connections(
    family: Family,
) -> None:
    rules = capture_rules(Capture(dns=True), family)

    assert redirects(rules) == [
        (Chain.ARRIVING, 15006),
        (Chain.LEAVING, 15053),
        (Chain.LEAVING, 15053),
        (Chain.LEAVING, 15001),
    ]
    own = [rule for rule in rules if isinstance(rule.target, TrackApart)]
    assert [(rule.table, rule.chain, rule.target) for rule in own] == [
        (Table.RAW, Chain.ARRIVING, TrackApart(1)),
        (Table.RAW, Chain.LEAVING, TrackApart(1)),
    ]
    assert set(capture_rules(Capture(), family)) < set(rules)
