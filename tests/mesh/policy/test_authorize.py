import pytest

from mesh.model.identity import Identity
from mesh.model.policy import Action, Authorization, Match, PolicyScope, StringMatch
from mesh.model.policy import StringMatchKind as Kind
from mesh.policy.authorize import ConnectionFacts, Verdict, authorize, judge
from tests.mesh.worlds import at, delta, exact, ip, pod, policy, world

WEB = Identity("cluster.local", "shop", "web")
FROM_WEB = ConnectionFacts(WEB, ip("10.0.0.1"), at("10.0.0.2:8080"))
PLAIN = ConnectionFacts(None, ip("10.0.0.1"), at("10.0.0.2:8080"))
SHOP, YARD = Match(namespaces=exact("shop")), Match(namespaces=exact("yard"))
STRICT = policy(
    "istio_converted_static_strict",
    Match(not_principals=(StringMatch(Kind.PRESENCE),)),
    namespace="istio-system",
)
DENY = policy("deny", SHOP)
DENY_OTHERS = policy("deny-others", YARD)
ALLOW = policy("allow", SHOP, action=Action.ALLOW)
ALLOW_OTHERS = policy("allow-others", YARD, action=Action.ALLOW)
TRIED_DENY = policy("tried-deny", SHOP, dry_run=True)
REJECTED = "connection closed due to policy rejection"
TRIED_ALLOW = policy("tried-allow", YARD, action=Action.ALLOW, dry_run=True)


@pytest.mark.parametrize(
    ("policies", "missing", "expected"),
    [
        ([], [], Verdict(True, "policy_none")),
        ([DENY_OTHERS], [], Verdict(True, "policy_none")),
        ([DENY], [], Verdict(False, "policy_denied", "shop/deny", 0)),
        ([ALLOW], [], Verdict(True, "policy_allowed", "shop/allow", 0)),
        ([ALLOW_OTHERS], [], Verdict(False, "policy_not_allowed")),
        ([ALLOW_OTHERS, ALLOW], [], Verdict(True, "policy_allowed", "shop/allow", 0)),
        ([ALLOW, DENY], [], Verdict(False, "policy_denied", "shop/deny", 0)),
        ([DENY_OTHERS, ALLOW], [], Verdict(True, "policy_allowed", "shop/allow", 0)),
        ([policy("empty", action=Action.ALLOW)], [], Verdict(False, "policy_not_allowed")),
        # What is named and not known might be a DENY; a DENY that is known says more.
        ([ALLOW], ["shop/x"], Verdict(False, "policy_missing", "shop/x")),
        ([DENY], ["shop/x"], Verdict(False, "policy_denied", "shop/deny", 0)),
        ([], ["shop/x"], Verdict(False, "policy_missing", "shop/x")),
        # A policy that is only tried out decides nothing, and is told of when it matches.
        ([TRIED_DENY], [], Verdict(True, "policy_none", dry_run=("shop/tried-deny",))),
        ([TRIED_ALLOW], [], Verdict(True, "policy_none")),
        (
            [TRIED_DENY, ALLOW],
            [],
            Verdict(True, "policy_allowed", "shop/allow", 0, ("shop/tried-deny",)),
        ),
        (
            [TRIED_DENY, DENY],
            [],
            Verdict(False, "policy_denied", "shop/deny", 0, (TRIED_DENY.key,)),
        ),
    ],
)
def test_deny_beats_allow_and_one_allow_shuts_out_the_rest(
    policies: list[Authorization], missing: list[str], expected: Verdict
) -> None:
    assert judge(policies, missing, FROM_WEB) == expected


def test_strict_refuses_plain_text_and_lets_every_identity_in() -> None:
    assert judge([STRICT], [], PLAIN).policy == "istio-system/istio_converted_static_strict"
    assert judge([STRICT], [], FROM_WEB).allowed


@pytest.mark.parametrize(
    ("policies", "missing", "reason"),
    [
        ([], [], ""),
        ([DENY], [], f"{REJECTED}: explicitly denied by: shop/deny"),
        (
            [ALLOW_OTHERS],
            [],
            "connection closed due to policy rejection: allow policies exist, but none allowed",
        ),
        ([], ["shop/x"], f"{REJECTED}: not known yet: shop/x"),
    ],
)
def test_a_refusal_is_told_in_istios_words(
    policies: list[Authorization], missing: list[str], reason: str
) -> None:
    assert judge(policies, missing, FROM_WEB).reason == reason


def test_nobody_is_let_in_to_a_workload_that_is_not_known() -> None:
    verdict = authorize(world(), None, FROM_WEB)
    assert not verdict.allowed
    assert verdict.code == "policy_workload_unknown"
    assert verdict.reason.endswith("destination workload unknown")


def test_a_workload_is_judged_by_what_concerns_it_now() -> None:
    before, after = pod("b", "10.0.0.2"), pod("b", "10.0.0.2", policies=("shop/deny",))
    known = world(before, DENY)
    assert authorize(known, known.workload(before.uid), FROM_WEB).allowed
    known.apply(delta(after, version=2))
    assert not authorize(known, known.workload(before.uid), FROM_WEB).allowed


@pytest.mark.parametrize(
    ("scope", "namespace", "refused"),
    [
        (PolicyScope.GLOBAL, "istio-system", True),
        (PolicyScope.NAMESPACE, "shop", True),
        (PolicyScope.NAMESPACE, "yard", False),
        (PolicyScope.WORKLOAD_SELECTOR, "shop", False),
    ],
)
def test_a_policy_reaches_as_far_as_its_scope(
    scope: PolicyScope, namespace: str, refused: bool
) -> None:
    known = world(pod("b"), policy("p", SHOP, scope=scope, namespace=namespace))
    verdict = authorize(known, known.workload("Kubernetes//Pod/shop/b"), FROM_WEB)
    assert verdict.allowed is not refused
