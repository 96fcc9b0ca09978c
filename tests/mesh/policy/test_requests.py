"""The verdict of a waypoint's policies, row by row."""

from dataclasses import replace

import pytest

from mesh.model.identity import Identity
from mesh.model.policy import Cidr, StringMatch
from mesh.model.policy import StringMatchKind as Kind
from mesh.model.request_policy import (
    Attribute,
    AttributeCondition,
    PathTemplate,
    Pattern,
    RequestAction,
    RequestPolicy,
    RequestRule,
)
from mesh.model.routes import ExternalAuth
from mesh.policy.requests import RequestFacts, RequestVerdict, judge_request
from tests.mesh.worlds import ip

WEB = Identity("cluster.local", "shop", "web")
GET_CART = RequestFacts(
    peer=WEB,
    source_ip=ip("10.0.0.1"),
    remote_ip=ip("203.0.113.9"),
    destination_ip=ip("10.0.0.2"),
    port=8080,
    host="Cart.example.com:8080",
    method="GET",
    path="/v1/cart/7",
    fields=[(b"x-team", b"a"), (b"x-team", b"b"), (b"x-empty", b"")],
    claims={
        "iss": "https://issuer.example",
        "sub": "ann",
        "aud": ["cart", "web"],
        "azp": "app",
        "scope": "read write",
        "org": {"team": ["blue", "red"], "size": 3, "paid": True},
    },
)
CONNECTION = replace(GET_CART, is_http=False, host="", method="", path="", fields=None, claims=None)


def is_(text: str) -> StringMatch:
    return StringMatch(Kind.EXACT, text)


def begins(text: str) -> StringMatch:
    return StringMatch(Kind.PREFIX, text)


def ends(text: str) -> StringMatch:
    return StringMatch(Kind.SUFFIX, text)


PRESENT = StringMatch(Kind.PRESENCE)


def path(text: str) -> PathTemplate:
    return PathTemplate(tuple(text.split("/")))


def cidr(text: str) -> Cidr:
    address, _, length = text.partition("/")
    return Cidr(ip(address), int(length))


def when(
    attribute: Attribute,
    *wanted: Pattern,
    unwanted: tuple[Pattern, ...] = (),
    key: tuple[str, ...] = (),
) -> AttributeCondition:
    return AttributeCondition(attribute=attribute, key=key, wanted=wanted, unwanted=unwanted)


def policy(
    name: str,
    *rules: RequestRule,
    action: RequestAction = RequestAction.DENY,
    dry_run: bool = False,
) -> RequestPolicy:
    return RequestPolicy(namespace="shop", name=name, action=action, rules=rules, dry_run=dry_run)


def denies(condition: AttributeCondition, facts: RequestFacts = GET_CART) -> bool:
    return not judge_request([policy("p", RequestRule(conditions=(condition,)))], facts).allowed


@pytest.mark.parametrize(
    "condition",
    [
        when(Attribute.PRINCIPAL, is_("cluster.local/ns/shop/sa/web")),
        when(Attribute.PRINCIPAL, ends("/sa/web")),
        when(Attribute.NAMESPACE, is_("yard"), is_("shop")),
        when(Attribute.NAMESPACE, unwanted=(is_("yard"),)),
        when(Attribute.ACCOUNT, is_("shop/web")),
        when(Attribute.SOURCE_IP, cidr("10.0.0.0/24")),
        when(Attribute.SOURCE_IP, unwanted=(cidr("10.0.1.0/24"),)),
        when(Attribute.REMOTE_IP, cidr("203.0.113.9/32")),
        when(Attribute.DESTINATION_IP, cidr("10.0.0.2/32")),
        when(Attribute.DESTINATION_PORT, is_("8080")),
        when(Attribute.METHOD, is_("GET")),
        when(Attribute.METHOD, unwanted=(is_("POST"),)),
        when(Attribute.HOST, is_("cart.example.com")),
        when(Attribute.HOST, is_("CART.example.com:8080")),
        when(Attribute.HOST, ends(".example.com")),
        when(Attribute.HOST, begins("cart.")),
        when(Attribute.PATH, is_("/v1/cart/7")),
        when(Attribute.PATH, begins("/v1/")),
        when(Attribute.PATH, path("/v1/{*}/7")),
        when(Attribute.PATH, path("/v1/{**}")),
        when(Attribute.PATH, path("/{**}/7")),
        when(Attribute.PATH, path("/v1/{*}/{**}")),
        when(Attribute.HEADER, is_("a,b"), key=("x-team",)),
        when(Attribute.HEADER, PRESENT, key=("x-empty",)),
        when(Attribute.HEADER, unwanted=(PRESENT,), key=("x-absent",)),
        when(Attribute.TOKEN_PRINCIPAL, is_("https://issuer.example/ann")),
        when(Attribute.TOKEN_AUDIENCE, is_("web")),
        when(Attribute.TOKEN_PRESENTER, is_("app")),
        when(Attribute.TOKEN_CLAIM, is_("write"), key=("scope",)),
        when(Attribute.TOKEN_CLAIM, is_("red"), key=("org", "team")),
        when(Attribute.TOKEN_CLAIM, is_("3"), key=("org", "size")),
        when(Attribute.TOKEN_CLAIM, is_("true"), key=("org", "paid")),
        when(Attribute.TOKEN_CLAIM, unwanted=(PRESENT,), key=("org", "absent", "deep")),
        when(Attribute.SERVER_NAME, unwanted=(PRESENT,)),
    ],
)
def test_a_condition_that_holds(condition: AttributeCondition) -> None:
    assert denies(condition)


@pytest.mark.parametrize(
    "condition",
    [
        when(Attribute.PRINCIPAL, is_("cluster.local/ns/shop/sa/other")),
        when(Attribute.NAMESPACE, is_("shop"), unwanted=(begins("sh"),)),
        when(Attribute.SOURCE_IP, cidr("10.0.0.2/32")),
        when(Attribute.SOURCE_IP, cidr("fd00::/8")),
        when(Attribute.DESTINATION_PORT, is_("80")),
        when(Attribute.METHOD, is_("get")),
        when(Attribute.HOST, is_("example.com")),
        when(Attribute.HOST, unwanted=(is_("cart.example.com"),)),
        when(Attribute.PATH, is_("/v1/cart")),
        when(Attribute.PATH, path("/v1/{*}")),
        when(Attribute.PATH, path("/v1/cart/7/{*}")),
        when(Attribute.PATH, path("/v1/cart/7/{**}")),
        when(Attribute.PATH, path("/v1/{**}/8")),
        when(Attribute.HEADER, PRESENT, key=("x-absent",)),
        when(Attribute.TOKEN_CLAIM, PRESENT, key=("org",)),
        when(Attribute.TOKEN_CLAIM, PRESENT, key=("org", "absent")),
        when(Attribute.SERVER_NAME, PRESENT),
    ],
)
def test_a_condition_that_does_not_hold(condition: AttributeCondition) -> None:
    assert not denies(condition)


def test_an_empty_element_is_no_element() -> None:
    condition = when(Attribute.PATH, path("/v1/{*}/7"))
    assert not denies(condition, replace(GET_CART, path="/v1//7"))


def test_who_has_no_identity_meets_no_wanted_and_every_unwanted_principal() -> None:
    plain = replace(GET_CART, peer=None)
    assert not denies(when(Attribute.PRINCIPAL, PRESENT), plain)
    assert denies(when(Attribute.PRINCIPAL, unwanted=(PRESENT,)), plain)


MET = RequestRule(conditions=(when(Attribute.METHOD, is_("GET")),))
UNMET = RequestRule(conditions=(when(Attribute.METHOD, is_("PUT")),))
PROVIDER = ExternalAuth(is_grpc=True, service="auth/authorizer", port=9000)
ALLOW, DENY = RequestAction.ALLOW, RequestAction.DENY


def custom(rule: RequestRule) -> RequestPolicy:
    return replace(policy("asks", rule, action=RequestAction.CUSTOM), provider=PROVIDER)


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ([], RequestVerdict(True, "policy_none")),
        ([policy("d", UNMET)], RequestVerdict(True, "policy_none")),
        ([policy("d", UNMET, MET)], RequestVerdict(False, "policy_denied", "shop/d", 1)),
        ([policy("d")], RequestVerdict(True, "policy_none")),
        ([policy("d", RequestRule())], RequestVerdict(False, "policy_denied", "shop/d", 0)),
        ([policy("a", MET, action=ALLOW)], RequestVerdict(True, "policy_allowed", "shop/a", 0)),
        ([policy("a", UNMET, action=ALLOW)], RequestVerdict(False, "policy_not_allowed")),
        ([policy("a", action=ALLOW)], RequestVerdict(False, "policy_not_allowed")),
        (
            [policy("a", MET, action=ALLOW), policy("d", MET)],
            RequestVerdict(False, "policy_denied", "shop/d", 0),
        ),
        ([custom(UNMET)], RequestVerdict(True, "policy_none")),
        ([custom(MET)], RequestVerdict(True, "policy_none", ask=(PROVIDER,))),
        ([custom(MET), custom(MET)], RequestVerdict(True, "policy_none", ask=(PROVIDER,))),
        (
            [custom(MET), policy("a", UNMET, action=ALLOW)],
            RequestVerdict(False, "policy_not_allowed", ask=(PROVIDER,)),
        ),
        (
            [policy("u", MET, action=RequestAction.AUDIT)],
            RequestVerdict(True, "policy_none", audited=("shop/u",)),
        ),
        (
            [policy("t", MET, dry_run=True)],
            RequestVerdict(True, "policy_none", dry_run=("shop/t",)),
        ),
        (
            [policy("t", UNMET, action=ALLOW, dry_run=True)],
            RequestVerdict(True, "policy_none"),
        ),
        (
            [replace(policy("d", UNMET), problem="policy_field_unknown")],
            RequestVerdict(False, "policy_unenforceable", "shop/d"),
        ),
        (
            [replace(custom(MET), provider=None)],
            RequestVerdict(False, "policy_unenforceable", "shop/asks", 0),
        ),
        (
            [replace(policy("a", MET, action=ALLOW), problem="policy_field_unknown")],
            RequestVerdict(False, "policy_not_allowed"),
        ),
    ],
)
def test_the_order_of_policies(policies: list[RequestPolicy], expected: RequestVerdict) -> None:
    assert judge_request(policies, GET_CART) == expected


def test_sources_and_operations_are_alternatives_and_all_three_must_agree() -> None:
    shop = (when(Attribute.NAMESPACE, is_("shop")), when(Attribute.SOURCE_IP, cidr("10.0.0.1/32")))
    yard = (when(Attribute.NAMESPACE, is_("yard")),)
    read = (when(Attribute.METHOD, is_("GET")), when(Attribute.PATH, begins("/v1")))
    write = (when(Attribute.METHOD, is_("PUT")),)
    team = (when(Attribute.HEADER, PRESENT, key=("x-team",)),)

    def denied(rule: RequestRule) -> bool:
        return not judge_request([policy("p", rule)], GET_CART).allowed

    assert denied(RequestRule(sources=(yard, shop), operations=(write, read), conditions=team))
    assert not denied(RequestRule(sources=(yard,), operations=(read,), conditions=team))
    assert not denied(RequestRule(sources=(shop,), operations=(write,), conditions=team))
    assert not denied(
        RequestRule(sources=(shop,), conditions=(when(Attribute.HEADER, PRESENT, key=("x-no",)),))
    )


def test_what_a_connection_cannot_tell_closes_it() -> None:
    rule = RequestRule(
        sources=((when(Attribute.NAMESPACE, is_("shop")),),),
        operations=((when(Attribute.METHOD, is_("POST")),),),
    )
    assert judge_request([policy("d", rule)], CONNECTION).code == "policy_denied"
    assert judge_request([policy("a", rule, action=ALLOW)], CONNECTION).code == "policy_not_allowed"
    elsewhere = replace(CONNECTION, peer=Identity("cluster.local", "yard", "x"))
    assert judge_request([policy("d", rule)], elsewhere).allowed
    assert judge_request([custom(rule)], CONNECTION).ask == (PROVIDER,)


def test_a_path_is_judged_in_each_of_its_spellings() -> None:
    odd = replace(GET_CART, path="/public/..;/admin", spellings=("/admin",))
    admin = RequestRule(operations=((when(Attribute.PATH, is_("/admin")),),))
    public = RequestRule(operations=((when(Attribute.PATH, begins("/public/")),),))
    both = RequestRule(operations=((when(Attribute.PATH, begins("/")),),))
    assert judge_request([policy("d", admin)], odd).code == "policy_denied"
    assert judge_request([policy("d", public)], odd).code == "policy_denied"
    assert judge_request([policy("a", public, action=ALLOW)], odd).code == "policy_not_allowed"
    assert judge_request([policy("a", admin, action=ALLOW)], odd).code == "policy_not_allowed"
    assert judge_request([policy("a", public, admin, action=ALLOW)], odd).allowed
    assert judge_request([policy("a", both, action=ALLOW)], odd).allowed
    assert judge_request([custom(admin)], odd).ask == (PROVIDER,)


@pytest.mark.parametrize("value", ["a", "b", "a,b"])
def test_one_of_a_fields_values_is_enough_to_refuse_and_not_to_allow(value: str) -> None:
    named = AttributeCondition(attribute=Attribute.HEADER, key=("x-team",), wanted=(is_(value),))
    rule = RequestRule(conditions=(named,))
    verdicts = [
        judge_request(
            [RequestPolicy(namespace="shop", name="p", action=action, rules=(rule,))], GET_CART
        ).allowed
        for action in (RequestAction.DENY, RequestAction.ALLOW)
    ]
    assert verdicts == [False, value == "a,b"]


@pytest.mark.parametrize(
    "host", ["cart.example.com.", "Cart.example.com.:8080", "cart.example.com"]
)
def test_a_dot_at_the_end_of_a_host_hides_it_from_no_policy(host: str) -> None:
    named = AttributeCondition(attribute=Attribute.HOST, wanted=(is_("cart.example.com"),))
    rule = RequestRule(operations=((named,),))
    policy = RequestPolicy(namespace="shop", name="p", action=RequestAction.DENY, rules=(rule,))
    assert not judge_request([policy], replace(GET_CART, host=host)).allowed
