import pytest

from mesh.model.identity import Identity
from mesh.model.policy import (
    Authorization,
    Cidr,
    Match,
    ServiceAccountMatch,
    StringMatch,
)
from mesh.model.policy import StringMatchKind as Kind
from mesh.policy.matching import ConnectionFacts, contains, matches, matching_rule, text_matches
from tests.mesh.worlds import at, exact, ip, policy

WEB = Identity("cluster.local", "shop", "web")
FROM_WEB = ConnectionFacts(WEB, ip("10.0.0.1"), at("10.0.0.2:8080"))
PLAIN = ConnectionFacts(None, ip("10.0.0.1"), at("10.0.0.2:8080"))
ANY = (StringMatch(Kind.PRESENCE),)


def cidr(text: str) -> tuple[Cidr, ...]:
    address, _, prefix = text.partition("/")
    return (Cidr(ip(address), int(prefix)),)


@pytest.mark.parametrize(
    ("match", "facts", "expected"),
    [
        (Match(), FROM_WEB, False),
        (Match(namespaces=exact("shop")), FROM_WEB, True),
        (Match(namespaces=exact("yard", "shop")), FROM_WEB, True),
        (Match(namespaces=exact("yard")), FROM_WEB, False),
        (Match(not_namespaces=exact("yard")), FROM_WEB, True),
        (Match(not_namespaces=exact("shop")), FROM_WEB, False),
        (Match(principals=exact("cluster.local/ns/shop/sa/web")), FROM_WEB, True),
        (Match(principals=exact("spiffe://cluster.local/ns/shop/sa/web")), FROM_WEB, False),
        (Match(principals=ANY), FROM_WEB, True),
        (Match(not_principals=ANY), FROM_WEB, False),
        (Match(source_ips=cidr("10.0.0.0/24")), FROM_WEB, True),
        (Match(source_ips=cidr("10.0.1.0/24")), FROM_WEB, False),
        (Match(not_source_ips=cidr("10.0.0.1/32")), FROM_WEB, False),
        (Match(destination_ips=cidr("10.0.0.2/32")), FROM_WEB, True),
        (Match(not_destination_ips=cidr("10.0.0.2/32")), FROM_WEB, False),
        (Match(destination_ports=(80, 8080)), FROM_WEB, True),
        (Match(destination_ports=(80,)), FROM_WEB, False),
        (Match(not_destination_ports=(8080,)), FROM_WEB, False),
        (Match(not_destination_ports=(80,)), FROM_WEB, True),
        (Match(service_accounts=(ServiceAccountMatch("shop", "web"),)), FROM_WEB, True),
        (Match(service_accounts=(ServiceAccountMatch("yard", "web"),)), FROM_WEB, False),
        (Match(service_accounts=(ServiceAccountMatch("shop", "db"),)), FROM_WEB, False),
        (Match(not_service_accounts=(ServiceAccountMatch("shop", "web"),)), FROM_WEB, False),
        # Each kind that is set must agree; of one kind, one value is enough.
        (Match(namespaces=exact("shop"), destination_ports=(80,)), FROM_WEB, False),
        (Match(namespaces=exact("shop"), destination_ports=(8080,)), FROM_WEB, True),
        # Without an identity nothing positive agrees, and everything negative does.
        (Match(principals=ANY), PLAIN, False),
        (Match(not_principals=ANY), PLAIN, True),
        (Match(not_principals=exact("cluster.local/ns/shop/sa/web")), PLAIN, True),
        (Match(namespaces=ANY), PLAIN, False),
        (Match(not_namespaces=exact("shop")), PLAIN, True),
        (Match(service_accounts=(ServiceAccountMatch("", ""),)), PLAIN, False),
        (Match(not_service_accounts=(ServiceAccountMatch("shop", "web"),)), PLAIN, True),
    ],
)
def test_a_match_holds_when_everything_that_is_set_agrees(
    match: Match, facts: ConnectionFacts, expected: bool
) -> None:
    assert matches(match, facts) is expected


YES, NO = Match(namespaces=exact("shop")), Match(namespaces=exact("yard"))


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        (policy("no rules"), None),
        (policy("a rule without clauses", rules=((),)), 0),
        (policy("a clause without matches", rules=(((),),)), 0),
        (policy("a match with nothing set", rules=(((Match(),),),)), None),
        (policy("one of two matches", rules=(((NO, YES),),)), 0),
        (policy("one of two clauses", rules=(((YES,), (NO,)),)), None),
        (policy("both clauses", rules=(((YES,), (YES, NO)),)), 0),
        (policy("the second rule", rules=(((NO,),), ((YES,),), ((YES,),))), 1),
        (policy("an empty match beside one that holds", rules=(((Match(), YES),),)), 0),
    ],
    ids=lambda value: value.name if isinstance(value, Authorization) else "",
)
def test_a_policy_is_an_or_of_rules_and_a_rule_an_and_of_clauses(
    tried: Authorization, expected: int | None
) -> None:
    assert matching_rule(tried, FROM_WEB) == expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (StringMatch(Kind.EXACT, "shop"), "shop", True),
        (StringMatch(Kind.EXACT, "shop"), "shop2", False),
        (StringMatch(Kind.PREFIX, "sh"), "shop", True),
        (StringMatch(Kind.PREFIX, "op"), "shop", False),
        (StringMatch(Kind.SUFFIX, "op"), "shop", True),
        (StringMatch(Kind.SUFFIX, "sh"), "shop", False),
        (StringMatch(Kind.PRESENCE), "shop", True),
        (StringMatch(Kind.PRESENCE), "", False),
    ],
)
def test_a_text_is_compared_as_its_pattern_says(
    pattern: StringMatch, text: str, expected: bool
) -> None:
    assert text_matches(pattern, text) is expected


@pytest.mark.parametrize(
    ("within", "address", "expected"),
    [
        ("10.0.0.0/8", "10.255.0.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.7/32", "10.0.0.7", True),
        ("10.0.0.7/32", "10.0.0.6", False),
        ("10.1.2.3/8", "10.9.9.9", True),
        ("0.0.0.0/0", "192.0.2.1", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("2001:db8::/32", "2001:db8::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
        ("::/0", "192.0.2.1", False),
    ],
)
def test_an_address_lies_in_a_range_of_its_own_family_only(
    within: str, address: str, expected: bool
) -> None:
    assert contains(*cidr(within), ip(address)) is expected
