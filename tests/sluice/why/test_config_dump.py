"""Answers out of what a real node proxy of Istio's has told of itself."""

import pytest

from sluice.why.answer import Verdict
from sluice.why.config_dump import known_of_dump
from sluice.why.errors import QuestionRefusedError
from sluice.why.explain import explain
from tests.shared_data import shared


@pytest.mark.parametrize(
    ("dump", "who", "what", "code"),
    [
        ("pair", "shop/front", "stock:80", ""),
        ("pair", "yard/outside", "stock.shop:80", ""),
        ("shop", "shop/front", "stock:80", ""),
        ("shop", "shop/front", "stock:9999", ""),
        # Its log has 401 for this port: no rule of the ALLOW policy has it.
        ("shop", "shop/front", "stock:9001", "policy_not_allowed"),
        ("shop", "yard/outside", "stock.shop:80", "policy_denied"),
        ("shop", "shop/front", "stock-l7:80", "route_waypoint_unknown"),
        ("shop", "shop/front", "stock:8081", "route_no_endpoint"),
        ("shop", "shop/front", "10.90.100.11:9000", ""),
        ("shop", "shop/front", "203.0.113.9:80", ""),
    ],
)
def test_a_real_proxys_state_is_answered_from(dump: str, who: str, what: str, code: str) -> None:
    text = shared(f"ztunnel/config_dump-{dump}.json").read_text()

    answer = explain(known_of_dump(text, dump), who, what)

    assert (answer.verdict is Verdict.REFUSED) is bool(code)
    assert (answer.reason.code if answer.reason else "") == code


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "[" * 100_000, '{"workloads": [{"uid": 1}]}', '{"workloads": [7]}']
)
def test_what_is_no_dump_is_refused_or_holds_nobody(text: str) -> None:
    with pytest.raises(QuestionRefusedError):
        explain(known_of_dump(text, "dump.json"), "shop/front", "stock:80")
